# SPDX-License-Identifier: Apache-2.0
"""``zeile replay``: the recorded answer again, from image and record alone; what is said if it is another one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from tests.models import line_pixels, line_png, write_tiny_model
from tests.service.serving import files, serving

import zeile
from zeile.cli import main
from zeile.commands import replay
from zeile.settings import Settings

Json = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path, models: Path, service: httpx.Client) -> Path:
    """A folder with two images, and answer.json about them and a third that is none."""
    for name, image in (("a.png", line_png(1)), ("b.png", line_png(2)), ("c.png", b"no image")):
        (tmp_path / name).write_bytes(image)
    save(service, tmp_path, "")
    return tmp_path


def save(service: httpx.Client, folder: Path, query: str) -> Json:
    images = {f"{name}_png": (folder / f"{name}.png").read_bytes() for name in "abc"}
    answer = service.post(f"/v1/recognize{query}", files=files(**images)).raise_for_status()
    (folder / "answer.json").write_bytes(answer.content)
    found: Json = answer.json()
    return found


def replayed(folder: Path, models: Path, *arguments: str, record: str = "answer.json") -> tuple[int, dict[str, str]]:
    """The exit code, and each finding's state by its name."""
    shown = io.StringIO()
    images = [str(folder / name) if name.endswith(".png") else name for name in arguments]
    given = record if record == "-" else str(folder / record)
    with contextlib.redirect_stdout(shown):
        code = main(["replay", given, *images, "--models", str(models), "--json"])
    findings = json.loads(shown.getvalue() or "[]")
    return code, {finding["name"].replace(f"{folder}/", ""): finding["state"] for finding in findings}


def changed(folder: Path, change: Callable[[Json], object]) -> None:
    """Change the provenance of the record."""
    answer = json.loads((folder / "answer.json").read_text("utf-8"))
    change(answer["provenance"])
    (folder / "answer.json").write_text(json.dumps(answer))


