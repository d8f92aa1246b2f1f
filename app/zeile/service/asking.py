# SPDX-License-Identifier: Apache-2.0
"""Who asks and what they may: the dependencies of the endpoints."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Literal, NamedTuple

from fastapi import Depends, Header, Query, Request
from starlette.requests import ClientDisconnect

from zeile.service.keys import SCOPES
from zeile.service.presence import presence
from zeile.service.problems import NotAllowed
from zeile.service.ticket import Ticket
from zeile.service.waiting import here, uncancel

LONGEST_MS = 86_400_000
"""The longest deadline that a request may set, a day."""

Deadline = Annotated[int | None, Query(ge=1, le=LONGEST_MS, description="milliseconds until nobody wants the answer")]
DeadlineHeader = Annotated[int | None, Header(ge=1, le=LONGEST_MS, description="as the parameter deadline_ms")]
Priority = Annotated[Literal["interactive", "bulk"], Query(description="bulk gives way to requests that are not")]


class Terms(NamedTuple):
    """How long a request waits, and for whom it steps aside.

    Attributes:
        deadline_ms: that it asks for, if it does.
        bulk: gives way to requests that are not.
    """

    deadline_ms: int | None
    bulk: bool


async def terms(
    deadline_ms: Deadline = None, x_zeile_deadline_ms: DeadlineHeader = None, priority: Priority = "interactive"
) -> Terms:
    """The parameter wins over the header."""
    return Terms(deadline_ms or x_zeile_deadline_ms, priority == "bulk")


OnTerms = Annotated[Terms, Depends(terms)]


async def ticket(request: Request, asked: OnTerms) -> Ticket:
    """The request as the queue sees it; without a deadline of its own, ZEILE_DEADLINE_S holds."""
    asked_ms = asked.deadline_ms or 1000 * request.app.state.settings.deadline_s
    rates, client = request.app.state.rates, request.state.client
    rates.check(client)
    # Before the body was read: the time that it takes to arrive counts, as the client counts it.
    issued = Ticket(
        request_id=request.state.request_id,
        client=client,
        deadline=time.monotonic() + asked_ms / 1000,
        bulk=asked.bulk,
        charge=partial(rates.charge, client),
    )
    request.state.ticket = issued  # the log says what became of it
    return issued


Asking = Annotated[Ticket, Depends(ticket)]


class Watched:
    """Ends the block once the client is gone, and has its lines dropped: ``async with Watched(request, ticket):``.

    Args:
        request: its body must have been read: whatever of it arrives later is lost.
        ticket: of the request.

    Raises:
        ClientDisconnect: the client is gone.
    """

    def __init__(self, request: Request, ticket: Ticket) -> None:
        self._request, self._ticket = request, ticket
        self._presence = presence(request.scope)
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = here()
        if self._presence is not None:
            self._presence.tell(self._end)
        else:
            self._listener = asyncio.create_task(self._listen())

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._presence is not None:
            self._presence.leave(self._end)
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None  # which knows this in turn
        if kind is asyncio.CancelledError and self._ticket.gone:
            uncancel(self._task)
            raise ClientDisconnect from None

    def _end(self) -> None:
        self._ticket.gone = True
        self._task.cancel()

    async def _listen(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._end()


def requires(scope: str) -> Callable[[Request], Awaitable[None]]:
    """A dependency that lets only keys with the scope pass; without a file of keys, everybody.

    Raises:
        ValueError: there is no such scope.
    """
    if scope not in SCOPES:
        raise ValueError(f"scope {scope!r} does not exist; there are {', '.join(SCOPES)}")

    async def check(request: Request) -> None:
        held: frozenset[str] = request.state.scopes
        if not held & {scope, "admin"}:
            raise NotAllowed(
                f"the key {request.state.client!r} has the scopes {', '.join(sorted(held)) or 'none'}, and not "
                f"{scope!r}, which {request.method} {request.url.path} needs; have one made with "
                f"zeile keys add NAME --scopes {scope}"
            )

    return check
