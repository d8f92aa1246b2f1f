# SPDX-License-Identifier: Apache-2.0
"""Measuring windows, and when they are stable: as perf_analyzer's, the last three within 10 %."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)

NO_ANSWER = 0
"""The status of a request that got no HTTP answer."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request.

    Attributes:
        status: of HTTP, or ``NO_ANSWER``.
        lines: that were read for it.
        problem: what was wrong, for people; empty if nothing was.
    """

    status: int
    lines: int = 0
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether it was answered with what it asked for."""
        return self.status == 200


@dataclass(frozen=True)
class Rule:
    """How long a level is measured.

    Attributes:
        warmup_s: seconds before the first window.
        window_s: seconds of a window.
        most: windows after which a level ends, stable or not.
        stable: windows in a row that must agree.
        within: of their mean, as a share, both the rate and the mean latency of each.
    """

    warmup_s: float = 1.0
    window_s: float = 2.0
    most: int = 10
    stable: int = 3
    within: float = 0.1


@dataclass
class Window:
    """Requests that ended in a span of time.

    Attributes:
        seconds: its length.
        good: seconds that each good answer took.
        other: seconds that each other outcome took.
        lines: that were read.
        statuses: outcomes by status.
        cpu_s: CPU time of this process.
    """

    seconds: float = 0.0
    good: array[float] = field(default_factory=lambda: array("d"))
    other: array[float] = field(default_factory=lambda: array("d"))
    lines: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    cpu_s: float = 0.0

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.good) / self.seconds if self.seconds else 0.0

    @property
    def mean_s(self) -> float:
        """Mean of the good answers' seconds."""
        return sum(self.good) / len(self.good) if self.good else math.nan

    @classmethod
    def merged(cls, windows: Sequence[Window]) -> Window:
        """Several as one."""
        one = cls()
        for window in windows:
            one.seconds += window.seconds
            one.good.extend(window.good)
            one.other.extend(window.other)
            one.lines += window.lines
            one.statuses += window.statuses
            one.cpu_s += window.cpu_s
        return one


def are_stable(windows: Sequence[Window], rule: Rule) -> bool:
    """Whether the last windows agree."""
    last = windows[-rule.stable :]
    if len(last) < rule.stable:
        return False
    for figures in ([w.rate for w in last], [w.mean_s for w in last]):
        mean = sum(figures) / len(figures)
        if not mean > 0 or any(abs(figure - mean) > rule.within * mean for figure in figures):  # also for NaN
            return False
    return True


class Recorder:
    """Collects outcomes, into windows and over all.

    Args:
        clock: seconds, as the loop that sends counts them.
        cpu: CPU seconds of this process.

    Attributes:
        statuses: all outcomes by status, from the first request to the last.
        lines: that were read, of all requests.
        problems: what was wrong, by its text, as far as it was said.
    """

    MAX_PROBLEMS = 20

    def __init__(self, clock: Callable[[], float], cpu: Callable[[], float]) -> None:
        self._clock, self._cpu = clock, cpu
        self._window, self._began, self._cpu_began = Window(), clock(), cpu()
        self.statuses: Counter[int] = Counter()
        self.lines = 0
        self.problems: Counter[str] = Counter()

    def add(self, outcome: Outcome, seconds: float) -> None:
        """Count one."""
        self.statuses[outcome.status] += 1
        self.lines += outcome.lines
        if outcome.problem and (outcome.problem in self.problems or len(self.problems) < self.MAX_PROBLEMS):
            self.problems[outcome.problem] += 1
        window = self._window
        (window.good if outcome.good else window.other).append(seconds)
        window.lines += outcome.lines
        window.statuses[outcome.status] += 1

    def cut(self) -> Window:
        """The window since the last cut; a new one begins."""
        window, self._window = self._window, Window()
        now, cpu = self._clock(), self._cpu()
        window.seconds, self._began = now - self._began, now
        window.cpu_s, self._cpu_began = cpu - self._cpu_began, cpu
        return window


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """The smallest that at least so many percent do not exceed; None of nothing."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(percent / 100 * len(ordered) - 1e-9) - 1)]


def latencies(seconds: Sequence[float]) -> dict[str, float | None]:
    """Milliseconds: the mean, ``PERCENTILES`` and the largest."""
    ordered = sorted(seconds)
    found = {f"p{percent:g}": percentile(ordered, percent) for percent in PERCENTILES}
    found["mean"] = sum(ordered) / len(ordered) if ordered else None
    found["max"] = ordered[-1] if ordered else None
    return {name: None if value is None else round(1000 * value, 3) for name, value in found.items()}


@dataclass(frozen=True)
class Level:
    """What one level of load gave.

    Attributes:
        load: concurrency, or requests a second.
        stable: whether the windows agreed; if not, the figures are of the last ones all the same.
        windows: that were measured.
        measured: the last of them as one.
        statuses: all outcomes by status, warm-up and tail included: nothing that was sent is missing.
        lines: that were read, of all requests.
        problems: what was wrong, by its text.
        server: what the service's /metrics say of this level; empty if they could not be read.
    """

    load: float
    stable: bool
    windows: int
    measured: Window
    statuses: Counter[int]
    lines: int
    problems: Counter[str]
    server: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All figures; latencies in milliseconds."""
        m = self.measured
        seconds = m.seconds or math.inf
        return {
            "load": self.load,
            "stable": self.stable,
            "windows": self.windows,
            "seconds": round(m.seconds, 3),
            "lines_per_second": round(m.lines / seconds, 2),
            "requests_per_second": round(m.rate, 2),
            "latency_ms": latencies(m.good),
            "other_latency_ms": latencies(m.other),
            "statuses": _counts(m.statuses),
            "client_cpu": round(m.cpu_s / seconds, 3),
            "total": {"statuses": _counts(self.statuses), "lines": self.lines, "problems": dict(self.problems)},
            "server": self.server,
        }


def _counts(statuses: Counter[int]) -> dict[str, int]:
    return {"none" if status == NO_ANSWER else str(status): count for status, count in sorted(statuses.items())}
