# SPDX-License-Identifier: Apache-2.0
"""What is done next: which line is prepared, and which lines make the next batch. Used under the crew's lock.

    waiting --next--> being prepared --ready--> ready --batch--> engine

The engine never waits for a batch to fill: it takes what is ready. Bulk requests have queues of their own; they are
read when nobody else waits, and besides that get the share that ``turns.Share`` says.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable

from zeile.service.batch import BATCH_LINES, Job, Piece
from zeile.service.turns import QUANTUM, Share, Turns

BATCH_S = 0.02
"""Seconds of a batch, about; so long may a line wait that comes a moment too late for it."""

BULK_BATCH_S = 0.003
"""The same for bulk requests, which should not keep others waiting."""

LEAST_LINES = 4
"""Lines of a batch, however slow the engine is, since a batch may cost it something besides the lines."""

GATHER = 8
"""As long as fewer lines are ready and others wait, the engine's thread helps to prepare them."""

AHEAD_LINES = 2 * BATCH_LINES
"""Lines prepared before the engine has time for them."""

COLUMNS_PER_S = 400_000.0
"""Speed of an engine until it has been measured."""


class Scheduler:
    """The lines of all requests, from the queue to the engine.

    Args:
        dropped: is told of lines that nobody waits for any more: why, and how many.

    Attributes:
        lines: that wait.
        bytes: of their images.
        held: of ``lines``, those of each client.
    """

    def __init__(self, dropped: Callable[[str, int], None]) -> None:
        self._dropped = dropped
        self._waiting, self._ready = (Turns(), Turns()), (deque[Piece](), deque[Piece]())  # [bulk]
        self._preparing: set[Piece] = set()  # of those that are not bulk
        self._share = Share()
        self._speeds: dict[str, float] = {}  # columns a second, by model
        self.lines = self.bytes = 0
        self.held: Counter[str] = Counter()

    @property
    def clients(self) -> int:
        """Clients with lines that wait."""
        return len(self.held)

    def held_by(self, client: str) -> int:
        """Of the lines, those of a client."""
        return self.held[client]

    @property
    def later(self) -> bool:
        """Whether the engine has something to do after this batch."""
        return bool(self.lines or any(self._ready))

    def add(self, job: Job, pieces: list[Piece]) -> None:
        """Queue pieces of a job."""
        self._waiting[job.ticket.bulk].add(job, pieces)
        self._count(job, len(pieces), sum(piece.bytes for piece in pieces))

    def drop(self, job: Job, reason: str) -> None:
        """Give up a job: its pieces in the queue now, those further on when they are met."""
        job.over = reason
        pieces = list(self._waiting[job.ticket.bulk].drop(job))
        self._count(job, -len(pieces), -sum(piece.bytes for piece in pieces))
        self._dropped(reason, len(pieces))

    def next(self) -> Piece | None:
        """The next piece to prepare, or None if there is none, or no room for it."""
        while (bulk := self._kind()) is not None:
            piece = self._waiting[bulk].next()
            self._count(piece.job, -1, -piece.bytes)
            if not self._given_up(piece):
                piece.begun = time.monotonic()
                self._waiting[bulk].charge(piece.job.ticket.client, QUANTUM)  # about; see ``prepared``
                if not bulk:
                    self._preparing.add(piece)
                return piece
        return None

    def delayed(self, piece: Piece) -> None:
        """A piece takes longer to prepare than most; nobody waits for it meanwhile."""
        self._preparing.discard(piece)

    def prepared(self, piece: Piece) -> None:
        """A piece was prepared, or cannot be; only now it is known what it costs its client."""
        bulk = piece.job.ticket.bulk
        self._preparing.discard(piece)
        self._waiting[bulk].charge(piece.job.ticket.client, piece.cost - QUANTUM)
        if piece.prepared is not None:
            self._ready[bulk].append(piece)

    def batch(self) -> list[Piece]:
        """The next batch, if it is time for one."""
        urgent, bulk = self._ready
        taken: list[Piece] = []
        if bulk and self._share.due:
            taken = self._taken(bulk, BULK_BATCH_S, 1)
        # Those that are ready may all have been given up; then the others have their chance.
        if not taken and urgent and (len(urgent) >= GATHER or not self._waiting[False]):
            taken = self._taken(urgent, BATCH_S, LEAST_LINES)
        alone = not (urgent or self._preparing or self._waiting[False])
        if not taken and bulk and alone and (len(bulk) >= GATHER or not self._waiting[True]):
            taken = self._taken(bulk, BULK_BATCH_S, 1)
        return taken

    def ran(self, pieces: list[Piece], seconds: float) -> None:
        """Note how long the engine took for a batch."""
        job, columns = pieces[0].job, sum(piece.columns for piece in pieces)
        assert job.model is not None
        speed, bulk = max(columns, 1) / max(seconds, 1e-6), job.ticket.bulk
        self._speeds[job.model.sha256] = (3 * self._speeds.get(job.model.sha256, speed) + speed) / 4
        self._share.spend(columns, bulk=bulk, contended=bool(self._waiting[not bulk] or self._ready[not bulk]))

    def _kind(self) -> bool | None:
        """Whether a bulk piece is prepared next, or one that is not; None if neither."""
        urgent, bulk = (bool(self._waiting[kind]) and len(self._ready[kind]) < AHEAD_LINES for kind in (False, True))
        if bulk and (not urgent or (self._share.due and not self._ready[True])):
            return True
        return False if urgent else None

    def _taken(self, ready: deque[Piece], seconds: float, least: int) -> list[Piece]:
        """Pieces of one model from those that are ready, first come first served, for so many seconds of work."""
        taken: list[Piece] = []
        left: list[Piece] = []
        columns = 0
        for piece in ready:
            if self._given_up(piece):
                continue
            model = piece.job.model
            assert model is not None
            if not taken:
                columns = int(self._speeds.get(model.sha256, COLUMNS_PER_S) * seconds)
            fits = len(taken) < least or (len(taken) < BATCH_LINES and piece.columns <= columns)
            if not taken or (model is taken[0].job.model and fits):
                taken.append(piece)
                columns -= piece.columns
            else:
                left.append(piece)
        ready.clear()
        ready.extend(left)
        return taken

    def _given_up(self, piece: Piece) -> bool:
        """Whether nobody waits for a piece any more; it is then counted as dropped."""
        ticket = piece.job.ticket
        if not piece.job.over and ticket.wanted:
            return False
        self._dropped(piece.job.over or ("canceled" if ticket.gone else "expired"), 1)
        return True

    def _count(self, job: Job, lines: int, size: int) -> None:
        client = job.ticket.client
        self.lines += lines
        self.bytes += size
        self.held[client] += lines
        if not self.held[client]:
            del self.held[client]
