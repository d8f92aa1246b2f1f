# SPDX-License-Identifier: Apache-2.0
"""The real numbers that a network's integers stand for: its float32 twin, for engines that know only floats.

    pixel, feature map, h   a code of A bits has the unit 2**(1 - A)
    score                   unit 1/8 nat, as the integers have it
    every product           accumulator * multiplier / 2**15 is the code of what comes out (DATAPATH.md)

The twin keeps the weights' values and the clamps of convolutions and scores. It rounds nothing between
layers, and its gates are true sigmoids and tanhs without the clamps at +-8 and, of the cell, +-4: its scores
come close to the integers' and do not equal them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zeile.network import Conv2d, Dense, Lstm, MaxPool, Network

Floats = npt.NDArray[np.float32]

SCORE_LOW, SCORE_HIGH = -128.0, 127.0


@dataclass(frozen=True)
class FloatConv:
    """Convolution: (Co, Ci, 3 along the line, 3 down the column), its bias, and what limits the result.

    Attributes:
        weight: (Co, Ci, 3, 3) float32.
        bias: (Co,) float32.
        gain: (Co,) float32 times the skip's map, or None without a skip.
        skip: layer whose output is added, -1 the input, None nothing.
        top: largest value behind the ReLU.
    """

    weight: Floats
    bias: Floats
    gain: Floats | None
    skip: int | None
    top: float


@dataclass(frozen=True)
class FloatPool:
    """Maximum over columns and rows."""

    columns: int
    rows: int


@dataclass(frozen=True)
class FloatLstm:
    """LSTM, gates in the order i, f, g, o.

    Attributes:
        w: (D, 4H, I) float32, from the frame.
        u: (D, 4H, H) float32, from h.
        bias: (D, 4H) float32.
    """

    w: Floats
    u: Floats
    bias: Floats


@dataclass(frozen=True)
class FloatDense:
    """Scores: (K, I) and (K,) float32, in units of 1/8 nat."""

    weight: Floats
    bias: Floats


FloatLayer = FloatConv | FloatPool | FloatLstm | FloatDense


def pixel_unit(network: Network) -> float:
    """Value of pixel code 1."""
    return float(2.0 ** (1 - network.pixel_bits))


def dequantise(network: Network) -> list[FloatLayer]:
    """The layers of a network in real numbers."""
    layers: list[FloatLayer] = []
    for index, layer in enumerate(network.layers):
        entering = 2.0 ** (1 - network.codes[index].bits)
        if isinstance(layer, MaxPool):
            layers.append(FloatPool(layer.columns, layer.rows))
            continue
        weight, bias, multiplier = (_doubles(network, index, name) for name in ("weight", "bias", "multiplier"))
        scale = multiplier / 2.0**15
        if isinstance(layer, Conv2d):
            layers.append(_conv(network, index, layer, weight / entering, bias, scale))
        elif isinstance(layer, Lstm):
            scale = scale / 16  # a pre-activation's code has the unit 1/16
            inputs, hidden_unit = network.codes[index].size, 2.0 ** (1 - layer.out_bits)
            weight = weight * scale[:, :, None]
            w, u = weight[:, :, :inputs] / entering, weight[:, :, inputs:] / hidden_unit
            layers.append(FloatLstm(_single(w), _single(u), _single(bias * scale)))
        else:
            assert isinstance(layer, Dense)
            layers.append(FloatDense(_single(weight * scale[:, None] / entering), _single(bias * scale)))
    return layers


def _conv(
    network: Network,
    index: int,
    layer: Conv2d,
    weight: npt.NDArray[np.float64],
    bias: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
) -> FloatConv:
    leaving = 2.0 ** (1 - layer.out_bits)
    scale = scale * leaving
    gain = None
    if layer.skip is not None:
        source = 2.0 ** (1 - network.codes[layer.skip + 1].bits)
        gain = _single(_doubles(network, index, "gain") * scale / source)
    weight = (weight * scale[:, None, None, None]).transpose(0, 3, 1, 2)  # (Co, Ci, along, down)
    return FloatConv(_single(weight), _single(bias * scale), gain, layer.skip, (2**layer.out_bits - 1) * leaving)


def _doubles(network: Network, index: int, name: str) -> npt.NDArray[np.float64]:
    return network.tensor(index, name).astype(np.float64)


def _single(values: npt.NDArray[Any]) -> Floats:
    return np.ascontiguousarray(values, np.float32)
