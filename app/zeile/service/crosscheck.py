# SPDX-License-Identifier: Apache-2.0
"""A share of what the device reads is read again by the CPU, while the device is at it: both give the same integers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from zeile.device import Device, Frames, Scores
from zeile.errors import DeviceError
from zeile.service.metrics import Metrics


class Mismatch(Exception):
    """The device's scores of a line are not the CPU's."""


class CrossCheck:
    """Reads lines again, in a thread of its own.

    Which lines depends on their pixels alone: the same line is checked each time, or never.

    Args:
        of_1000: of 1000 lines so many are checked.
        spare: gives the CPU's device; it is used only between ``begin`` and ``end``.
        metrics: count lines and mismatches.
    """

    def __init__(self, of_1000: int, spare: Callable[[], Device], metrics: Metrics) -> None:
        self._of_1000, self._spare, self._metrics = of_1000, spare, metrics
        self._thread = ThreadPoolExecutor(1, "zeile-check") if of_1000 else None
        self._chosen: list[int] = []
        self._future: Future[list[Scores]] | None = None

    def begin(self, lines: Sequence[Frames]) -> None:
        """Start to read the chosen ones of a batch."""
        self._chosen = [index for index, frames in enumerate(lines) if chosen(frames, self._of_1000)]
        if self._chosen and self._thread is not None:
            again = [lines[index] for index in self._chosen]
            self._future = self._thread.submit(lambda: self._spare().run_batch(again))

    def end(self, scores: Sequence[Scores] | None) -> None:
        """Wait for them, and compare; None if the device gave none.

        Raises:
            Mismatch: a line differs.
        """
        future, self._future = self._future, None
        if future is None:
            return
        try:
            again = future.result()
        except DeviceError:
            return  # a CPU that cannot read is no proof against the device
        if scores is None:
            return
        self._metrics.checked.inc(len(again))
        wrong = sum(not np.array_equal(scores[i], other) for i, other in zip(self._chosen, again, strict=True))
        if wrong:
            self._metrics.mismatches.inc(wrong)
            raise Mismatch(f"of {len(again)} lines that the CPU read again {wrong} differed from what the device gave")

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._thread.shutdown()


def chosen(frames: Frames, of_1000: int) -> bool:
    """Whether a line is one of those that are checked."""
    if of_1000 in (0, 1000):
        return of_1000 == 1000
    digest = hashlib.sha256(frames.tobytes()).digest()
    return int.from_bytes(digest[:8], "little") % 1000 < of_1000
