# SPDX-License-Identifier: Apache-2.0
"""A board with the CPU engine behind it: both give the same integers, so a fault costs time, not answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from zeile.device import Device, Frames, Scores
from zeile.errors import BadManifest, DeviceError

log = logging.getLogger(__name__)

PAUSE_S = 30.0
"""After a fault the board is left alone for so long."""


class Spare:
    """A device that works on another one while it cannot work itself.

    Args:
        name: of the device's engine.
        device: opens it.
        spare: opens the other one, when it is first needed.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        device: Callable[[], Device],
        spare: Callable[[], Device],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._open, self._open_spare, self._clock = name, device, spare, clock
        self._device: Device | None = None
        self._spare: Device | None = None
        self._again = clock()
        self._because, self._closed = "", False
        if self._tried() is None:
            self._spared()

    @property
    def info(self) -> dict[str, Any]:
        """Facts of whichever did the last batch; the spare says whom it stands in for, and why."""
        if self._because and self._spare is not None:
            return self._spare.info | {"instead_of": self._name, "because": self._because}
        return self._device.info if self._device is not None else {"engine": self._name}

    def run(self, frames: Frames) -> Scores:
        return self.run_batch([frames])[0]

    def run_batch(self, lines: Sequence[Frames]) -> list[Scores]:
        """Scores of several lines; an error that is not the board's own comes through as it is.

        Raises:
            DeviceError: neither can compute them.
        """
        device = self._tried()
        if device is not None:
            try:
                scores = device.run_batch(lines)
            except DeviceError as error:
                self._failed(error)
            else:
                self._recovered()
                return scores
        return self._spared().run_batch(lines)

    def close(self) -> None:
        for device in (self._device, self._spare):
            if device is not None:
                device.close()
        self._device = self._spare = None
        self._closed, self._again = True, float("inf")

    def __enter__(self) -> Spare:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tried(self) -> Device | None:
        """The device, opened if its pause is over; None while it rests."""
        if self._clock() < self._again:
            return None
        if self._device is None:
            try:
                self._device = self._open()
            except (DeviceError, BadManifest) as error:  # the manifest is the overlay's; the model's was read before
                self._failed(error)
        return self._device

    def _failed(self, error: DeviceError | BadManifest) -> None:
        if self._device is not None:
            self._device.close()
            self._device = None
        self._again = self._clock() + PAUSE_S
        self._because = str(error)
        log.error("engine %s: %s; reading with the spare, next try in %.0f s", self._name, error, PAUSE_S)

    def _recovered(self) -> None:
        if self._because:
            log.warning("engine %s works again", self._name)
        self._because = ""

    def _spared(self) -> Device:
        if self._closed:
            raise DeviceError(f"engine {self._name!r}: closed")
        if self._spare is None:
            try:
                self._spare = self._open_spare()
            except DeviceError as error:
                raise DeviceError(f"{self._because}; nor does its spare work: {error}") from None
        return self._spare
