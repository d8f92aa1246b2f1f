# SPDX-License-Identifier: Apache-2.0
"""Read many lines through the service and watch its memory.

    python deploy/soak.py                    10,000 lines through a service of its own
    python deploy/soak.py --lines 100000 --clients 8

One line in fifty is a damaged file. The service is configured by the environment (ZEILE_MODELS, ZEILE_MODEL, ...).
Ends with status 1 if the resident memory grew by more than --growth-mib after the first tenth, if it was above
--idle-mib before the first line, or if an answer was wrong. Linux only: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import http.client
import io
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

BAD_EVERY = 50
START_S = 60


def pictures(count: int = 49) -> list[bytes]:
    """PNG files of 20 to 120 by 100 to 2500 pixels with strokes on them."""
    rng, files = np.random.default_rng(1), []
    for _ in range(count):
        height, width = int(rng.integers(20, 121)), int(rng.integers(100, 2501))
        page = np.full((height, width), 235, np.uint8)
        for left in range(5, width - 8, 9):
            top = int(rng.integers(height // 5, height // 2))
            page[top : 4 * height // 5, left : left + 2] = 30
            page[top : top + 2, left : left + int(rng.integers(3, 9))] = 30
        buffer = io.BytesIO()
        Image.fromarray(page).save(buffer, "PNG")
        files.append(buffer.getvalue())
    return files


def resident_mib(pid: int) -> float:
    """Resident memory of a process, MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files(pid: int) -> int:
    """File descriptors of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def start() -> tuple[subprocess.Popen[bytes], int]:
    """A service on a free port; returns once it is healthy."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "zeile.asgi:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command)
    end = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < end:
        try:
            status, body = ask(http.client.HTTPConnection("127.0.0.1", port), "GET", "/healthz")
        except OSError:
            time.sleep(0.1)
            continue
        if status == 200:
            return process, port
        process.terminate()
        process.wait()
        sys.exit(f"the service is not healthy: {body.decode()}")
    process.kill()
    process.wait()
    sys.exit(f"the service did not start within {START_S} s")


def ask(to: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of an answer."""
    to.request(method, path, body, {"content-type": "image/png"} if body is not None else {})
    answer = to.getresponse()
    return answer.status, answer.read()


def client(port: int, numbers: range, files: list[bytes]) -> int:
    """Send the lines of these numbers one after another; returns how many answers were wrong."""
    connection, wrong = http.client.HTTPConnection("127.0.0.1", port, timeout=120), 0
    for number in numbers:
        bad = number % BAD_EVERY == BAD_EVERY - 1
        body = files[number % len(files)][:60] if bad else files[number % len(files)]
        status, answer = ask(connection, "POST", "/v1/recognize", body)
        wrong += status != (422 if bad else 200) or (not bad and "text" not in json.loads(answer)["lines"][0])
    connection.close()
    return wrong


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--lines", type=int, default=10_000, metavar="N")
    parser.add_argument("--clients", type=int, default=4, metavar="N")
    parser.add_argument("--idle-mib", type=float, default=300, metavar="MIB")
    parser.add_argument("--growth-mib", type=float, default=16, metavar="MIB")
    given = parser.parse_args()
    files, wrong, memory = pictures(), 0, []
    process, port = start()
    try:
        idle = resident_mib(process.pid)
        print(f"idle: {idle:.1f} MiB, {open_files(process.pid)} descriptors", flush=True)
        began, edges = time.perf_counter(), [given.lines * i // 10 for i in range(11)]
        for first, end in itertools.pairwise(edges):
            with ThreadPoolExecutor(given.clients) as pool:
                shares = [range(first + i, end, given.clients) for i in range(given.clients)]
                wrong += sum(pool.map(client, [port] * len(shares), shares, [files] * len(shares)))
            memory.append(resident_mib(process.pid))
            print(f"{end} lines: {memory[-1]:.1f} MiB, {open_files(process.pid)} descriptors", flush=True)
        rate = given.lines / (time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait()
    growth = memory[-1] - memory[0]
    print(f"{rate:.1f} lines/s, {wrong} wrong answers, growth after the first tenth {growth:+.1f} MiB")
    return int(wrong > 0 or idle > given.idle_mib or growth > given.growth_mib)


if __name__ == "__main__":
    sys.exit(main())
