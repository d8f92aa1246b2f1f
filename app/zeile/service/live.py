# SPDX-License-Identifier: Apache-2.0
"""What the service does this second, as a stream of events, and what it is: for the page, and for whoever watches.

One task samples the metrics once a second and keeps the last minutes, so that whoever comes sees where the curve comes
from, and whoever comes back (Last-Event-ID) misses nothing. A stream ends after a while by itself: clients of event
streams reconnect, and a service that is told to stop need not wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timezone
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import StreamingResponse
from prometheus_client import Counter, Gauge

from zeile.service import description
from zeile.service.asking import requires
from zeile.service.health import Health
from zeile.service.live_schema import EXAMPLE, Info, Snapshot, information
from zeile.service.metrics import Metrics
from zeile.service.worker import Worker

router = APIRouter(tags=["service"])

TICK_S = 1.0
KEPT = 300
"""Snapshots that are kept: five minutes."""

RATE_TICKS = 3
LATENCY_S = 10.0
"""Rates are means of so many seconds, latencies quantiles of the answers of so many."""

STREAM_TICKS = 20
"""A stream ends after so many new snapshots."""


class Live:
    """Samples the service.

    Args:
        metrics: of the service.
        worker: of the service; its queue.
        health: of the service; self-test, circuit and sensors.
        clock: seconds since 1970.
    """

    def __init__(
        self, metrics: Metrics, worker: Worker, health: Health, clock: Callable[[], float] = time.time
    ) -> None:
        self._metrics, self._worker, self._health, self._clock = metrics, worker, health, clock
        self._kept: deque[Snapshot] = deque(maxlen=KEPT)
        self._sums: deque[tuple[float, dict[str, float]]] = deque(maxlen=RATE_TICKS + 1)
        self._next = 1
        self._ticked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.started = clock()
        self.watchers = 0

    async def start(self) -> None:
        """Begin to sample."""
        self.sample()
        self._task = asyncio.create_task(self._tick())

    async def close(self) -> None:
        """Sample no more; streams end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._ticked.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.sample()
            self._ticked.set()
            self._ticked = asyncio.Event()

    def sample(self) -> Snapshot:
        """Take a snapshot and keep it."""
        metrics, now = self._metrics, self._clock()
        totals = {
            "lines": _sum(metrics.lines),
            "answers": _sum(metrics.requests),
            "rejected": _sum(metrics.rejected),
            "faults": _sum(metrics.faults),
            "fallback_lines": _sum(metrics.fallbacks),
            "checked_lines": _sum(metrics.checked),
            "mismatches": _sum(metrics.mismatches),
        }
        before, earlier = self._sums[0] if self._sums else (now, totals)
        seconds = now - before
        self._sums.append((now, totals))

        def rate(name: str) -> float:
            return round((totals[name] - earlier[name]) / seconds, 2) if seconds > 0 else 0.0

        watts, fault = self._health.power.watts, self._health.fault
        snapshot = Snapshot(
            id=self._next,
            time=round(now, 3),
            lines_per_second=rate("lines"),
            answers_per_second=rate("answers"),
            rejected_per_second=rate("rejected"),
            latency_ms=self._latency(),
            queue_lines=self._worker.waiting,
            in_flight=max(0, int(_sum(metrics.in_flight)) - self.watchers),
            watts=round(sum(watts.values()), 3) if watts else None,
            ready=fault is None,
            because=fault,
            self_test=self._health.self_test,
            circuit=self._health.circuit(),
            totals={name: int(value) for name, value in totals.items()},
        )
        self._next += 1
        self._kept.append(snapshot)
        return snapshot

    async def events(self, after: int) -> AsyncIterator[bytes]:
        """Events of a stream: what was kept since the snapshot ``after``, then each new one.

        An ``after`` that is not known, as of another run of the service, gives all that is kept.
        """
        self.watchers += 1
        try:
            if not 0 < after < self._next:
                after = 0
            yield b"retry: 1000\n\n"
            for _ in range(STREAM_TICKS):
                ticked = self._ticked
                for snapshot in [s for s in self._kept if s.id > after]:
                    yield f"id: {snapshot.id}\nevent: snapshot\ndata: {snapshot.model_dump_json()}\n\n".encode()
                    after = snapshot.id
                if self._worker.stopping or self._task is None or self._task.done():
                    return
                await ticked.wait()
        finally:
            self.watchers -= 1

    def _latency(self) -> dict[str, float] | None:
        """Median and 95th percentile of the last answers, by nearest rank; None if there are none."""
        since = time.monotonic() - LATENCY_S
        recent = sorted(seconds for when, seconds in self._metrics.latencies if when >= since)
        if not recent:
            return None
        return {name: round(1000 * recent[_rank(len(recent), share)], 3) for name, share in (("p50", 50), ("p95", 95))}


def _rank(count: int, percent: int) -> int:
    """Index of a percentile by nearest rank."""
    return max(0, -(-count * percent // 100) - 1)


def _sum(metric: Counter | Gauge) -> float:
    """A metric over all its labels."""
    return sum(
        sample.value for family in metric.collect() for sample in family.samples if not sample.name.endswith("_created")
    )


def _live(request: Request) -> Live:
    live: Live = request.app.state.live
    return live


Watching = Annotated[Live, Depends(_live)]
LastEvent = Annotated[str | None, Header(description="the last snapshot that was seen; the stream goes on behind it")]


@router.get(
    "/v1/live",
    response_class=StreamingResponse,
    responses=description.answer(None, {"text/event-stream": f"id: 1\nevent: snapshot\ndata: {EXAMPLE}\n\n"})
    | description.problems(401, 403, 422, 429, 503),
    dependencies=[Depends(requires("metrics"))],
)
async def live(request: Request, watching: Watching, last_event_id: LastEvent = None) -> StreamingResponse:
    """Snapshots of the service, one a second, as server-sent events; those of the last minutes first.

    The stream ends after about twenty seconds; event sources reconnect by themselves.
    """
    request.state.streamed = True  # its length says nothing about the service
    after = int(last_event_id) if last_event_id and last_event_id.isdecimal() and len(last_event_id) < 16 else 0
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(watching.events(after), media_type="text/event-stream", headers=headers)


@router.get("/v1/info", dependencies=[Depends(requires("read"))], responses=description.problems(401, 403, 429, 503))
async def info(request: Request, watching: Watching) -> Info:
    """What this service is: versions, engine, limits and what it writes down."""
    started = datetime.fromtimestamp(watching.started, timezone.utc).isoformat(timespec="seconds")
    return information(request.app.state.settings, request.app.state.health.engine, started)
