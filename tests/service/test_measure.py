# SPDX-License-Identifier: Apache-2.0
"""/v1/measure: lines with ground truth in, error rates out."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from tests.models import line_png
from tests.service.serving import files, refused, serving

from zeile.device import open_device
from zeile.evaluate import evaluate
from zeile.manifest import load_model
from zeile.pipeline import Recognizer
from zeile.samples import Sample
from zeile.service import measure
from zeile.service.job_schemas import Measurement
from zeile.service.schemas import Evaluation
from zeile.settings import Settings

TEXTS = {f"book{i % 2}_{i:03}": f"Zeile {i} über ſich" for i in range(40)}


def zipped(members: Mapping[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def pairs() -> dict[str, bytes | str]:
    images: dict[str, bytes | str] = {f"{stem}.png": line_png(i) for i, stem in enumerate(TEXTS)}
    return images | {f"{stem}.gt.txt": text for stem, text in TEXTS.items()}


def listed() -> bytes:
    rows = ["id\tsplit\tdoc\tnorm"]
    rows += [f"{s}\t{'val' if i < 30 else 'train'}\t{s[:5]}\t{t}" for i, (s, t) in enumerate(TEXTS.items())]
    images: dict[str, bytes | str] = {f"{stem}.png": line_png(i) for i, stem in enumerate(TEXTS)}
    return zipped({"manifest.tsv": "\n".join(rows) + "\n"} | images)


@pytest.fixture(scope="module")
def wanted(models: Path) -> Evaluation:
    """What ``zeile.evaluate`` says of the same lines."""
    model = load_model(models / "tiny" / "1")
    samples = [Sample(s, s[:5], line_png(i), t) for i, (s, t) in enumerate(TEXTS.items())]
    with open_device("cpu", model.network) as device:
        return Evaluation.model_validate(evaluate(Recognizer(model, device), samples).to_json())


def measured(response: httpx.Response) -> Measurement:
    assert response.status_code == 200, response.text
    return Measurement.model_validate_json(response.content)


def test_a_zip_of_pairs(service: httpx.Client, wanted: Evaluation) -> None:
    answer = measured(service.post("/v1/measure", files={"file": ("set.zip", zipped(pairs()))}))
    assert answer.evaluation == wanted
    assert answer.evaluation.lines == 40
    assert answer.evaluation.cer_interval.over == "documents"
    assert answer.lines_per_second > 0
    assert answer.sweep is None
    assert (answer.model.name, answer.model.version) == ("tiny", "1")


def test_pairs_as_the_files_of_a_form(service: httpx.Client, wanted: Evaluation) -> None:
    form = [("files", (name, data)) for name, data in pairs().items()]
    assert measured(service.post("/v1/measure", files=form)).evaluation == wanted


def test_a_zip_with_a_manifest_as_the_body(service: httpx.Client, wanted: Evaluation) -> None:
    headers = {"content-type": "application/zip"}
    assert measured(service.post("/v1/measure", content=listed(), headers=headers)).evaluation == wanted
    split = measured(service.post("/v1/measure?split=val", content=listed(), headers=headers))
    assert split.evaluation.lines == 30


def test_another_model_gives_other_errors(service: httpx.Client, wanted: Evaluation) -> None:
    answer = measured(service.post("/v1/measure?model=tiny/2", files={"file": ("set.zip", zipped(pairs()))}))
    assert answer.model.version == "2"
    assert answer.evaluation.cer != wanted.cer


@pytest.mark.parametrize(
    ("data", "kind", "told"),
    [
        (zipped({}), "bad-archive", "holds no files"),
        (zipped({"a.png": line_png(1)}), "bad-data", "no labelled lines"),
        (b"PK damaged", "bad-archive", "no zip file"),
        (zipped({"../a.gt.txt": "a", "../a.png": line_png(1)}), "bad-archive", "leads out"),
        (zipped({"a.gt.txt": "a", "a.png": line_png(1), "b.zip": b""}), "bad-archive", "archive in the zip"),
        (zipped({"a.gt.txt": "a"}), "bad-data", "no image"),
        (zipped({"a.gt.txt": "a", "a.png": b"no image"}), "bad-data", "line a: "),
        (zipped({"a.gt.txt": b"\xff", "a.png": line_png(1)}), "bad-data", "UTF-8"),
        (zipped({"manifest.tsv": "id\n1\n"}), "bad-data", "lacks the columns"),
    ],
)
@pytest.mark.parametrize("raw", [False, True], ids=["form", "body"])
def test_sets_that_cannot_be_used(service: httpx.Client, data: bytes, kind: str, told: str, raw: bool) -> None:
    if raw:
        response = service.post("/v1/measure", content=data, headers={"content-type": "application/zip"})
    else:
        response = service.post("/v1/measure", files={"file": ("set.zip", data)})
    detail = refused(response, 422, kind)
    assert told in detail
    assert "zeile-" not in detail, "the path of a temporary folder is nobody's business"


def test_a_set_that_takes_too_long_is_told_where_it_may(service: httpx.Client) -> None:
    response = service.post("/v1/measure?deadline_ms=1", files={"file": ("set.zip", zipped(pairs()))})
    assert "of 40 lines were read" in (detail := refused(response, 504, "expired"))
    assert "/v1/jobs/measure" in detail


def test_images_without_ground_truth(service: httpx.Client) -> None:
    detail = refused(service.post("/v1/measure", files=files(a_png=line_png(1))), 422, "bad-data")
    assert ".gt.txt" in detail


@pytest.mark.parametrize("name", ["..", "a\x7f.png", 100 * "äöü" + ".png"])
def test_names_that_cannot_be_used(service: httpx.Client, name: str) -> None:
    form = [("files", (name, line_png(1))), ("files", ("a.gt.txt", b"a"))]
    refused(service.post("/v1/measure", files=form), 422, "bad-form")


def test_a_name_that_occurs_twice(service: httpx.Client) -> None:
    form = [("files", ("a.png", line_png(1))), ("files", ("x/a.png", line_png(2)))]
    assert "twice" in refused(service.post("/v1/measure", files=form), 422, "bad-form")


def test_a_zip_that_grows_when_unpacked_is_refused(service: httpx.Client) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.gt.txt", "a")
        file.writestr("a.png", bytes(24 << 20))
    response = service.post("/v1/measure", files={"file": ("set.zip", buffer.getvalue())})
    assert "bytes unpacked" in refused(response, 413, "archive-too-large")


def test_a_manifest_that_grows_when_unpacked_is_refused(service: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "MAX_MANIFEST_BYTES", 100)
    detail = refused(service.post("/v1/measure", files={"file": ("set.zip", listed())}), 422, "bad-data")
    assert "at most 100 are read" in detail


def test_provenance_covers_every_line_of_the_set(service: httpx.Client) -> None:
    answer = measured(service.post("/v1/measure", files={"file": ("set.zip", zipped(pairs()))}))
    origin = answer.provenance
    wanted = [hashlib.sha256(line_png(i)).hexdigest() for i, _ in sorted(enumerate(TEXTS), key=lambda pair: pair[1])]
    assert origin.inputs == wanted
    assert len(origin.outputs) == len(origin.frames) == 40
    assert origin.model.sha256 == answer.model.sha256
    form = [("files", (stem, line_png(i))) for i, stem in sorted(enumerate(TEXTS), key=lambda pair: pair[1])]
    recognized = service.post("/v1/recognize", files=form).json()
    assert origin.output.sha256 == recognized["provenance"]["output"]["sha256"], "the same lines in the same order"


def test_every_line_that_was_measured_is_in_the_audit_log(models: Path, tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    with serving(Settings(models=models, model="tiny/1", audit=log)) as client:
        answer = measured(client.post("/v1/measure", files={"file": ("set.zip", zipped(pairs()))}))
    records = [json.loads(row) for row in log.read_text().splitlines()]
    logged = [record for record in records if record["kind"] == "measure"]
    assert [sha256 for record in logged for sha256 in record["provenance"]["inputs"]] == answer.provenance.inputs
    assert answer.audit is not None
    assert answer.audit.sha256 == logged[-1]["sha256"], "which stands for all before it"


def test_nothing_is_left_on_disk_whatever_becomes_of_a_set(models: Path, tmp_path: Path) -> None:
    with serving(Settings(models=models, model="tiny/1", spool=tmp_path)) as client:
        assert client.post("/v1/measure", files={"file": ("set.zip", zipped(pairs()))}).status_code == 200
        for data in (b"PK damaged", zipped({"a.gt.txt": "a"}), zipped({"a.gt.txt": "a", "a.png": b"no"})):
            assert client.post("/v1/measure", files={"file": ("set.zip", data)}).status_code == 422
        assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_turns_the_set_away_and_the_service_lives_on(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(measure, "_copy", full)
        response = service.post("/v1/measure", files={"file": ("set.zip", zipped(pairs()))})
        assert "No space left" in refused(response, 503, "overloaded")
        assert int(response.headers["retry-after"]) >= 1
    assert service.post("/v1/measure", files={"file": ("set.zip", zipped(pairs()))}).status_code == 200
