# SPDX-License-Identifier: Apache-2.0
"""One thread owns the engines. Requests queue their lines, the thread reads all that wait in common batches.

The event loop never decodes, normalises or recognises. A line's result does not depend on the lines beside it
(hw_src/DATAPATH.md), so lines of different requests may share a batch.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from zeile.errors import BadImage, DeviceError, ZeileError
from zeile.image import Limits
from zeile.manifest import Model
from zeile.pipeline import Line
from zeile.service.batch import BATCH_LINES, Batch, Stages
from zeile.service.engines import Engines, Options, folder_of
from zeile.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What became of a job's images.

    Attributes:
        lines: for each image its line, or why there is none.
        stages: where the time went.
        model: that read them.
        engine: facts of the device.
    """

    lines: Sequence[Line | BadImage]
    stages: Stages
    model: Model
    engine: dict[str, Any]


@dataclass
class _Job:
    images: Sequence[bytes]
    options: Options
    future: Future[Answer] = field(default_factory=Future)


class Worker:
    """The thread and its queue.

    Args:
        settings: of the service.
        limits: on each image.

    Attributes:
        fault: why the default model cannot be used, or None.
        opened: the default model and its engine, once they are open.
    """

    def __init__(self, settings: Settings, limits: Limits) -> None:
        self._settings, self._limits = settings, limits
        self._engines = Engines(settings)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="zeile-engine", daemon=True)
        self._closed = False
        self.fault: ZeileError | None = DeviceError("the service is starting; ask again in a moment")
        self.opened: Answer | None = None

    async def start(self) -> None:
        """Start the thread and open the default model; ``fault`` says whether that worked."""
        self._thread.start()
        try:
            self.opened, self.fault = await self.read((), Options(folder_of(None, self._settings))), None
        except ZeileError as error:
            log.error("the default model cannot be used: %s", error)
            self.fault = error

    async def close(self) -> None:
        """Finish the jobs that wait, then end the thread."""
        self._closed = True
        self._jobs.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return self._jobs.qsize()

    async def read(self, images: Sequence[bytes], options: Options) -> Answer:
        """Read images, at most ``BATCH_LINES``: whoever has more asks again, so that others get their turn.

        Raises:
            BadSettings: no such reading.
            BadManifest: the model is damaged.
            DeviceError: the engine cannot run it, or the service is stopping.
        """
        if self._closed or not self._thread.is_alive():
            raise DeviceError("the service is stopping; ask another one, or ask again later")
        job = _Job(images, options)
        self._jobs.put(job)
        return await asyncio.wrap_future(job.future)

    def _run(self) -> None:
        while jobs := self._take():
            for options in dict.fromkeys(job.options for job in jobs):
                # Whoever has gone away meanwhile costs no work.
                here = [j for j in jobs if j.options == options and j.future.set_running_or_notify_cancel()]
                if here:
                    self._serve(options, here)
        self._engines.close()

    def _take(self) -> list[_Job]:
        """The jobs that wait, at least one and about a batch; none when the service stops."""
        jobs, lines = [], 0
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            lines += len(job.images)
            if lines >= BATCH_LINES:
                return jobs
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs
        if jobs:
            self._jobs.put(None)  # seen again once these are done
        return jobs

    def _serve(self, options: Options, jobs: Sequence[_Job]) -> None:
        try:
            recognizer, engine = self._engines.recognizer(options)
            batch = Batch(recognizer, engine.device, self._limits)
            lines = list(batch.read([image for job in jobs for image in job.images]))
            rest = iter(lines)
            for job in jobs:
                own = list(islice(rest, len(job.images)))
                job.future.set_result(Answer(own, batch.stages, engine.model, dict(engine.device.info)))
        except Exception as error:
            # Whatever went wrong is the requests' to report; the thread must live on for the next ones.
            for job in jobs:
                if not job.future.done():
                    job.future.set_exception(error)
