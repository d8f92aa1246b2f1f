# SPDX-License-Identifier: Apache-2.0
"""systemd hears that a service is ready, that it lives while it does, and that it stops."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.device.brokers import PATIENCE_S, socket_path
from tests.models import write_tiny_model

from zeile.notify import notify, watchdog_s
from zeile.service.watchdog import Watchdog


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd listens on."""
    with socket_path() as path, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield listener


def test_states_arrive_in_one_message(manager: socket.socket) -> None:
    assert notify("READY=1", "STATUS=reads")
    assert manager.recv(1000) == b"READY=1\nSTATUS=reads"


def test_an_abstract_address_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0zeile-test-{os.getpid()}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@zeile-test-{os.getpid()}")
        assert notify("WATCHDOG=1")
        assert listener.recv(1000) == b"WATCHDOG=1"


def test_nobody_to_tell_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    with socket_path() as nowhere:
        monkeypatch.setenv("NOTIFY_SOCKET", str(nowhere))
        assert not notify("READY=1")


@pytest.mark.parametrize(
    ("usec", "process", "pause"),
    [
        ("15000000", None, 7.5),
        ("15000000", "ours", 7.5),
        ("15000000", "1", None),
        ("", None, None),
        ("0", None, None),
        ("-5", None, None),
        ("soon", None, None),
    ],
)
def test_it_is_fed_twice_as_often_as_it_bites(
    monkeypatch: pytest.MonkeyPatch, usec: str, process: str | None, pause: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if process is not None:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if process == "ours" else process)
    assert watchdog_s() == pause


class Patient:
    """An engine that hangs from some question on."""

    def __init__(self, good: int) -> None:
        self.left, self.asked = good, 0

    @property
    def dead(self) -> str | None:
        self.asked += 1
        self.left -= 1
        return None if self.left >= 0 else "the engine's thread hangs"


def test_the_watchdog_of_a_service_that_hangs_is_no_longer_fed(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    health = Patient(good=3)

    async def watched() -> None:
        watchdog = Watchdog(health)
        await watchdog.start()
        while health.asked < 6:
            await asyncio.sleep(0.001)
        await watchdog.close()

    asyncio.run(watched())
    heard = [manager.recv(1000) for _ in range(6)]
    assert heard == [b"WATCHDOG=1"] * 3 + [b"STATUS=the engine's thread hangs"] * 3


@pytest.mark.parametrize("command", ["serve", "broker"])
def test_a_process_says_that_it_is_ready_alive_and_stopping(
    manager: socket.socket, tmp_path: Path, command: str
) -> None:
    write_tiny_model(tmp_path)
    with socket_path() as path:
        options = ["--port", "0"] if command == "serve" else ["--socket", str(path)]
        process = subprocess.Popen(
            [sys.executable, "-m", "zeile", command, "--models", str(tmp_path), "--model", "tiny/1", *options],
            env=os.environ | {"WATCHDOG_USEC": "100000"},
            stdout=subprocess.DEVNULL,
        )
        try:
            heard: list[bytes] = []
            while not {b"READY=1", b"WATCHDOG=1"} <= set(heard):
                heard.append(manager.recv(1000))
            process.send_signal(signal.SIGTERM)
            while b"STOPPING=1" not in heard:
                heard.append(manager.recv(1000))
            assert process.wait(PATIENCE_S) in (0, -signal.SIGTERM)  # uvicorn sends itself the signal again
        finally:
            process.kill()
            process.wait()
