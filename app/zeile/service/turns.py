# SPDX-License-Identifier: Apache-2.0
"""Whose line is next: clients share the engine evenly, and bulk requests take what the others leave.

A client's turn lasts until it has used up its quantum of columns, however many requests it has sent and however long
their lines are. Since a line's length is known only once it is decoded, it is paid for afterwards: a client that has
overdrawn its quantum misses turns until it has made up for it.

Source: Shreedhar and Varghese, "Efficient fair queueing using deficit round robin", SIGCOMM 1995.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from zeile.service.batch import Job, Piece

QUANTUM = 512
"""Columns of a turn: about a line, so that the lines of all clients are interleaved."""

BULK_SHARE = 8
"""Of so many columns, bulk requests get one even when others wait."""


@dataclass(eq=False)
class _Client:
    """What a client has waiting.

    Attributes:
        jobs: its jobs, in the order in which they came, with the lines of each that wait.
        left: columns that it may still use in this turn; below 0 it has overdrawn.
    """

    jobs: dict[Job, deque[Piece]] = field(default_factory=dict)
    left: int = QUANTUM


class Turns:
    """The lines of several clients, by turns. Every operation but ``drop`` takes the same time however many wait."""

    def __init__(self) -> None:
        self._clients: dict[str, _Client] = {}
        self._order: deque[str] = deque()

    def __bool__(self) -> bool:
        return bool(self._order)

    def add(self, job: Job, pieces: list[Piece]) -> None:
        """Queue lines of a job behind those of its client."""
        name = job.ticket.client
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = _Client()
            self._order.append(name)
        client.jobs.setdefault(job, deque()).extend(pieces)

    def next(self) -> Piece:
        """Take the line whose turn it is; there must be one."""
        while (client := self._clients[self._order[0]]).left <= 0 and len(self._order) > 1:
            client.left += QUANTUM
            self._order.rotate(-1)
        job, pieces = next(iter(client.jobs.items()))
        piece = pieces.popleft()
        if not pieces:
            self._remove(job, client)
        return piece

    def charge(self, client: str, columns: int) -> None:
        """Let a client pay for a line; one that has nothing waiting any more keeps others from nothing."""
        if client in self._clients:
            self._clients[client].left -= columns

    def drop(self, job: Job) -> Iterator[Piece]:
        """Take all lines of a job."""
        client = self._clients.get(job.ticket.client)
        if client is not None and job in client.jobs:
            yield from client.jobs[job]
            self._remove(job, client)

    def _remove(self, job: Job, client: _Client) -> None:
        del client.jobs[job]
        if not client.jobs:
            del self._clients[job.ticket.client]
            self._order.remove(job.ticket.client)


class Share:
    """What the engine owes to bulk requests."""

    def __init__(self) -> None:
        self._owed = 0

    @property
    def due(self) -> bool:
        """Whether it is bulk's turn although others wait."""
        return self._owed >= QUANTUM

    def spend(self, columns: int, *, bulk: bool, contended: bool) -> None:
        """Note what the engine did.

        Args:
            columns: that it read.
            bulk: whether they were a bulk request's.
            contended: whether both kinds of requests had lines waiting; nothing is owed to who asks for nothing.
        """
        if not contended:
            self._owed = 0
        elif bulk:
            self._owed -= columns
        else:
            self._owed += columns // (BULK_SHARE - 1)
