# SPDX-License-Identifier: Apache-2.0
"""The native engine as a device: the default off the board. Integers as in ``reference.py``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from zeile import native
from zeile.device import Frames, Scores, shaped
from zeile.errors import DeviceError
from zeile.network import Network


class Cpu:
    """Native engine for one network.

    Args:
        network: checked layers and tensors; packed here, later changes have no effect.
        path: one of ``zeile.native.paths()``; default the environment's ZEILE_NATIVE_PATH, else
            the best that this CPU can run.
        threads: workers that share the lines of a batch, at least 1.

    Attributes:
        info: ``engine``, ``path`` and ``threads`` in use.

    Raises:
        DeviceError: the path cannot run here, or threads is below 1.
    """

    def __init__(self, network: Network, path: str | None = None, threads: int = 1) -> None:
        self.network = network
        wanted = path if path is not None else os.environ.get("ZEILE_NATIVE_PATH", "")
        try:
            self._engine: native.Engine | None = native.Engine(native.describe(network), wanted, threads)
        except ValueError as error:
            raise DeviceError(f"native engine: {error}") from None
        self.info: dict[str, Any] = {
            "engine": "cpu",
            "path": self._engine.path,
            "threads": self._engine.threads,
        }

    def run(self, frames: Frames) -> Scores:
        """Compute the scores of one line.

        Args:
            frames: (T, F) uint8 pixel codes of ``pixel_bits`` bits; F is height_px * columns_per_frame.

        Returns:
            (S, K) int8 scores, S = network.steps(columns).

        Raises:
            DeviceError: wrong dtype or shape, a code beyond ``pixel_bits`` bits, or the device is closed.
        """
        return self.run_batch([frames])[0]

    def run_batch(self, lines: Sequence[Frames]) -> list[Scores]:
        """Scores of several lines, each as if alone; the GIL is free meanwhile."""
        if self._engine is None:
            raise DeviceError("native engine: closed")
        try:
            return self._engine.run([shaped(frames, self.network) for frames in lines])
        except ValueError as error:  # a code beyond pixel_bits bits
            raise DeviceError(str(error)) from None

    def close(self) -> None:
        """Release threads and weights."""
        self._engine = None

    def __enter__(self) -> Cpu:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