def test_an_answer_is_reproduced(folder: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads((folder / "answer.json").read_text("utf-8"))
    images = [str(folder / name) for name in ("b.png", "a.png", "c.png")]  # in any order
    assert main(["replay", str(folder / "answer.json"), *images, "--models", str(models)]) == 0
    shown = capsys.readouterr().out
    assert {line.split()[0] for line in shown.splitlines()} == {"same"}
    for digest in answer["provenance"]["outputs"]:
        assert digest in shown
    assert answer["lines"][0]["text"] in shown


@pytest.mark.parametrize("query", ["?beam=8&alternatives=4", "?reading=diplomatic", "?model=tiny/2"])
def test_options_are_those_of_the_record(folder: Path, models: Path, service: httpx.Client, query: str) -> None:
    save(service, folder, query)
    code, findings = replayed(folder, models, "a.png", "b.png")
    assert (code, set(findings.values())) == (0, {"same"})


def test_the_reference_engine_gives_the_same(folder: Path, models: Path) -> None:
    code, findings = replayed(folder, models, "a.png", "--engine=reference")
    assert (code, findings["engine"], findings["a.png: answer"]) == (0, "other", "same")


def test_an_image_that_was_not_read_is_told(folder: Path, models: Path) -> None:
    (folder / "other.png").write_bytes(line_png(9))
    code, findings = replayed(folder, models, "a.png", "other.png")
    assert (code, findings["other.png: input"], findings["a.png: answer"]) == (1, "differs", "same")


def test_another_model_of_that_name_is_told(folder: Path, models: Path, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "others", version="1", seed=99)
    code, findings = replayed(folder, tmp_path / "others", "a.png")
    assert code == 1
    assert (findings["model"], findings["alphabet"]) == ("differs", "same")
    assert (findings["a.png: frames"], findings["a.png: answer"]) == ("same", "differs")


def test_a_missing_or_damaged_model_is_told(folder: Path, models: Path, tmp_path: Path) -> None:
    code, findings = replayed(folder, tmp_path / "none", "a.png")
    assert (code, findings["model"]) == (1, "differs")
    shutil.copytree(models, tmp_path / "copy")
    weights = tmp_path / "copy" / "tiny" / "1" / "weights.npz"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    assert replayed(folder, tmp_path / "copy", "a.png")[1]["model"] == "differs"


FORGERIES: dict[str, tuple[Callable[[Json], object], str]] = {
    "output": (lambda p: p["outputs"].__setitem__(0, "0" * 64), "a.png: answer"),
    "frames": (lambda p: p["frames"].__setitem__(0, "0" * 64), "a.png: frames"),
    "input": (lambda p: p["inputs"].__setitem__(0, "0" * 64), "a.png: input"),
    "model": (lambda p: p["model"].update(sha256="0" * 64), "model"),
    "alphabet": (lambda p: p["model"].update(alphabet_sha256="0" * 64), "alphabet"),
    "reading": (lambda p: p["options"].update(beam=16, alternatives=2), "a.png: answer"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_record_that_was_changed_is_told(folder: Path, models: Path, forgery: str) -> None:
    change, name = FORGERIES[forgery]
    changed(folder, change)
    code, findings = replayed(folder, models, "a.png")
    assert (code, findings[name]) == (1, "differs")


def test_other_versions_are_told_and_fail_nothing_by_themselves(folder: Path, models: Path) -> None:
    changed(folder, lambda p: (p["decoder"].update(pillow="9.4.0"), p["software"].update(machine="aarch64")))
    code, findings = replayed(folder, models, "a.png")
    assert (code, findings["decoder pillow"], findings["software machine"]) == (0, "other", "other")


def test_a_decoder_that_gives_other_pixels_is_told(folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "decode", lambda *given: np.clip(zeile.decode(*given), 0, 90))
    code, findings = replayed(folder, models, "a.png")
    assert (code, findings["a.png: input"], findings["a.png: frames"]) == (1, "same", "differs")


def test_a_page_is_cut_again(tmp_path: Path, models: Path, service: httpx.Client) -> None:
    page = np.full((160, 300), 235, np.uint8)
    page[10:50] = line_pixels(1)
    page[70:110] = line_pixels(2)
    Image.fromarray(page).save(tmp_path / "page.png")
    lines: list[Json] = [
        {"id": "box", "box": [0, 10, 300, 50]},
        {"id": "outline", "polygon": [[0, 70], [299, 80], [299, 109], [0, 105]]},
        {"id": "tiny", "box": [5, 5, 6, 6]},
    ]
    regions = json.dumps({"lines": lines}).encode()
    form = {"image": ("page.png", (tmp_path / "page.png").read_bytes()), "regions": ("regions.json", regions)}
    answer = service.post("/v1/pages", files=form).raise_for_status()
    (tmp_path / "answer.json").write_bytes(answer.content)
    code, findings = replayed(tmp_path, models, "page.png")
    assert (code, set(findings.values())) == (0, {"same"})
    assert {f"page.png: {line['id']}: answer" for line in lines} <= set(findings)
    changed(tmp_path, lambda p: p["page"]["regions"][0].update(box=[0, 11, 300, 50]))
    code, findings = replayed(tmp_path, models, "page.png")
    assert (code, findings["page.png: box: pixels"], findings["page.png: outline: answer"]) == (1, "differs", "same")
    assert replayed(tmp_path, models, "page.png", "page.png")[0] == 2


def test_a_record_of_the_audit_log_is_enough(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "audit.jsonl"
    (tmp_path / "a.png").write_bytes(line_png(1))
    with serving(Settings(models=models, model="tiny/1", audit=log)) as client:
        client.post("/v1/recognize?format=text", files=files(a_png=line_png(1))).raise_for_status()
    assert main(["audit", "show", str(log), "--record", "2"]) == 0
    record = capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(record.encode())))
    assert replayed(tmp_path, models, "a.png", record="-")[0] == 0


BAD: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"\x89PNG", "is not JSON"),
    "twice a key": (b'{"format": 1, "format": 2}', "is not JSON"),
    "a log": (b'{"n": 1}\n{"n": 2}\n', "zeile audit show"),
    "no provenance": (b'{"lines": []}', "holds no provenance"),
    "a list": (b"[]", "holds no provenance"),
    "of the future": (b'{"format": "zeile-provenance", "format_version": 2}', "this Zeile reads 1"),
    "nothing in it": (b'{"format": "zeile-provenance", "format_version": 1}', "is damaged: provenance lacks"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_record_is_refused(
    tmp_path: Path, models: Path, bad: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content, complaint = BAD[bad]
    (tmp_path / "answer.json").write_bytes(content)
    assert replayed(tmp_path, models, "a.png")[0] == 1
    assert complaint in capsys.readouterr().err


DAMAGES: dict[str, Callable[[Json], object]] = {
    "options": lambda p: p["options"].update(beam="8"),
    "no options": lambda p: p.pop("options"),
    "model": lambda p: p.update(model=[]),
    "name": lambda p: p["model"].update(name=7),
    "fewer outputs": lambda p: p["outputs"].pop(),
    "engines": lambda p: p.update(engines=["cpu"]),
    "software": lambda p: p.update(software=None),
    "page": lambda p: p.update(page={"sha256": "0", "regions": [{"id": 1}]}),
    "page without regions": lambda p: p.update(page={"sha256": "0", "regions": []}),
    "hashes": lambda p: p.update(inputs=[1, 2, 3]),
    "hash of the page": lambda p: p.update(page={"sha256": 1, "regions": []}),
    "endless region": lambda p: p.update(
        page={"sha256": "0", "regions": [{"id": "r", "box": [1e999] * 4, "polygon": []}] * 3}
    ),
    "alternatives without end": lambda p: p["options"].update(beam=2, alternatives=10**30),
    "path for a model": lambda p: p["model"].update(name="../..", version="etc"),
    "beam beyond all limits": lambda p: p["options"].update(beam=-1),
    "unknown reading": lambda p: p["options"].update(reading="backwards"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_ends_in_a_sentence(
    folder: Path, models: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(folder, DAMAGES[damage])
    assert replayed(folder, models, "a.png")[0] in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_missing_files_end_in_a_sentence(folder: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replayed(folder, models, "none.png")[0] == 1
    assert replayed(folder, models, "a.png", record="none.json")[0] == 1
    assert capsys.readouterr().err.count("cannot be read") == 2


def test_it_needs_nothing_of_the_service(folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys\n"
        "for name in ('fastapi', 'starlette', 'pydantic', 'uvicorn', 'prometheus_client'):\n"
        "    sys.modules[name] = None\n"
        "from zeile.cli import main\n"
        f"sys.exit(main(['replay', {str(folder / 'answer.json')!r}, {str(folder / 'a.png')!r}, "
        f"'--models', {str(models)!r}]))\n"
    )
    path = str(Path(zeile.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, check=False)
    assert done.returncode == 0
