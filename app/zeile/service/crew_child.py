# SPDX-License-Identifier: Apache-2.0
"""The process that reads, when the service does not itself: a crew, and what it is told and tells (``crew_apart.py``).

It ends when the service closes its end of the socket, or is gone.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

from zeile.errors import DeviceError, bare
from zeile.manifest import Model, load_model
from zeile.service import logs, memory
from zeile.service.batch import Job, Piece, Run
from zeile.service.crew import Crew
from zeile.service.crew_messages import Call, State, flat, packed, received
from zeile.service.engines import Engines, Options
from zeile.service.metrics import Metrics
from zeile.service.ticket import Ticket
from zeile.settings import Settings

MODELS = 16
"""Models that both ends keep; the oldest is forgotten first."""

TICK_S = 0.1
"""Seconds between two looks at whether the service should know of something that no message has told it."""

SWITCH_S = 0.001
"""So long, and not Python's 5 ms, a thread waits for another one that is at work in Python."""

GIVES_WAY = 8
"""Added to the process's niceness: where the two have too few cores, whoever asks is answered first, and waits less."""


_path = functools.lru_cache(maxsize=64)(Path)  # made for every request, one takes as long as the rest of its message


class Told:
    """In place of ``Metrics``: keeps what they are told until it can be passed on."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def __getattr__(self, name: str) -> Any:
        return _Metric(self._calls, name)

    def taken(self) -> tuple[Call, ...]:
        """What they were told since the last time."""
        calls = tuple(self._calls)
        del self._calls[: len(calls)]  # others may be added meanwhile, at the end
        return calls


class _Metric:
    def __init__(self, calls: list[Call], name: str, labels: tuple[str, ...] = ()) -> None:
        self._calls, self._name, self._labels = calls, name, labels

    def labels(self, *labels: str) -> _Metric:
        return _Metric(self._calls, self._name, labels)

    def _note(self, method: str, value: float) -> None:
        self._calls.append((self._name, self._labels, method, value))

    def inc(self, value: float = 1) -> None:
        self._note("inc", value)

    def set(self, value: float) -> None:
        self._note("set", value)

    def observe(self, value: float) -> None:
        self._note("observe", value)


class Child:
    """Both directions of the talk.

    Args:
        settings: of the service.
        end: of the pair of sockets.
    """

    def __init__(self, settings: Settings, end: socket.socket) -> None:
        self._end = end
        self._lock, self._telling = threading.Lock(), threading.Lock()  # of the jobs; of the order of messages
        self._outbox: SimpleQueue[bytes] = SimpleQueue()
        self._told = Told()
        metrics = cast(Metrics, self._told)
        self._engines = Engines(settings, metrics)
        self._crew = Crew(
            settings.threads, settings.image_limits(), load_model, self._engines, metrics, self._done, self._failed
        )
        self._models: OrderedDict[str, Model] = OrderedDict()
        self._jobs: dict[int, Job] = {}
        self._numbers: dict[Job, int] = {}
        self._left: dict[Job, int] = {}  # lines that the service waits for
        self._added = 0
        self._last = State()

    def run(self, messages: Iterator[Any]) -> None:
        """Do what the service says, until it says no more; then nobody waits for anything."""
        for name, thread in (("zeile-tell", self._deliver), ("zeile-tick", self._tick)):
            threading.Thread(target=thread, name=name, daemon=True).start()
        self._crew.start()
        self._send("state")  # that it has started
        for message in messages:
            getattr(self, "_" + message[0])(*message[1:])

    # What the service says; each is the name of a message.

    def _model(self, model: Model) -> None:
        self._models[model.sha256] = model
        if len(self._models) > MODELS:
            self._models.popitem(last=False)

    def _add(self, number: int, asked: tuple[Any, ...], given: Sequence[tuple[int, Any, int, float]]) -> None:
        with self._lock:
            job = self._jobs.get(number)
            if job is None:
                client, deadline, bulk, model, folder, *how = asked
                options = Options(_path(folder), *how)
                job = Job(Ticket("", client, deadline, bulk), options, model=self._models[model])
                self._jobs[number], self._numbers[job], self._left[job] = job, number, 0
            self._left[job] += len(given)
        self._crew.add(job, [Piece(job, *each) for each in given])
        self._added += 1

    def _drop(self, number: int, reason: str) -> None:
        with self._lock:
            job = self._jobs.get(number)
            if job is not None:
                self._forget(job)
        if job is not None:
            self._crew.drop(job, reason)

    def _call(self, number: int, function: Callable[[], Any]) -> None:
        self._crew.call(function).add_done_callback(functools.partial(self._tell, number))

    def _exclusive(self, number: int, function: Callable[[Engines], Any]) -> None:
        self._crew.exclusive(function).add_done_callback(functools.partial(self._tell, number))

    # What it is told.

    def _done(self, pieces: Sequence[Piece]) -> None:
        runs: dict[Run, int] = {}
        rows = []
        for piece in pieces:
            if piece.result is None:
                continue
            with self._lock:
                number = self._numbers.get(piece.job)
                if number is None:
                    continue
                self._left[piece.job] -= 1
                if not self._left[piece.job]:
                    self._forget(piece.job)
            run = None if piece.run is None else runs.setdefault(piece.run, len(runs))
            times = piece.begun, piece.decode_s, piece.prepare_s, piece.write_s
            rows.append((number, piece.place, piece.digest, piece.frames, piece.size, times, run, flat(piece.result)))
        self._send("done", rows, [(run.seconds, run.facts) for run in runs])

    def _failed(self, job: Job, error: Exception) -> None:
        with self._lock:
            number = self._numbers.get(job)
            self._forget(job)
        if number is not None:
            self._send("failed", number, _travelling(error))

    def _tell(self, number: int, future: Future[Any]) -> None:
        error = future.exception()
        if error is None:
            self._send("result", number, None, future.result())
        else:
            self._send("result", number, _travelling(error), None)

    def _forget(self, job: Job) -> None:
        number = self._numbers.pop(job, None)
        if number is not None:
            del self._jobs[number], self._left[job]

    def _state(self) -> State:
        queue, added = self._crew.queue, self._added
        return State(
            added,
            queue.lines,
            queue.bytes,
            dict(queue.held),
            self._crew.busy_s,
            self._engines.folders,
            self._told.taken(),
        )

    def _send(self, *message: Any) -> None:
        with self._telling:
            self._last = self._state()
            self._outbox.put(packed((*message, self._last)))

    def _deliver(self) -> None:
        """Send what there is; a service that is slow to listen keeps the engine from nothing."""
        with contextlib.suppress(OSError):  # the service is gone; the other direction ends too
            while True:
                self._end.sendall(self._outbox.get())

    def _tick(self) -> None:
        while True:
            time.sleep(TICK_S)
            last, queue = self._last, self._crew.queue
            known = last.added, last.lines, last.bytes, last.folders
            if known != (self._added, queue.lines, queue.bytes, self._engines.folders) or self._crew.busy_s > 1:
                self._send("state")


def _travelling(error: BaseException) -> BaseException:
    """An error that can be pickled, and makes sense elsewhere."""
    error = bare(error)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return DeviceError(f"{type(error).__name__}: {error}")
    return error


def main() -> None:
    """Read for the service whose socket is given, as ``crew_apart.py`` starts it."""
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the service, which finishes what it has accepted first
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # a unit's filter of system calls may forbid it
        os.nice(GIVES_WAY)
    with socket.socket(fileno=int(sys.argv[1])) as end:
        messages = received(end)
        settings: Settings = next(messages)[0]
        logs.install(settings.log)
        sys.setswitchinterval(SWITCH_S)
        memory.give_back()
        child = Child(settings, end)
        memory.leave_alone()
        child.run(messages)
    logging.shutdown()
    os._exit(0)  # whatever the threads do


if __name__ == "__main__":
    main()
