# SPDX-License-Identifier: Apache-2.0
"""Models on their engines, opened when first asked for. Used by the worker's thread alone."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from zeile.beam import BeamOptions
from zeile.device import Device, open_device
from zeile.errors import DeviceError
from zeile.manifest import Model
from zeile.pipeline import Decoder
from zeile.service.breaker import Breaker
from zeile.service.circuit import Circuit
from zeile.service.golden import Golden, SelfTestFailed, golden_of
from zeile.service.metrics import Metrics
from zeile.settings import Settings

BOARDS, SPARE = ("fpga", "broker"), "cpu"
"""The engines that have another one behind them, and that one."""

MAX_OPEN = 4
"""Models kept open; the one unused for longest is closed first."""


@dataclass(frozen=True)
class Options:
    """How a request wants its lines read.

    Attributes:
        folder: of the model; resolved once a request, so that one version reads all its lines.
        reading: a reading of the model; None is the model's default.
        beam: width of the beam search; 0 takes the best path.
        alternatives: readings of each line that are kept; needs the beam search.
    """

    folder: Path
    reading: str | None = None
    beam: int = 0
    alternatives: int = 0

    def decoder(self, model: Model) -> Decoder:
        """What makes lines of the engine's scores.

        Raises:
            BadSettings: the model has no such reading; alternatives of the best path.
        """
        beam = BeamOptions(width=self.beam) if self.beam else None
        return Decoder(model, reading=self.reading, beam=beam, alternatives=self.alternatives)


@dataclass(frozen=True, eq=False)
class Engine:
    """A model and the device that runs it.

    Attributes:
        model: that it holds.
        device: with its network.
        breaker: what stands before a board; None for engines of this machine's processor.
    """

    model: Model
    device: Device
    breaker: Breaker | None = None


class Engines:
    """Open models of a service, by what is in them: a model that was loaded anew is another one.

    Args:
        settings: names the engine and its threads.
        metrics: of the service.

    Attributes:
        circuit: of the board, whatever models run on it.
        folders: of the open models; may be read in any thread.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._open: OrderedDict[str, Engine] = OrderedDict()
        self.circuit = Circuit(self._metrics)
        self.folders: frozenset[Path] = frozenset()

    def engine(self, model: Model) -> Engine:
        """The engine of a model, opened if it is not.

        Raises:
            DeviceError: it cannot run the model.
        """
        if model.sha256 not in self._open:
            engine = self._opened(model)
            if len(self._open) >= MAX_OPEN:
                self._open.popitem(last=False)[1].device.close()
            self._open[model.sha256] = engine
            self._noted()
        self._open.move_to_end(model.sha256)
        return self._open[model.sha256]

    def test(self, model: Model, golden: Golden) -> Engine:
        """Have the engine of a model read the test lines; one that fails is closed again.

        A board that fails is left alone until an operator says otherwise, and what stands in for it is tested.

        Raises:
            SelfTestFailed: its integers are not the expected ones.
            DeviceError: it cannot run the model.
        """
        engine = self.engine(model)
        try:
            try:
                golden.test(engine.device, model)
            except SelfTestFailed as error:
                if engine.breaker is None or not self.circuit.closed:
                    raise
                engine.breaker.hold(str(error))
                golden.test(engine.device, model)
        except DeviceError:
            self._close(model.sha256)
            raise
        return engine

    def probe(self) -> None:
        """Test a board whose pause is over."""
        for engine in self._open.values():
            if engine.breaker is not None:
                engine.breaker.probe()

    def drop(self, folder: Path) -> None:
        """Close the engines of a folder's models."""
        for sha256 in [key for key, engine in self._open.items() if engine.model.folder == folder]:
            self._close(sha256)

    def close(self) -> None:
        """Close all devices."""
        for sha256 in list(self._open):
            self._close(sha256)

    def _close(self, sha256: str) -> None:
        self._open.pop(sha256).device.close()
        self._noted()

    def _noted(self) -> None:
        self.folders = frozenset(engine.model.folder for engine in self._open.values())
        self._metrics.models_open.set(len(self._open))

    def _opened(self, model: Model) -> Engine:
        """A device of the engine; a board, which may fail at any time, has the CPU behind it."""
        settings = self._settings

        def opened(engine: str) -> Device:
            return open_device(engine, model.network, threads=settings.threads, settings=settings)

        if settings.engine not in BOARDS:
            return Engine(model, opened(settings.engine))
        breaker = Breaker(
            settings.engine,
            lambda: opened(settings.engine),
            lambda: opened(SPARE),
            lambda: golden_of(model),
            self.circuit,
            self._metrics,
            settings.checked,
        )
        return Engine(model, breaker, breaker)
