# SPDX-License-Identifier: Apache-2.0
"""``zeile serve`` told to stop: what was accepted is answered, the rest is sent elsewhere, and then it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.models import line_png

import zeile

PATIENCE_S = 60.0
LINES = 60


@contextmanager
def started(models: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service on the slowest engine, and its address."""
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("ZEILE_")}
    ours = {"PYTHONPATH": str(Path(zeile.__file__).parents[1]), "ZEILE_MODELS": str(models), "ZEILE_MODEL": "tiny/1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "zeile", "serve", "--port", "0"],
        env=inherited | ours | {"ZEILE_ENGINE": "reference", "ZEILE_LOG": "off"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        yield process, said.partition("http://")[2].partition(" ")[0]
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_sigterm_under_load_loses_nothing_that_was_accepted(models: Path) -> None:
    image = line_png(1, width=500)
    form = [("files", (f"{i}.png", image)) for i in range(LINES)]
    with started(models) as (process, address), httpx.Client(base_url=f"http://{address}", timeout=60) as client:
        with ThreadPoolExecutor(4) as pool:
            asked = [
                pool.submit(httpx.post, f"http://{address}/v1/recognize", files=form, timeout=60) for _ in range(4)
            ]
            end = time.monotonic() + PATIENCE_S
            while "\nzeile_batches_total 0.0\n" in (text := client.get("/metrics").text) or waiting(text) < LINES:
                assert time.monotonic() < end
            process.send_signal(signal.SIGTERM)
            late, ready = [], [200]
            while process.poll() is None:
                assert time.monotonic() < end
                try:
                    ready.append(httpx.get(f"http://{address}/readyz").status_code)
                    late.append(httpx.post(f"http://{address}/v1/recognize", files=form[:1]))
                except httpx.TransportError:
                    break  # it listens no more
            answers = [answer.result() for answer in asked]
        assert process.wait(PATIENCE_S) in (0, -signal.SIGTERM)
    done = [answer for answer in answers if answer.status_code == 200]
    assert len(done) >= 2
    assert all(len(answer.json()["lines"]) == LINES for answer in done)
    for refused in (*late, *(answer for answer in answers if answer not in done)):
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
    assert ready == sorted(ready), "once it is not ready it stays so"
    assert ready[-1] == 503
    assert late
    assert "stopping" in late[-1].json()["detail"]


def waiting(metrics: str) -> float:
    return float(metrics.partition("\nzeile_queue_lines ")[2].partition("\n")[0])
