# SPDX-License-Identifier: Apache-2.0
"""Energy of a piece of work, from power rails that are sampled meanwhile.

pynq's own recorder goes by the wall clock, is slow and wants pandas. The rails themselves come from whoever calls, as a
function, so that this file needs neither pynq nor a board. On the ZCU104 the rail ``12V`` is the whole board (INA226,
fine steps); the others come in steps of 1/8 W. A figure of J a line needs 10 s of steady load, better 30.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

Rails = Callable[[], Mapping[str, float]]
"""Watts of each rail, now."""

PERIOD_S = 0.05
BOARD_RAIL = "12V"


@dataclass(frozen=True)
class Energy:
    """What the rails gave while a sampler ran.

    Attributes:
        seconds: from the first sample to the last.
        joules: of each rail, by the trapezoid rule.
        samples: how many there were.
    """

    seconds: float
    joules: Mapping[str, float]
    samples: int

    def watts(self, rail: str = BOARD_RAIL) -> float:
        """Mean power of a rail."""
        return self.joules[rail] / self.seconds if self.seconds else 0.0

    def per_line(self, lines: int, rail: str = BOARD_RAIL, idle_watts: float = 0.0) -> float:
        """J a line of a rail, above what the board takes when idle."""
        return (self.joules[rail] - idle_watts * self.seconds) / lines


class Sampler:
    """Samples rails in a thread of its own while it is entered.

    Args:
        rails: reads them.
        period_s: between samples.
        clock: monotonic seconds.

    Attributes:
        fault: what stopped the thread early, or None.
    """

    def __init__(self, rails: Rails, period_s: float = PERIOD_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._rails, self._period_s, self._clock = rails, period_s, clock
        self._samples: list[tuple[float, Mapping[str, float]]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="zeile-power", daemon=True)
        self.fault: Exception | None = None

    def __enter__(self) -> Sampler:
        self._sample()  # in this thread: rails that cannot be read are an error here
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if error is None and self.fault is None:
            self._sample()

    @property
    def energy(self) -> Energy:
        """Of all samples so far."""
        samples = list(self._samples)
        names = samples[0][1] if samples else {}
        joules = {name: 0.0 for name in names}
        for (begin, before), (end, after) in itertools.pairwise(samples):
            for name in names:
                joules[name] += (end - begin) * (before[name] + after[name]) / 2
        seconds = samples[-1][0] - samples[0][0] if samples else 0.0
        return Energy(seconds, joules, len(samples))

    def _sample(self) -> None:
        before = self._clock()
        watts = dict(self._rails())
        self._samples.append(((before + self._clock()) / 2, watts))  # reading takes milliseconds: the middle is when

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._period_s):
                self._sample()
        except Exception as error:
            self.fault = error  # a sensor that fails must not end what is measured
