# SPDX-License-Identifier: Apache-2.0
"""The short way to an endpoint of very many requests with very few different parameters.

FastAPI finds the route and validates the parameters of every request anew, which for one line takes longer than all
else that the event loop does for it. What it made of a query and of the headers that count is the same the next time,
so it is kept, and FastAPI is passed over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from fastapi import HTTPException, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from zeile.errors import ZeileError
from zeile.service import problems

KEPT = 256
"""Different parameters that are kept, the newest."""

LONGEST = 512
"""Bytes of a query and of headers that are kept."""

Work = Callable[..., Awaitable[Response]]


class Remembering:
    """Passes over the app where it knows what the app would do.

    The endpoint must do nothing but ``return await worked_out(request, work, parameters...)``, and its parameters must
    follow from the query and the headers alone.

    Args:
        app: what is behind it.
        path: of the endpoint, which answers POST.
        headers: that parameters are taken from, in small letters.
        first: is awaited before the work when the app is passed over: what the endpoint's other dependencies do.
    """

    def __init__(
        self, app: ASGIApp, path: str, headers: tuple[str, ...], first: Callable[[Request], Awaitable[None]]
    ) -> None:
        self.app, self._path, self._first = app, path, first
        self._counting = frozenset(name.encode() for name in headers)
        self._route = SimpleNamespace(path=path)  # for the metrics
        self._known: dict[tuple[Any, ...], tuple[Work, tuple[Any, ...]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self._path or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        asked = self._key(scope)
        if asked is None:
            return await self.app(scope, receive, send)
        if (found := self._known.get(asked)) is None:
            try:
                return await self.app(scope, receive, send)
            finally:
                self._keep(asked, scope)
        scope["route"] = self._route
        request = Request(scope, receive, send)
        work, parameters = found
        try:
            await self._first(request)
            response = await work(request, *parameters)
        except (ZeileError, HTTPException, ClientDisconnect) as error:
            response = await problems.answer(request, error)
        await response(scope, receive, send)

    def _key(self, scope: Scope) -> tuple[Any, ...] | None:
        sent = [header for header in scope["headers"] if header[0] in self._counting]
        query = scope["query_string"]
        return (query, *sent) if len(query) + sum(len(value) for _, value in sent) <= LONGEST else None

    def _keep(self, asked: tuple[Any, ...], scope: Scope) -> None:
        found = scope["state"].get("worked_out")
        if found is not None:
            while len(self._known) >= KEPT:
                del self._known[next(iter(self._known))]  # the oldest
            self._known[asked] = found


async def worked_out(request: Request, work: Work, *parameters: Any) -> Response:
    """Do the work, and let ``Remembering`` know with which parameters."""
    request.scope["state"]["worked_out"] = work, parameters
    return await work(request, *parameters)
