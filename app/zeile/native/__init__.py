# SPDX-License-Identifier: Apache-2.0
"""The native engine: the integer datapath in C++, one code path for each instruction set.

``describe`` writes a network as the bytes that ``Engine`` reads (format: ``model.hpp``).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy.typing as npt

from zeile.native._native import Engine, paths, peak_macs
from zeile.network import Conv2d, Dense, Layer, Lstm, MaxPool, Network

__all__ = ["Engine", "describe", "paths", "peak_macs"]

_MAGIC, _VERSION = 0x54454E5A, 1
_TENSORS = ("weight", "bias", "multiplier", "gain", "sigmoid", "tanh", "tanh_cell")


def describe(network: Network) -> bytes:
    """The network as bytes, little-endian, for ``Engine``."""
    codes = network.input_codes
    parts = [struct.pack("<5i", _MAGIC, _VERSION, codes.rows, codes.bits, len(network.layers))]
    for index, layer in enumerate(network.layers):
        kind, parameters = _parameters(layer)
        padded = (*parameters, *[0] * (6 - len(parameters)))
        parts.append(struct.pack("<8i", kind, *padded, network.bounds[index]))
        names = layer.shapes(network.codes[index])
        parts.extend(_filled(network.tensor(index, name)) for name in _TENSORS if name in names)
    return b"".join(parts)


def _parameters(layer: Layer) -> tuple[int, tuple[int, ...]]:
    if isinstance(layer, Conv2d):
        return 0, (layer.channels, layer.out_bits, int(layer.skip is not None), layer.skip or 0)
    if isinstance(layer, MaxPool):
        return 1, (layer.columns, layer.rows)
    if isinstance(layer, Lstm):
        return 2, (layer.hidden, layer.out_bits, layer.cell_bits, layer.directions)
    assert isinstance(layer, Dense)
    return 3, (layer.classes,)


def _filled(tensor: npt.NDArray[Any]) -> bytes:
    content = tensor.astype(tensor.dtype.newbyteorder("<")).tobytes()
    return content + bytes(-len(content) % 4)
