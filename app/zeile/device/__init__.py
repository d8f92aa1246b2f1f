# SPDX-License-Identifier: Apache-2.0
"""Devices: what turns the frames of a line into scores. All give the same integers (hw_src/DATAPATH.md)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from zeile.errors import DeviceError
from zeile.network import Network

if TYPE_CHECKING:
    from zeile.settings import Settings

Frames = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.int8]


class Device(Protocol):
    """An engine that holds one network; close it, or use it as a context manager."""

    @property
    def info(self) -> dict[str, Any]:
        """``engine``, ``path`` (how it computes, as ``avx2``), ``threads``, and what else an engine knows."""

    def run(self, frames: Frames) -> Scores:
        """Scores of one line.

        Args:
            frames: (T, F) uint8 pixel codes, see ``zeile.columns.frames_of``; T may be 0.

        Returns:
            (S, K) int8, unit 1/8 nat, S = network.steps of the line's columns.

        Raises:
            DeviceError: the frames do not fit the network, or the device is closed.
        """

    def run_batch(self, lines: Sequence[Frames]) -> list[Scores]:
        """Scores of several lines, each as if alone."""

    def close(self) -> None:
        """Release what the device holds; a second time does nothing."""

    def __enter__(self) -> Device: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def shaped(frames: Frames, network: Network) -> Frames:
    """The frames, in C order, if they have the shape that the network reads.

    Raises:
        DeviceError: wrong dtype or shape.
    """
    width = network.input_codes.size
    if frames.dtype != np.uint8 or frames.ndim != 2 or frames.shape[1] != width:
        raise DeviceError(f"frames are {frames.dtype} {frames.shape}, the model needs uint8 (T, {width})")
    return np.ascontiguousarray(frames)


def checked(frames: Frames, network: Network) -> Frames:
    """The same, if they also have no code that the network does not know.

    Raises:
        DeviceError: wrong dtype or shape, or a code beyond ``pixel_bits`` bits.
    """
    frames, top = shaped(frames, network), network.input_codes.largest
    if top < 255 and frames.size and (largest := int(frames.max())) > top:
        raise DeviceError(f"a pixel code is {largest}, the model's pixels have {network.pixel_bits} bits")
    return frames


def _cpu(network: Network, threads: int, settings: Settings | None) -> Device:
    try:
        from zeile.device.cpu import Cpu  # here, so that a missing native module breaks only this engine
    except ImportError as error:
        raise DeviceError(
            f"engine 'cpu': the native module cannot be loaded ({error}); build it with `pip install .`, "
            "or use the slow engine 'reference'"
        ) from None
    return Cpu(network, threads=threads)


def _reference(network: Network, threads: int, settings: Settings | None) -> Device:
    from zeile.device.reference import Reference

    return Reference(network)  # by definition on one thread


def _fpga(network: Network, threads: int, settings: Settings | None) -> Device:
    from zeile.hw.overlay import find_overlay
    from zeile.settings import Settings as Environment

    here = settings or Environment()
    overlay = find_overlay(here.overlay, here.overlays, network)
    emulate = here.emulate != "0"
    if emulate:
        os.environ["ZEILE_EMULATE"] = here.emulate  # the emulated board asks it whether it is wanted
    else:
        overlay.bitstream()  # what is missing of it is said before pynq is asked for
    try:
        from zeile.device.fpga import Fpga  # here, so that only this engine needs pynq
    except ImportError as error:
        raise DeviceError(
            f"engine 'fpga': pynq cannot be imported ({error}); on a board run the Python of its image "
            "(/usr/local/share/pynq-venv), elsewhere `pip install 'zeile[board]'`; `zeile doctor` says more"
        ) from None
    return Fpga(network, overlay, emulate=emulate)


def _broker(network: Network, threads: int, settings: Settings | None) -> Device:
    from zeile.device.broker import Broker
    from zeile.settings import Settings as Environment

    path = (settings or Environment()).broker
    if path is None:
        raise DeviceError("engine 'broker': ZEILE_BROKER does not name a socket; set it to that of `zeile broker`")
    return Broker(network, path)  # the broker has threads of its own


_ENGINES: dict[str, Callable[[Network, int, Settings | None], Device]] = {
    "cpu": _cpu,
    "reference": _reference,
    "fpga": _fpga,
    "broker": _broker,
}

ENGINES = tuple(_ENGINES)
"""Names of the engines."""


def open_device(name: str, network: Network, threads: int = 1, settings: Settings | None = None) -> Device:
    """A device that runs the network.

    Args:
        name: one of ENGINES.
        network: layers and tensors.
        threads: workers that share the lines of a batch, at least 1.
        settings: of the deployment: the board's overlays; None reads the environment, if the engine needs any.

    Raises:
        DeviceError: no such engine, it cannot run here, or threads is below 1.
        BadManifest: the board's overlay is damaged.
    """
    if name not in _ENGINES:
        raise DeviceError(f"engine {name!r} is unknown; there are {', '.join(ENGINES)}")
    if threads < 1:
        raise DeviceError(f"threads is {threads}, at least 1 is needed")
    return _ENGINES[name](network, threads, settings)
