# SPDX-License-Identifier: Apache-2.0
"""``zeile read`` on whole pages, with and without a document of regions, and in every format."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.formats.alto_schema import NAMESPACE, valid_alto
from tests.formats.test_segment import drawn_page
from tests.models import line_png, write_tiny_model

from zeile.cli import main

REGIONS = {"lines": [{"id": "first", "box": [50, 40, 650, 80]}, {"box": [50, 100, 650, 140]}]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_tiny_model(tmp_path / "models")
    Image.fromarray(drawn_page(3)).save(tmp_path / "page.png")
    (tmp_path / "line.png").write_bytes(line_png(1))
    (tmp_path / "regions.json").write_text(json.dumps(REGIONS))
    Image.fromarray(np.ascontiguousarray(drawn_page(3)[40:80, 50:650])).save(tmp_path / "cut.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZEILE_MODEL", "tiny")
    monkeypatch.setenv("ZEILE_ENGINE", "reference")
    return tmp_path


def read(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["read", *arguments]) == code
    return capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_a_page_gives_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(read(capsys, "--page", "page.png").splitlines()) == 3
    (entry,) = json.loads(read(capsys, "--page", "--format", "json", "page.png"))
    assert [line["id"] for line in entry["lines"]] == ["line_1", "line_2", "line_3"]


@pytest.mark.usefixtures("folder")
def test_regions_give_what_the_cut_out_line_gives(capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = read(capsys, "--regions", "regions.json", "page.png").splitlines()
    assert first + "\n" == read(capsys, "cut.png")


@pytest.mark.parametrize("kind", ["alto", "page"])
def test_a_document_is_filled(folder: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    document = (
        read(capsys, "--page", "--format", kind, "page.png").replace("region_1", "mine").replace("_block", "_mine")
    )
    (folder / "layout.xml").write_text(document)
    filled = read(capsys, "--regions", "layout.xml", "--format", kind, "page.png")
    assert "mine" in filled
    assert filled.count("softwareName>zeile" if kind == "alto" else "</MetadataItem>") == 2
    other = read(capsys, "--regions", "layout.xml", "--format", "hocr", "page.png")
    assert other.count("ocr_line") == 4  # once among the capabilities


@pytest.mark.usefixtures("folder")
def test_lines_as_alto_and_a_bad_one_among_them(capsys: pytest.CaptureFixture[str]) -> None:
    root = valid_alto(read(capsys, "--format", "alto", "line.png", "regions.json", code=1).encode())
    first, second = root.iter(f"{NAMESPACE}Page")
    assert first.get("WIDTH") == "300"
    assert "known image format" in second.get("QUALITY_DETAIL", "")


@pytest.mark.usefixtures("folder")
def test_page_needs_an_image(capsys: pytest.CaptureFixture[str]) -> None:
    assert ET.fromstring(read(capsys, "--format", "page", "line.png"))[1].get("imageHeight") == "40"
    assert read(capsys, "--format", "page", "regions.json", code=1) == ""


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--page", "--regions", "regions.json", "page.png"), 2, "give one of them"),
        (("--regions", "regions.json", "page.png", "page.png"), 2, "2 were given"),
        (("--format", "page", "line.png", "line.png"), 2, "one image, 2 were given"),
        (("--regions", "none.xml", "page.png"), 1, "none.xml: the document cannot be read"),
        (("--regions", "page.png", "page.png"), 1, "neither XML nor well-formed JSON"),
    ],
)
def test_mistakes_get_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, said: str
) -> None:
    assert main(["read", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
