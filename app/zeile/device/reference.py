# SPDX-License-Identifier: Apache-2.0
"""The definition of the datapath: ``hw_src/DATAPATH.md`` in NumPy integers, read side by side with it.

Slow on purpose where speed would cost clarity; every other engine must equal it to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from zeile.network import DIVISORS, Conv2d, Dense, Lstm, MaxPool, Network

Ints = npt.NDArray[np.int64]
Frames = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.int8]


def rescale(accumulator: Ints, multiplier: npt.NDArray[Any]) -> Ints:
    """R(a * m): the one rounding rule, half up."""
    result: Ints = (accumulator * multiplier.astype(np.int64) + (1 << 14)) >> 15
    return result


def divide(value: Ints, bits: int) -> Ints:
    """D_A: divide by 2**bits - 1, half up."""
    multiplier, shift = DIVISORS[bits]
    return (value * multiplier + (1 << (shift - 1))) >> shift


class Reference:
    """NumPy engine."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.info: dict[str, Any] = {"engine": "reference", "path": "numpy", "threads": 1}

    def run(self, frames: Frames) -> Scores:
        """Compute the scores of one line.

        Args:
            frames: (T, F) uint8 pixel codes of ``pixel_bits`` bits; F is height_px * columns_per_frame.

        Returns:
            (S, K) int8 scores, S = network.steps(columns).
        """
        network = self.network
        maps: list[Ints] = [frames.astype(np.int64)[:, :, None]]  # (T, rows, 1); kept for skips
        if len(frames) == 0:
            return np.zeros((0, network.classes), np.int8)
        for index, layer in enumerate(network.layers):
            entering = maps[-1]
            if isinstance(layer, Conv2d):
                skip = None if layer.skip is None else maps[layer.skip + 1]
                maps.append(self._conv2d(index, layer, entering, skip))
            elif isinstance(layer, MaxPool):
                maps.append(_maxpool(layer, entering))
            elif isinstance(layer, Lstm):
                maps.append(self._lstm(index, layer, entering.reshape(len(entering), -1)))
            else:
                maps.append(self._dense(index, layer, entering.reshape(len(entering), -1)))
        return maps[-1].astype(np.int8)

    def run_batch(self, lines: Sequence[Frames]) -> list[Scores]:
        """Scores of several lines, each as if alone."""
        return [self.run(frames) for frames in lines]

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> Reference:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tensor(self, index: int, name: str) -> Ints:
        return self.network.tensor(index, name).astype(np.int64)

    def _conv2d(self, index: int, layer: Conv2d, x: Ints, skip: Ints | None) -> Ints:
        columns, rows, _ = x.shape
        weight = self._tensor(index, "weight")  # (Co, 3, 3, Ci)
        paper = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        a = np.broadcast_to(self._tensor(index, "bias"), (columns, rows, layer.channels)).copy()
        for i in range(3):
            for j in range(3):
                a += paper[i : i + columns, j : j + rows] @ weight[:, i, j].T
        if skip is not None:
            a += self._tensor(index, "gain") * skip
        return np.clip(rescale(a, self._tensor(index, "multiplier")), 0, 2**layer.out_bits - 1)

    def _lstm(self, index: int, layer: Lstm, x: Ints) -> Ints:
        outputs = []
        for direction in range(layer.directions):
            step = 1 if direction == 0 else -1  # the backward direction reads from last to first
            outputs.append(self._direction(index, layer, x[::step], direction)[::step])
        return np.concatenate(outputs, axis=1)

    def _direction(self, index: int, layer: Lstm, x: Ints, direction: int) -> Ints:
        weight = self._tensor(index, "weight")[direction]  # (4H, I + H)
        bias, multiplier = (
            self._tensor(index, "bias")[direction],
            self._tensor(index, "multiplier")[direction],
        )
        sigmoid, tanh, tanh_cell = (self._tensor(index, n) for n in ("sigmoid", "tanh", "tanh_cell"))
        bits, half = layer.out_bits, 2 ** (layer.cell_bits - 1)
        inputs, n = x.shape[1], layer.hidden
        h, c = np.zeros(n, np.int64), np.zeros(n, np.int64)
        outputs = np.zeros((len(x), n), np.int64)
        from_x = bias + x @ weight[:, :inputs].T  # (T, 4H)
        for t in range(len(x)):
            a = from_x[t] + weight[:, inputs:] @ h
            p = np.clip(rescale(a, multiplier), -128, 127) + 128
            i, f, g, o = sigmoid[p[:n]], sigmoid[p[n : 2 * n]], tanh[p[2 * n : 3 * n]], sigmoid[p[3 * n :]]
            c = divide(f * c + i * g * 2 ** (layer.cell_bits - bits - 2), bits)
            c = np.clip(c, -half, half - 1)
            h = divide(o * tanh_cell[c + half], bits)
            outputs[t] = h
        return outputs

    def _dense(self, index: int, layer: Dense, x: Ints) -> Ints:
        a = x @ self._tensor(index, "weight").T + self._tensor(index, "bias")
        return np.clip(rescale(a, self._tensor(index, "multiplier")), -128, 127)


def _maxpool(layer: MaxPool, x: Ints) -> Ints:
    columns, rows, channels = x.shape
    steps = -(-columns // layer.columns)
    paper = np.pad(x, ((0, steps * layer.columns - columns), (0, 0), (0, 0)))
    windows = paper.reshape(steps, layer.columns, rows // layer.rows, layer.rows, channels)
    pooled: Ints = windows.max(axis=(1, 3))
    return pooled
