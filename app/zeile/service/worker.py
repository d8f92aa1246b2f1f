# SPDX-License-Identifier: Apache-2.0
"""The queue and its doors: requests give it their images and wait for lines; others do the work.

They are threads of this process (``crew``) or of another (``crew_apart``). The event loop never decodes, normalises or
recognises. A line's result does not depend on the lines beside it (hw_src/DATAPATH.md), so lines of all requests share
batches as they come.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from zeile.errors import BadImage
from zeile.image import Limits, decode
from zeile.pipeline import Line
from zeile.service.batch import BATCH_LINES, Answer, Grey, Job, Piece, Run, Stages, pieces_of, total
from zeile.service.crew import FAILED, Crew
from zeile.service.crew_apart import CrewApart
from zeile.service.engines import BOARDS, Engines, Options
from zeile.service.metrics import Metrics
from zeile.service.problems import Expired, NotReady, Overloaded, TooFast
from zeile.service.registry import Registry
from zeile.service.ticket import Ticket
from zeile.service.waiting import GivingWay
from zeile.settings import Settings

log = logging.getLogger(__name__)

KEPT = 8
"""One of so many places in the queue is kept for clients that have less than that share of it."""

UNTRUSTED_S = 10.0
"""When to ask again while the engine's integers are wrong; it is tested again meanwhile."""

DRAIN_S = 20.0
"""Seconds that requests are given to finish when the service stops."""

BULK_WAITS_S = 0.01
"""Seconds that what was read for a bulk request waits at most for requests that are not: what its client is told, and
what the client asks for next, costs as much time as reading did."""

INSIDE_LINES = 4 * BATCH_LINES
"""Lines of one call that wait in the queue; the others wait outside, so that it has room for other requests."""


@dataclass(eq=False)
class _Reading:
    """A call of ``Worker.read``, as the event loop sees it."""

    job: Job
    images: Sequence[bytes | Grey]
    future: asyncio.Future[Answer]
    pieces: list[Piece] = field(default_factory=list)  # given to the queue so far
    settled: int = 0


