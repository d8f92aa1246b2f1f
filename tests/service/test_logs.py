# SPDX-License-Identifier: Apache-2.0
"""What a request leaves in the log, in the metrics and in its answer's headers."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.models import line_png
from tests.service.raw import until
from tests.service.serving import running, serving

from zeile.service import logs
from zeile.service.app import create_app
from zeile.service.record import outcome
from zeile.settings import Settings

PNG = {"content-type": "image/png"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@contextmanager
def logged(formatter: logging.Formatter) -> Iterator[io.StringIO]:
    """What is told about requests meanwhile."""
    written = io.StringIO()
    handler, requests = logging.StreamHandler(written), logging.getLogger(logs.REQUESTS)
    handler.setFormatter(formatter)
    requests.addHandler(handler)
    level = requests.level
    requests.setLevel(logging.INFO)
    try:
        yield written
    finally:
        requests.removeHandler(handler)
        requests.setLevel(level)


def line_of(written: io.StringIO, response: httpx.Response) -> str:
    """The one line of a request, written once its answer is out; requests of tests before may still write theirs."""
    name = response.headers["x-request-id"]
    until(lambda: name in written.getvalue() and written.getvalue().endswith("\n"))
    (line,) = (line for line in written.getvalue().splitlines() if name in line)
    return line


def facts_of(written: io.StringIO, response: httpx.Response) -> dict[str, Any]:
    """The line of a request in a log that is JSON."""
    facts: dict[str, Any] = json.loads(line_of(written, response))
    return facts


def test_each_request_is_one_line_that_says_what_became_of_it(service: httpx.Client) -> None:
    with logged(logs.JsonLines()) as written:
        form = [("files", (f"{i}.png", line_png(i))) for i in range(3)]
        good = service.post("/v1/recognize?reading=diplomatic", files=form, headers={"traceparent": TRACE})
        bad = service.post("/v1/recognize", content=b"x", headers=PNG)
        nothing = service.get("/nothing")
        first, second, third = (facts_of(written, response) for response in (good, bad, nothing))
    assert (good.status_code, bad.status_code) == (200, 422)
    assert {k: first[k] for k in ("method", "path", "status", "lines", "model", "client")} == {
        "method": "POST",
        "path": "/v1/recognize",
        "status": 200,
        "lines": 3,
        "model": "tiny/1",
        "client": "127.0.0.1",
    }
    assert (first["id"], first["traceparent"]) == (good.headers["x-request-id"], TRACE)
    assert (second["id"], second["status"], second["problem"]) == (bad.headers["x-request-id"], 422, "bad-image")
    assert (third["path"], third["status"]) == ("/nothing", 404)
    for line in (first, second, third):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert line["ms"] > 0


def test_texts_file_names_and_queries_stay_out_of_the_log(service: httpx.Client) -> None:
    with logged(logs.JsonLines()) as written:
        form = [("files", ("letter-of-goethe.png", line_png(1))), ("files", ("broken-letter.png", b"x"))]
        response = service.post("/v1/recognize?deadline_ms=54321", files=form)
        line_of(written, response)
    text = response.json()["lines"][0]["text"]
    assert len(text) > 3
    for private in (text, "goethe", "broken-letter", "54321"):
        assert private not in written.getvalue()


@pytest.mark.parametrize("formatter", [logs.JsonLines(), logs.TextLines()], ids=["json", "text"])
def test_nothing_that_a_client_sends_begins_a_line_of_its_own(
    service: httpx.Client, formatter: logging.Formatter
) -> None:
    forged = '/a%0a{"time": "2026", "id": "forged"}%0d%0a%e2%80%a8%c2%85%1b[31m'
    with logged(formatter) as written:
        response = service.get(forged, headers={"x-request-id": 'forged"}', "traceparent": "forged"})
        line = line_of(written, response)
    assert [other for other in written.getvalue().splitlines() if "forged" in other] == [line]
    assert "\x1b" not in written.getvalue()


def test_the_answer_and_the_log_take_over_a_sound_identifier(service: httpx.Client) -> None:
    with logged(logs.JsonLines()) as written:
        response = service.get("/livez", headers={"x-request-id": "scan-17/page:3"})
        assert facts_of(written, response)["id"] == "scan-17/page:3"
    assert response.headers["x-request-id"] == "scan-17/page:3"


@pytest.mark.parametrize("identifier", ["", "a b", "x" * 129, '"', "a;b", "ä"])
def test_other_identifiers_are_replaced(service: httpx.Client, identifier: str) -> None:
    response = service.get("/livez", headers=[(b"x-request-id", identifier.encode())])
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])


@pytest.mark.parametrize("trace", ["", "00-1-1-01", TRACE + "x", TRACE.upper()])
def test_what_is_no_trace_context_is_not_logged(service: httpx.Client, trace: str) -> None:
    with logged(logs.JsonLines()) as written:
        response = service.get("/livez", headers={"traceparent": trace})
        assert facts_of(written, response)["traceparent"] == ""


def test_a_fault_of_ours_is_a_problem_without_our_inside(models: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(Settings(models=models, model="tiny/1"))

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the secret inside")

    with running(app) as client, logged(logs.JsonLines()) as written:
        response = client.get("/broken")
        assert facts_of(written, response)["status"] == 500
    assert (response.status_code, response.json()["type"]) == (500, "urn:zeile:problem:internal")
    assert "inside" not in response.text
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "the secret inside" in caplog.text  # whoever runs the service finds it


def test_metrics_count_the_answers_that_the_client_counts(models: Path) -> None:
    with serving(Settings(models=models, model="tiny/1")) as client:
        for _ in range(3):
            client.post("/v1/recognize", content=line_png(1), headers=PNG)
        for _ in range(2):
            client.post("/v1/recognize", content=b"x", headers=PNG)
        client.get("/nothing")
        text = client.get("/metrics").text
    found = {
        (s.name, s.labels.get("endpoint", ""), s.labels.get("outcome", s.labels.get("reason", ""))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
    assert found["zeile_requests_total", "/v1/recognize", "ok"] == 3
    assert found["zeile_requests_total", "/v1/recognize", "refused"] == 2
    assert found["zeile_requests_total", "other", "refused"] == 1
    assert found["zeile_rejected_total", "", "bad-image"] == 2
    assert found["zeile_requests_in_flight", "", ""] == 1  # the one that asks


def test_strange_paths_make_no_metrics_of_their_own(service: httpx.Client) -> None:
    for i in range(5):
        service.get(f"/scan/{i}")
        service.get(f"/static/{i}.js")
    endpoints = set(re.findall(r'zeile_requests_total\{endpoint="([^"]*)"', service.get("/metrics").text))
    assert not [name for name in endpoints if re.search(r"\d\.js|scan", name)]


@pytest.mark.parametrize(
    ("status", "counts_as"),
    [(200, "ok"), (202, "ok"), (404, "refused"), (429, "overloaded"), (503, "overloaded"), (500, "failed")],
)
def test_outcomes(status: int, counts_as: str) -> None:
    assert outcome(status) == counts_as


def test_off_is_silent_and_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    root, ours = logging.getLogger(), logging.getLogger("zeile")
    handlers, level, own = root.handlers[:], root.level, ours.level
    try:
        for kind, lines in (("json", 2), ("text", 2), ("off", 0)):
            stream = io.StringIO()
            logs.install(kind, stream)
            ours.info("started\nat once")
            logging.getLogger("another.library").warning("odd: %s", "a\nb")
            ours.debug("not for the log")
            assert len(stream.getvalue().splitlines()) == lines
            if kind == "json":
                assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == [
                    "started\nat once",
                    "odd: a\nb",
                ]
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        ours.setLevel(own)
    assert capsys.readouterr().err == ""
