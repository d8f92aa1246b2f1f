# SPDX-License-Identifier: Apache-2.0
"""A server that answers as it is told to, byte by byte, and counts what it was sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

TEXT = b'{"lines":[{"text":"Zeile"}]}'


def answer(status: str = "200 OK", body: bytes = TEXT, headers: str = "Content-Type: application/json\r\n") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


@dataclass
class Asked:
    """A request as it came."""

    head: str
    body: bytes

    @property
    def line(self) -> str:
        return self.head.split("\r\n", 1)[0]


@dataclass
class FakeService:
    """Attributes: ``url``; ``asked``, all requests; ``connections``, how many there were."""

    reply: Callable[[Asked], bytes | None]
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    close_after: int | None = None

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        served = 0
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
                asked = Asked(head.decode(), await reader.readexactly(int(fields.get("Content-Length", 0))))
                self.asked.append(asked)
                reply = self.reply(asked)
                if reply is None:
                    break
                half = len(reply) // 2  # in two pieces: an answer need not come at once
                writer.write(reply[:half])
                await writer.drain()
                writer.write(reply[half:])
                await writer.drain()
                served += 1
                if served == self.close_after or b"Connection: close" in reply:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@contextmanager
def faking(reply: Callable[[Asked], bytes | None], close_after: int | None = None) -> Iterator[FakeService]:
    """A running fake service."""
    service = FakeService(reply, close_after=close_after)
    ready, loop = threading.Event(), asyncio.new_event_loop()
    done: asyncio.Future[None] = loop.create_future()

    async def serve() -> None:
        server = await asyncio.start_server(service.talk, "127.0.0.1", 0)
        service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await done
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.wait((task,))

    def run() -> None:
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(60)
    try:
        yield service
    finally:
        loop.call_soon_threadsafe(done.set_result, None)
        thread.join()
