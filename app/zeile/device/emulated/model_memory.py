# SPDX-License-Identifier: Apache-2.0
"""The reference core's memory: words by target and address, and the tensors that they hold.

The reverse of ``zeile.hw.layout.model_words``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zeile.hw import layout
from zeile.hw.design import Design
from zeile.hw.packets import Words, codes_per_word, unpack
from zeile.network import DTYPES, Conv2d, Dense, Lstm, MaxPool, Network

Ints = npt.NDArray[np.int64]


class ModelMemory:
    """Memory of a core of a design, all zero at first."""

    def __init__(self, design: Design) -> None:
        self._design = design
        self._words = {
            (index, address): np.zeros(size, np.uint64)
            for index in range(len(design.layers))
            for address, size in layout.sections(design, index).items()
        }

    def has(self, target: int, address: int, count: int) -> bool:
        """Whether there are ``count`` words at an address of a target."""
        section = self._words.get((target, _section(address)))
        return section is not None and address - _section(address) + count <= len(section)

    def write(self, target: int, address: int, words: Words) -> None:
        start = address - _section(address)
        self._words[target, _section(address)][start : start + len(words)] = words

    def read(self, target: int, address: int, count: int) -> Words:
        start = address - _section(address)
        words: Words = self._words[target, _section(address)][start : start + count].copy()
        return words

    def network(self, classes: int) -> Network:
        """The model in memory, with so many classes.

        Raises:
            BadManifest: what was loaded is no sound model.
        """
        design, layers = self._design, []
        tensors: dict[str, npt.NDArray[Any]] = {}
        for index, layer in enumerate(design.layers):
            if isinstance(layer, Dense):
                layer = Dense(classes=classes, weight_bits=layer.weight_bits)
            layers.append(layer)
            if not isinstance(layer, MaxPool):
                for name, shape in layer.shapes(design.codes[index]).items():
                    tensor = self._tensor(index, layer, name)[: shape[0]]
                    tensors[f"{index}.{name}"] = tensor.reshape(shape).astype(DTYPES[name])
        return Network(design.height_px, design.columns_per_frame, design.pixel_bits, layers, tensors)

    def _tensor(self, index: int, layer: Conv2d | Lstm | Dense, name: str) -> Ints:
        """Values of a tensor, rows first; all rows of a dense layer, also those beyond its classes."""
        if name in layout.TABLES:  # each direction has the same
            words = self._words[index, layout.address(layout.TABLES[name])]
            codes = words.astype("<u8").view(DTYPES[name])
            return codes.astype(np.int64)
        directions = layer.directions if isinstance(layer, Lstm) else 1
        order = np.argsort(layout.array_rows(self._design, index))  # matrix row -> array row
        if name == "weight":
            parts = [self._weights(index, direction, layer.weight_bits)[order] for direction in range(directions)]
        else:
            parts = [self._field(index, direction, name)[order] for direction in range(directions)]
        return np.stack(parts) if isinstance(layer, Lstm) else parts[0]

    def _weights(self, index: int, direction: int, bits: int) -> Ints:
        fold, (nf, sf) = self._design.fold(index), self._design.tiles(index)
        words = self._words[index, layout.address(layout.WEIGHTS, direction)]
        entries = words.reshape(-1, -(-fold.simd // codes_per_word(bits)))
        codes = unpack(entries, bits, fold.simd).astype(np.int64)
        values = 2 * codes - 1 if bits == 1 else codes - (codes >> (bits - 1) << bits)
        rows: Ints = values.reshape(nf, sf, fold.pe, fold.simd).transpose(0, 2, 1, 3).reshape(nf * fold.pe, -1)
        return rows

    def _field(self, index: int, direction: int, name: str) -> Ints:
        words = self._words[index, layout.address(layout.ROWS, direction)].astype(np.int64)
        if name == "bias":
            return (words & 0xFFFF_FFFF).astype(np.uint32).view(np.int32).astype(np.int64)
        shift = {"multiplier": 32, "gain": 48}[name]
        return (words >> shift & 0xFFFF).astype(np.uint16).view(np.int16).astype(np.int64)


def _section(address: int) -> int:
    return address >> 24 << 24
