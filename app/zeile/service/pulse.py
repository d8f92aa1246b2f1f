# SPDX-License-Identifier: Apache-2.0
"""GET /livez, answered by the connection itself.

Whoever asks restarts the service if no answer comes in time. A service that is merely busy must not be restarted, so
this question waits for no other request's turn.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace

from starlette.datastructures import State
from starlette.types import Scope

from zeile.service import record, schemas
from zeile.service.health import Health
from zeile.service.refusals import Header, whole

PATH = b"/livez"

_ROUTE = SimpleNamespace(path=PATH.decode())  # for the metrics
_BODY = schemas.Alive(status="alive").model_dump_json().encode()
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncontent-type: application/json\r\n" % len(_BODY)


class Pulse:
    """The answer of a service that lives, in bytes; all others are the app's.

    Args:
        state: of the app.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def answer(self, scope: Scope, tasks: int, headers: Sequence[Header]) -> bytes | None:
        """The answer, noted as ``record.Record`` notes it; None if the app is to answer.

        Args:
            scope: of the request.
            tasks: how many there are, which is all the same here.
            headers: that the server adds.
        """
        began = time.perf_counter()
        health: Health | None = getattr(self._state, "health", None)
        plain = (
            scope["method"] == "GET"
            and not scope["query_string"]
            and all(name != b"origin" for name, _ in scope["headers"])
        )
        if health is None or health.dead is not None or not plain:
            return None
        name = record.introduce(scope)
        scope["route"] = _ROUTE
        record.finish(self._state.metrics, scope, 200, time.perf_counter() - began)
        return whole(_HEAD, headers, name, _BODY)
