# SPDX-License-Identifier: Apache-2.0
"""A circuit breaker: whether the device is trusted, and when it is tried again.

    closed -- a fault that a second try did not mend --> open -- its pause is over --> half-open
       ^                                                  ^                               |
       |                                                  +---- a test line fails --------+
       +------------------------- the test lines give the expected integers --------------+

    held: the device gave wrong integers; open until an operator closes it, which tests it first

Pauses grow from one fault to the next and shrink again once the device has worked for as long as the last one was.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from zeile.errors import (
    DeviceBusy,
    DeviceFault,
    DeviceTimeout,
    OverlayMismatch,
    OverlayMissing,
    PacketError,
    ZeileError,
)
from zeile.service.metrics import Metrics

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0

KINDS: tuple[tuple[type[ZeileError], str], ...] = (
    (DeviceTimeout, "timeout"),
    (PacketError, "packet"),
    (DeviceFault, "fault"),
    (DeviceBusy, "busy"),
    (OverlayMissing, "missing"),
    (OverlayMismatch, "mismatch"),
)
"""Kinds of faults as the metrics name them; others are "error", and wrong integers "wrong"."""


class Circuit:
    """The one circuit of a service's device; every method may be called in any thread.

    Args:
        metrics: count faults, and show whether the circuit is open.
        clock: monotonic seconds.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics, self._clock = metrics, clock
        self._lock = threading.Lock()
        self._state, self._because = "closed", ""
        self._pause_s, self._again, self._changed = FIRST_PAUSE_S, 0.0, clock()
        self._faults: Counter[str] = Counter()
        metrics.circuit.set(0)

    @property
    def closed(self) -> bool:
        """Whether the device is to be used."""
        return self._state == "closed"

    @property
    def because(self) -> str:
        """Why it is not; empty if it is."""
        return self._because

    def count(self, error: Exception) -> None:
        """Count a fault, whatever becomes of it."""
        kind = next((name for base, name in KINDS if isinstance(error, base)), "error")
        self._faults[kind] += 1
        self._metrics.faults.labels(kind).inc()
        if kind == "timeout":
            self._metrics.timeouts.inc()

    def failed(self, error: Exception) -> None:
        """Open: the device is left alone for a while, twice as long as the last time."""
        with self._lock:
            if self._state == "held":
                return
            self._turn("open", str(error))
            self._again = self._clock() + self._pause_s
            log.error("the device: %s; the CPU reads in its place, next try in %.0f s", error, self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def hold(self, reason: str) -> None:
        """Open until an operator says otherwise: the device's integers were wrong."""
        with self._lock:
            self._faults["wrong"] += 1
            self._metrics.faults.labels("wrong").inc()
            self._turn("held", reason)
            log.critical("ALARM: %s; the CPU reads in the device's place until POST /v1/device/close-circuit", reason)

    def due(self) -> bool:
        """Whether to test the device now: true for one caller, who must then say ``passed`` or ``failed``."""
        with self._lock:
            if self._state != "open" or self._clock() < self._again:
                return False
            self._state = "half-open"
            return True

    def passed(self) -> None:
        """The device gave the expected integers; closed, unless it is held."""
        with self._lock:
            if self._state == "held":
                return
            self._turn("closed", "")
            log.warning("the device works again")

    def worked(self) -> None:
        """The device read a batch."""
        if self._pause_s == FIRST_PAUSE_S:
            return
        with self._lock:
            if self._state == "closed" and self._clock() - self._changed >= self._pause_s:
                self._pause_s = FIRST_PAUSE_S

    def release(self) -> None:
        """What an operator does: have the device tested at once, also one that is held."""
        with self._lock:
            if self._state in ("held", "open"):
                self._turn("open", self._because)
                self._again, self._pause_s = self._clock(), FIRST_PAUSE_S

    def facts(self) -> dict[str, Any]:
        """State, reason, seconds in it and until the next try, and how many faults there were of each kind."""
        with self._lock:
            now = self._clock()
            return {
                "state": self._state,
                "because": self._because or None,
                "for_s": round(now - self._changed, 1),
                "next_try_s": round(max(0.0, self._again - now), 1) if self._state == "open" else None,
                "faults": dict(self._faults),
            }

    def _turn(self, state: str, because: str) -> None:
        if state != self._state:
            self._changed = self._clock()
        self._state, self._because = state, because
        self._metrics.circuit.set(state != "closed")
