# SPDX-License-Identifier: Apache-2.0
"""What stands between the network and the app: how many requests, how long, how slow, and headers that close it off."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zeile.service import memory, problems
from zeile.service.problems import BodyTooLarge, NotAllowed, Overloaded, TooSlow
from zeile.service.waiting import within

HEADERS = {
    # The page loads nothing from elsewhere; pictures that a user drops are blobs.
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}

START_S = 8
"""Seconds that any body may take."""

SLOWEST = 2000
"""Bytes a second below which a body is not waited for any longer than that."""

WATCHED = ("/livez", "/readyz", "/healthz", "/metrics", "/v2/health/live", "/v2/health/ready")
"""What operators ask of a service that is full; always answered."""

FILES = ("/v1/recognize", "/v1/measure", "/v1/pages", "/v1/jobs/measure", "/v2/models/")
"""Where files are sent, as the paths begin; bodies elsewhere are short."""

SHORT = 65_536
"""Bytes of a body anywhere else."""

STREAMS = ("/v1/live",)
"""Answers that do not end by themselves; pages that are left open must not keep lines from being read."""


class BodyLimit:
    """Refuse bodies that are too long with 413, announced or not, and those that take too long to arrive with 408.

    Starlette's RequestBodyLimitMiddleware does the first from version 1.7 on, but answers in plain text.

    Args:
        app: what is behind it.
        limit: bytes of a body.
        seconds: that the service waits for a body, all in all; what the app takes between two pieces does not count.
            A body that arrives at less than ``SLOWEST`` bytes a second is given up after ``START_S`` already.
    """

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self.app, self.limit, self.seconds = app, limit, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        limit = self.limit if scope["path"].startswith(FILES) else min(SHORT, self.limit)
        announced = Headers(scope=scope).get("content-length", "")[:20]  # a longer number is too large already
        if announced.isdecimal() and int(announced) > limit:
            error = _too_large(f"{announced} bytes", limit)
            return await problems.response(error, scope)(scope, receive, send)
        seen, waited, complete = 0, 0.0, False

        async def counted() -> Message:
            nonlocal seen, waited, complete
            if complete:
                return await receive()  # the app waits for the client to leave, which has time
            allowed = min(self.seconds, START_S + seen / SLOWEST)
            message, took = await within(receive, allowed - waited)
            if message is None:
                raise TooSlow(
                    f"{seen} bytes of the body have come in {allowed:.0f} s, which may take {self.seconds:g} s in all "
                    f"at no less than {SLOWEST} bytes a second; send fewer files a request, or have the service "
                    "started with a higher ZEILE_SEND_S"
                )
            waited += took
            complete = not message.get("more_body", False)
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _too_large(f"more than {limit} bytes", limit)
            return message

        await self.app(scope, counted, send)


def _too_large(size: str, limit: int) -> BodyTooLarge:
    remedy = "send fewer files a request, or have the service started with a higher ZEILE_BODY_BYTES"
    return BodyTooLarge(
        f"the body has {size}, at most {limit} are read here; {remedy if limit != SHORT else 'it need not be longer'}"
    )


class Places:
    """Requests that are worked on, and how many may be.

    Args:
        limit: requests at a time. Streams have a quarter of it for themselves, and operators' questions no limit.
    """

    def __init__(self, limit: int) -> None:
        self.limits = {False: limit, True: max(1, limit // 4)}
        self.taken = {False: 0, True: 0}

    def full(self, path: str, tasks: int = 0) -> bool:
        """Whether a request to a path has no place.

        Args:
            path: that it asks for.
            tasks: of requests that run or are about to; those have no place yet, but will take one.
        """
        stream = path in STREAMS
        taken = self.taken[True] if stream else max(self.taken[False], tasks - self.taken[True])
        return taken >= self.limits[stream] and path not in WATCHED


class InFlight:
    """Work on so many requests at a time and answer the others 503 at once, before their bodies are read.

    Args:
        app: what is behind it.
        places: where requests are counted.
    """

    def __init__(self, app: ASGIApp, places: Places) -> None:
        self.app, self._places = app, places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in WATCHED:
            return await self.app(scope, receive, send)
        places, stream = self._places, scope["path"] in STREAMS
        if places.full(scope["path"]):
            error = crowded(places.limits[stream], wait_s(scope["app"].state))
            return await problems.response(error, scope)(scope, receive, send)
        places.taken[stream] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            places.taken[stream] -= 1
            if not places.taken[False]:
                memory.tidy()


def crowded(limit: int, wait: float) -> Overloaded:
    """Why a request has no place.

    Args:
        limit: of places.
        wait: seconds until it may ask again.
    """
    return Overloaded(
        f"{limit} requests are being worked on, which is the most; ask again when Retry-After says, or have the "
        "service started with a higher ZEILE_REQUESTS",
        wait,
    )


def wait_s(state: State) -> float:
    """Seconds until what waits now will have been read, at the rate that is measured; 1 to 60."""
    worker = getattr(state, "worker", None)
    rate = float(getattr(worker, "rate", 0.0) or 0.0)
    return min(60.0, max(1.0, worker.waiting / rate)) if worker is not None and rate else 1.0


class SameOrigin:
    """Refuse what a browser sends for the page of another origin, unless that is on the list.

    A page anywhere may send forms to a service in the user's own network. CORS keeps it from seeing the answers; this
    keeps the service from working for it, and from having its models unloaded.

    Args:
        app: what is behind it.
        origins: whose pages may ask.
    """

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self.app, self._origins = app, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            # Behind a proxy the scheme may differ; the host is what counts.
            if origin is not None and origin not in self._origins and _host(origin) != headers.get("host", "").lower():
                error = NotAllowed(
                    f"pages of {origin[:200]!r} may not ask this service; have it started with them in ZEILE_CORS"
                )
                return await problems.response(error, scope)(scope, receive, send)
        await self.app(scope, receive, send)


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


class SafeHeaders:
    """Add ``HEADERS`` to every answer; nothing behind it sets them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self._headers = app, [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def added(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self.app(scope, receive, added)
