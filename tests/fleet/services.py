# SPDX-License-Identifier: Apache-2.0
"""Services of a fleet that answer, and fail, as they are told to; they run in the loop of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

PATIENCE_S = 60.0
TEXT = b'{"lines":[{"text":"Zeile"}]}'
NEVER = object()
"""An answer that does not come."""


def answer(status: str = "200 OK", body: bytes = TEXT, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class Asked:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


Reply = Callable[[Asked], Awaitable[Any]]


async def reads(asked: Asked) -> Any:
    """The reply of a service that is well."""
    return answer()


def says(*replies: Any) -> Reply:
    """Replies in turn; the last one for good."""
    left = list(replies)

    async def reply(asked: Asked) -> Any:
        return left.pop(0) if len(left) > 1 else left[0]

    return reply


@dataclass
class Service:
    """Attributes: ``asked``, requests but for /readyz, of which there were ``probes``; ``most`` of them at a time;
    ``connections`` that are open."""

    reply: Reply = reads
    ready: Reply = reads
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    probes: int = 0
    working: int = 0
    most: int = 0
    connections: set[asyncio.StreamWriter] = field(default_factory=set)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *fields = head.decode().split("\r\n")[:-2]
                headers = dict(name.lower().split(": ", 1) for name in fields)
                asked = Asked(line, headers, await reader.readexactly(int(headers.get("content-length", 0))))
                self.probes += "/readyz" in line
                said = await (self.ready(asked) if "/readyz" in line else self._worked(asked))
                if said is NEVER:
                    await reader.read()
                    break
                if said is None:
                    break
                writer.write(said)
                await writer.drain()
                if b"Connection: close" in said:
                    break
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the streams of asyncio log a cancellation as an error
        finally:
            self.connections.discard(writer)
            writer.close()

    async def _worked(self, asked: Asked) -> Any:
        self.asked.append(asked)
        self.working += 1
        self.most = max(self.most, self.working)
        try:
            return await self.reply(asked)
        finally:
            self.working -= 1


@asynccontextmanager
async def running(*services: Service, port: int = 0) -> AsyncIterator[list[str]]:
    """The URLs of these services."""
    servers = [await asyncio.start_server(each.talk, "127.0.0.1", port) for each in services]
    for each, server in zip(services, servers, strict=True):
        each.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield [each.url for each in services]
    finally:
        for server in servers:
            server.close()
        ours = {task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == "talk"}
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, PATIENCE_S))
