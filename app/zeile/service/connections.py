# SPDX-License-Identifier: Apache-2.0
"""A connection that cannot be held open by a client that says nothing, says it slowly, or does not listen.

Uvicorn has a time limit between two requests only, and none on the length of a request's head. Bodies are limited by
the app (``limits.py``), which can answer for itself.
"""

from __future__ import annotations

import asyncio
import json
import math
import resource
import socket
import struct
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, cast

import httptools
from starlette.datastructures import State
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from zeile.service.presence import Presence
from zeile.service.problems import MEDIA_TYPE
from zeile.service.pulse import PATH, Pulse
from zeile.service.refusals import Refusals
from zeile.settings import Settings

HEAD_S = 8
"""Seconds until a request's head must be there, from the connection's or the head's first byte on."""

KEEP_S = 75
"""Seconds that a connection is kept for its next request: longer than clients and proxies keep theirs (httpx 5, nginx
and load balancers 60), or one of them asks at the very moment that it is closed, and has no answer."""

LINGER_S = 5
"""Seconds that the rest of a refused body is thrown away; closed at once, the client might not see the answer."""

HEAD_BYTES = 65_536
"""Of a request line and its headers."""

PIPELINED = 16
"""Requests of a connection that wait for the one before them; each takes a hundred times the memory that it is long."""

UNREAD_BYTES = 65_536
"""Of answers that a client leaves unread; from then on its requests wait for one another."""

FILES_KEPT = 128
"""File descriptors that connections leave to models, uploads and logs."""


class Connection(HttpToolsProtocol):
    """See above; made by ``connection``."""

    head_s: float = HEAD_S
    stall_s: float = 30
    most: int = 1024

    refusals: Refusals
    pulse: Pulse
    rejected: Callable[[], None]

    _timer: asyncio.TimerHandle | None = None  # for what the client should send; may go off too early
    _due = math.inf
    _then: Callable[[], None]
    _stall: asyncio.TimerHandle | None = None  # for what it should take
    _message_open = False
    _head_open = True
    _head_bytes = 0
    _asked = -math.inf  # when the last request came that was refused unparsed

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        joining: Any = Joining(transport, self.loop)
        super().connection_made(joining)
        self._presence = Presence()
        self.timeout_keep_alive = KEEP_S
        held = transport.get_extra_info("socket")
        if held is not None and held.family != socket.AF_UNIX:
            # What a deaf or vanished client leaves in the kernel's buffers is not seen as a stall here.
            held.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * self.stall_s))
        if len(self.connections) > self.most and not self._replaced():
            self.rejected()
            self._refuse(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"there are {self.most} connections, which is the most; ask again when Retry-After says",
                ("retry-after: 1",),
            )
        else:
            self._arm(self.head_s, self._end_head)

    def _replaced(self) -> bool:
        """Have the place of the connection that waits longest for its next request, if there is one."""
        others: Iterable[Any] = self.connections
        # Not one whose refused body still comes: closed now, it might not see the answer.
        idle = [each for each in others if each._waits and not each.transport.is_closing()]
        if idle:
            min(idle, key=lambda each: each._kept_until)._end_kept()
        return bool(idle)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._timer is not None:
            self._timer.cancel()
        self._unset_keepalive_if_required()  # uvicorn leaves it where the client has reset the connection
        self.resume_writing()
        super().connection_lost(exc)
        self._presence.end()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._waits and (answer := self._refusal(data)) is not None:
            self._asked = self.loop.time()
            self.transport.write(answer)
            return
        if self._head_open:
            self._head_bytes += len(data)
        if self._waits:  # ended by these bytes, which may be empty lines
            self._arm(self.head_s, self._end_head)
        super().data_received(data)
        self._head_bytes = self._head_bytes or len(data)  # of a head that began with these
        # Pieces of a body that came with the head are counted too, hence only while the head is not over.
        if self._head_open and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("")

    @property
    def _waits(self) -> bool:
        """Whether the last answer is given and nothing of the next request is there."""
        # The rest of a refused body may still come.
        return self.timeout_keep_alive_task is not None and not self._message_open

    def _refusal(self, data: bytes) -> bytes | None:
        """The answer to a request that need not be parsed, if these bytes are one."""
        if self.transport.get_write_buffer_size() > UNREAD_BYTES:
            return None
        return self.refusals.answer_unparsed(data, self.client, len(self.tasks), self.server_state.default_headers)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._presence.enter(cast(Scope, self.scope))
        if not self._head_open:  # a second request; the first one's time began with the connection
            self._head_open, self._head_bytes = True, 0
            self._arm(self.head_s, self._end_head)
        self._message_open = True

    def on_headers_complete(self) -> None:
        self._disarm()
        self._head_open = False
        self._head_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._head_bytes > HEAD_BYTES:
            raise ValueError("the head is too long")  # seen by the parser, which gives up
        if len(self.pipeline) >= PIPELINED:
            self._reset()
            raise ValueError("too many requests at once")
        short = self.pulse if self.url == PATH else self.refusals if self.refusals.due(len(self.tasks)) else None
        if short is None or not self._answered(short):
            super().on_headers_complete()

    def _answered(self, short: Pulse | Refusals) -> bool:
        """Answer without a task and before the body is read: that the service lives, or that there is no place."""
        busy = self.cycle is not None and not self.cycle.response_complete
        busy = busy or self.transport.get_write_buffer_size() > UNREAD_BYTES
        if busy or self.parser.get_http_version() != "1.1" or not self.parser.should_keep_alive():
            return False
        url = httptools.parse_url(self.url)
        scope = {
            **self.scope,
            "method": self.parser.get_method().decode("ascii"),
            "path": url.path.decode("ascii"),
            "query_string": url.query or b"",
        }
        answer = short.answer(scope, len(self.tasks), self.server_state.default_headers)
        if answer is None:
            return False
        self.cycle = _ANSWERED
        self.transport.write(answer)
        self.on_response_complete()
        return True

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._message_open = False
        if self.cycle is not None and self.cycle.response_complete:
            self._disarm()  # the rest of a refused body
            if self.timeout_keep_alive_task is None and not self.transport.is_closing():  # ended by that rest
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._head_open:
            self._arm(self.head_s, self._end_head)
        elif self._message_open:
            self._arm(LINGER_S, self._reset)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self.loop.call_later(self.stall_s, self._reset)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    @property
    def _kept_until(self) -> float:
        assert self.timeout_keep_alive_task is not None
        return max(self.timeout_keep_alive_task.when(), self._asked + self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        if self._kept_until > self.loop.time():  # refused unparsed since then
            self.timeout_keep_alive_task = self.loop.call_at(self._kept_until, self.timeout_keep_alive_handler)
        else:
            self._end_kept()

    def _end_kept(self) -> None:
        if self.transport.get_write_buffer_size():  # closing would wait until the client takes the rest
            self._reset()
        elif not self.transport.is_closing():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        if self.transport.is_closing():
            return
        if self._head_bytes > HEAD_BYTES:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the request line and its headers have more than {HEAD_BYTES} bytes; files go into the body",
            )
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, "this is no HTTP request that can be understood")

    def _end_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:  # the head of a request that waits its turn
            self._arm(self.head_s, self._end_head)
        elif self._head_bytes:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the request's head has taken more than {self.head_s:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, detail: str, headers: tuple[str, ...] = ()) -> None:
        body = json.dumps(
            {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
        ).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"content-type: {MEDIA_TYPE}",
            f"content-length: {len(body)}",
            "connection: close",
            *headers,
        )
        self.transport.write("\r\n".join((*head, "", "")).encode() + body)
        self.transport.close()
        self._arm(LINGER_S, self._reset)

    def _reset(self) -> None:
        """Close the connection and forget what was to be sent; otherwise the kernel keeps that for many minutes."""
        held = self.transport.get_extra_info("socket")
        if held is not None:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _arm(self, seconds: float, then: Callable[[], None]) -> None:
        """Have something done later, instead of what should have been; called for every request, so a timer stays."""
        self._due, self._then = self.loop.time() + seconds, then
        if self._timer is None or self._timer.when() > self._due:
            self._set_timer()

    def _disarm(self) -> None:
        self._due = math.inf

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._due == math.inf:
            return
        if self.loop.time() < self._due:
            self._set_timer()
        else:
            self._due = math.inf
            self._then()


