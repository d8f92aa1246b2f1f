# SPDX-License-Identifier: Apache-2.0
"""Whether a client is still there: what a connection tells the requests that it carries.

ASGI has a message for that, but only a task of its own can wait for it while the request is worked on, and a task that
is cancelled leaves circles behind for the garbage collector.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import Scope

_EXTENSION = "zeile.presence"


class Presence:
    """Of the client of one connection.

    Attributes:
        gone: the connection has ended.
    """

    def __init__(self) -> None:
        self.gone = False
        self._told: set[Callable[[], None]] = set()

    def tell(self, callback: Callable[[], None]) -> None:
        """Call this once the client is gone; at once if it is."""
        if self.gone:
            callback()
        else:
            self._told.add(callback)

    def leave(self, callback: Callable[[], None]) -> None:
        """Call it no more."""
        self._told.discard(callback)

    def end(self) -> None:
        """The client is gone."""
        self.gone = True
        while self._told:
            self._told.pop()()

    def enter(self, scope: Scope) -> None:
        """Have a request of the connection know it."""
        scope["extensions"] = {_EXTENSION: self}


def presence(scope: Scope) -> Presence | None:
    """Of a request's client; None if the server has none, as other servers than ``zeile serve``."""
    found = scope.get("extensions", {}).get(_EXTENSION)
    return found if isinstance(found, Presence) else None
