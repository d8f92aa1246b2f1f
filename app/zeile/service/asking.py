# SPDX-License-Identifier: Apache-2.0
"""Who asks and what they may: the dependencies of the endpoints."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Literal, NamedTuple

from fastapi import Depends, Header, Query, Request
from starlette.requests import ClientDisconnect

from zeile.service.keys import SCOPES
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


@asynccontextmanager
async def watched(request: Request, ticket: Ticket) -> AsyncIterator[None]:
    """End the block once the client is gone, and have its lines dropped.

    Args:
        request: its body must have been read: whatever of it arrives later is lost.
        ticket: of the request.

    Raises:
        ClientDisconnect: the client is gone.
    """
    task = here()

    async def listen() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        ticket.gone = True
        task.cancel()

    listener = asyncio.create_task(listen())
    try:
        yield
    except asyncio.CancelledError:
        if not ticket.gone:
            raise
        uncancel(task)
        raise ClientDisconnect from None
    finally:
        listener.cancel()


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
