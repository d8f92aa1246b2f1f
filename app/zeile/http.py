# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 for clients of the service: whole requests as bytes, connections that are kept, nothing else.

A request that was prepared once is written as it is, and of an answer only what is needed is parsed, so that one core
sends several thousand requests a second: the load generator's and a fleet's.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import ssl
from collections import deque
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from zeile.errors import BadSettings

MAX_CONNECTIONS = 4096
MAX_HEAD = 1 << 16
_NO_BODY = (204, 304)
_FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding|connection)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)


def allow_connections() -> None:
    """Let this process have as many connections as it may have; often a quarter of that is set."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # the system's own limit may be lower
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class NoAnswer(Exception):
    """A request got no HTTP answer; the message says why."""


class Ended(NoAnswer):
    """The connection ended before the answer did."""


class NotConnected(NoAnswer):
    """The server was not reached."""


class Refused(NotConnected):
    """Its machine is there, but nothing listens."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer.

    Attributes:
        status: of HTTP.
        head: its first line and its headers as they came, up to the empty line.
        body: without its transfer coding.
    """

    status: int
    head: bytes
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """All of them, by lower-case name; ``header`` is cheaper for one."""
        lines = (line.partition(":") for line in self.head.decode("latin-1").split("\r\n")[1:])
        return {name.lower(): value.strip() for name, _, value in lines}

    def header(self, name: str) -> str:
        """One of them, by lower-case name; empty if it is not there."""
        before = b"\r\n%b:" % name.encode()
        found = self.head.lower().find(before)
        return self.head[found + len(before) :].partition(b"\r\n")[0].strip().decode("latin-1") if found >= 0 else ""


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._head: tuple[int, bytes, dict[bytes, bytes]] | None = None  # the last are what says where the body ends
        self._body = bytearray()
        self._waiting: asyncio.Future[Reply] | None = None
        self._timer: asyncio.TimerHandle | None = None  # one for many requests; may go off too early
        self._due = self._timeout_s = 0.0
        self.usable = True
        self.silent = True
        """Nothing came back since the request was written."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class

    async def ask(self, request: bytes, timeout_s: float) -> Reply:
        """Send, and wait for the answer.

        Raises:
            NoAnswer: the connection ended, the time is over, or what came is not HTTP.
        """
        assert self._transport is not None
        assert self._waiting is None
        self._waiting = self._loop.create_future()
        self.silent = True
        self._due, self._timeout_s = self._loop.time() + timeout_s, timeout_s
        if self._timer is None or self._timer.when() > self._due:
            self._set_timer()
        try:
            self._transport.write(request)
            return await self._waiting
        except BaseException:
            self.usable = False  # whoever gave up leaves an answer behind that belongs to nobody
            raise
        finally:
            self._waiting = None
            if not self.usable:
                self.close()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._waiting is None:
            return
        if self._loop.time() < self._due:
            self._set_timer()
        else:
            self._fail(NoAnswer(f"no answer within {max(0.1, round(self._timeout_s, 1)):g} s"))

    def close(self, why: str = "it was closed") -> None:
        """End it; whoever waits for an answer gets none.

        Args:
            why: for them.
        """
        self._fail(NoAnswer(why))
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self.silent = False
        self._received += data
        try:
            self._parse()
        except ValueError:
            self._fail(NoAnswer("the answer is not HTTP/1.1"))

    def eof_received(self) -> None:
        self.usable = False
        if self._head is not None and self._length() is None and not self._chunked():
            self._answer(bytes(self._received))  # a body that the end of the connection ends

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()  # which would keep this until it goes off
        self._fail(Ended(f"the connection ended ({type(error).__name__})" if error else "the connection ended"))

    def _fail(self, error: NoAnswer) -> None:
        self.usable = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)

    def _parse(self) -> None:
        while self._head is None:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                if len(self._received) > MAX_HEAD:
                    raise ValueError
                return
            head = bytes(self._received[:end])
            del self._received[: end + 4]
            version, status = head.partition(b"\r\n")[0].split(b" ", 2)[:2]
            if not version.startswith(b"HTTP/1."):
                raise ValueError
            if int(status) >= 200:  # before it, 100 Continue and the like may come
                framing = {name.lower(): value.strip().lower() for name, value in _FRAMING.findall(head)}
                self._head = int(status), head, framing
        if self._head[0] in _NO_BODY:
            self._answer(b"")
        elif self._chunked():
            self._parse_chunks()
        elif (length := self._length()) is not None and len(self._received) >= length:
            body = bytes(self._received[:length])
            del self._received[:length]
            self._answer(body)

    def _parse_chunks(self) -> None:
        while (end := self._received.find(b"\r\n")) >= 0:
            size = int(self._received[:end].partition(b";")[0], 16)
            if len(self._received) < end + 2 + size + 2:
                return
            self._body += self._received[end + 2 : end + 2 + size]
            del self._received[: end + 2 + size + 2]
            if not size:  # servers that write trailers are told so, and ours are not
                self._answer(bytes(self._body))
                return

    def _chunked(self) -> bool:
        return self._head is not None and b"chunked" in self._head[2].get(b"transfer-encoding", b"")

    def _length(self) -> int | None:
        found = self._head[2].get(b"content-length") if self._head is not None else None
        return None if found is None else int(found)

    def _answer(self, body: bytes) -> None:
        if self._head is None or self._waiting is None:
            raise ValueError
        status, head, framing = self._head
        self._head, self._body = None, bytearray()
        self.usable = self.usable and framing.get(b"connection") != b"close"
        if not self._waiting.done():
            self._waiting.set_result(Reply(status, head, body))