class Worker:
    """The queue, its bounds and its threads.

    Args:
        settings: of the service.
        metrics: of the service.
        registry: gives the models.
        apart: whether a process of its own reads. A board is always read from here, where its state is seen.
    """

    def __init__(self, settings: Settings, metrics: Metrics, registry: Registry, apart: bool = False) -> None:
        self._settings, self._metrics, self._registry = settings, metrics, registry
        self._limits = settings.image_limits()
        self.engines: Engines | None = None
        self._crew: Crew | CrewApart
        if apart and settings.engine not in BOARDS:
            self._crew = CrewApart(settings, registry.model, metrics, self._settle, self._end)
        else:
            self.engines = Engines(settings, metrics)
            self._crew = Crew(
                settings.threads, self._limits, registry.model, self.engines, metrics, self._done, self._failed
            )
        self._readings: dict[Job, _Reading] = {}
        self._outside: deque[_Reading] = deque()  # those with images that are not in the queue yet
        self._bulk = GivingWay(BULK_WAITS_S)
        self._stopping = False
        self._distrusted: str | None = None  # why the engine is not trusted
        metrics.queue_lines.set_function(lambda: self.waiting)
        metrics.queue_bytes.set_function(lambda: self._crew.queue.bytes)

    async def start(self) -> None:
        """Start the threads, or the process that has them."""
        self._loop = asyncio.get_running_loop()
        self._crew.start()

    def distrust(self, because: str | None) -> None:
        """Read nothing for anybody, also of what was accepted, while the engine's integers are wrong. In any thread.

        Args:
            because: why; None trusts the engine again.
        """
        self._distrusted = because
        if because is not None:
            self._loop.call_soon_threadsafe(self._end_all, _untrusted(because))

    def drain(self) -> None:
        """Take nothing new from now on; what was accepted is finished."""
        self._stopping = True

    async def close(self) -> None:
        """Drain, then end the threads; what is not finished by then is not waited for any longer."""
        self.drain()
        end = self._loop.time() + DRAIN_S
        while self._readings and self._loop.time() < end:
            futures = [reading.future for reading in self._readings.values()]
            await asyncio.wait(futures, timeout=end - self._loop.time())
            await asyncio.sleep(0)  # whoever waited for them goes on
        self._end_all(Overloaded("the service stops before it came to this; ask another one, or again later", 5))
        if not await asyncio.to_thread(self._crew.stop, DRAIN_S):
            log.error("the engine hangs and is left to itself")

    @property
    def waiting(self) -> int:
        """Lines that wait."""
        return self._crew.queue.lines

    @property
    def rate(self) -> float:
        """Lines a second, over the last seconds."""
        return self._crew.rate

    @property
    def alive(self) -> bool:
        """Whether the engine's thread runs."""
        return self._crew.alive

    @property
    def open_folders(self) -> frozenset[Path]:
        """Of the models on an engine; may be asked for in any thread."""
        return self._crew.open_folders

    @property
    def busy_s(self) -> float:
        """Seconds that the engine's thread has spent on what it does now; 0 while it waits for work."""
        return self._crew.busy_s

    @property
    def stopping(self) -> bool:
        """Whether nothing new is taken any more."""
        return self._stopping

    @property
    def crowded(self) -> bool:
        """Whether some clients' lines are not taken any more; cheap."""
        queue, settings = self._crew.queue, self._settings
        return queue.lines >= settings.queue_lines // 2 or queue.bytes >= settings.queue_bytes

    def check(self, ticket: Ticket, lines: int = 1) -> None:
        """Whether lines of a request would be taken now.

        Args:
            ticket: of the request; one that was admitted is always taken.
            lines: that it has.

        Raises:
            Overloaded: the queue is full, the deadline is too near, or the service is stopping or broken.
            TooFast: the client has more than its share of a queue that is nearly full.
            NotReady: the engine is not trusted.
        """
        if not self._crew.alive:
            raise Overloaded("the engine's thread has ended, nothing can be read any more; ask another service", 5)
        if self._distrusted is not None:
            raise _untrusted(self._distrusted)
        if ticket.admitted:
            return
        if self._stopping:
            raise Overloaded("the service is stopping and takes nothing new; ask another one, or again later", 5)
        waiting, crew, settings = self.waiting, self._crew, self._settings
        if not waiting:
            return
        most = settings.queue_lines // 2 if ticket.bulk else settings.queue_lines
        if self._outside:
            most -= most // KEPT  # those are for requests that were accepted already
        if waiting >= most or crew.queue.bytes >= settings.queue_bytes:
            limit = f"{most} lines{' when it is a bulk request' if ticket.bulk else ''} or {settings.queue_bytes} bytes"
            raise Overloaded(
                f"{waiting} lines of {crew.queue.bytes} bytes wait, nothing is added to {limit}; "
                "ask again when Retry-After says",
                crew.seconds(waiting),
            )
        held = crew.queue.held_by(ticket.client)
        if waiting >= most - most // KEPT and held >= most // KEPT:
            raise TooFast(
                f"client {ticket.client!r} has {held} of the {waiting} lines that wait, and the last eighth of {most} "
                "is kept for others; ask again when Retry-After says",
                crew.seconds(held),
            )
        # Those of other clients come between ours, and at most one each.
        wait_s = crew.seconds(min(waiting, (held + lines) * crew.queue.clients) + lines)
        if wait_s > ticket.left_s:
            raise Overloaded(
                f"{lines} lines would be read in about {wait_s:.1f} s, behind others that wait, and the deadline is in "
                f"{ticket.left_s:.1f} s; ask again when Retry-After says, or set a later deadline",
                wait_s - ticket.left_s,
            )

    async def read(self, images: Sequence[bytes | Grey], options: Options, ticket: Ticket) -> Answer:
        """Read images, any number of them.

        Args:
            images: encoded, or grey ones as (h, w) uint8 in C order.
            options: how.
            ticket: of the request; once it was admitted, its images wait for room and are not refused.

        Raises:
            Overloaded: the queue has no room, or the service is stopping.
            TooFast: the queue has no room for this client.
            NotReady: the engine is not trusted.
            Expired: the deadline passed.
            BadSettings: no such reading.
            BadManifest: the model is damaged.
            DeviceError: the engine cannot run it.
            asyncio.CancelledError: nobody waits any more.
        """
        self.check(ticket, len(images))
        if self.engines is None:
            await self._registry.kept(options.folder)
        if ticket.gone:
            raise asyncio.CancelledError
        ticket.admitted = True
        ticket.took(len(images))
        if not images:
            model = await asyncio.to_thread(self._registry.model, options.folder)
            return Answer((), (), (), Stages(), model, {}, ())
        reading = _Reading(Job(ticket, options), images, self._loop.create_future())
        self._readings[reading.job] = reading
        self._outside.append(reading)
        self._feed()
        timer = self._loop.call_later(min(ticket.left_s, 1e6), self._expire, reading)
        try:
            with nullcontext() if ticket.bulk else self._bulk.held():
                return await reading.future
        finally:
            timer.cancel()
            if reading.job in self._readings:
                self._drop(reading, "canceled")

    def drop(self, ticket: Ticket) -> None:
        """Nobody waits for a request any more: end its calls of ``read``."""
        ticket.gone = True
        for reading in self._readings.values():
            if reading.job.ticket is ticket:
                reading.future.cancel()

    def decode(self, image: bytes, limits: Limits | None = None) -> Awaitable[Grey]:
        """Decode a whole page beside the engine, one at a time.

        Args:
            image: encoded.
            limits: on it; None sets those of lines.

        Raises:
            BadImage: it cannot be read.
        """
        return asyncio.wrap_future(self._crew.call(partial(decode, image, limits or self._limits)))

    def submit_exclusive(self, function: Callable[[Engines], Any]) -> Future[Any]:
        """Run a function with the engines in their thread, between two batches; both can be in another process."""
        return self._crew.exclusive(function)

    def _feed(self) -> None:
        """Give the queue what it has room for, of all readings in turn."""
        waiting = len(self._outside)
        while waiting:
            reading = self._outside.popleft()
            waiting -= 1
            given, images = len(reading.pieces), reading.images
            room = 0 if reading.future.done() else min(BATCH_LINES, self._room(reading))
            if room > 0:
                pieces = pieces_of(reading.job, images[given : given + room], given)
                reading.pieces += pieces
                self._crew.add(reading.job, pieces)
                waiting = len(self._outside) + 1  # once more round
            if len(reading.pieces) < len(images) and not reading.future.done():
                self._outside.append(reading)
            else:
                waiting = min(waiting, len(self._outside))

    def _room(self, reading: _Reading) -> int:
        """Lines of a reading that the queue has room for: a batch's at least, more while it is not half full."""
        settings, queue, given = self._settings, self._crew.queue, len(reading.pieces)
        full = queue.lines > settings.queue_lines // 2 or queue.bytes > settings.queue_bytes // 2
        inside = given - reading.settled
        return min((BATCH_LINES if full else INSIDE_LINES) - inside, settings.queue_lines - queue.lines)

    def _done(self, pieces: Sequence[Piece]) -> None:
        self._loop.call_soon_threadsafe(self._settle, pieces)

    def _failed(self, job: Job, error: Exception) -> None:
        self._loop.call_soon_threadsafe(self._end, job, error)

    def _settle(self, pieces: Sequence[Piece]) -> None:
        """Note pieces that are done; the last one of a reading makes its answer."""
        for piece in pieces:
            reading = self._readings.get(piece.job)
            if reading is None or piece.result is None:
                continue
            reading.settled += 1
            if reading.settled == len(reading.images):
                if piece.job.ticket.bulk:
                    self._bulk.call(partial(self._finish, reading))
                else:
                    self._finish(reading)
        self._feed()

    def _finish(self, reading: _Reading) -> None:
        if not reading.future.done():
            del self._readings[reading.job]
            reading.future.set_result(self._answer(reading))

    def _answer(self, reading: _Reading) -> Answer:
        pieces, model, metrics = reading.pieces, reading.job.model, self._metrics
        assert model is not None
        name = f"{model.name}/{model.version}"
        lines: list[Line | BadImage] = []
        runs: dict[Run, int] = {}  # with the lines that each read
        for piece in pieces:
            assert piece.result is not None
            lines.append(piece.result)
            metrics.queue_seconds.observe(piece.begun - piece.queued)
            if piece.run is not None:
                runs[piece.run] = runs.get(piece.run, 0) + 1
        engines: list[dict[str, Any]] = []
        for run, count in runs.items():
            metrics.lines.labels(run.facts["engine"], name).inc(count)
            if run.facts not in engines:
                engines.append(run.facts)
        if len(lines) > (read := sum(runs.values())):
            metrics.bad_images.inc(len(lines) - read)
        spent = total(pieces)
        reading.job.ticket.read_with(name, vars(spent))
        return Answer(
            lines=lines,
            sizes=[piece.size for piece in pieces],
            inputs=[piece.digest for piece in pieces],
            frames=[piece.frames for piece in pieces],
            stages=spent,
            model=model,
            engine=[*runs][-1].facts if runs else {},
            engines=tuple(engines),
        )

    def _expire(self, reading: _Reading) -> None:
        if not reading.future.done():
            reading.future.set_exception(
                Expired(
                    f"{reading.settled} of {len(reading.images)} lines were read when the deadline passed; "
                    "send fewer lines a request, or set a later deadline"
                )
            )
            self._drop(reading, "expired")

    def _end(self, job: Job, error: Exception) -> None:
        reading = self._readings.get(job)
        if reading is not None and not reading.future.done():
            reading.future.set_exception(error)
            self._drop(reading, FAILED)

    def _end_all(self, error: Exception) -> None:
        for job in list(self._readings):
            self._end(job, error)

    def _drop(self, reading: _Reading, reason: str) -> None:
        """Take what is left of a reading from the queue."""
        del self._readings[reading.job]
        self._crew.drop(reading.job, reason)
        outside = len(reading.images) - len(reading.pieces)
        if outside and reason != FAILED:
            self._metrics.dropped.labels(reason).inc(outside)
        self._feed()


def _untrusted(because: str) -> NotReady:
    return NotReady(f"nothing is read while the engine cannot be trusted: {because}; ask another service", UNTRUSTED_S)
