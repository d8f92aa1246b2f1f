# SPDX-License-Identifier: Apache-2.0
"""A process that reads (``crew_child.py``), and the service's end of the sockets between the two."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from zeile.service.crew_messages import Unpacker, packed

COMMAND = (sys.executable, "-m", "zeile.service.crew_child")
"""Starts the process; the number of its end of the sockets follows."""


class Talk(asyncio.Protocol):
    """Starts the process, tells it things and hears what it says, in the event loop's thread.

    Args:
        said: is given each message.
        ended: is called when the process has ended.

    Attributes:
        process: that was started.

    Raises:
        OSError: none can be started.
    """

    def __init__(self, said: Callable[[tuple[Any, ...]], None], ended: Callable[[], None]) -> None:
        self._said, self._ended = said, ended
        self._unpacker = Unpacker()
        self._transport: asyncio.WriteTransport | None = None
        self._waiting: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            command = [*COMMAND, str(theirs.fileno())]
            try:
                self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        self._connecting = self._loop.create_task(self._connect(ours))

    async def _connect(self, ours: socket.socket) -> None:
        await self._loop.create_unix_connection(lambda: self, sock=ours)

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self._flush()

    def data_received(self, data: bytes) -> None:
        for message in self._unpacker.feed(data):
            self._said(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()

    def tell(self, *message: Any) -> None:
        """Send a message at the end of the loop's turn, with all others that are sent in it."""
        data = packed(message)
        if not self._waiting and self._transport is not None:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)

    def _flush(self) -> None:
        if self._waiting and self._transport is not None:
            self._transport.write(b"".join(self._waiting))
            self._waiting.clear()

    def close(self) -> None:
        """Say no more; the process ends, and ``ended`` is called."""
        self._flush()
        if self._transport is not None:
            self._transport.close()
        else:
            self.process.kill()
