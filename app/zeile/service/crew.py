# SPDX-License-Identifier: Apache-2.0
"""The threads that do the work: one owns the engine, the others decode and write out.

    waiting --begin--> ready --engine--> seen --finish--> handed over

While there is no batch for the engine, its thread does whatever else there is to do. So a single line goes from the
queue to its answer in one thread and waits for no other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from zeile.device import Scores
from zeile.errors import BadImage, ImageTooLarge, bare
from zeile.image import Limits
from zeile.manifest import Model
from zeile.pipeline import Decoder
from zeile.service.batch import Job, Piece, Run, begin, finish
from zeile.service.engines import Engines, Options
from zeile.service.metrics import Metrics
from zeile.service.pace import Pace
from zeile.service.scheduler import Scheduler

log = logging.getLogger(__name__)

LARGE_PIXELS = 1 << 22
"""Images of more pixels are decoded one at a time, whatever the number of threads: they take up to 5 bytes a pixel."""

DECODERS = 16
"""Kept; of models, and of ways to read them."""

FAILED = "failed"
"""Why lines are dropped whose request has failed; they are not counted as dropped."""

Task = Callable[[], None]


class Crew:
    """Lines in, lines out.

    Args:
        threads: that decode and write out, beside the engine's.
        limits: on each image.
        model: gives the model of a folder.
        engines: opened and used by the engine's thread alone.
        metrics: of the service.
        done: is given pieces with their results, in any thread.
        failed: is given a job that failed as a whole, and why, in any thread.
    """

    def __init__(
        self,
        threads: int,
        limits: Limits,
        model: Callable[[Path], Model],
        engines: Engines,
        metrics: Metrics,
        done: Callable[[Sequence[Piece]], None],
        failed: Callable[[Job, Exception], None],
    ) -> None:
        self._limits, self._model, self._engines, self._metrics = limits, model, engines, metrics
        self._small = replace(limits, pixels=min(limits.pixels, LARGE_PIXELS))
        self._done, self._failed = done, failed
        self._lock = threading.Lock()
        self._for_engine, self._for_pool = threading.Condition(self._lock), threading.Condition(self._lock)
        self._pace = Pace()
        self._seen: deque[tuple[list[Piece], Sequence[Scores]]] = deque()
        self._large: deque[Task] = deque()
        self._exclusive: deque[Task] = deque()
        self._large_busy = self._idle = self._stopping = False  # idle: the engine's thread waits
        self._reading = False  # the engine is at work, its thread waits for it
        self._helpers, self._helping = threads, 0  # the other threads; those that decode or write out just now
        self._inside = 0  # pieces given to the crew, neither handed over nor dropped
        self._since = self._noted = time.monotonic()
        self._decoders: dict[tuple[str, Options], Decoder] = {}
        self.queue = Scheduler(self._dropped)
        self._threads = [threading.Thread(target=self._own_engine, name="zeile-engine", daemon=True)]
        for index in range(threads):
            self._threads.append(threading.Thread(target=self._help, name=f"zeile-{index}", daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, patience_s: float) -> bool:
        """Finish what is there, then end the threads and close the engines.

        Args:
            patience_s: seconds until a thread that hangs is left to itself.

        Returns:
            Whether all have ended.
        """
        with self._lock:
            self._stopping = True
            self._wake_all()
        end = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def alive(self) -> bool:
        """Whether the engine's thread runs."""
        return self._threads[0].is_alive()

    @property
    def busy_s(self) -> float:
        """Seconds that the engine's thread has spent on what it does now; 0 while it waits."""
        return 0.0 if self._idle else time.monotonic() - self._since

    @property
    def rate(self) -> float:
        """Lines a second, over the last seconds."""
        with self._lock:
            return self._pace.rate

    def seconds(self, lines: int) -> float:
        """How long so many lines take; 0 if nobody knows."""
        with self._lock:
            return self._pace.seconds(lines)

    def add(self, job: Job, pieces: list[Piece]) -> None:
        """Queue pieces of a job."""
        with self._lock:
            if not self._inside:
                self._noted = time.monotonic()  # there was nothing to do until now
            self._inside += len(pieces)
            self.queue.add(job, pieces)
            others = len(pieces)
            if self._idle:
                self._for_engine.notify()
                others -= 1
            self._for_pool.notify(others)

    def drop(self, job: Job, reason: str) -> None:
        """Give up a job."""
        with self._lock:
            self.queue.drop(job, reason)

    @property
    def open_folders(self) -> frozenset[Path]:
        """Of the models on an engine."""
        return self._engines.folders

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Run a function that needs much memory: one at a time, beside the engine."""
        task, future = _kept(function)
        with self._lock:
            self._large.append(task)
            self._for_pool.notify()
        return future

    def exclusive(self, function: Callable[[Engines], Any]) -> Future[Any]:
        """Run a function in the engine's thread, between two batches."""
        task, future = _kept(lambda: function(self._engines))
        with self._lock:
            self._exclusive.append(task)
            self._for_engine.notify()
        return future

    def _own_engine(self) -> None:
        """The engine's thread."""
        while True:
            with self._lock:
                while (task := self._task_of_engine()) is None and not self._finished():
                    self._idle = True
                    self._for_engine.wait()
                    self._idle = False
                self._since = time.monotonic()
            if task is None:
                break
            task()
            self._reading = False
        self._engines.close()

    def _help(self) -> None:
        """Each of the other threads."""
        while True:
            with self._lock:
                while (task := self._task_of_helper()) is None and not self._finished():
                    self._for_pool.wait()
            if task is None:
                break
            task()

    def _finished(self) -> bool:
        return self._stopping and not (self._inside or self._large or self._exclusive)

    def _wake_all(self) -> None:
        self._for_engine.notify_all()
        self._for_pool.notify_all()

    def _task_of_engine(self) -> Task | None:
        """A batch if it is time for one, else anything else."""
        if self._exclusive:
            self._reading = True
            self._for_pool.notify(self._helpers)
            return self._exclusive.popleft()
        # Looking for a line to prepare drops those that were given up; that may make it time for a batch.
        return self._running() or self._writing() or self._preparing() or self._running()

    def _task_of_helper(self) -> Task | None:
        """The end of a line's way comes before its beginning.

        While the engine's thread is itself at work in Python, one helper fewer is: they would only pass Python's lock
        to and fro.
        """
        if self._helping < self._helpers - (not self._reading):
            task = self._writing()
            if task is None and not (self._large and not self._large_busy):
                task = self._preparing()
            if task is not None:
                self._helping += 1
                return partial(self._helped, task)
        if self._large and not self._large_busy:
            self._large_busy = True
            return partial(self._call, self._large.popleft())
        return None

    def _helped(self, task: Task) -> None:
        task()
        with self._lock:
            self._helping -= 1
            self._for_pool.notify()

    def _running(self) -> Task | None:
        batch = self.queue.batch()
        if not batch:
            return None
        self._reading = True
        self._for_pool.notify(len(batch))  # there is room to prepare others
        return lambda: self._run(batch)

    def _writing(self) -> Task | None:
        if not self._seen:
            return None
        pieces, scores = self._seen.popleft()
        return lambda: self._finish(pieces, scores)

    def _preparing(self) -> Task | None:
        piece = self.queue.next()
        return None if piece is None else lambda: self._begin(piece, self._small)

    def _begin(self, piece: Piece, limits: Limits) -> None:
        """Decode and prepare a piece; a large one is left to whoever is next to do that."""
        bad: Exception | None = None
        try:
            self._learn(piece.job)
            begin(piece, limits)
        except Exception as error:
            if isinstance(error, ImageTooLarge) and limits is self._small and piece.size == (0, 0):
                with self._lock:
                    self.queue.delayed(piece)
                    self._for_engine.notify()
                    self._large.append(lambda: self._begin(piece, self._limits))
                    self._for_pool.notify()
                return
            bad = error
        piece.image = None
        if isinstance(bad, BadImage):
            piece.result = bare(bad)
        with self._lock:
            self.queue.prepared(piece)  # from here on a good one is the engine's
            self._for_engine.notify()
        if isinstance(bad, BadImage):
            self._hand_over([piece])
        elif bad is not None:
            self._fail([piece], bad)

    def _learn(self, job: Job) -> None:
        """Find a job's model, once: all of its lines are read by the same."""
        if job.decoder is None:
            model = job.model or self._model(job.options.folder)
            decoder = self._decoder(model, job.options)
            with self._lock:
                if job.decoder is None:
                    job.model, job.decoder = model, decoder

    def _decoder(self, model: Model, options: Options) -> Decoder:
        """The same for all jobs that ask for the same."""
        asked = model.sha256, options
        decoder = self._decoders.get(asked)
        if decoder is None:
            if len(self._decoders) >= DECODERS:
                self._decoders.clear()
            decoder = self._decoders[asked] = options.decoder(model)
        return decoder

    def _run(self, batch: list[Piece]) -> None:
        """Let the engine read a batch."""
        model = batch[0].job.model
        assert model is not None
        try:
            engine = self._engines.engine(model)
            began = time.perf_counter()
            scores = engine.device.run_batch([piece.prepared.frames for piece in batch if piece.prepared is not None])
            run = Run(time.perf_counter() - began, dict(engine.device.info))
        except BadImage as error:
            if len(batch) > 1:  # one spoils it: alone, only that one fails
                for piece in batch:
                    self._run([piece])
            else:
                batch[0].result = bare(error)
                self._hand_over(batch)
            return
        except Exception as error:  # is the requests' to report; the thread lives on for the next ones
            self._fail(batch, error)
            return
        finally:
            self._reading = False
        for piece in batch:
            piece.run = run
        with self._lock:
            self.queue.ran(batch, run.seconds)
            if later := self.queue.later:
                self._seen.append((batch, scores))
                self._for_pool.notify()
        self._metrics.batches.inc()
        self._metrics.batch_lines.observe(len(batch))
        self._metrics.infer_seconds.observe(run.seconds)
        if not later:
            self._finish(batch, scores)

    def _finish(self, pieces: Sequence[Piece], scores: Sequence[Scores]) -> None:
        """Write out what the engine saw."""
        finished = []
        for piece, seen in zip(pieces, scores, strict=True):
            try:
                finish(piece, seen)
            except Exception as error:
                self._fail([piece], error)
            else:
                finished.append(piece)
        if finished:
            metrics = self._metrics
            metrics.decode_seconds.observe(sum(piece.decode_s for piece in finished))
            metrics.preprocess_seconds.observe(sum(piece.prepare_s for piece in finished))
            metrics.postprocess_seconds.observe(sum(piece.write_s for piece in finished))
            self._hand_over(finished)

    def _fail(self, pieces: Sequence[Piece], error: Exception) -> None:
        for job in dict.fromkeys(piece.job for piece in pieces):
            self._failed(job, error)
        self._hand_over(pieces)

    def _hand_over(self, pieces: Sequence[Piece]) -> None:
        now = time.monotonic()
        with self._lock:
            self._inside -= len(pieces)
            self._pace.note(sum(piece.result is not None for piece in pieces), now - self._noted)
            self._noted = now
            if self._finished():
                self._wake_all()
        self._done(pieces)

    def _dropped(self, reason: str, lines: int) -> None:
        """The queue gave lines up; called under the lock."""
        self._inside -= lines
        if lines and reason != FAILED:
            self._metrics.dropped.labels(reason).inc(lines)
        if self._finished():
            self._wake_all()

    def _call(self, task: Task) -> None:
        task()
        with self._lock:
            self._large_busy = False
            if self._large:
                self._for_pool.notify()
            if self._finished():
                self._wake_all()


def _kept(function: Callable[[], Any]) -> tuple[Task, Future[Any]]:
    """A task that keeps what comes of a function for whoever waits for it."""
    future: Future[Any] = Future()

    def task() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

    return task, future
