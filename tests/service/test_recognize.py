# SPDX-License-Identifier: Apache-2.0
"""/v1/recognize: what comes back for good and bad files, in every form that clients send them."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from tests.models import line_pixels, line_png
from tests.service.serving import files, refused

from zeile.alphabet import DIPLOMATIC
from zeile.beam import BeamOptions
from zeile.device import open_device
from zeile.manifest import load_model
from zeile.pipeline import Recognizer
from zeile.service.schemas import Recognition
from zeile.service.uploads import FIELDS, MAX_FILES

BLANK = b"P5 60 40 255\n" + 60 * 40 * b"\xff"


def read(service: httpx.Client, query: str = "", /, **named: bytes) -> Recognition:
    response = service.post(f"/v1/recognize{query}", files=files(**named))
    assert response.status_code == 200, response.text
    return Recognition.model_validate_json(response.content, strict=True)


@pytest.mark.parametrize(
    ("query", "version", "reading", "beam"),
    [("", "1", None, 0), ("?model=tiny", "2", None, 0), ("?reading=diplomatic&beam=4", "1", DIPLOMATIC, 4)],
)
def test_answer_is_what_the_recognizer_reads(
    service: httpx.Client, models: Path, query: str, version: str, reading: str | None, beam: int
) -> None:
    model = load_model(models / "tiny" / version)
    with open_device("cpu", model.network) as device:
        options = BeamOptions(width=beam) if beam else None
        line = Recognizer(model, device, reading=reading, beam=options).read(line_pixels(7))
    answer = read(service, query, a_png=line_png(7))
    assert answer.model.model_dump() == {"name": "tiny", "version": version, "sha256": model.sha256}
    (got,) = answer.lines
    assert (got.file, got.text, got.error) == ("a.png", line.text, None)
    assert line.text
    assert got.confidence == (line.confidence or 0) / 10_000
    assert [(c.text, c.left, c.right, c.confidence) for c in got.characters] == [
        (c.text, c.left_px, c.right_px, c.confidence / 10_000) for c in line.characters
    ]


def test_characters_are_the_text_and_lie_in_the_image(service: httpx.Client) -> None:
    (line,) = read(service, a_png=line_png(1, width=431)).lines
    assert "".join(c.text for c in line.characters) == line.text
    edges = [edge for c in line.characters for edge in (c.left, c.right)]
    assert 0 <= min(edges) < max(edges) <= 431
    assert all(c.left < c.right for c in line.characters)
    assert [c.left for c in line.characters] == sorted(c.left for c in line.characters)


@pytest.mark.parametrize("field", FIELDS)
def test_field_names_that_other_services_use(service: httpx.Client, field: str) -> None:
    response = service.post("/v1/recognize", files={field: ("a.png", line_png(2))})
    assert [line["file"] for line in response.json()["lines"]] == ["a.png"]


def test_body_without_a_form(service: httpx.Client) -> None:
    response = service.post("/v1/recognize", content=line_png(2), headers={"content-type": "image/png"})
    assert response.json()["lines"][0]["text"] == read(service, a_png=line_png(2)).lines[0].text


def test_order_of_many_files_and_a_result_that_ignores_its_neighbours(service: httpx.Client) -> None:
    images = {f"line{i:02}_png": line_png(i, width=60 + 37 * (i * 5 % 11)) for i in range(70)}
    together = read(service, **images)
    assert [line.file for line in together.lines] == [name.replace("_", ".") for name in images]
    for i in (0, 31, 32, 69):
        name = f"line{i:02}_png"
        assert read(service, **{name: images[name]}).lines[0] == together.lines[i]


def test_a_bad_file_is_reported_in_its_place(service: httpx.Client) -> None:
    good, bad, empty, last = read(service, a_png=line_png(1), b_png=b"no image", c_png=b"", d_png=line_png(2)).lines
    assert good.text
    assert last.text
    for line in (bad, empty):
        assert (line.text, line.confidence, line.characters) == (None, None, [])
        assert line.error is not None
        assert (line.error.status, line.error.type) == (422, "urn:zeile:problem:bad-image")


@pytest.mark.parametrize("data", [b"", b"no image", line_png(1)[:100], b"%PDF-1.7"])
def test_a_single_bad_file_is_refused(service: httpx.Client, data: bytes) -> None:
    assert refused(service.post("/v1/recognize", files=files(a_png=data)), 422, "bad-image")


def test_a_picture_with_too_many_pixels_is_refused(service: httpx.Client) -> None:
    header = b"P5 60000 60000 255\n"
    detail = refused(service.post("/v1/recognize", files=files(a_pgm=header + b"0")), 413, "image-too-large")
    assert "3600000000 pixels" in detail


def test_a_blank_line_is_an_empty_text(service: httpx.Client) -> None:
    (line,) = read(service, a_pgm=BLANK).lines
    assert (line.text, line.confidence, line.characters, line.error) == ("", None, [], None)


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\scans\\passwd", "/etc/passwd"])
def test_file_names_lose_their_folders(service: httpx.Client, name: str) -> None:
    response = service.post("/v1/recognize", files={"file": (name, line_png(1))})
    assert response.json()["lines"][0]["file"] == "passwd"


def test_times_of_the_stages(service: httpx.Client) -> None:
    time = read(service, a_png=line_png(1), b_png=line_png(2)).time_ms
    stages = [time.decode, time.preprocess, time.network, time.ctc]
    assert all(stage > 0 for stage in stages)
    assert sum(stages) <= time.total + 0.01  # rounded


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("?model=nothing", "tiny/1, tiny/2"),
        ("?model=../models/tiny/1", "tiny/1, tiny/2"),
        ("?model=/etc", "tiny/1, tiny/2"),
        ("?model=tiny/3", "tiny/1, tiny/2"),
        ("?model=", "tiny/1, tiny/2"),
        ("?reading=greek", "plain, diplomatic"),
        ("?beam=-1", "query beam"),
        ("?beam=many", "query beam"),
    ],
)
def test_options_that_cannot_be_used(service: httpx.Client, query: str, told: str) -> None:
    response = service.post(f"/v1/recognize{query}", files=files(a_png=line_png(1)))
    assert told in refused(response, 422, "bad-option")


def test_an_absolute_path_is_no_model(service: httpx.Client, models: Path) -> None:
    response = service.post(f"/v1/recognize?model={models}/tiny/1", files=files(a_png=line_png(1)))
    refused(response, 422, "bad-option")


def test_forms_that_cannot_be_used(service: httpx.Client) -> None:
    def post(**form: object) -> httpx.Response:
        return service.post("/v1/recognize", **form)  # type: ignore[arg-type]

    assert "image_file" in refused(post(files={"picture": ("a.png", line_png(1))}), 422, "bad-form")
    assert "?model=" in refused(post(data={"model": "tiny"}, files=files(a_png=line_png(1))), 422, "bad-form")
    assert "@line.png" in refused(post(files={"files": (None, "line.png")}), 422, "bad-form")
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert "boundary" in refused(post(content=b"nothing", headers=headers), 422, "bad-form")
    assert "empty" in refused(post(content=b"--x--\r\n", headers=headers), 422, "bad-form")
    refused(post(content=b"0", headers={"content-type": "multipart/form-data"}), 422, "bad-form")
    many = [("files", ("a.png", b"0"))] * (MAX_FILES + 1)
    assert str(MAX_FILES) in refused(post(files=many), 413, "too-many-files")


@pytest.mark.parametrize("media_type", ["application/json", "application/x-www-form-urlencoded", "", "imagepng"])
def test_media_types_that_are_not_read(service: httpx.Client, media_type: str) -> None:
    response = service.post("/v1/recognize", content=line_png(1), headers={"content-type": media_type})
    assert "multipart/form-data" in refused(response, 415, "unsupported-body")
