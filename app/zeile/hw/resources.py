# SPDX-License-Identifier: Apache-2.0
"""Resources of a design's units, from widths and folding; the constants are in ``costs.py``."""

from __future__ import annotations

from zeile.hw.costs import PART, Resources, constant, fifo, logic, mac_array, memory
from zeile.hw.design import Design
from zeile.hw.layout import words_per_entry
from zeile.network import Conv2d, Dense, Lstm, MaxPool

_ROW_BITS = 63  # bias 32, multiplier 15, gain 16
_CONFIG_BITS = 2 + 8 + 32 + 64


def part_resources(part: str) -> Resources | None:
    """What a part has; None where it is not known."""
    return Resources(*PART[part]) if part in PART else None


def unit_resources(design: Design) -> dict[str, Resources]:
    """Resources of each unit with its FIFOs, in stream order; ``platform`` is what stands around the core."""
    beat = fifo(design.beat_codes * design.pixel_bits + 1, 16)
    units = {"receive": logic(constant("lut.packets") / 2) + beat}
    for index, layer in enumerate(design.layers):
        codes = design.codes[index]
        if index == 0 or isinstance(layer, Lstm):
            wide = max(design.beat_codes if index == 0 else codes.channels, _taken(design, index))
            units[f"widen{index}"] = logic(constant("lut.stream") + wide * codes.bits) + fifo(wide * codes.bits, 4)
        if isinstance(layer, Conv2d):
            units[f"conv{index}"] = _conv(design, index, layer)
        elif isinstance(layer, MaxPool):
            units[f"pool{index}"] = _pool(design, index)
        elif isinstance(layer, Lstm):
            for name in ("forward_lstm", "backward_lstm")[: layer.directions]:
                units[name] = _lstm(design, index, layer)
        else:
            units[f"dense{index}"] = _dense(design, index, layer)
    units["send"] = logic(constant("lut.packets") / 2) + fifo(8 * design.lanes(design.recurrent + 1) + 11, 16)
    units["platform"] = Resources(constant("lut.platform"), constant("ff.platform"), 0, constant("bram.platform"), 0)
    return units


def _taken(design: Design, index: int) -> int:
    return design.fold(index).simd if isinstance(design.layers[index], Lstm) else 1


def _matrix(design: Design, index: int, weight_bits: int, code_bits: int) -> Resources:
    """MAC array, weights, and the addresses of loaded words."""
    fold, (nf, sf) = design.fold(index), design.tiles(index)
    array = mac_array(fold.pe, fold.simd, weight_bits, code_bits, design.weight_shape(index)[1], fold.dsp_rows)
    divisors = [n for n in (fold.pe, words_per_entry(design, index)) if n & (n - 1)]
    addresses = Resources(dsp=int(constant("dsp.address")) * len(divisors))
    config = fifo(_CONFIG_BITS, 2)
    return array + memory(fold.simd * weight_bits, nf * sf) * fold.pe + addresses + config


def _results(design: Design, index: int, skip: bool = False) -> Resources:
    """Lanes that turn sums into codes: rows, rescaling, and the multiplexers that shift sums into them."""
    rows, _ = design.weight_shape(index)
    lanes = design.lanes(index)
    dsp = constant("dsp.rescale") + (constant("dsp.gain") if skip else 0)
    each = logic(constant("lut.lane"), int(dsp)) + memory(_ROW_BITS, rows // lanes)
    return each * lanes + Resources(lut=design.fold(index).pe * 16, ff=design.fold(index).pe * 16)


def _conv(design: Design, index: int, layer: Conv2d) -> Resources:
    codes, fold = design.codes[index], design.fold(index)
    _, sf = design.tiles(index)
    pixel = codes.channels * codes.bits
    banks = memory(pixel, codes.rows) * 4
    window = Resources(lut=3 * pixel, ff=9 * pixel) + logic(fold.simd * codes.bits * -(-(sf - 1) // 3))
    total = _matrix(design, index, layer.weight_bits, codes.bits) + _results(design, index, layer.skip is not None)
    total += banks + window + fifo(layer.channels * layer.out_bits + 1, 4)
    if layer.skip is not None:
        source = design.codes[layer.skip + 1]
        total += fifo(source.channels * source.bits + 1, 4 * source.rows)
    return total


def _pool(design: Design, index: int) -> Resources:
    codes = design.codes[index]
    pixel = codes.channels * codes.bits
    return logic(constant("lut.stream") + 2 * pixel) + memory(pixel, codes.rows) + fifo(pixel + 1, 4)


def _lstm(design: Design, index: int, layer: Lstm) -> Resources:
    """One direction: matrix, ring of inputs, states of the slots, gate lanes."""
    codes, fold = design.codes[index], design.fold(index)
    bits, lanes = layer.out_bits, design.lanes(index)
    total = _matrix(design, index, layer.weight_bits, max(codes.bits + (not codes.signed), bits))
    total += memory(fold.simd * codes.bits, design.ring_steps * (codes.size // fold.simd))
    hidden = memory(fold.simd * bits, 2 * fold.slots * (layer.hidden // fold.simd))
    cells = memory(lanes * layer.cell_bits, fold.slots * layer.hidden // lanes)
    tables = Resources(lut=bits * (4 * 256 + 2**layer.cell_bits) / constant("lutram.bits"))
    lane = logic(constant("lut.gate") + 4 * constant("lut.lane"), 4 * int(constant("dsp.rescale"))) + tables
    lane += memory(_ROW_BITS, layer.hidden // lanes) * 4
    shift = Resources(lut=fold.pe * 16, ff=fold.pe * 32)
    return total + hidden + cells + lane * lanes + shift + fifo(fold.pe // 4 * bits + 24, 16)


def _dense(design: Design, index: int, layer: Dense) -> Resources:
    codes, fold = design.codes[index], design.fold(index)
    blocks = design.lstm.hidden // fold.simd
    complete = memory(3, design.ring_steps)  # two bits of the turn, and the end of a line
    ring = (memory(fold.simd * codes.bits, design.ring_steps * blocks) + complete) * design.lstm.directions
    return _matrix(design, index, layer.weight_bits, codes.bits) + _results(design, index) + ring
