# SPDX-License-Identifier: Apache-2.0
"""The service and its audit log: what is answered and what is changed stands in it, by every way to ask."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.models import line_png, write_tiny_model
from tests.service.serving import files, refused, serving

from zeile.service.audit_log import all_records, verify
from zeile.settings import Settings

PAGE = {"image": ("p.png", line_png(1)), "regions": ("r.json", b'{"lines": [{"id": "a", "box": [0, 0, 300, 40]}]}')}
GROUND_TRUTH = files(**{"1_png": line_png(1), "1.gt_txt": b"text"})
TENSOR = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(line_png(1)).decode()]}

WAYS: dict[str, tuple[str, Callable[[httpx.Client], httpx.Response]]] = {
    "json": ("recognize", lambda c: c.post("/v1/recognize", files=files(a_png=line_png(1)))),
    "text": ("recognize", lambda c: c.post("/v1/recognize?format=text", files=files(a_png=line_png(1)))),
    "alto": ("recognize", lambda c: c.post("/v1/recognize?format=alto", files=files(a_png=line_png(1)))),
    "ndjson": ("recognize", lambda c: c.post("/v1/recognize?format=ndjson", files=files(a_png=line_png(1)))),
    "raw body": (
        "recognize",
        lambda c: c.post("/v1/recognize", content=line_png(1), headers={"content-type": "image/png"}),
    ),
    "page": ("page", lambda c: c.post("/v1/pages", files=PAGE)),
    "measure": ("measure", lambda c: c.post("/v1/measure", files=GROUND_TRUTH)),
    "kserve": ("infer", lambda c: c.post("/v2/models/tiny/infer", json={"inputs": [TENSOR]})),
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_ask_is_logged(models: Path, log: Path, way: str) -> None:
    kind, ask = WAYS[way]
    with serving(Settings(models=models, model="tiny/1", audit=log)) as client:
        answer = ask(client)
        assert answer.status_code == 200, answer.text
        logged = [entry for entry, _ in all_records(log) if "provenance" in entry]  # before the service stops
    assert [entry["kind"] for entry in logged] == [kind]
    assert logged[0]["provenance"]["request_id"] == answer.headers["x-request-id"]
    assert (logged[0]["lines"], logged[0]["bad"]) == (1, 0)
    verify(log)


def test_the_answer_carries_a_receipt(models: Path, log: Path) -> None:
    with serving(Settings(models=models, model="tiny/1", audit=log)) as client:
        answer = client.post("/v1/recognize", files=files(a_png=line_png(1)))
    receipt = answer.json()["audit"]
    assert receipt["number"] == verify(log, head=receipt["sha256"]).number
    assert answer.headers["x-zeile-audit"] == f"{receipt['number']}; sha256={receipt['sha256']}"


def test_names_of_files_texts_and_images_are_not_logged(models: Path, log: Path) -> None:
    with serving(Settings(models=models, model="tiny/1", audit=log)) as client:
        text = client.post("/v1/recognize", files=files(secret_png=line_png(1))).json()["lines"][0]["text"]
    content = log.read_text("utf-8")
    assert "secret" not in content
    assert text not in content


def test_a_request_that_is_refused_is_not_logged(models: Path, log: Path) -> None:
    with serving(Settings(models=models, model="tiny/1", audit=log)) as client:
        refused(client.post("/v1/recognize", files=files(a_png=b"no image")), 422, "bad-image")
    assert [entry["kind"] for entry, _ in all_records(log)] == ["opened"]


def test_changes_are_logged_with_who_asked_for_them(tmp_path: Path, log: Path) -> None:
    for version in ("1", "2"):
        write_tiny_model(tmp_path / "models", version=version, seed=int(version))
    with serving(Settings(models=tmp_path / "models", model="tiny/1", audit=log)) as client:
        client.put("/v1/aliases/stable", json={"target": "tiny/2"}).raise_for_status()
        client.post("/v1/models/tiny/2/load").raise_for_status()
        client.delete("/v1/aliases/stable").raise_for_status()
        client.post("/v2/repository/models/tiny/unload", headers={"x-request-id": "last"}).raise_for_status()
        assert client.post("/v1/models/tiny/9/load").status_code == 404
    entries = [entry["facts"] for entry, _ in all_records(log) if entry["kind"] == "model"]
    assert [(facts["change"], facts["arguments"]) for facts in entries] == [
        ("alias", ["stable", "tiny/2"]),
        ("load", ["tiny/2"]),
        ("alias", ["stable", None]),
        ("unload", ["tiny"]),
    ]
    assert {facts["client"] for facts in entries} == {"127.0.0.1"}
    assert entries[-1]["request_id"] == "last"


def test_texts_are_logged_if_the_settings_say_so(models: Path, log: Path) -> None:
    with serving(Settings(models=models, model="tiny/1", audit=log, audit_text=True)) as client:
        text = client.post("/v1/recognize", files=files(a_png=line_png(1))).json()["lines"][0]["text"]
    assert [entry["texts"] for entry, _ in all_records(log) if "texts" in entry] == [[text]]


def test_a_log_that_was_changed_is_not_gone_on_with(models: Path, log: Path) -> None:
    settings = Settings(models=models, model="tiny/1", audit=log)
    with serving(settings) as client:
        for _ in range(3):
            client.post("/v1/recognize", files=files(a_png=line_png(1))).raise_for_status()
    lines = log.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"lines":1', b'"lines":2')
    log.write_bytes(b"".join(lines))
    with serving(settings) as client:
        detail = refused(client.post("/v1/recognize", files=files(a_png=line_png(1))), 503, "unlogged")
        assert "line 2 (record 2): was changed" in detail
        assert "was changed" in json.dumps(client.get("/readyz").json())
    assert log.read_bytes() == b"".join(lines)
