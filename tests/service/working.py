# SPDX-License-Identifier: Apache-2.0
"""A worker without HTTP, and a device that can be held: for tests of what waits for what."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from tests.models import line_png

from zeile.device import Device, Frames, Scores
from zeile.errors import LineTooWide
from zeile.service.batch import Answer
from zeile.service.engines import Options
from zeile.service.metrics import Metrics
from zeile.service.registry import Registry
from zeile.service.scheduler import AHEAD_LINES
from zeile.service.ticket import Ticket
from zeile.service.worker import Worker
from zeile.settings import Settings

PATIENCE_S = 60.0
PNG = line_png(1)


class Held:
    """A device that works only while it is let; notes what it was given, and in which thread."""

    def __init__(self, device: Device) -> None:
        self.device, self.info = device, device.info
        self.let = threading.Event()
        self.let.set()
        self.fault: Exception | None = None
        self.widest = 1 << 16
        self.batches: list[int] = []
        self.threads: set[int] = set()

    def run(self, frames: Frames) -> Scores:
        return self.run_batch([frames])[0]

    def run_batch(self, lines: Sequence[Frames]) -> list[Scores]:
        self.batches.append(len(lines))
        self.threads.add(threading.get_ident())
        assert self.let.wait(PATIENCE_S)
        if self.fault is not None:
            raise self.fault
        if any(len(frames) > self.widest for frames in lines):
            raise LineTooWide("wider than the buffers")
        return self.device.run_batch(lines)

    def close(self) -> None:
        self.device.close()


class Service:
    """A worker with what it needs, and one line read already, so that its device is open."""

    def __init__(self, settings: Settings, apart: bool = False) -> None:
        self.metrics = Metrics()
        self.worker = Worker(settings, self.metrics, Registry(settings, self.metrics), apart)
        self.options = Options(settings.models / "tiny" / "1")

    def ticket(self, client: str = "client", **more: Any) -> Ticket:
        return Ticket("id", client, **more)

    async def read(self, images: int | Sequence[Any], ticket: Ticket | None = None) -> Answer:
        given = [PNG] * images if isinstance(images, int) else images
        return await self.worker.read(given, self.options, ticket or self.ticket())

    def begun(self, images: int | Sequence[Any], ticket: Ticket | None = None) -> asyncio.Task[Answer]:
        return asyncio.create_task(self.read(images, ticket))

    def sample(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"zeile_{name}", labels) or 0.0


def with_worker(
    models: Path, test: Callable[[Service], Awaitable[None]], *, apart: bool = False, **settings: Any
) -> None:
    async def run() -> None:
        service = Service(Settings(models=models, model="tiny/1", **settings), apart)
        await service.worker.start()
        try:
            await service.read(1)
            await test(service)
        finally:
            await service.worker.close()

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def stopped(service: Service, device: Held) -> list[asyncio.Task[Answer]]:
    """Hold the engine, and have as many lines prepared as there may be: from now on every line waits in the queue."""
    device.let.clear()
    batches = len(device.batches)
    tasks = [service.begun(1, service.ticket("first"))]
    await until(lambda: len(device.batches) > batches)
    second = service.ticket("second")
    tasks.append(service.begun(AHEAD_LINES, second))
    await until(lambda: tasks[1].done() or second.lines > 0)  # given to the queue; they may be out of it soon
    await until(lambda: service.worker.waiting == 0)
    return tasks
