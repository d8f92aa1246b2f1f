# SPDX-License-Identifier: Apache-2.0
"""/v1/live, /v1/info and /v1/preview: what the page shows of the service."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from tests.models import line_pixels, line_png
from tests.service.serving import files, refused, serving

from zeile.service import live as live_module
from zeile.service.live import KEPT, Live
from zeile.service.live_schema import Info, Snapshot
from zeile.service.metrics import Metrics
from zeile.settings import Settings


def events(service: httpx.Client, after: int | None = None) -> Iterator[dict[str, Any]]:
    """Snapshots of the stream, until it ends."""
    headers = {"last-event-id": str(after)} if after is not None else {}
    with service.stream("GET", "/v1/live", headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        for line in response.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def counted(service: httpx.Client, wanted: int) -> dict[str, Any]:
    """The first snapshot that counts so many lines."""
    return next(s for s in events(service) if s["totals"]["lines"] >= wanted)


def test_the_stream_counts_what_was_answered(models: Path) -> None:
    with serving(Settings(models=models, model="tiny/1")) as service:
        for _ in range(3):
            service.post("/v1/recognize", files=files(a_png=line_png(1), b_png=line_png(2)))
        snapshot = counted(service, 6)
        Snapshot.model_validate(snapshot)
        assert snapshot["totals"]["lines"] == 6
        assert snapshot["ready"] is True
        assert snapshot["self_test"]["ok"] is True
        assert snapshot["latency_ms"]["p50"] <= snapshot["latency_ms"]["p95"]
        assert snapshot["watts"] is None or snapshot["watts"] >= 0


def test_the_length_of_a_stream_is_no_latency(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "STREAM_TICKS", 1)
    with serving(Settings(models=models, model="tiny/1")) as service:
        service.post("/v1/recognize", files=files(a_png=line_png(1)))
        assert list(events(service))
        until = time.monotonic() + 60
        while 'endpoint="/v1/live"' not in (text := service.get("/metrics").text):
            assert time.monotonic() < until, "the stream was never counted as a request"
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        answers = {name: float(value) for name, value in values.items() if name.startswith("zeile_requests_total")}
        streams = sum(value for name, value in answers.items() if "/v1/live" in name)
        assert float(values["zeile_request_seconds_count"]) == sum(answers.values()) - streams


def test_the_stream_goes_on_where_it_broke_off(service: httpx.Client) -> None:
    first = next(events(service))
    again = next(events(service, after=first["id"]))
    assert again["id"] == first["id"] + 1


@pytest.mark.parametrize("after", ["0", "-1", "99999999", "1e9", "x" * 500, "9" * 40])
def test_an_id_of_another_run_gives_all_that_is_kept(service: httpx.Client, after: str) -> None:
    with service.stream("GET", "/v1/live", headers={"last-event-id": after}) as response:
        assert response.status_code == 200
        first = next(line for line in response.iter_lines() if line.startswith("id: "))
    everything = next(events(service))
    assert int(first.removeprefix("id: ")) <= everything["id"]


class Halves:
    """A worker and a health with nothing in them."""

    waiting = 3
    stopping = False
    fault = None
    self_test: dict[str, Any] | None = None
    power = SimpleNamespace(watts={"PL": 2.5, "PS": 1.25})

    def circuit(self) -> dict[str, Any] | None:
        return None


def made(now: list[float]) -> tuple[Live, Metrics, Halves]:
    metrics, halves = Metrics(), Halves()
    return Live(metrics, halves, halves, clock=lambda: now[0]), metrics, halves  # type: ignore[arg-type]


def test_rates_are_means_of_the_last_seconds() -> None:
    now = [1000.0]
    live, metrics, _ = made(now)
    assert live.sample().lines_per_second == 0
    for _ in range(5):
        now[0] += 1
        metrics.lines.labels("cpu", "tiny/1").inc(30)
        metrics.rejected.labels("overloaded").inc(2)
        last = live.sample()
    assert (last.lines_per_second, last.rejected_per_second) == (30, 2)
    assert (last.queue_lines, last.watts, last.latency_ms) == (3, 3.75, None)
    for _ in range(live_module.RATE_TICKS + 1):
        now[0] += 1
        last = live.sample()
    assert last.lines_per_second == 0
    assert last.totals["lines"] == 150


def test_latencies_are_exact_quantiles_of_the_last_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    live, metrics, _ = made([0.0])
    monkeypatch.setattr("zeile.service.live.time.monotonic", lambda: 100.0)
    metrics.latencies.extend((99.0, milliseconds / 1000) for milliseconds in range(1, 101))
    metrics.latencies.appendleft((80.0, 9.0))  # long ago
    assert live.sample().latency_ms == {"p50": 50.0, "p95": 95.0}


def test_memory_is_bounded() -> None:
    live, metrics, _ = made([0.0])
    for _ in range(KEPT + 50):
        live.sample()
    metrics.latencies.extend((0.0, 0.0) for _ in range(20_000))

    async def first() -> str:
        async for event in live.events(0):
            if event.startswith(b"id"):
                return event.decode()
        raise AssertionError

    assert asyncio.run(first()).startswith("id: 51\n")
    assert len(metrics.latencies) < 20_000


def test_streams_end_when_the_service_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "STREAM_TICKS", 10**6)
    live, _, halves = made([0.0])

    async def all_of_them() -> list[bytes]:
        await live.start()
        halves.stopping = True
        found = [event async for event in live.events(0)]
        await live.close()
        return found

    assert len(asyncio.run(all_of_them())) == 2
    assert live.watchers == 0


def test_watchers_are_not_counted_as_work() -> None:
    live, metrics, _ = made([0.0])
    metrics.in_flight.inc(5)
    live.watchers = 2
    assert live.sample().in_flight == 3


def test_a_service_with_watchers_can_be_stopped(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "STREAM_TICKS", 2)
    seen = threading.Event()

    def watch(base_url: str) -> None:
        with httpx.Client(base_url=base_url, timeout=60) as client:
            for _ in events(client):
                seen.set()

    with serving(Settings(models=models, model="tiny/1")) as service:
        watcher = threading.Thread(target=watch, args=(str(service.base_url),))
        watcher.start()
        assert seen.wait(60)
    watcher.join(60)
    assert not watcher.is_alive()


def test_info_says_what_the_service_is_and_no_paths(models: Path, service: httpx.Client) -> None:
    answer = service.get("/v1/info")
    info = Info.model_validate(answer.json())
    assert info.limits.body_bytes == Settings(models=models).body_bytes
    assert info.engine["engine"] == "cpu"
    assert "files" in info.fields
    assert set(info.formats) == {"text", "tsv", "json", "hocr", "alto", "page"}
    assert str(models) not in answer.text


def test_a_preview_has_the_pixels_that_are_read(service: httpx.Client) -> None:
    pixels = line_pixels(1, 40, 300)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF")
    answer = service.post("/v1/preview", files=files(a_tif=buffer.getvalue()))
    assert answer.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), pixels)


def test_a_preview_of_what_is_no_image_is_refused(service: httpx.Client) -> None:
    assert "no known image format" in refused(service.post("/v1/preview", files=files(a_png=b"no")), 422, "bad-image")
    two = files(a_png=line_png(1), b_png=line_png(2))
    assert "2 images were sent" in refused(service.post("/v1/preview", files=two), 413, "too-many-files")
