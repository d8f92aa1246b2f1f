# SPDX-License-Identifier: Apache-2.0
"""Where a model's tensors lie in the core: the words that LOAD packets carry, and READ packets bring back.

An address has a section (bits 31 ... 24: 8 * direction + s) and an index (bits 23 ... 0) in it:

    s = 0  weights    entry (tile * PE + pe), tile = nf * SF + sf: SIMD codes of W bits, packed, in whole words
    s = 1  rows       one word a row, nf * PE + pe: [31:0] bias, [47:32] multiplier, [63:48] gain
    s = 2  sigmoid    256 entries, 8 a word       (recurrent layers; each direction has its own copy)
    s = 3  tanh       256 entries, 8 a word
    s = 4  tanh_cell  2^Cb entries, 8 a word

Rows are those of the array: PE row ``gate * (PE / 4) + u`` of fold nf of a recurrent layer is that gate of unit
``nf * (PE / 4) + u``, so that the four gates of a unit come out in the same cycle; other layers keep their order,
and a dense layer's rows beyond the model's classes are zero. Columns keep theirs: (i, j, c) of a convolution,
inputs before units of a recurrent layer. A binary weight is stored as 1 for +1 and 0 for -1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zeile.hw.design import Design
from zeile.hw.words import Words, codes_per_word, pack
from zeile.network import Conv2d, Dense, Lstm, MaxPool, Network

WEIGHTS, ROWS, SIGMOID, TANH, TANH_CELL = range(5)
TABLES = {"sigmoid": SIGMOID, "tanh": TANH, "tanh_cell": TANH_CELL}

Ints = npt.NDArray[np.int64]
Load = tuple[int, int, Words]
"""Target (layer), address, words: the arguments of ``packets.load`` and, with the words' count, ``packets.read``."""


def address(section: int, direction: int = 0, index: int = 0) -> int:
    """Address of a word."""
    return (8 * direction + section) << 24 | index


def words_per_entry(design: Design, index: int) -> int:
    """Words that hold SIMD weights of a layer."""
    return -(-design.fold(index).simd // codes_per_word(_weight_bits(design, index)))


def sections(design: Design, index: int) -> dict[int, int]:
    """Words of each section of a layer, by its address; empty for a pool."""
    layer = design.layers[index]
    if isinstance(layer, MaxPool):
        return {}
    rows, _ = design.weight_shape(index)
    nf, sf = design.tiles(index)
    sizes = {WEIGHTS: nf * sf * design.fold(index).pe * words_per_entry(design, index), ROWS: rows}
    if isinstance(layer, Lstm):
        sizes |= {SIGMOID: 32, TANH: 32, TANH_CELL: 2**layer.cell_bits // 8}
    directions = layer.directions if isinstance(layer, Lstm) else 1
    return {address(section, d): size for d in range(directions) for section, size in sizes.items()}


def model_words(design: Design, network: Network) -> list[Load]:
    """All that is loaded for a model, in the order of the layers.

    Raises:
        OverlayMismatch: the model does not fit the design.
    """
    design.check(network)
    loads: list[Load] = []
    for index, layer in enumerate(network.layers):
        if isinstance(layer, Lstm):
            for direction in range(layer.directions):
                loads += _direction(design, network, index, direction)
        elif isinstance(layer, Conv2d | Dense):
            rows, columns = design.weight_shape(index)
            tensors = {n: network.tensor(index, n) for n in layer.shapes(network.codes[index])}
            loads += _matrix(design, index, 0, tensors["weight"].reshape(-1, columns), tensors, np.arange(rows))
    return loads


def array_rows(design: Design, index: int) -> npt.NDArray[np.intp]:
    """The row of the weight matrix that each array row (nf * PE + pe) holds."""
    layer, (rows, _) = design.layers[index], design.weight_shape(index)
    if not isinstance(layer, Lstm):
        return np.arange(rows)
    units = design.fold(index).pe // 4
    gate, unit = np.arange(4)[None, :, None] * layer.hidden, np.arange(layer.hidden).reshape(-1, 1, units)
    return (gate + unit).reshape(-1)  # (NF, gate, unit)


def _direction(design: Design, network: Network, index: int, direction: int) -> list[Load]:
    tensors = {name: network.tensor(index, name)[direction] for name in ("weight", "bias", "multiplier")}
    loads = _matrix(design, index, direction, tensors["weight"], tensors, array_rows(design, index))
    for name, section in TABLES.items():
        table = network.tensor(index, name).view(np.uint8)
        loads.append((index, address(section, direction), pack(table[None], 8)[0]))
    return loads


def _matrix(
    design: Design,
    index: int,
    direction: int,
    weight: npt.NDArray[Any],
    tensors: dict[str, npt.NDArray[Any]],
    order: npt.NDArray[np.intp],
) -> list[Load]:
    bits, fold, (nf, sf) = _weight_bits(design, index), design.fold(index), design.tiles(index)
    codes = (weight > 0).astype(np.uint8) if bits == 1 else weight.view(np.uint8) & np.uint8((1 << bits) - 1)
    codes = _filled(codes, len(order))[order].reshape(nf, fold.pe, sf, fold.simd).transpose(0, 2, 1, 3)
    entries = pack(np.ascontiguousarray(codes).reshape(-1, fold.simd), bits)  # (NF * SF * PE, words of an entry)
    fields = [_field(tensors.get(name), order, bits) for name, bits in (("bias", 32), ("multiplier", 16), ("gain", 16))]
    rows = fields[0] | fields[1] << np.uint64(32) | fields[2] << np.uint64(48)
    return [(index, address(WEIGHTS, direction), entries.reshape(-1)), (index, address(ROWS, direction), rows)]


def _field(tensor: npt.NDArray[Any] | None, order: npt.NDArray[np.intp], bits: int) -> Words:
    values = np.zeros(len(order), np.int64) if tensor is None else _filled(tensor.astype(np.int64), len(order))
    return (values[order] & ((1 << bits) - 1)).astype(np.uint64)


def _filled(tensor: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
    return np.concatenate([tensor, np.zeros((rows - len(tensor), *tensor.shape[1:]), tensor.dtype)])


def _weight_bits(design: Design, index: int) -> int:
    layer = design.layers[index]
    assert not isinstance(layer, MaxPool)
    return layer.weight_bits
