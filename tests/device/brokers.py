# SPDX-License-Identifier: Apache-2.0
"""Brokers for tests: in a thread, or as the process that users start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zeile.device.broker_engine import Engine
from zeile.device.broker_server import Server
from zeile.settings import Settings

PATIENCE_S = 60.0


@contextmanager
def socket_path() -> Iterator[Path]:
    """A path short enough for a unix socket, wherever pytest keeps its folders."""
    with tempfile.TemporaryDirectory(prefix="zb") as folder:
        yield Path(folder) / "s"


@contextmanager
def running(settings: Settings, users: frozenset[int] | None = None) -> Iterator[Path]:
    """The socket of a broker in a thread of this process."""
    with socket_path() as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        server = Server(listener, Engine(settings), frozenset({os.geteuid()}) if users is None else users)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield path
        finally:
            server.stop()
            thread.join()


class Process:
    """``zeile broker`` as a process of its own, started and killed as often as a test wants."""

    def __init__(self, path: Path, models: Path, *options: str) -> None:
        base = [sys.executable, "-m", "zeile", "broker", "--socket", str(path), "--models", str(models)]
        self._command, self._process = [*base, "--model", "tiny/1", *options], None

    _process: subprocess.Popen[str] | None

    def start(self, **environment: str) -> None:
        """Returns once it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said.startswith("Zeile "), said

    def end(self, signal: int) -> int:
        """Send it a signal and wait for its end; its exit status."""
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.send_signal(signal)
        status = self._process.wait(PATIENCE_S)
        self._process.stdout.close()
        self._process = None
        return status

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.end(9)


def until(met: Any, what: str) -> None:
    """Wait for something that happens soon, and fail if it does not."""
    end = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE_S:.0f} s"
        time.sleep(0.01)
