# SPDX-License-Identifier: Apache-2.0
"""Devices: what turns the frames of a line into scores. All give the same integers (hw_src/DATAPATH.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from zeile.errors import DeviceError
from zeile.network import Network

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


def _cpu(network: Network, threads: int) -> Device:
    try:
        from zeile.device.cpu import Cpu  # here, so that a missing native module breaks only this engine
    except ImportError as error:
        raise DeviceError(
            f"engine 'cpu': the native module cannot be loaded ({error}); build it with `pip install .`, "
            "or use the slow engine 'reference'"
        ) from None
    return Cpu(network, threads=threads)


def _reference(network: Network, threads: int) -> Device:
    from zeile.device.reference import Reference

    return Reference(network)  # by definition on one thread


_ENGINES: dict[str, Callable[[Network, int], Device]] = {"cpu": _cpu, "reference": _reference}

ENGINES = tuple(_ENGINES)
"""Names of the engines."""


def open_device(name: str, network: Network, threads: int = 1) -> Device:
    """A device that runs the network.

    Args:
        name: one of ENGINES.
        network: layers and tensors.
        threads: workers that share the lines of a batch, at least 1.

    Raises:
        DeviceError: no such engine, it cannot run here, or threads is below 1.
    """
    if name not in _ENGINES:
        raise DeviceError(f"engine {name!r} is unknown; there are {', '.join(ENGINES)}")
    if threads < 1:
        raise DeviceError(f"threads is {threads}, at least 1 is needed")
    return _ENGINES[name](network, threads)
