# SPDX-License-Identifier: Apache-2.0
"""/v1/recognize: what comes back for good and bad files, in every form that clients send them."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.models import line_pixels, line_png
from tests.service.serving import files, refused, running
from tests.service.test_archives import zipped

from zeile.alphabet import DIPLOMATIC
from zeile.beam import BeamOptions
from zeile.device import open_device
from zeile.manifest import load_model
from zeile.pipeline import Recognizer
from zeile.service.app import create_app
from zeile.service.schemas import Recognition
from zeile.service.uploads import FIELDS, IN_MEMORY, MAX_FILES
from zeile.settings import Settings

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


ZIP = {"content-type": "application/zip"}


@pytest.mark.parametrize("body", [True, False])
def test_a_zip_is_read_as_its_files_are(service: httpx.Client, body: bool) -> None:
    images = {"page1/001.png": line_png(1), "page1/002.png": b"no image", "page2/001.png": line_png(2)}
    data = zipped(images)
    if body:
        response = service.post("/v1/recognize", content=data, headers=ZIP)
    else:
        response = service.post("/v1/recognize", files={"file": ("scans.bin", data, "application/octet-stream")})
    lines = Recognition.model_validate_json(response.content, strict=True).lines
    assert [line.file for line in lines] == list(images)
    single = read(service, a_png=line_png(1), b_png=b"no image", c_png=line_png(2)).lines
    assert [line.model_dump(exclude={"file"}) for line in lines] == [
        line.model_dump(exclude={"file"}) for line in single
    ]


def test_a_body_of_no_said_kind_is_what_it_begins_as(service: httpx.Client) -> None:
    headers = {"content-type": "application/octet-stream"}
    image = service.post("/v1/recognize", content=line_png(1), headers=headers).json()["lines"]
    archive = service.post("/v1/recognize", content=zipped({"a": line_png(1)}), headers=headers)
    assert [line["text"] for line in archive.json()["lines"]] == [line["text"] for line in image]


def test_an_image_is_answered_the_same_whichever_way_it_comes(service: httpx.Client) -> None:
    image, png = line_png(1), {"content-type": "image/png"}
    ways: list[dict[str, Any]] = [
        {"content": image, "headers": png},
        {"content": iter([image[:100], image[100:]]), "headers": png},  # chunked
        {"content": image, "headers": {"content-type": "Image/PNG; q=1"}},
        {"content": image, "headers": png | {"content-encoding": "identity"}},
        {"content": image + bytes(IN_MEMORY), "headers": png},
    ]
    answers = [service.post("/v1/recognize", **way).json() for way in ways]
    first = answers[0]
    for answer in answers[1:]:
        assert answer.keys() == first.keys()
        assert (answer["lines"], answer["model"], answer["engine"]) == (
            first["lines"],
            first["model"],
            first["engine"],
        )
        same = ("frames", "outputs", "output", "options", "software", "model")
        assert [answer["provenance"][name] for name in same] == [first["provenance"][name] for name in same]
    bad = [service.post("/v1/recognize", content=image[:60] + end, headers=png) for end in (b"", bytes(IN_MEMORY))]
    assert {response.status_code for response in bad} == {422}
    assert {response.json()["type"] for response in bad} == {bad[0].json()["type"]}


@pytest.mark.parametrize("form", [True, False])
def test_an_upload_that_finds_no_room_on_the_disk_is_told_so(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: bool
) -> None:
    full = tmp_path / "missing"
    monkeypatch.setattr(tempfile, "tempdir", str(full))
    data = line_png(1) + bytes(IN_MEMORY)
    with running(create_app(Settings(models=models, model="tiny/1", spool=full))) as client:
        if form:
            response = client.post("/v1/recognize", files={"file": ("a.png", data)})
        else:
            response = client.post("/v1/recognize", content=data, headers={"content-type": "image/png"})
        assert "kept on disk" in refused(response, 503, "overloaded")
        assert int(response.headers["retry-after"]) >= 1
        assert client.post("/v1/recognize", files=files(a_png=line_png(1))).status_code == 200


def test_zips_and_images_beside_each_other(service: httpx.Client) -> None:
    form = files(
        a_png=line_png(1), b_zip=zipped({"c.png": line_png(2)}), d_png=line_png(3), e_zip=zipped({"f.png": b""})
    )
    lines = service.post("/v1/recognize", files=form).json()["lines"]
    assert [line["file"] for line in lines] == ["a.png", "c.png", "d.png", "f.png"]
    assert [bool(line["text"]) for line in lines] == [True, True, True, False]


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"PK\3\4 damaged", "bad-archive", 422),
        (zipped({"../a.png": b""}), "bad-archive", 422),
        (zipped({"inner.zip": zipped({"a.png": b""})}), "bad-archive", 422),
        (zipped({}), "bad-archive", 422),
        (zipped({"bomb.bmp": bytes(40 << 20)}), "archive-too-large", 413),
    ],
)
def test_zips_that_cannot_be_used(service: httpx.Client, data: bytes, kind: str, status: int) -> None:
    refused(service.post("/v1/recognize", content=data, headers=ZIP), status, kind)
    refused(service.post("/v1/recognize", files={"file": ("a.zip", data)}), status, kind)


def test_limits_on_zips_can_be_set_and_hold_for_all_zips_of_a_form(models: Path) -> None:
    with running(create_app(Settings(models=models, model="tiny/1", archive_files=3))) as client:
        two = zipped({"a.png": line_png(1), "b.png": line_png(2)})
        assert client.post("/v1/recognize", content=two, headers=ZIP).status_code == 200
        detail = refused(client.post("/v1/recognize", files=files(a_zip=two, b_zip=two)), 413, "archive-too-large")
        assert "hold 4 files" in detail
        assert "at most 3" in detail


def test_a_compressed_body_is_refused(service: httpx.Client) -> None:
    headers = {"content-type": "image/png", "content-encoding": "gzip"}
    assert "gzip" in refused(service.post("/v1/recognize", content=b"x", headers=headers), 415, "unsupported-body")


def test_alternatives_begin_with_the_text_and_fall_in_score(service: httpx.Client) -> None:
    (line,) = read(service, "?beam=8&alternatives=5", a_png=line_png(7)).lines
    assert line.alternatives[0].text == line.text
    assert len({a.text for a in line.alternatives}) == len(line.alternatives) == 5
    scores = [a.score for a in line.alternatives]
    assert scores == sorted(scores, reverse=True)
    (plain,) = read(service, "?beam=8", a_png=line_png(7)).lines
    assert plain.alternatives == []
    assert plain.model_dump(exclude={"alternatives"}) == line.model_dump(exclude={"alternatives"})


def test_parameters_are_each_requests_own_however_often_they_were_seen(service: httpx.Client) -> None:
    def ask(query: str, **headers: str) -> httpx.Response:
        return service.post(
            f"/v1/recognize{query}", content=line_png(1), headers={"content-type": "image/png"} | headers
        )

    for _ in range(3):
        plain, beam = ask("").json()["lines"][0], ask("?beam=4&alternatives=2").json()["lines"][0]
        assert ("alternatives" in plain, len(beam["alternatives"])) == (False, 2)
        assert ask("", accept="text/plain").text == plain["text"] + "\n"
        assert ask("?format=tsv", accept="text/plain").headers["content-type"].startswith("text/tab-separated-values")
        refused(ask("", accept="image/png"), 406, "not-acceptable")
        refused(ask("?beam=65"), 422, "bad-option")
        bad = service.post("/v1/recognize", content=b"no image", headers={"content-type": "image/png"})
        assert "no known image format" in refused(bad, 422, "bad-image")
        refused(
            service.post("/v1/recognize", content=b"x", headers={"content-type": "text/plain"}), 415, "unsupported-body"
        )
        refused(ask("?model=none"), 422, "bad-option")
        refused(ask("", **{"x-zeile-deadline-ms": "0"}), 422, "bad-option")


@pytest.mark.parametrize("query", ["?alternatives=1", "?beam=2&alternatives=3"])
def test_more_alternatives_than_the_beam_has(service: httpx.Client, query: str) -> None:
    response = service.post(f"/v1/recognize{query}", files=files(a_png=line_png(1)))
    assert "beam=" in refused(response, 422, "bad-option")


def test_every_answer_says_where_it_comes_from(service: httpx.Client) -> None:
    images = [line_png(1), b"no image"]
    answer = read(service, a_png=images[0], b_png=images[1])
    assert answer.provenance.inputs == [hashlib.sha256(image).hexdigest() for image in images]
    assert answer.provenance.model.sha256 == answer.model.sha256
    assert answer.audit is None
    response = service.post("/v1/recognize", files=files(a_png=images[0]), headers={"x-request-id": "shelf-7"})
    assert response.json()["provenance"]["request_id"] == "shelf-7"


def test_an_answer_names_its_record_in_the_audit_log(models: Path, tmp_path: Path) -> None:
    with running(create_app(Settings(models=models, model="tiny/1", audit=tmp_path / "audit.jsonl"))) as client:
        response = client.post("/v1/recognize", files=files(a_png=line_png(1)))
        receipt = response.json()["audit"]
        text = client.post("/v1/recognize?format=text", files=files(a_png=line_png(1)))
        assert text.headers["x-zeile-audit"].startswith(f"{receipt['number'] + 1}; sha256=")
    assert receipt["sha256"] in (tmp_path / "audit.jsonl").read_text()


def test_a_spare_engine_is_never_silent(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(Settings(models=models, model="tiny/1"))
    with running(app) as client:
        original = app.state.worker.read

        async def spared(*arguments: Any) -> Any:
            answer = await original(*arguments)
            facts = answer.engine | {"instead_of": "fpga", "because": "a \n secret"}
            return type(answer)(**{**answer.__dict__, "engine": facts, "engines": (facts,)})

        monkeypatch.setattr(app.state.worker, "read", spared)
        response = client.post("/v1/recognize?format=text", files=files(a_png=line_png(1)))
        assert response.headers["warning"] == '199 zeile "read by cpu in the place of fpga, with the same result"'
