# SPDX-License-Identifier: Apache-2.0
"""Spans of OpenTelemetry, where its SDK is installed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.models import line_png
from tests.service.raw import until
from tests.service.serving import serving
from tests.service.working import Held

from zeile.settings import Settings

api = pytest.importorskip("opentelemetry.trace", exc_type=ImportError)
pytest.importorskip("opentelemetry.sdk.trace", exc_type=ImportError)

from opentelemetry.sdk.trace import TracerProvider  # noqa: E402 - only where it is installed
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PNG = {"content-type": "image/png"}
SLOW_S = 2  # that a line is given on the engine, so that five percent are more than any machine's noise
STAGES = {"queue", "decode", "preprocess", "network", "ctc"}


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(api, "get_tracer", provider.get_tracer)
    monkeypatch.setattr(api, "get_tracer_provider", lambda: provider)
    yield exporter.get_finished_spans
    provider.shutdown()


def test_a_request_is_a_span_of_the_clients_trace_with_one_for_each_stage(service: httpx.Client, spans: Any) -> None:
    headers = {"content-type": "image/png", "traceparent": TRACE}
    response = service.post("/v1/recognize", content=line_png(1), headers=headers)
    until(lambda: len(spans()) == 1 + len(STAGES))  # told once the answer is out
    by_name = {span.name: span for span in spans()}
    request = by_name.pop("POST /v1/recognize")
    assert set(by_name) == STAGES
    assert f"{request.context.trace_id:032x}" == TRACE.split("-")[1]
    assert f"{request.parent.span_id:016x}" == TRACE.split("-")[2]
    assert request.attributes["zeile.request_id"] == response.headers["x-request-id"]
    assert request.attributes["http.response.status_code"] == 200
    for child in by_name.values():
        assert child.parent.span_id == request.context.span_id
        assert child.start_time >= request.start_time
    stages = sum(child.end_time - child.start_time for child in by_name.values())
    assert 0 < stages <= request.end_time - request.start_time


def test_the_stages_are_the_whole_request_but_for_five_percent(models: Path, devices: list[Held], spans: Any) -> None:
    with serving(Settings(models=models, model="tiny/1")) as client, ThreadPoolExecutor(1) as pool:
        device, began = devices[0], time.monotonic()
        batches = len(device.batches)
        device.let.clear()
        asked = pool.submit(client.post, "/v1/recognize", content=line_png(1), headers=PNG)
        until(lambda: len(device.batches) > batches and time.monotonic() - began > SLOW_S)
        device.let.set()
        assert asked.result().status_code == 200
        until(lambda: len(spans()) == 1 + len(STAGES))
    took = {span.name: span.end_time - span.start_time for span in spans()}
    request = took.pop("POST /v1/recognize")
    assert 0.95 * request <= sum(took.values()) <= request
    assert max(took, key=lambda name: took[name]) == "network"


def test_spans_hold_neither_texts_nor_file_names(service: httpx.Client, spans: Any) -> None:
    answer = service.post("/v1/recognize", files=[("files", ("goethe.png", line_png(1)))]).json()
    until(lambda: len(spans()) == 1 + len(STAGES))
    told = "".join(span.to_json() for span in spans())
    assert "goethe" not in told
    assert answer["lines"][0]["text"] not in told


def test_a_damaged_trace_context_begins_a_trace_of_its_own(service: httpx.Client, spans: Any) -> None:
    service.get("/livez", headers={"traceparent": "00-zz"})
    until(lambda: len(spans()) == 1)
    assert [span.parent for span in spans()] == [None]
