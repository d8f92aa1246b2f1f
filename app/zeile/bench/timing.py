# SPDX-License-Identifier: Apache-2.0
"""Timing of contenders against each other on a machine that does other things as well.

Contenders take turns, round after round (A B C, A B C, ...), so that a slow spell of the machine meets all of
them; a ratio is the median over rounds of the ratio within a round. Beside the wall clock stands CPU time, of
this process and of the programs it started: load changes it far less.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Clocked:
    """What a piece of work took."""

    wall_s: float
    cpu_s: float


def clock(work: Work) -> Clocked:
    """Time one piece of work."""
    wall, cpu = time.perf_counter(), _cpu_s()
    work()
    return Clocked(time.perf_counter() - wall, _cpu_s() - cpu)


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def interleave(
    contenders: Mapping[str, Work], rounds: int, tick: Callable[[], object] = lambda: None
) -> dict[str, list[Clocked]]:
    """Time contenders in turns, after one round that is not timed.

    Args:
        contenders: name to work; each does the same amount.
        rounds: timed rounds.
        tick: called after each piece of work, for a progress bar.

    Returns:
        Name to the times of each round.
    """
    times: dict[str, list[Clocked]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, work in contenders.items():
            clocked = clock(work)
            if number:
                times[name].append(clocked)
            tick()
    return times


@dataclass(frozen=True, slots=True)
class Rate:
    """Lines a second, median of the rounds, by the wall clock and by CPU time."""

    lines_s: float
    lines_cpu_s: float

    @classmethod
    def of(cls, times: Sequence[Clocked], lines: int) -> Rate:
        """Rate of rounds of ``lines`` lines each."""
        wall, cpu = (statistics.median(_floor(getattr(t, key)) for t in times) for key in ("wall_s", "cpu_s"))
        return cls(lines / wall, lines / cpu)


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times faster A is than B by CPU time: median, least and most of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, a: Sequence[Clocked], b: Sequence[Clocked]) -> Ratio:
        """From rounds that belong together."""
        pairs = [_floor(theirs.cpu_s) / _floor(ours.cpu_s) for ours, theirs in zip(a, b, strict=True)]
        return cls(statistics.median(pairs), min(pairs), max(pairs))


def _floor(seconds: float) -> float:
    """Keeps work too short for the clock from dividing by zero."""
    return max(seconds, 1e-9)
