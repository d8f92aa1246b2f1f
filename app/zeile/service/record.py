# SPDX-License-Identifier: Apache-2.0
"""The outermost door: every request gets an identifier, an answer, its place in the metrics, and a line in the log."""

from __future__ import annotations

import logging
import random
import re
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zeile.service import logs, problems, telemetry
from zeile.service.logs import REQUESTS
from zeile.service.metrics import Metrics

log = logging.getLogger(__name__)
requests_log = logging.getLogger(REQUESTS)

_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context
_names = random.Random()  # names need to differ and not to be secret; asking the system for bytes gives up the GIL
_MAX_PATH = 200  # characters of a path in the log
_ALL = frozenset({"admin"})
_CUT_OFF = 499  # the client was gone before there was an answer; as in other servers' logs


class Record:
    """Name, count, time and log every request; what the app does not answer itself is answered with a problem.

    Sets in ``request.state``: ``request_id``, from X-Request-Id if that is sound; ``client``, the address;
    ``scopes``, all of them. Keys, where there are any, replace the last two.

    Args:
        app: what is behind the door.
        metrics: of the service.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, status, ended = time.perf_counter(), 0, False
        name = introduce(scope)

        async def named(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", name.encode())]
            else:
                ended = not message.get("more_body", False)
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self.app(scope, receive, named)
        except Exception as error:
            log.exception("request %s failed", name)
            if not status:
                await problems.response(error, scope)(scope, receive, named)
            status, ended = 500, True
        finally:
            self._metrics.in_flight.dec()
            finish(self._metrics, scope, status if ended else _CUT_OFF, time.perf_counter() - began)


def introduce(scope: Scope) -> str:
    """Set what is known of a request from the first; returns its identifier."""
    state = scope.setdefault("state", {})
    state["request_id"] = name = _identifier(Headers(scope=scope).get("x-request-id", ""))
    state["client"] = address(scope)
    state["scopes"] = _ALL
    return name


def address(scope: Scope) -> str:
    """Of the client."""
    return str((scope.get("client") or ("local",))[0])


def finish(metrics: Metrics, scope: Scope, status: int, seconds: float, logged: bool = True) -> None:
    """Count and log a request that has been answered.

    Args:
        metrics: of the service.
        scope: of the request.
        status: of the answer.
        seconds: that it took.
        logged: whether it gets a line of the log.
    """
    state: dict[str, Any] = scope["state"]
    problem = state.get("problem", "")
    if problem == "cut-off":  # the answer to it went nowhere
        status = _CUT_OFF
    route = getattr(scope.get("route"), "path", "other")
    metrics.requests.labels(route, outcome(status)).inc()
    if not state.get("streamed"):  # the page's stream of events: its length is no latency
        metrics.request_seconds.observe(seconds)
    if status < 400 and state.get("ticket") is not None:
        metrics.latencies.append((time.monotonic(), seconds))
    if problem:
        metrics.rejected.labels(problem).inc()
    if logged and requests_log.isEnabledFor(logging.INFO):
        logs.request(_facts(scope, status, seconds, problem))
    telemetry.trace(scope, route, status, seconds)


def new_name() -> str:
    """An identifier for a request whose client gave none."""
    return f"{_names.getrandbits(128):032x}"


def _facts(scope: Scope, status: int, seconds: float, problem: str) -> dict[str, Any]:
    """The line of a request in the log."""
    state = scope["state"]
    ticket = state.get("ticket")
    trace = Headers(scope=scope).get("traceparent", "")
    return {
        "id": state["request_id"],
        "traceparent": trace if _TRACE.fullmatch(trace) else "",
        "client": state["client"],
        "method": scope["method"],
        "path": scope["path"][:_MAX_PATH],
        "status": status,
        "problem": problem,
        "lines": ticket.lines if ticket is not None else 0,
        "model": ticket.model if ticket is not None else "",
        "ms": round(1000 * seconds, 3),
        "stages_ms": {n: round(1000 * s, 3) for n, s in ticket.stages.items()} if ticket is not None else {},
    }


def _identifier(asked: str) -> str:
    """The client's identifier, or a new one where it has none that may stand in a log."""
    return asked if _ID.fullmatch(asked) else new_name()


def outcome(status: int) -> str:
    """What a status counts as, see ``Metrics.requests``."""
    if status == _CUT_OFF:
        return "canceled"
    if status in (429, 503):
        return "overloaded"
    if status >= 500:
        return "failed"
    return "refused" if status >= 400 else "ok"
