# SPDX-License-Identifier: Apache-2.0
"""Several processes serve, one owns the device: ``uvicorn --workers 2`` with a broker behind it."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.device import brokers
from tests.device.brokers import socket_path, until
from tests.models import line_png
from tests.service.serving import files

import zeile
from zeile.device import broker_engine, open_device
from zeile.device.broker_server import Server
from zeile.settings import Settings

WORKERS = 2
IMAGES = {f"l{seed}_png": line_png(seed) for seed in range(4)}


@contextmanager
def workers(models: Path, broker: Path) -> Iterator[Path]:
    """The unix socket that uvicorn's workers listen on."""
    settings = {"ZEILE_MODELS": str(models), "ZEILE_MODEL": "tiny/1", "ZEILE_ENGINE": "broker", "ZEILE_LOG": "off"}
    environment = os.environ | settings | {"ZEILE_BROKER": str(broker)}
    environment["PYTHONPATH"] = str(Path(zeile.__file__).parents[1])
    with socket_path() as path:
        command = [sys.executable, "-m", "uvicorn", "zeile.asgi:app", "--uds", str(path), "--workers", str(WORKERS)]
        process = subprocess.Popen(
            [*command, "--log-level", "critical"], env=environment, start_new_session=True, stdout=subprocess.DEVNULL
        )
        try:
            yield path
        finally:
            process.terminate()
            try:
                process.wait(brokers.PATIENCE_S)
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def listens(path: Path) -> bool:
    """Asked with a socket of our own: httpcore leaves the one open that a service refused."""
    with socket.socket(socket.AF_UNIX) as tried:
        return tried.connect_ex(str(path)) == 0


def read(path: Path) -> Any:
    """The answer of whichever worker takes the connection."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=brokers.PATIENCE_S) as client:
        return client.post("http://zeile/v1/recognize", files=files(**IMAGES)).raise_for_status().json()


def test_two_workers_of_uvicorn_have_one_owner_of_the_device(
    models: Path, service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    threads: set[int] = set()
    lines: Counter[int] = Counter()
    worked = Server._worked

    def noted(*arguments: Any) -> Any:
        opened.append(arguments[0])
        device = open_device(*arguments)
        run_batch = device.run_batch

        def run(batch: Any) -> Any:
            threads.add(threading.get_ident())
            return run_batch(batch)

        monkeypatch.setattr(device, "run_batch", run)
        return device

    def of_a_process(self: Server, connection: socket.socket, *asked: Any) -> Any:
        process, *_ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        lines[process] += 1
        return worked(self, connection, *asked)

    monkeypatch.setattr(broker_engine, "open_device", noted)
    monkeypatch.setattr(Server, "_worked", of_a_process)
    with brokers.running(Settings(models=models, model="tiny/1", engine="cpu")) as broker:
        with workers(models, broker) as path:
            until(lambda: len(lines) == WORKERS, "both workers have tested themselves on the device")
            tested = dict(lines)
            until(lambda: listens(path), "a worker listens")
            answers = []

            def both_have_answered() -> bool:
                answers.append(read(path))
                return all(lines[process] > tested[process] for process in tested)

            until(both_have_answered, "both workers have answered")
    wanted = service.post("/v1/recognize", files=files(**IMAGES)).json()["lines"]
    for answer in answers:
        assert json.dumps(answer["lines"]) == json.dumps(wanted)
        assert answer["engine"]["through"] == "broker"
    assert opened == ["cpu"]
    assert len(threads) == 1
