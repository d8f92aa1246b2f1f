# SPDX-License-Identifier: Apache-2.0
"""Clients that hang up: nothing is read for them, and those that stay are answered."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Scope
from tests.models import line_png
from tests.service.raw import answer, connect, one_answer, until
from tests.service.serving import running
from tests.service.working import Held

from zeile.service.app import create_app
from zeile.service.asking import Watched
from zeile.service.presence import Presence
from zeile.service.ticket import Ticket
from zeile.settings import Settings

CLIENTS = 40
HEAD = b"POST /v1/recognize HTTP/1.1\r\nhost: zeile\r\nconnection: close\r\ncontent-type: image/png\r\n"


def test_when_half_of_the_clients_hang_up_only_the_lines_of_the_others_are_read(
    models: Path, devices: list[Held]
) -> None:
    app, image = create_app(Settings(models=models, model="tiny/1", self_test_s=86_400)), line_png(1)

    def sample(name: str, **labels: str) -> float:
        return app.state.metrics.registry.get_sample_value(f"zeile_{name}", labels) or 0.0

    with running(app) as client:
        device = devices[0]
        before, batches = sum(device.batches), len(device.batches)
        device.let.clear()
        connections = [connect(client) for _ in range(CLIENTS)]
        for connection in connections:
            connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(image) + image)
        until(lambda: len(app.state.worker._readings) == CLIENTS and len(device.batches) > batches)
        begun = sum(device.batches) - before  # in the engine's hands already, which is not asked to stop
        for connection in connections[1::2]:
            connection.close()
        until(lambda: sample("requests_total", endpoint="/v1/recognize", outcome="canceled") == CLIENTS // 2)
        device.let.set()
        for connection in connections[::2]:
            assert answer(connection).startswith(b"HTTP/1.1 200 ")
            connection.close()
        until(lambda: sample("dropped_lines_total", reason="canceled") >= CLIENTS // 2 - begun)
    assert CLIENTS // 2 <= sum(device.batches) - before <= CLIENTS // 2 + begun


def gone_while_watched(scope: Scope, messages: list[Message], presence: Presence | None = None) -> Ticket:
    """Watch a client that is gone as soon as it is waited for."""
    ticket = Ticket("id", "client")

    async def receive() -> Message:
        return messages.pop(0)

    async def wait() -> None:
        async with Watched(Request({"type": "http", **scope}, receive), ticket):
            if presence is not None:
                asyncio.get_running_loop().call_soon(presence.end)
            await asyncio.sleep(60)

    async def watch() -> None:
        with pytest.raises(ClientDisconnect):
            await wait()
        await asyncio.sleep(0)  # nothing is left to be cancelled

    asyncio.run(watch())
    return ticket


def test_a_client_that_hangs_up_is_noticed_behind_any_server() -> None:
    assert gone_while_watched({}, [{"type": "http.request"}, {"type": "http.disconnect"}]).gone
    for presence in (Presence(), Presence()):
        scope: Scope = {}
        presence.enter(scope)
        assert gone_while_watched(scope, [], presence).gone
    presence.end()
    assert gone_while_watched(scope, [], None).gone, "it was gone before"


def test_requests_that_wait_leave_no_circles_to_the_garbage_collector(models: Path, devices: list[Held]) -> None:
    app, image = create_app(Settings(models=models, model="tiny/1", self_test_s=86_400)), line_png(1)
    request = HEAD.replace(b"connection: close\r\n", b"") + b"content-length: %d\r\n\r\n" % len(image) + image
    with running(app) as client:
        connections = [connect(client) for _ in range(CLIENTS)]

        def circles() -> int:
            """Objects of a request for each connection that only the garbage collector frees."""
            devices[0].let.clear()
            gc.collect()
            gc.disable()
            try:
                for connection in connections:
                    connection.sendall(request)
                until(lambda: len(app.state.worker._readings) == CLIENTS)
                time.sleep(0.2)
                devices[0].let.set()
                for connection in connections:
                    assert len(one_answer(connection)[1]["lines"]) == 1
                until(lambda: not app.state.worker._readings)
                return gc.collect()
            finally:
                gc.enable()

        circles()  # and what is made once
        found = circles()
        for connection in connections:
            connection.close()
    assert found < 5 * CLIENTS, "a single circle through a request has some sixty"
