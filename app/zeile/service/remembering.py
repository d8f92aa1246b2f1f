# SPDX-License-Identifier: Apache-2.0
"""Routes of very many requests with very few different parameters.

FastAPI validates the parameters of every request anew, which for one line takes longer than all else that the event
loop does for it. What it made of a query and of the headers that count is the same the next time, so it is kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Scope

KEPT = 256
"""Different parameters that are kept, the newest."""

LONGEST = 512
"""Bytes of a query and of headers that are kept."""

Work = Callable[..., Awaitable[Response]]


def remembering(headers: tuple[str, ...], first: Callable[[Request], Awaitable[None]]) -> type[APIRoute]:
    """A class of routes; their endpoints do nothing but ``return await worked_out(request, work, parameters...)``.

    The parameters must follow from the query and the headers alone.

    Args:
        headers: that parameters are taken from, in small letters.
        first: is awaited before the work when FastAPI is passed over: what the route's dependencies do.
    """
    counting = frozenset(name.encode() for name in headers)

    def key(scope: Scope) -> tuple[Any, ...] | None:
        sent = [header for header in scope["headers"] if header[0] in counting]
        query = scope["query_string"]
        return (query, *sent) if len(query) + sum(len(value) for _, value in sent) <= LONGEST else None

    class Remembering(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            work_out = super().get_route_handler()
            known: dict[tuple[Any, ...], tuple[Work, tuple[Any, ...]]] = {}

            async def handle(request: Request) -> Response:
                asked = key(request.scope)
                found = known.get(asked) if asked is not None else None
                if found is not None:
                    await first(request)
                    work, parameters = found
                    return await work(request, *parameters)
                try:
                    return await work_out(request)
                finally:
                    found = request.scope["state"].get("worked_out")
                    if found is not None and asked is not None:
                        while len(known) >= KEPT:
                            del known[next(iter(known))]  # the oldest
                        known[asked] = found

            return handle

    return Remembering


async def worked_out(request: Request, work: Work, *parameters: Any) -> Response:
    """Do the work, and let the route know with which parameters."""
    request.scope["state"]["worked_out"] = work, parameters
    return await work(request, *parameters)
