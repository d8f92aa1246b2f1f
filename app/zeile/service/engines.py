# SPDX-License-Identifier: Apache-2.0
"""Models on their engines, opened when first asked for. Used by the worker's thread alone."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from zeile.beam import BeamOptions
from zeile.device import Device, Frames, Scores, open_device
from zeile.errors import BadManifest, BadSettings
from zeile.manifest import Model, find_model, list_models, load_model
from zeile.network import Network
from zeile.pipeline import Recognizer
from zeile.service.spare import Spare
from zeile.settings import Settings

BOARD, SPARE = "fpga", "cpu"
"""The engine that has another one behind it, and that one."""

MAX_OPEN = 4
"""Models kept open; the one unused for longest is closed first."""


@dataclass(frozen=True)
class Options:
    """How a request wants its lines read.

    Attributes:
        folder: of the model; resolved once a request, so that one version reads all its lines.
        reading: a reading of the model; None is the model's default.
        beam: width of the beam search; 0 takes the best path.
    """

    folder: Path
    reading: str | None = None
    beam: int = 0


class Stopwatch:
    """A device that remembers when it last worked, which splits a batch's time into before, in and after it.

    Attributes:
        began: start of the last batch, seconds of ``time.perf_counter``.
        ended: its end.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self.began = self.ended = 0.0

    @property
    def info(self) -> dict[str, Any]:
        return self._device.info

    def run(self, frames: Frames) -> Scores:
        return self.run_batch([frames])[0]

    def run_batch(self, lines: Sequence[Frames]) -> list[Scores]:
        self.began = time.perf_counter()
        try:
            return self._device.run_batch(lines)
        finally:
            self.ended = time.perf_counter()

    def close(self) -> None:
        self._device.close()

    def __enter__(self) -> Stopwatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Engine:
    """A model and the device that runs it."""

    model: Model
    device: Stopwatch


class Engines:
    """Open models of a service.

    Args:
        settings: names the folder of models, the default model, the engine and its threads.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: OrderedDict[Path, Engine] = OrderedDict()

    def recognizer(self, options: Options) -> tuple[Recognizer, Engine]:
        """A recognizer for the options, with the engine that it uses.

        Raises:
            BadSettings: no such reading.
            BadManifest: the model is damaged.
            DeviceError: the engine cannot run it.
        """
        engine = self._engine(options.folder)
        beam = BeamOptions(width=options.beam) if options.beam else None
        return Recognizer(engine.model, engine.device, reading=options.reading, beam=beam), engine

    def close(self) -> None:
        """Close all devices."""
        while self._open:
            self._open.popitem()[1].device.close()

    def _engine(self, folder: Path) -> Engine:
        if folder not in self._open:
            model = load_model(folder)
            device = self._opened(model.network)
            if len(self._open) == MAX_OPEN:
                self._open.popitem(last=False)[1].device.close()
            self._open[folder] = Engine(model, Stopwatch(device))
        self._open.move_to_end(folder)
        return self._open[folder]

    def _opened(self, network: Network) -> Device:
        """A device of the engine; a board, which may fail at any time, has the CPU behind it."""
        settings = self._settings

        def opened(engine: str) -> Device:
            return open_device(engine, network, threads=settings.threads, settings=settings)

        if settings.engine != BOARD:
            return opened(settings.engine)
        return Spare(BOARD, lambda: opened(BOARD), lambda: opened(SPARE))


def folder_of(asked: str | None, settings: Settings) -> Path:
    """Folder of the model that a request asks for.

    Whoever starts the service may name any folder as its default. A request may name only what lies in the folder
    of models, so that it cannot probe or open other paths.

    Args:
        asked: "name", "name/version", or None for the service's default.
        settings: of the service.

    Raises:
        BadSettings: the request's model does not exist.
        BadManifest: the service's own default does not exist.
    """
    if asked is None:
        try:
            return find_model(settings.model, settings.models)
        except BadSettings as error:
            raise BadManifest(str(error)) from None
    known = [f"{folder.parent.name}/{folder.name}" for folder in list_models(settings.models)]
    if not any(asked in (name, name.partition("/")[0]) for name in known):
        raise BadSettings(f"model {asked[:80]!r} is unknown; this service has {', '.join(known) or 'none'}")
    return find_model(asked, settings.models)
