# SPDX-License-Identifier: Apache-2.0
"""The proofs that the designs need: each function at each width that occurs in hw_src/designs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hw_src.proofs import functions
from hw_src.proofs.proof import Proof

from zeile.hw.design import Design, list_designs, load_design
from zeile.network import Conv2d, Lstm, MaxPool

SOURCE = Path(__file__).resolve().parent.parent
_TREE = 4  # terms of a sum that the solver adds up in another order within minutes,
_WIDE = 12  # when the bits of their operands are fewer than these together


def catalogue(designs: Sequence[Design] = ()) -> list[Proof]:
    """All proofs of the designs, by default of those in hw_src/designs; each name once."""
    designs = designs or [load_design(SOURCE / "designs" / f"{name}.json") for name in list_designs(SOURCE)]
    found = {proof.name: proof for design in designs for proof in _of_design(design)}
    return sorted(found.values(), key=lambda proof: (not proof.quick, proof.name))


def _of_design(design: Design) -> Iterable[Proof]:
    yield functions.crc_word()
    yield functions.rescale(8, True)
    for index, layer in enumerate(design.layers):
        codes = design.codes[index]
        if isinstance(layer, MaxPool):
            yield functions.largest(min(codes.channels, 64 // codes.bits), codes.bits)
            continue
        w, (nf, sf), fold = layer.weight_bits, design.tiles(index), design.fold(index)
        lanes = design.lanes(index)
        largest = 1 if w == 1 else (1 << (w - 1)) - 1
        if isinstance(layer, Conv2d):
            x = codes.bits + 1
            s = _sum_bits(9 * codes.channels * largest * ((1 << codes.bits) - 1))
            skip = 0 if layer.skip is None else design.codes[layer.skip + 1].bits
            yield functions.rescale(layer.out_bits, False)
            yield functions.conv_lane(s, skip, layer.out_bits)
            banks, groups = 1, fold.pe // lanes
        elif isinstance(layer, Lstm):
            a = layer.out_bits
            x = max(codes.bits + (not codes.signed), a)
            s = _sum_bits(largest * (codes.size * (1 << codes.bits) + layer.hidden * (1 << (a - 1))))
            yield functions.preactivation(s)
            yield functions.update_cell(a, layer.cell_bits)
            yield functions.hidden_output(a)
            yield functions.divide(a, a + layer.cell_bits + 1)
            banks, groups = 4, fold.pe // 4 // lanes
        else:
            x = codes.bits
            s = _sum_bits(codes.channels * largest * (1 << (codes.bits - 1)))
            yield functions.preactivation(s)
            banks, groups = 1, fold.pe // lanes
        yield from _products(w, x)
        yield from _places(w, fold.pe, fold.simd, nf * sf, nf * fold.pe, (banks, groups, lanes))


def _products(w: int, x: int) -> Iterable[Proof]:
    """Multiply-accumulates of weights of w bits and operands of x bits."""
    yield functions.packing(max(w, 2), x)
    yield functions.pair(max(w, 2), x)
    yield functions.product(max(w, 2), x)
    for simd in (1, 2, _TREE) if w + x < _WIDE else (1,):
        yield functions.mac_array(w, x, simd, quick=simd * (w + x) < 10)


def _places(w: int, pe: int, simd: int, tiles: int, rows: int, store: tuple[int, int, int]) -> Iterable[Proof]:
    """Divisions of the indices of weights and rows."""
    parts = -(-simd // (64 // w))
    bits = _bits(tiles * pe * parts)
    yield from (functions.quotient(bits, divisor) for divisor in (parts, pe))
    banks, groups, lanes = store
    yield from (functions.quotient(_bits(rows), divisor) for divisor in (lanes, groups, banks))
    yield from (functions.exact(divisor) for divisor in (parts, pe, lanes, groups) if divisor & (divisor - 1))


def _bits(count: int) -> int:
    """Bits that count to 0 ... count - 1, at least 1."""
    return max(1, (count - 1).bit_length())


def _sum_bits(bound: int) -> int:
    """Bits of a signed sum of at most this magnitude, as zeile_sum_bits in zeile.svh."""
    return bound.bit_length() + 1
