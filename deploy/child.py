# SPDX-License-Identifier: Apache-2.0
"""What single requests cost a service: for deploy/hostile.py, fuzz.py and slow_clients.py. Linux only."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from zeile.errors import DeviceError
from zeile.load.child import Child, serving

PATIENCE_S = 60


@dataclass(frozen=True)
class Cost:
    """Of a request.

    Attributes:
        status: of its answer; 0 if there was none.
        media_type: likewise.
        cpu_ms: processor time of the service, all threads of its processes.
        growth_mib: its largest resident memory meanwhile, above that before.
    """

    status: int
    media_type: str
    cpu_ms: float
    growth_mib: float


class Costed:
    """A service that is asked one request at a time.

    Attributes:
        pid: of its process.
        port: that it listens on.
    """

    def __init__(self, child: Child, port: int) -> None:
        self._child, self.pid, self.port = child, child.pid, port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def resident_mib(self, highest: bool = False) -> float:
        """Resident memory of its processes; or the highest of each since the last request began."""
        sum_kib = 0
        for pid in self._child.pids:
            status = Path(f"/proc/{pid}/status").read_text()
            found = re.search(r"VmHWM:\s+(\d+)" if highest else r"VmRSS:\s+(\d+)", status)
            sum_kib += int(found[1]) if found else 0
        return sum_kib / 1024

    def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Cost:
        """Send a request and say what it cost."""
        for pid in self._child.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # forget the highest memory
        before, cpu = self.resident_mib(), self._cpu_s()
        status, media_type = 0, ""
        try:
            self._connection.request(method, path, body, dict(headers))
            answer = self._connection.getresponse()
            answer.read()
            status, media_type = answer.status, answer.headers.get_content_type()
        except (OSError, http.client.HTTPException):
            self._connection.close()
        return Cost(status, media_type, 1000 * (self._cpu_s() - cpu), self.resident_mib(highest=True) - before)

    def _cpu_s(self) -> float:
        """Processor time of the threads that it has, finer than the clock ticks of a process."""
        spent = 0
        for pid in self._child.pids:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                try:
                    spent += int((thread / "schedstat").read_text().split()[0])
                except OSError:
                    continue  # it has just ended
        return spent / 1e9


@contextmanager
def costed(models: Path, spool: Path) -> Iterator[Costed]:
    """A service with the model tiny/1, once it is ready.

    Raises:
        DeviceError: it does not start, or is never ready.
    """
    settings = {"ZEILE_MODELS": str(models), "ZEILE_MODEL": "tiny/1", "ZEILE_SPOOL": str(spool), "ZEILE_LOG": "off"}
    with serving(settings) as service:
        running = Costed(service, urlsplit(service.url).port or 80)
        end = time.monotonic() + PATIENCE_S
        while running.ask("GET", "/readyz", b"", {}).status != 200:
            if time.monotonic() > end:
                raise DeviceError(f"the service is not ready after {PATIENCE_S} s; zeile doctor says what is missing")
            time.sleep(0.1)
        yield running
