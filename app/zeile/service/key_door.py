# SPDX-License-Identifier: Apache-2.0
"""The door that asks for an API key."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from zeile.service import problems
from zeile.service.keys import KeyFile
from zeile.service.problems import NoKey

OPEN = ("/", "/livez", "/readyz", "/healthz", "/v2/health/live", "/v2/health/ready", "/openapi.json", "/favicon.ico")
"""Paths that need no key: the page, its description, and what load balancers ask. Also all below /static/."""


class KeyDoor:
    """Let nobody without a key pass, but to the paths of ``OPEN``; sets the client and its scopes in the state.

    Args:
        app: what is behind the door.
        keys: that are good.
    """

    def __init__(self, app: ASGIApp, keys: KeyFile) -> None:
        self.app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        secret = _sent(Headers(scope=scope))
        key = self._keys.find(secret) if secret else None
        if key is not None:
            scope["state"]["client"], scope["state"]["scopes"] = key.name, frozenset(key.scopes)
        elif scope["path"] not in OPEN and not scope["path"].startswith("/static/"):
            what = "the API key that was sent is unknown or was revoked" if secret else "no API key was sent"
            remedy = "send Authorization: Bearer zeile_..., or X-API-Key: zeile_..."
            return await problems.response(NoKey(f"{what}; {remedy}"), scope)(scope, receive, send)
        else:
            scope["state"]["scopes"] = frozenset()
        await self.app(scope, receive, send)


def _sent(headers: Headers) -> str:
    """The key of a request, or an empty text."""
    kind, _, secret = headers.get("authorization", "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "").strip()
