# SPDX-License-Identifier: Apache-2.0
"""A service in a process of its own, with what it costs: for deploy/hostile.py and deploy/fuzz.py. Linux only."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 60


@dataclass(frozen=True)
class Cost:
    """Of a request.

    Attributes:
        status: of its answer.
        media_type: likewise.
        cpu_ms: processor time of the service, all threads.
        growth_mib: its largest resident memory meanwhile, above that before.
    """

    status: int
    media_type: str
    cpu_ms: float
    growth_mib: float


class Child:
    """The process.

    Attributes:
        pid: of it.
        port: that it listens on.
    """

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._process, self.pid, self.port = process, process.pid, port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def cpu_s(self) -> float:
        """Processor time of the threads that it has."""
        spent = 0
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                spent += int((thread / "schedstat").read_text().split()[0])
            except OSError:
                continue  # it has just ended
        return spent / 1e9

    def resident_mib(self, highest: bool = False) -> float:
        """Resident memory; or the highest since ``forget_highest``."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+)" if highest else r"VmRSS:\s+(\d+)", status)
        return int(found[1]) / 1024 if found else 0.0

    def forget_highest(self) -> None:
        """Begin to look for the highest resident memory again."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Cost:
        """Send a request and say what it cost."""
        self.forget_highest()
        before, cpu = self.resident_mib(), self.cpu_s()
        try:
            self._connection.request(method, path, body, dict(headers))
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return Cost(0, "", 1000 * (self.cpu_s() - cpu), 0.0)
        cost = 1000 * (self.cpu_s() - cpu)
        return Cost(answer.status, answer.headers.get_content_type(), cost, self.resident_mib(highest=True) - before)


@contextmanager
def child(models: Path, spool: Path, **settings: str) -> Iterator[Child]:
    """A service with the model tiny/1; settings are environment variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZEILE_")}
    environment |= {"ZEILE_MODELS": str(models), "ZEILE_MODEL": "tiny/1"}
    environment |= {"ZEILE_SPOOL": str(spool), "ZEILE_LOG": "off", "ZEILE_PORT": "0", **settings}
    command = [sys.executable, "-m", "zeile", "serve"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:(\d+)", said)
            if found is None:
                sys.exit(f"the service did not start: {said}")
            running = Child(process, int(found[1]))
            end = time.monotonic() + PATIENCE_S
            while running.ask("GET", "/readyz", b"", {}).status != 200:
                if time.monotonic() > end:
                    sys.exit("the service did not become ready")
                time.sleep(0.1)
            yield running
        finally:
            process.terminate()
