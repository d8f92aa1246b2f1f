# SPDX-License-Identifier: Apache-2.0
"""A board with the CPU engine behind it: both give the same integers, so a fault costs time, not answers.

    board -> a fault: once more -> again: the CPU reads, the circuit opens -> test lines in the background -> board

What the board gives is checked now and then (``crosscheck.py``), and tested before it is trusted again (``golden.py``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from zeile.device import Device, Frames, Scores
from zeile.errors import BadManifest, DeviceError, DeviceFault, LineTooWide, OverlayMismatch, OverlayMissing
from zeile.service.circuit import LONGEST_PAUSE_S, Circuit
from zeile.service.crosscheck import CrossCheck, Mismatch
from zeile.service.golden import Golden
from zeile.service.metrics import Metrics

log = logging.getLogger(__name__)

Start = Callable[[Callable[[], None]], None]


def in_background(work: Callable[[], None]) -> None:
    """Do it in a thread of its own."""
    threading.Thread(target=work, name="zeile-probe", daemon=True).start()


class Breaker:
    """A device that works on another one while it cannot work itself.

    Args:
        name: of the device's engine.
        device: opens it.
        spare: opens the other one, when it is first needed.
        golden: lines of the model with their scores, for the test of a device that has failed.
        circuit: of the service's device, shared by its models.
        metrics: of the service.
        checked: of 1000 lines so many are read by the spare too.
        start: does the testing.
    """

    def __init__(
        self,
        name: str,
        device: Callable[[], Device],
        spare: Callable[[], Device],
        golden: Callable[[], Golden],
        circuit: Circuit,
        metrics: Metrics,
        checked: int = 0,
        start: Start = in_background,
    ) -> None:
        self._name, self._open, self._open_spare, self._golden = name, device, spare, golden
        self._circuit, self._metrics, self._start = circuit, metrics, start
        self._lock = threading.Lock()  # of the device's coming and going: the test runs in another thread
        self._device: Device | None = None
        self._spare: Device | None = None
        self._unfit, self._instead, self._closed = "", "", False
        self._fit_again, self._retries = 0.0, 0
        self._check = CrossCheck(checked, self._spared, metrics)
        if circuit.closed:
            self._opened()
        if self._device is None:
            self._instead = self._unfit or circuit.because
            self._spared()

    @property
    def info(self) -> dict[str, Any]:
        """Facts of whichever did the last batch; the spare says whom it stands in for, and why."""
        if self._instead and self._spare is not None:
            return self._spare.info | {"instead_of": self._name, "because": self._instead}
        return self._device.info if self._device is not None else {"engine": self._name}

    @property
    def rails(self) -> Any:
        """The board's power rails, see ``Fpga.rails``; None where there are none."""
        return getattr(self._device, "rails", None)

    def run(self, frames: Frames) -> Scores:
        return self.run_batch([frames])[0]

    def run_batch(self, lines: Sequence[Frames]) -> list[Scores]:
        """Scores of several lines; a line that is too wide for the board is the spare's to read.

        Raises:
            DeviceError: neither can compute them.
        """
        if self._closed:
            raise DeviceError(f"engine {self._name!r}: closed")
        self.probe()
        device = self._opened() if self._circuit.closed else None
        if device is None:
            return self._instead_of(lines, self._unfit or self._circuit.because)
        try:
            scores = self._checked(device, lines)
        except LineTooWide as error:
            return self._parted(lines, error)
        except DeviceError as error:
            self._failed(error)
        except Mismatch as error:
            self.hold(str(error))
        else:
            self._instead = ""
            self._circuit.worked()
            return scores
        return self._instead_of(lines, self._circuit.because)

    def probe(self) -> None:
        """Test the device, elsewhere, if its pause is over."""
        if self._closed:
            return
        if self._circuit.due():
            self._start(self._tested)
        elif self._unfit and self._circuit.closed and time.monotonic() >= self._fit_again:
            self._fit_again = time.monotonic() + LONGEST_PAUSE_S
            self._start(self._fitted)

    def hold(self, reason: str) -> None:
        """Use the device no more until an operator says so: what it gave was wrong."""
        self._drop()
        self._circuit.hold(f"engine {self._name}: {reason}")

    def close(self) -> None:
        self._check.close()
        with self._lock:
            self._closed = True
            for device in (self._device, self._spare):
                if device is not None:
                    device.close()
            self._device = self._spare = None

    def __enter__(self) -> Breaker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self) -> Device | None:
        """The device; None if it cannot be opened. One that the model does not fit is not the board's fault."""
        if self._device is None and not self._unfit:
            try:
                self._device = self._open()
                self._retries = self._device.info.get("retries", 0)
            except (OverlayMissing, OverlayMismatch, BadManifest) as error:  # the manifest is the overlay's
                self._unfit, self._fit_again = str(error), time.monotonic() + LONGEST_PAUSE_S
                self._circuit.count(error)
                log.error("engine %s cannot run this model: %s; the CPU reads in its place", self._name, error)
            except DeviceError as error:
                self._failed(error)
        return self._device

    def _checked(self, device: Device, lines: Sequence[Frames]) -> list[Scores]:
        """The device's scores, some of which the spare has read too."""
        self._check.begin(lines)
        scores: list[Scores] | None = None
        try:
            scores = self._tried(device, lines)
        finally:
            self._check.end(scores)
        return scores

    def _tried(self, device: Device, lines: Sequence[Frames]) -> list[Scores]:
        """The device's scores; it gets a second chance, unless it has taken one itself."""
        try:
            return _run(device, lines)
        except DeviceError as error:
            if "retries" in device.info:
                raise
            self._circuit.count(error)
            self._metrics.retries.inc()
            log.warning("engine %s: %s; trying again", self._name, error)
            return _run(device, lines)
        finally:
            retries = device.info.get("retries", self._retries)
            self._metrics.retries.inc(max(0, retries - self._retries))
            self._retries = retries

    def _parted(self, lines: Sequence[Frames], error: LineTooWide) -> list[Scores]:
        """Scores of a batch with lines that are too wide for the board."""
        if len(lines) == 1:
            return self._instead_of(lines, str(error))
        half = len(lines) // 2
        first = self.run_batch(lines[:half])
        instead = self._instead
        second = self.run_batch(lines[half:])
        self._instead = self._instead or instead  # a batch that the spare had a part in says so
        return first + second

    def _failed(self, error: Exception) -> None:
        self._circuit.count(error)
        self._drop()
        self._circuit.failed(error)

    def _drop(self) -> None:
        with self._lock:
            device, self._device = self._device, None
        if device is not None:
            device.close()

    def _tested(self) -> None:
        """Try a device that has failed; in whatever thread ``start`` chose."""
        try:
            self._prove()
        except Exception as error:  # a test that ends in any other way than well has failed
            self._circuit.count(error)
            self._circuit.failed(error)
        else:
            self._circuit.passed()

    def _fitted(self) -> None:
        """Try a device that the model did not fit: an overlay may have been mended."""
        try:
            self._prove()
        except Exception as error:
            log.info("engine %s still cannot run this model: %s", self._name, error)
        else:
            self._unfit = ""

    def _prove(self) -> None:
        """Open the device again and have it read the test lines."""
        self._drop()
        golden = self._golden()
        device = self._open()
        try:
            golden.compare(_run(device, golden.frames))
            with self._lock:
                if self._closed:
                    raise DeviceError(f"engine {self._name!r}: closed")
                self._device, self._retries = device, device.info.get("retries", 0)
        except BaseException:
            device.close()
            raise

    def _instead_of(self, lines: Sequence[Frames], because: str) -> list[Scores]:
        scores = self._spared().run_batch(lines)
        self._instead = because or "it failed"
        self._metrics.fallbacks.inc(len(lines))
        return scores

    def _spared(self) -> Device:
        with self._lock:
            if self._closed:
                raise DeviceError(f"engine {self._name!r}: closed")
            if self._spare is None:
                try:
                    self._spare = self._open_spare()
                except DeviceError as error:
                    because = self._unfit or self._circuit.because
                    raise DeviceError(f"{because}; nor does its spare work: {error}") from None
            return self._spare


def _run(device: Device, lines: Sequence[Frames]) -> list[Scores]:
    """Scores; whatever else a driver raises is a fault of the device too."""
    try:
        scores = device.run_batch(lines)
    except (DeviceError, LineTooWide):
        raise
    except Exception as error:
        raise DeviceFault(f"{type(error).__name__}: {error}") from error
    if len(scores) != len(lines):
        raise DeviceFault(f"the device gave {len(scores)} answers to {len(lines)} lines")
    return scores