class Host:
    """The server's end: where it is, and the connections to it that are free.

    Args:
        url: of the service; of its path, nothing is kept here.
        connections: most at a time; a request beyond them waits.
        timeout_s: seconds that an answer may take.
        connect_s: seconds that connecting may take; by default ``timeout_s``.

    Raises:
        BadSettings: the URL is none of HTTP.
    """

    def __init__(
        self, url: str, connections: int = MAX_CONNECTIONS, timeout_s: float = 60.0, connect_s: float | None = None
    ) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise BadSettings(f"{url!r} is no URL of a service; write http://HOST:PORT")
        self.name, self.path = parts.netloc.rpartition("@")[2], parts.path
        self._where = (parts.hostname, port or (443 if parts.scheme == "https" else 80))
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._free: deque[Connection] = deque()
        self._places = asyncio.Semaphore(connections)
        self._busy: set[Connection] = set()
        self._timeout_s, self._connect_s = timeout_s, timeout_s if connect_s is None else connect_s

    async def ask(self, request: bytes, timeout_s: float | None = None) -> Reply:
        """Send a whole request, and wait for the answer.

        Args:
            request: head and body.
            timeout_s: seconds that the answer may take; by default those of the host.

        Raises:
            NotConnected: there is no connection to be had, so nothing was sent.
            NoAnswer: there was none.
        """
        clock = asyncio.get_running_loop().time
        ended: Ended | None = None
        end = clock() + (self._timeout_s if timeout_s is None else timeout_s)
        async with self._places:
            if (kept := self._kept()) is not None:
                try:
                    return await self._on(kept, request, end - clock())
                except Ended as error:
                    if not kept.silent:
                        raise
                    # The server closed a connection that it had kept: ask again on a new one. Reading is repeatable.
                    ended = error
            try:
                connection = await self._connect(min(self._connect_s, end - clock()))
            except NotConnected:
                if ended is not None:  # it had the request
                    raise ended from None
                raise
            return await self._on(connection, request, end - clock())

    def _kept(self) -> Connection | None:
        """A free connection, if there is one."""
        while self._free:
            if (connection := self._free.pop()).usable:
                return connection
        return None

    async def _on(self, connection: Connection, request: bytes, timeout_s: float) -> Reply:
        self._busy.add(connection)
        try:
            return await connection.ask(request, timeout_s)
        finally:
            self._busy.discard(connection)
            if connection.usable:
                self._free.append(connection)

    async def _connect(self, timeout_s: float) -> Connection:
        connecting = asyncio.ensure_future(
            asyncio.get_running_loop().create_connection(Connection, *self._where, ssl=self._tls)
        )
        try:
            # Before Python 3.12, wait_for loses a cancellation that comes together with the connection.
            await asyncio.wait((connecting,), timeout=timeout_s)
            if not connecting.done():
                raise NotConnected(f"no connection within {timeout_s:.3g} s")
            return connecting.result()[1]
        except asyncio.CancelledError:
            connecting.add_done_callback(_closed)
            raise
        except ConnectionRefusedError:
            raise Refused("no connection (ConnectionRefusedError)") from None
        except OSError as error:
            raise NotConnected(f"no connection ({type(error).__name__})") from None
        finally:
            connecting.cancel()

    def close(self) -> None:
        """End the connections that are free."""
        while self._free:
            self._free.pop().close()

    def give_up(self, why: str) -> None:
        """End all connections; who waits for an answer gets none, and is told why."""
        self.close()
        for connection in list(self._busy):
            connection.close(why)


def _closed(connecting: asyncio.Future[tuple[asyncio.Transport, Connection]]) -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result()[1].close()
