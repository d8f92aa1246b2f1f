# SPDX-License-Identifier: Apache-2.0
"""Rate and latency of lines inside the service, at several numbers of lines on their way.

The loop and the rule of stable windows are those of ``zeile load``; here nothing goes over HTTP, so that what the
engine does and what the network and the client do can be told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zeile.errors import BadSettings, ZeileError
from zeile.load.drive import Closed, measure
from zeile.load.levels import levels
from zeile.load.windows import Outcome, Rule, latencies
from zeile.samples import count_lines, open_lines
from zeile.service.batch import Stages
from zeile.service.engines import Options
from zeile.service.ticket import Ticket
from zeile.service.worker import Worker

RULE = Rule(warmup_s=0.3, window_s=1.0, most=5)
MAX_LEVELS = 8
MAX_CONCURRENCY = 256

_LINES = 256
_BYTES = 16 << 20


def concurrencies(text: str) -> tuple[int, ...]:
    """Levels of a sweep, as ``1,4,16,64`` or ``1:64:x2``.

    Raises:
        BadSettings: it cannot be understood, or there are too many or too high ones.
    """
    found = tuple(int(level) for level in levels(text, MAX_CONCURRENCY))
    if len(found) > MAX_LEVELS or 0 in found:
        raise BadSettings(f"the sweep {text!r} has {len(found)} levels; 1 to {MAX_LEVELS} whole numbers are driven")
    return found


def taken(source: Path, split: str | None) -> list[bytes]:
    """Images of a set, spread evenly over it, that fit into memory."""
    every = -(-count_lines(source, split) // _LINES)
    images: list[bytes] = []
    size = 0
    for number, sample in enumerate(open_lines(source, split)):
        if number % every == 0 and (not images or size + len(sample.data) <= _BYTES):
            images.append(sample.data)
            size += len(sample.data)
    return images


async def level(
    concurrency: int, images: Sequence[bytes], worker: Worker, asked: Options, ticket: Ticket
) -> dict[str, Any]:
    """One level, a ``job_schemas.SweepLevel``.

    Raises:
        ZeileError: as ``Worker.read``.
    """
    failed: list[ZeileError] = []
    stages, lines = Stages(), 0

    async def send(number: int) -> Outcome:
        nonlocal stages, lines
        if failed:
            return Outcome(0)
        try:
            answer = await worker.read([images[number % len(images)]], asked, ticket)
        except ZeileError as error:
            failed.append(error)
            return Outcome(0)
        stages, lines = stages + answer.stages, lines + 1
        return Outcome(200, lines=1)

    found = await measure(Closed(concurrency), send, RULE)
    if failed:
        raise failed[0]
    window = found.measured
    return {
        "concurrency": concurrency,
        "stable": found.stable,
        "lines": window.lines,
        "lines_per_second": round(window.lines / window.seconds, 1),
        "latency_ms": latencies(window.good),
        "stages_ms": {name: round(1000 * seconds / lines, 3) for name, seconds in asdict(stages).items()},
    }
