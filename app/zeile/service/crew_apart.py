# SPDX-License-Identifier: Apache-2.0
"""A crew in a process of its own (``crew_child.py``), so that the event loop does not share Python's lock with it.

    Worker --lines--> CrewApart ==socket==> Child --> Crew
    Worker <--results-- CrewApart <==socket== Child <-- Crew

The lines stay here until their results have come. When the process ends before that, whatever ended it, another one
reads them again: the integers are the same. An image that was there both times is read alone the third time, and has
its own answer if it ends the process once more.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import subprocess
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from zeile.errors import BadImage, DeviceError, ZeileError
from zeile.manifest import Model
from zeile.service.batch import Job, Piece, Run
from zeile.service.crew_child import MODELS
from zeile.service.crew_messages import State, unflat
from zeile.service.crew_queue import Queue
from zeile.service.crew_talk import Talk
from zeile.service.engines import Engines
from zeile.service.metrics import Metrics
from zeile.service.pace import Pace
from zeile.settings import Settings

log = logging.getLogger(__name__)

MOST_ENDS = 8
"""Processes that end one after the other without having read a line; then no other one is started."""

PAUSE_S = 0.05
"""Before another process is started; twice as long each time that one has read nothing, up to 2**MOST_ENDS times."""

HANGS_S = 100.0
"""A process that has spent so long on a batch is ended, before ``health`` takes the service for dead."""

LOOK_S = 1.0

SUSPECT = 2
"""An image that was there when so many processes ended is read alone."""


class CrewApart:
    """As ``Crew``; but ``done`` and ``failed`` are called in the event loop's thread, where all of this lives.

    Args:
        settings: of the service.
        model: gives the model of a folder.
        metrics: of the service; they are told what the process tells its own.
        done: is given pieces with their results.
        failed: is given a job that failed as a whole, and why.

    Attributes:
        queue: of the lines that wait.
    """

    def __init__(
        self,
        settings: Settings,
        model: Callable[[Path], Model],
        metrics: Metrics,
        done: Callable[[Sequence[Piece]], None],
        failed: Callable[[Job, Exception], None],
    ) -> None:
        self._settings, self._model, self._metrics = settings, model, metrics
        self._done, self._failed = done, failed
        self._process: subprocess.Popen[bytes] | None = None
        self._leaving: list[subprocess.Popen[bytes]] = []  # that went before it, and have not ended yet
        self._talk: Talk | None = None
        self._numbers: dict[Job, int] = {}
        self._jobs: dict[int, Job] = {}
        self._inside: dict[tuple[int, int], Piece] = {}  # by the numbers of their jobs, and their places there
        self._left: Counter[int] = Counter()  # of them, those of each job
        self._next = 0
        self._ends: Counter[tuple[int, int]] = Counter()  # processes that have ended while a piece was inside
        self._alone: tuple[int, int] | None = None  # the suspect that is being read
        self._models: OrderedDict[str, None] = OrderedDict()  # that the process has
        self._calls: dict[int, tuple[tuple[str, int, Any], Future[Any]]] = {}
        self._pace = Pace()
        self._in_vain = 0
        self._stopping = self._given_up = self._spoke = False
        self._heard = self._noted = time.monotonic()
        self._state = State()
        self.queue = Queue()

    def start(self) -> None:
        """Start the process; in the event loop's thread."""
        self._loop = asyncio.get_running_loop()
        self._spawn()
        self._loop.call_later(LOOK_S, self._look)

    def stop(self, patience_s: float) -> bool:
        """End the process; in any other thread.

        Args:
            patience_s: seconds until it is killed.

        Returns:
            Whether it has ended by itself.
        """
        self._loop.call_soon_threadsafe(self._close)
        process = self._process
        if process is None:
            return True
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
        finally:
            for former in self._leaving:
                former.wait()
        return True

    @property
    def alive(self) -> bool:
        """Whether there is a process, or soon another one."""
        return not self._given_up

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return None if self._process is None or self._talk is None else self._process.pid

    @property
    def busy_s(self) -> float:
        """Seconds that the engine's thread has spent on what it does now, or that nothing is heard of it."""
        if not (self._inside or self._calls):
            return 0.0
        silent = time.monotonic() - self._heard
        return max(silent, self._state.busy_s)

    @property
    def rate(self) -> float:
        """Lines a second, over the last seconds."""
        return self._pace.rate

    @property
    def open_folders(self) -> frozenset[Path]:
        """Of the models on an engine."""
        return self._state.folders

    def seconds(self, lines: int) -> float:
        """How long so many lines take; 0 if nobody knows."""
        return self._pace.seconds(lines)

    def add(self, job: Job, pieces: list[Piece]) -> None:
        """Queue pieces of a job."""
        try:
            model = self._model(job.options.folder) if job.model is None else job.model
        except ZeileError as error:
            self._loop.call_soon(self._failed, job, error)
            return
        job.model = model
        if not self._inside:
            self._noted = self._heard = time.monotonic()  # there was nothing to do until now
        number = self._numbers.get(job)
        if number is None:
            number = self._next = self._next + 1
            self._numbers[job], self._jobs[number] = number, job
        for piece in pieces:
            self._inside[number, piece.place] = piece
        self._left[number] += len(pieces)
        if self._alone is None:
            self._write(number, pieces)

    def drop(self, job: Job, reason: str) -> None:
        """Give up a job."""
        number = self._numbers.get(job)
        if number is None:
            return
        self._send("drop", number, reason)
        self._forget(number)

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Run a function that needs much memory there: one at a time, beside the engine. It is pickled."""
        return self._ask("call", function)

    def exclusive(self, function: Callable[[Engines], Any]) -> Future[Any]:
        """Run a function there in the engine's thread, between two batches. It is pickled. In any thread."""
        return self._ask("exclusive", function)

    def _ask(self, kind: str, function: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def ask() -> None:
            if self._given_up or self._stopping:
                future.set_exception(DeviceError("the engine's process has ended; restart the service"))
                return
            number = self._next = self._next + 1
            if not (self._inside or self._calls):
                self._heard = time.monotonic()
            try:
                self._send(kind, number, function)
            except (TypeError, AttributeError, pickle.PicklingError) as error:
                future.set_exception(error)
            else:
                self._calls[number] = (kind, number, function), future

        self._loop.call_soon_threadsafe(ask)
        return future

    # To the process.

    def _spawn(self) -> None:
        try:
            self._talk = talk = Talk(self._said, self._ended)
        except OSError as error:
            log.error("no process that reads can be started: %s; ZEILE_APART=0 needs none", error)
            self._loop.call_soon(self._ended)
            return
        self._process = talk.process
        self._spoke, self._heard = False, time.monotonic()
        self._models.clear()
        self._state = State()
        self.queue = Queue()
        talk.tell(self._settings)
        for (kind, number, function), _ in self._calls.values():
            self._send(kind, number, function)
        self._pass_on_all()

    def _pass_on_all(self) -> None:
        """Have everything read again that is inside; first what is suspect, one by one and nothing beside it."""
        self._alone = next((key for key in self._inside if self._ends[key] >= SUSPECT), None)
        if self._alone is not None:
            self._write(self._alone[0], [self._inside[self._alone]])
            return
        by_job: dict[int, list[Piece]] = {}
        for (number, _), piece in self._inside.items():
            by_job.setdefault(number, []).append(piece)
        for number, pieces in by_job.items():
            self._write(number, pieces)

    def _write(self, number: int, pieces: Sequence[Piece]) -> None:
        job = self._jobs[number]
        model, ticket, options = job.model, job.ticket, job.options
        assert model is not None
        if model.sha256 not in self._models:
            self._models[model.sha256] = None
            if len(self._models) > MODELS:
                self._models.popitem(last=False)
            self._send("model", model)
        how = str(options.folder), options.reading, options.beam, options.alternatives
        asked = ticket.client, ticket.deadline, ticket.bulk, model.sha256, *how
        self.queue.sent(ticket.client, len(pieces), sum(piece.bytes for piece in pieces))
        self._send("add", number, asked, [(piece.place, piece.image, piece.bytes, piece.queued) for piece in pieces])

    def _send(self, *message: Any) -> None:
        if self._talk is not None:
            self._talk.tell(*message)

    # From the process.

    def _said(self, message: tuple[Any, ...]) -> None:
        """It says something, and how it is."""
        kind, *facts, state = message
        self._heard, self._state, self._spoke = time.monotonic(), state, True
        self.queue.heard(state)
        for name, labels, method, value in state.metrics:
            metric = getattr(self._metrics, name)
            getattr(metric.labels(*labels) if labels else metric, method)(value)
        if kind == "done":
            self._read(*facts)
        elif kind == "failed":
            self._job_failed(*facts)
        elif kind == "result":
            self._answered(*facts)

    def _read(self, rows: Sequence[tuple[Any, ...]], runs: Sequence[tuple[float, dict[str, Any]]]) -> None:
        done, runs_here = [], [Run(*run) for run in runs]
        for number, place, digest, frames, size, times, run, result in rows:
            piece = self._inside.get((number, place))
            if piece is None:
                continue  # nobody waits for it any more
            piece.digest, piece.frames, piece.size = digest, frames, size
            piece.begun, piece.decode_s, piece.prepare_s, piece.write_s = times
            piece.run = None if run is None else runs_here[run]
            piece.result = unflat(result)
            done.append(piece)
            self._out(number, place)
        self._in_vain = 0
        self._hand_over(done)

    def _out(self, number: int, place: int) -> None:
        """A piece is done."""
        self._inside[number, place].image = None
        del self._inside[number, place]
        self._ends.pop((number, place), None)
        self._left[number] -= 1
        if not self._left[number]:
            self._forget(number)
        if self._alone == (number, place):
            self._pass_on_all()

    def _hand_over(self, pieces: Sequence[Piece]) -> None:
        now = time.monotonic()
        self._pace.note(len(pieces), now - self._noted)
        self._noted = now
        self._done(pieces)

    def _job_failed(self, number: int, error: Exception) -> None:
        job = self._jobs.get(number)
        if job is not None:
            self._failed(job, error)
            self._forget(number)

    def _answered(self, number: int, error: BaseException | None, value: Any) -> None:
        _, future = self._calls.pop(number, (None, None))
        if future is None or not future.set_running_or_notify_cancel():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

    def _forget(self, number: int) -> None:
        """Nothing of a job is inside any more."""
        job = self._jobs.pop(number, None)
        if job is None:
            return
        del self._numbers[job]
        if self._left.pop(number, 0):
            for key in [key for key in self._inside if key[0] == number]:
                del self._inside[key]
                self._ends.pop(key, None)
            if self._alone is not None and self._alone not in self._inside:
                self._pass_on_all()

    # The end.

    def _look(self) -> None:
        """Whether the process hangs; then it is ended, and another one goes on."""
        if self._stopping or self._given_up:
            return
        self._loop.call_later(LOOK_S, self._look)
        if self._process is not None and self._talk is not None and self.busy_s > HANGS_S:
            log.error("the process that reads hangs for %.0f s; it is ended", self.busy_s)
            self._process.kill()

    def _close(self) -> None:
        self._stopping = True
        if self._talk is not None:
            self._talk.close()

    def _ended(self) -> None:
        """The process has ended, or could not be started."""
        self._talk = None
        if self._stopping:
            self._fail_all("the service stops")
            return
        self._in_vain += 1
        log.error("the process that reads has ended; %d lines are read again by another one", len(self._inside))
        alone, self._alone = self._alone, None
        if self._spoke and alone is not None:
            self._in_vain = 0
            self._convict(alone)
        elif self._spoke:
            self._ends.update(self._inside.keys())
        if self._in_vain >= MOST_ENDS:
            self._given_up = True
            if self._process is not None:
                self._process.kill()
            self._fail_all(f"it ended {self._in_vain} times before it had read a line")
            return
        self._loop.call_later(PAUSE_S * 2**self._in_vain, self._again)

    def _convict(self, key: tuple[int, int]) -> None:
        """The process ended while it read this piece and nothing else."""
        piece = self._inside[key]
        piece.result = BadImage("the process that reads ended each time that it came to this image; leave it out")
        self._out(*key)
        self._hand_over([piece])

    def _again(self) -> None:
        if self._stopping:
            return
        if self._process is not None and self._process.poll() is None:
            self._process.kill()  # it has closed its connection, and does not come back
            self._leaving.append(self._process)
        self._leaving = [process for process in self._leaving if process.poll() is None]
        self._spawn()

    def _fail_all(self, because: str) -> None:
        error = DeviceError(f"the engine's process is gone: {because}; restart the service")
        for job in list(self._numbers):
            self._failed(job, error)
        for number in list(self._calls):
            self._answered(number, error, None)
