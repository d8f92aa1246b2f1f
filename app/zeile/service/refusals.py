# SPDX-License-Identifier: Apache-2.0
"""What a full service answers before the app is asked: a refusal must cost far less than an answer.

Otherwise four times the load that can be served leaves little time to serve any of it.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from types import SimpleNamespace

from starlette.datastructures import State
from starlette.types import Scope

from zeile.service import problems, record, telemetry
from zeile.service.limits import HEADERS, STREAMS, Places, crowded, wait_s
from zeile.service.problems import Busy
from zeile.service.ticket import Ticket
from zeile.service.worker import Worker

Header = tuple[bytes, bytes]

LINES = "/v1/recognize"
"""Where most lines are sent."""

LOGGED = 20
"""Refusals within ``LOGGED_S`` that have a line of the log each."""

LOGGED_S = 1
"""Seconds."""

REWRITTEN_S = 0.1
"""Seconds until what is answered to many is looked at again: how soon they may come back hardly changes meanwhile."""

WORDED = 256
"""Clients that are answered from the same wording each; more are worded anew."""

log = logging.getLogger(__name__)

_NAME = "{name}"  # where a request's identifier belongs
_ROUTE = SimpleNamespace(path=LINES)  # for the metrics
_ELSEWHERE = frozenset((b"x-forwarded-for", b"x-zeile-deadline-ms"))
# Of the headers, those that nearly all clients send and none that asks for something special. There must be one way
# only to match a line: with two, a head of forty lines could take for ever.
_SAID = rb"(?:(?i:host|user-agent|accept|accept-encoding|accept-language|content-type):[ -~]*\r\n|%b)*" % (
    rb"(?i:connection: ?keep-alive)\r\n"
)
_PLAIN = re.compile(
    rb"POST %b HTTP/1\.1\r\n%b(?i:content-length): ?(\d{1,9})\r\n%b\r\n" % (LINES.encode(), _SAID, _SAID)
)
_SAFE = b"".join(f"{name}: {value}\r\n".encode() for name, value in HEADERS.items())


def whole(head: bytes, headers: Sequence[Header], name: str, body: bytes) -> bytes:
    """An answer that a connection gives itself.

    Args:
        head: the status line and this answer's own headers.
        headers: that the server adds.
        name: of the request.
        body: of the answer.
    """
    added = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"%b%b%bx-request-id: %b\r\n\r\n%b" % (head, _SAFE, added, name.encode(), body)


@dataclass(frozen=True)
class _Worded:
    """A refusal that is given to many.

    Attributes:
        at: when it was worded.
        answer: before and after the request's identifier.
        count: counts one more in the metrics.
    """

    at: float
    answer: Sequence[bytes]
    count: Callable[[], None]


class Refusals:
    """Answers for the connections of an app, whole and in bytes.

    Args:
        state: of the app.
    """

    def __init__(self, state: State) -> None:
        settings = state.settings
        self._state, self._deadline_s = state, settings.deadline_s
        # Pages of other origins see a refusal only with headers that the whole way through the app adds.
        self._allowed = not settings.cors
        self._knows_clients = settings.keys is None and not settings.rate
        self._places: Places = state.places
        self._second, self._lines, self._silent = 0.0, 0, 0
        self._traced = False
        self._worded: dict[tuple[type[Busy | None], str], _Worded] = {}  # by client, where the queue has no room for it
        self._took = state.metrics.request_seconds.observe

    def due(self, tasks: int) -> bool:
        """Whether a request for lines is likely to be refused; cheap.

        Args:
            tasks: of requests that run, or are about to.
        """
        return self._allowed and (self._places.full(LINES, tasks) or self._crowded)

    @property
    def _crowded(self) -> bool:
        worker: Worker | None = getattr(self._state, "worker", None)
        return worker is not None and worker.crowded

    def answer(self, scope: Scope, tasks: int, headers: Sequence[Header]) -> bytes | None:
        """The answer to a request that is refused, noted as ``record.Record`` notes it; None if the app is to answer.

        Args:
            scope: of the request.
            tasks: as ``due`` has them.
            headers: that the server adds.
        """
        began, path = time.perf_counter(), scope["path"]
        error = self._no_place(path) if self._places.full(path, tasks) else self._queue_full(scope)
        if error is None:
            return None
        name = record.introduce(scope)
        if path == LINES:
            scope["route"] = _ROUTE
        status, scope["state"]["problem"], head, body = _written(*_facts(error), path.startswith("/v2"))
        record.finish(self._state.metrics, scope, status, time.perf_counter() - began, self._logged())
        return whole(head, headers, name, body)

    def answer_unparsed(
        self, data: bytes, client: tuple[str, int] | None, tasks: int, headers: Sequence[Header]
    ) -> bytes | None:
        """The answer to bytes that are one whole request for lines as most are; None if they are to be parsed.

        Only once so many are refused that the log has one line for them all: then nothing of a request matters but that
        it is one. Costs a quarter of parsing it and ``answer``.

        Args:
            data: what a connection received.
            client: at its other end, as a scope has it.
            tasks: as ``due`` has them.
            headers: that the server adds.
        """
        began = time.monotonic()
        if self._lines < LOGGED or began // LOGGED_S != self._second or self._traced or not self._allowed:
            return None
        who, error = "", None
        if not self._places.full(LINES, tasks):
            who = record.address({"client": client})
            error = self._refused(who) if self._crowded else None
            if error is None:
                return None
        plain = _PLAIN.match(data)
        if plain is None or plain.end() + int(plain[1]) != len(data):
            return None
        worded = self._worded.get((type(error), who))
        if worded is None or began - worded.at > REWRITTEN_S:
            if len(self._worded) >= WORDED:
                self._worded.clear()
            worded = self._word(error or self._no_place(LINES), headers, began)
            self._worded[type(error), who] = worded
        self._silent += 1
        worded.count()
        self._took(time.monotonic() - began)
        return record.new_name().encode().join(worded.answer)

    def _word(self, error: Busy, headers: Sequence[Header], now: float) -> _Worded:
        status, problem, head, body = _written(*_facts(error), False)
        metrics = self._state.metrics
        requests, rejected = metrics.requests.labels(LINES, record.outcome(status)), metrics.rejected.labels(problem)

        def count() -> None:
            requests.inc()
            rejected.inc()

        return _Worded(now, whole(head, headers, _NAME, body).split(_NAME.encode()), count)

    def _no_place(self, path: str) -> Busy:
        return crowded(self._places.limits[path in STREAMS], wait_s(self._state))

    def _logged(self) -> bool:
        """Whether a refusal gets a line of the log: the first ones of a second do, the others are counted."""
        second = time.monotonic() // LOGGED_S
        if second != self._second:
            if self._silent:
                log.warning("%d more requests were refused within a second", self._silent)
            self._second, self._lines, self._silent = second, 0, 0
            self._traced = telemetry.wanted()
        self._lines += 1
        self._silent += self._lines > LOGGED
        return self._lines <= LOGGED

    def _queue_full(self, scope: Scope) -> Busy | None:
        """Why the queue takes nothing of a request that asks for nothing special."""
        special = scope["query_string"] or any(name in _ELSEWHERE for name, _ in scope["headers"])
        if scope["path"] != LINES or scope["method"] != "POST" or special:
            return None
        return self._refused(record.address(scope))

    def _refused(self, client: str) -> Busy | None:
        """Why the queue takes nothing of a client now."""
        if not self._knows_clients:
            return None
        try:
            self._state.worker.check(Ticket("", client, deadline=time.monotonic() + self._deadline_s))
        except Busy as error:
            return error
        return None


def _facts(error: Busy) -> tuple[Callable[[str, float], Busy], str, str]:
    return type(error), str(error), error.headers["retry-after"]


@lru_cache(maxsize=64)
def _written(
    kind: Callable[[str, float], Busy], message: str, retry_after: str, v2: bool
) -> tuple[int, str, bytes, bytes]:
    """Status, kind of problem, head but for its end, and body; most refusals are the same as the one before."""
    scope: Scope = {"path": "/v2" if v2 else "/", "state": {}}
    answer = problems.response(kind(message, float(retry_after)), scope)
    status = HTTPStatus(answer.status_code)
    head = b"".join(b"%b: %b\r\n" % header for header in answer.raw_headers)
    first = b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())
    return answer.status_code, scope["state"]["problem"], first + head, bytes(answer.body)
