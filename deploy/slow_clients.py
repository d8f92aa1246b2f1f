# SPDX-License-Identifier: Apache-2.0
"""Hold many connections to the service open, slowly, and see when it closes them and how it answers others meanwhile.

    python deploy/slow_clients.py                       300 connections of each kind
    python deploy/slow_clients.py --connections 1000

Kinds: those that say nothing, that send a head or a body a byte a second, and that do not take their answers. Run from
a checkout, with the packages that the tests need. Ends with status 1 if a connection outlives its kind's seconds, or if
an answer to somebody else took longer than --health-ms.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from deploy.child import Costed, costed
from tests.models import write_tiny_model

GET = b"GET /openapi.json HTTP/1.1\r\nhost: zeile\r\n"
POST = b"POST /v1/recognize HTTP/1.1\r\nhost: zeile\r\ncontent-type: image/png\r\ncontent-length: 100000\r\n"
KINDS: Mapping[str, tuple[bytes, bytes, float]] = {
    "silent": (b"", b"", 10),
    "slow head": (GET + b"x-slow: ", b"a", 10),
    "slow body": (POST + b"\r\nabc", b"a", 10),
    "deaf": ((GET + b"\r\n") * 2, b"", 80),
}
"""What is sent at once, what every second, and the seconds that it may last; who has been answered is kept for 75."""

BUFFER_BYTES = 4096  # of a connection: what is more waits in the service


def slow(service: Costed, kind: str, count: int, limit_s: float) -> tuple[float, int, list[float]]:
    """Seconds until the service has closed the last one, how many it has not, and others' latencies in ms."""
    first, drop, _ = KINDS[kind]
    began, latencies, before = time.monotonic(), list[float](), _sockets(service.pid)
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        each.connect(("127.0.0.1", service.port))
        each.setblocking(False)
        _drip(each, first)
    left, last = count, time.monotonic()
    while left and time.monotonic() - began < limit_s:
        asked = time.perf_counter()
        other = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        other.request("GET", "/livez")
        other.getresponse().read()
        other.close()
        latencies.append(1000 * (time.perf_counter() - asked))
        if time.monotonic() - last >= 1:
            last = time.monotonic()
            for each in held:
                _drip(each, drop)
        time.sleep(0.05)
        left = max(0, _sockets(service.pid) - before)
    took = time.monotonic() - began
    for each in held:
        each.close()
    return took, left, latencies


def _drip(connection: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # closed by the service, or full
        connection.send(data)


def _sockets(pid: int) -> int:
    """Sockets that a process has open."""
    count = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            count += os.readlink(link).startswith("socket:")
    return count


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--connections", type=int, default=300, metavar="N")
    parser.add_argument("--health-ms", type=float, default=1000, metavar="MS")
    given = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        models, spool = Path(folder) / "models", Path(folder) / "spool"
        write_tiny_model(models)
        spool.mkdir()
        with costed(models, spool) as service:
            service.ask("GET", "/openapi.json", b"", {})  # made once
            for kind, (*_, limit_s) in KINDS.items():
                closed, left, latencies = slow(service, kind, given.connections, limit_s)
                latencies.sort()
                print(
                    f"{kind:10} {given.connections} connections: {left} left, the last closed after {closed:.1f} s; "
                    f"/livez meanwhile ms median {latencies[len(latencies) // 2]:.1f} largest {latencies[-1]:.1f}; "
                    f"memory {service.resident_mib():.0f} MiB",
                    flush=True,
                )
                wrong += left > 0 or latencies[-1] > given.health_ms
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