class Joining:
    """A transport that sends the head of an answer with what follows: one system call for both, and one packet.

    Args:
        transport: that is written to.
        loop: that it belongs to.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send; a head waits for the next write, at most until the loop's next turn."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.endswith(b"\r\n\r\n"):
            self._head = data
            self._loop.call_soon(self.flush)
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Send a head that waits."""
        if self._head:
            data, self._head = self._head, b""
            self._transport.write(data)

    def close(self) -> None:
        """Send what waits, then close."""
        self.flush()
        self._transport.close()

    def get_write_buffer_size(self) -> int:
        """Bytes that are not sent yet."""
        return len(self._head) + self._transport.get_write_buffer_size()


class _Answered:
    """A request whose answer is sent, and the rest of which is thrown away."""

    response_complete = True
    disconnected = False

    def __init__(self) -> None:
        self.message_event = asyncio.Event()


_ANSWERED: Any = _Answered()


def connection(state: State) -> type[Connection]:
    """The protocol of an app's connections.

    Args:
        state: of the app.
    """
    settings: Settings = state.settings

    class Guarded(Connection):
        refusals = Refusals(state)
        pulse = Pulse(state)
        rejected = state.metrics.rejected.labels("connections").inc
        head_s = float(min(HEAD_S, settings.send_s))
        stall_s = float(settings.send_s)
        most = _most(settings)

    return Guarded


def _most(settings: Settings) -> int:
    """Connections at a time: many for each request that is worked on, as far as there are file descriptors.

    Clients keep their connections; one that is turned away comes back, and that costs more than letting it wait.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16 * settings.requests + 64
    return wanted if files == resource.RLIM_INFINITY else max(16, min(wanted, files - FILES_KEPT))
