# SPDX-License-Identifier: Apache-2.0
"""How fast lines are read: for Retry-After, and for whoever watches."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 5.0
"""What was longer ago does not count."""


class Pace:
    """Counts the lines of the last seconds.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._noted: deque[tuple[float, int, float]] = deque()  # when, lines, seconds of work
        self._lines, self._work_s = 0, 0.0  # sums

    def note(self, lines: int, seconds: float) -> None:
        """Count lines, and the seconds since those before them, or since there was work at all."""
        self._forget()
        self._noted.append((self._clock(), lines, seconds))
        self._lines += lines
        self._work_s += seconds

    @property
    def rate(self) -> float:
        """Lines a second, idle times included."""
        self._forget()
        return self._lines / WINDOW_S

    def seconds(self, lines: int) -> float:
        """How long so many lines take if there is no pause; 0 if none were read lately."""
        self._forget()
        return lines * self._work_s / self._lines if self._lines else 0.0

    def _forget(self) -> None:
        while self._noted and self._noted[0][0] < self._clock() - WINDOW_S:
            _, lines, seconds = self._noted.popleft()
            self._lines -= lines
            self._work_s -= seconds
        if not self._noted:
            self._work_s = 0.0  # whatever rounding has left
