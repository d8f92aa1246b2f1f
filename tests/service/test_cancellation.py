# SPDX-License-Identifier: Apache-2.0
"""Clients that hang up: nothing is read for them, and those that stay are answered."""

from __future__ import annotations

from pathlib import Path

from tests.models import line_png
from tests.service.raw import answer, connect, until
from tests.service.serving import running
from tests.service.working import Held

from zeile.service.app import create_app
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
        before = sum(device.batches)
        device.let.clear()
        connections = [connect(client) for _ in range(CLIENTS)]
        for connection in connections:
            connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(image) + image)
        until(lambda: len(app.state.worker._readings) == CLIENTS)
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
