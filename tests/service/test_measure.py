# SPDX-License-Identifier: Apache-2.0
"""/v1/measure: lines with ground truth in, error rates out."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from tests.models import line_png
from tests.service.serving import files, refused

from zeile.device import open_device
from zeile.evaluate import evaluate
from zeile.manifest import load_model
from zeile.pipeline import Recognizer
from zeile.samples import Sample
from zeile.service import measure
from zeile.service.schemas import Evaluation, Measurement

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
    ("data", "told"),
    [
        (zipped({}), "no labelled lines"),
        (b"PK damaged", "not a zip file"),
        (zipped({"../a.gt.txt": "a", "../a.png": line_png(1)}), "leads out"),
        (zipped({"a.gt.txt": "a"}), "no image"),
        (zipped({"a.gt.txt": "a", "a.png": b"no image"}), "line a: "),
        (zipped({"a.gt.txt": b"\xff", "a.png": line_png(1)}), "UTF-8"),
        (zipped({"manifest.tsv": "id\n1\n"}), "lacks the columns"),
    ],
)
def test_sets_that_cannot_be_used(service: httpx.Client, data: bytes, told: str) -> None:
    detail = refused(service.post("/v1/measure", files={"file": ("set.zip", data)}), 422, "bad-data")
    assert told in detail
    assert "zeile-" not in detail, "the path of a temporary folder is nobody's business"


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


def test_a_zip_that_grows_when_unpacked(service: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "MAX_UNPACKED_BYTES", 10_000)
    data = zipped({"a.gt.txt": "a", "a.png": bytes(20_000)})
    detail = refused(service.post("/v1/measure", files={"file": ("set.zip", data)}), 422, "bad-data")
    assert "20001 bytes" in detail
