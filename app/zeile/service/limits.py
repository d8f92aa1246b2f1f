# SPDX-License-Identifier: Apache-2.0
"""What stands between the network and the app: a limit on bodies, and headers that close the page off."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zeile.service import problems

HEADERS = {
    # The page loads nothing from elsewhere; pictures that a user drops are blobs.
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class BodyLimit:
    """Refuse bodies longer than ``limit`` bytes with 413, whether the length is announced or not.

    Starlette's RequestBodyLimitMiddleware does this from version 1.7 on, but answers in plain text.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        announced = Headers(scope=scope).get("content-length", "")[:20]  # a longer number is too large already
        if announced.isdecimal() and int(announced) > self.limit:
            return await problems.response(self._error(f"{announced} bytes"))(scope, receive, send)
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limit:
                raise self._error(f"more than {self.limit} bytes")
            return message

        await self.app(scope, counted, send)

    def _error(self, size: str) -> problems.BodyTooLarge:
        return problems.BodyTooLarge(
            f"the body has {size}, at most {self.limit} are read; send fewer files a request, "
            "or have the service started with a higher ZEILE_BODY_BYTES"
        )


class SafeHeaders:
    """Add ``HEADERS`` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def added(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, added)
