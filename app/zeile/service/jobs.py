# SPDX-License-Identifier: Apache-2.0
"""Measurements that go on while nobody waits for them.

One runs at a time, so that they do not spoil each other's figures; whoever has had fewer of them run comes first. They
are kept in memory and end with the service: what they read is labelled already and can be sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from zeile.errors import ZeileError
from zeile.service import sweep
from zeile.service.engines import Options
from zeile.service.measure import Acknowledge, Measuring
from zeile.service.problems import NotKnown, Overloaded, TooFast, problem
from zeile.service.provenance import now
from zeile.service.ticket import Ticket
from zeile.service.worker import Worker
from zeile.settings import Settings

log = logging.getLogger(__name__)

ENDS = ("done", "failed", "canceled")

_RETRY_AFTER_S = 5.0


@dataclass(eq=False)
class Job:
    """A measurement.

    Attributes:
        id: that cannot be guessed.
        ticket: of the request that asked for it; bulk, without a deadline.
        folder: of its files, removed at its end.
        source: the zip file or folder to read.
        split: of a manifest.tsv, or None.
        asked: how to read.
        levels: of the sweep; empty for none.
        acknowledge: logs a part of the answer.
        state: see ``job_schemas.Job``.
    """

    ticket: Ticket
    folder: Path
    source: Path
    split: str | None
    asked: Options
    levels: tuple[int, ...]
    acknowledge: Acknowledge
    id: str = field(default_factory=partial(secrets.token_hex, 16))
    state: str = "waiting"
    created: str = field(default_factory=now)
    began: str | None = None
    ended: str | None = None
    measuring: Measuring | None = None
    swept: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.state in ENDS

    def facts(self, whole: bool = True) -> dict[str, Any]:
        """A ``job_schemas.Job``, with its result or without."""
        measuring = self.measuring
        return {
            "id": self.id,
            "kind": "measure",
            "state": self.state,
            "created": self.created,
            "began": self.began,
            "ended": self.ended,
            "lines": {"done": measuring.done if measuring else 0, "total": measuring.total if measuring else None},
            "sweep": {"done": len(self.swept), "total": len(self.levels)},
            "result": self.result if whole else None,
            "error": self.error,
        }


class Jobs:
    """All measurements of a service, running, waiting and ended.

    Args:
        settings: of the service: spool, jobs.
        worker: reads the lines.
    """

    def __init__(self, settings: Settings, worker: Worker) -> None:
        self._settings, self._worker = settings, worker
        self._jobs: dict[str, Job] = {}  # in the order they came
        self._run_for: Counter[str] = Counter()
        self._new = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._running: tuple[Job, asyncio.Task[None]] | None = None

    async def start(self) -> None:
        """Begin to work on jobs."""
        self._runner = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Cancel what has not ended."""
        for job in list(self._jobs.values()):
            await self._cancel(job, "the service is stopping, and jobs do not survive that; send the set again")
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait((self._runner,))

    def check(self, client: str) -> None:
        """Whether a further job of a client would be taken now.

        Raises:
            Overloaded: too many have not ended, or the service is stopping.
            TooFast: of this client.
        """
        going = [job for job in self._jobs.values() if not job.over]
        most = self._settings.jobs
        if self._worker.stopping:
            raise Overloaded("the service is stopping and takes no jobs; ask another one, or again later", 5)
        if len(going) >= most:
            what = f"{len(going)} measurements wait or run, at most {most} may"
            raise Overloaded(f"{what}; ask again when one has ended, or cancel one of yours", _RETRY_AFTER_S)
        own, share = sum(job.ticket.client == client for job in going), -(-most // 2)
        if own >= share:
            what = f"client {client!r} has {own} measurements that wait or run, at most {share} may"
            raise TooFast(f"{what}; ask again when one has ended, or cancel one", _RETRY_AFTER_S)

    @contextlib.asynccontextmanager
    async def folder(self) -> AsyncIterator[Path]:
        """A folder for a set of files, removed at the end of the block unless a job was added with it.

        Raises:
            Overloaded: the disk does not let us.
        """
        try:
            folder = Path(await run_in_threadpool(tempfile.mkdtemp, prefix="zeile-", dir=self._settings.spool))
        except OSError as error:
            what = f"no folder can be made in ZEILE_SPOOL: {error.strerror}"
            raise Overloaded(f"{what}; have that mended, then ask again", _RETRY_AFTER_S) from None
        try:
            yield folder
        finally:
            if all(job.folder != folder or job.over for job in self._jobs.values()):
                await _removed(folder)

    def add(self, job: Job) -> None:
        """Take a job; the oldest that have ended are forgotten for it.

        Raises:
            ZeileError: see ``check``.
        """
        self.check(job.ticket.client)
        for old in [old for old in self._jobs.values() if old.over][: len(self._jobs) - self._settings.jobs + 1]:
            del self._jobs[old.id]
        self._jobs[job.id] = job
        # It waits for room in the queue as long as it takes; how many may do so is bounded here.
        job.ticket.admitted = True
        self._new.set()

    def of(self, client: str | None) -> list[Job]:
        """Jobs of a client, or of all if None, newest first."""
        return [job for job in reversed(self._jobs.values()) if client in (None, job.ticket.client)]

    def get(self, id: str, client: str | None) -> Job:
        """A job of a client, or of anybody if None.

        Raises:
            NotKnown: there is none, or it is another's.
        """
        job = self._jobs.get(id)
        if job is None or client not in (None, job.ticket.client):
            kept = f"jobs end with the service, and of those that have ended the last {self._settings.jobs} are kept"
            raise NotKnown(f"there is no job {id[:40]!r} of yours; {kept}")
        return job

    async def cancel(self, job: Job) -> None:
        """End a job, or forget one that has ended."""
        if job.over:
            self._jobs.pop(job.id, None)
        else:
            await self._cancel(job, "it was canceled by request")

    async def _cancel(self, job: Job, why: str) -> None:
        if job.over:
            return
        _end(job, "canceled", {"type": "about:blank", "title": "Canceled", "status": 409, "detail": why})
        if self._running is not None and self._running[0] is job:
            self._running[1].cancel()
            await asyncio.wait((self._running[1],))
        await _removed(job.folder)

    async def _run(self) -> None:
        while True:
            waiting = [job for job in self._jobs.values() if job.state == "waiting"]
            if not waiting:
                self._new.clear()
                await self._new.wait()
                continue
            job = min(waiting, key=lambda job: self._run_for[job.ticket.client])
            self._run_for[job.ticket.client] += 1
            task = asyncio.create_task(self._work(job))
            self._running = job, task
            try:
                await asyncio.wait((task,))
            finally:
                task.cancel()
                self._running = None
            await _removed(job.folder)

    async def _work(self, job: Job) -> None:
        job.began, job.state = now(), "reading"
        job.measuring = Measuring(job.source, job.split, self._worker, job.asked, job.ticket, job.acknowledge)
        try:
            result = await job.measuring.measured()
            if job.levels:
                job.state = "sweeping"
                images = await run_in_threadpool(sweep.taken, job.source, job.split)
                for level in job.levels:
                    job.swept.append(await sweep.level(level, images, self._worker, job.asked, job.ticket))
                result["sweep"] = job.swept
        except ZeileError as error:
            _end(job, "failed", problem(error))
        except Exception as error:  # the runner must live on for the other jobs
            log.exception("job %s failed", job.id)
            _end(job, "failed", problem(error))
        else:
            job.result = result
            _end(job, "done")


def _end(job: Job, state: str, error: Mapping[str, Any] | None = None) -> None:
    if not job.over:
        job.state, job.ended, job.error = state, now(), dict(error) if error else None


async def _removed(folder: Path) -> None:
    await run_in_threadpool(shutil.rmtree, folder, ignore_errors=True)
