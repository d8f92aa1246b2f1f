# SPDX-License-Identifier: Apache-2.0
"""How many lines a second one client may ask for: a bucket of tokens each, paid when lines are given to the queue."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from zeile.service.problems import TooFast

MAX_CLIENTS = 10_000
"""Buckets kept; the one unused for longest is forgotten first, which fills it."""


class Rates:
    """The buckets. A full one holds ten seconds' lines; a request may overdraw its own, and the next one waits.

    So a request is never cut in two, and its lines need not be counted before its body is read.

    Args:
        rate: lines a second; 0 sets no limit.
        clock: seconds, for tests.
    """

    BURST_S = 10

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # lines left, and when

    def check(self, client: str) -> None:
        """Let a request in.

        Raises:
            TooFast: the client has overdrawn its bucket.
        """
        if not self._rate:
            return
        left = self._left(client)
        if left < 0:
            raise TooFast(
                f"client {client!r} has asked for {-left:.0f} lines more than its share of {self._rate} a second; "
                "ask again when Retry-After says, or have the service started with a higher ZEILE_RATE",
                -left / self._rate,
            )

    def charge(self, client: str, lines: int) -> None:
        """Take lines from a client's bucket, also more than there are."""
        if self._rate:
            self._buckets[client] = (self._left(client) - lines, self._clock())
            self._buckets.move_to_end(client)
            if len(self._buckets) > MAX_CLIENTS:
                self._buckets.popitem(last=False)

    def _left(self, client: str) -> float:
        full = float(self._rate * self.BURST_S)
        left, when = self._buckets.get(client, (full, 0.0))
        return min(full, left + (self._clock() - when) * self._rate)
