# SPDX-License-Identifier: Apache-2.0
"""Resources of a design's units, from widths and folding, as the SystemVerilog core has them.

The constants are in ``costs.py``.
"""

from __future__ import annotations

from zeile.hw.chain import build
from zeile.hw.costs import PART, Resources, constant, fifo, logic, mac_array, memory, select
from zeile.hw.design import Design
from zeile.hw.words import codes_per_word
from zeile.network import Conv2d, Dense, Lstm, MaxPool, largest_weight

_ROW_BITS = 63  # bias 32, multiplier 15, gain 16
_WORD = 64
_PORT = (_WORD + 1, 2)  # bits and depth of the FIFO behind each port


def part_resources(part: str) -> Resources | None:
    """What a part has; None where it is not known."""
    return Resources(*PART[part]) if part in PART else None


def unit_resources(design: Design) -> dict[str, Resources]:
    """Resources of each unit, in stream order; ``fifos`` lie between them, ``platform`` stands around the core."""
    units = {"receive": _packets("receive") + Resources(bram36=constant("bram.receive"))}
    for index, layer in enumerate(design.layers):
        codes = design.codes[index]
        if index == 0 or isinstance(layer, Lstm):
            taken = design.fold(index).simd if isinstance(layer, Lstm) else 1
            given = design.beat_codes if index == 0 else codes.channels
            wide = max(given, taken * (1 if isinstance(layer, Lstm) else codes.channels)) * codes.bits
            units[f"widen{index}"] = _mover(wide)
        if isinstance(layer, Conv2d):
            units[f"conv{index}"] = _conv(design, index, layer)
        elif isinstance(layer, MaxPool):
            units[f"pool{index}"] = _pool(design, index)
        elif isinstance(layer, Lstm):
            for name in ("forward_lstm", "backward_lstm")[: layer.directions]:
                units[name] = _lstm(design, index, layer)
        else:
            units[f"dense{index}"] = _dense(design, index, layer)
    units["send"] = _packets("send")
    between = [(each.bits, each.depth) for each in build(design).fifos.values()] + [_PORT, _PORT]
    units["fifos"] = sum((fifo(*each) for each in between), Resources())
    units["platform"] = Resources(constant("lut.platform"), constant("ff.platform"), 0, constant("bram.platform"), 0)
    return units


def _packets(name: str) -> Resources:
    return logic(constant(f"lut.{name}"), constant(f"ff.{name}"))


def _mover(bits: int) -> Resources:
    return logic(constant("lut.stream") + bits, constant("lut.stream") + bits)


def _node() -> Resources:
    return logic(constant("lut.node"), constant("ff.node"))


def _sum_bits(bound: int) -> int:
    """Bits of a signed sum of magnitude at most ``bound``."""
    return bound.bit_length() + 1


def _matrix(design: Design, index: int, weight_bits: int, code_bits: int, bound: int) -> Resources:
    """MAC array, its weights, and how they are loaded and read back."""
    fold, (nf, sf) = design.fold(index), design.tiles(index)
    entry, deep = fold.simd * weight_bits, nf * sf > constant("lutram.depth")
    array = mac_array(fold.pe, fold.simd, weight_bits, code_bits, _sum_bits(bound), fold.dsp_rows)
    weights = memory(entry, nf * sf) * fold.pe + logic(0, entry * fold.pe * deep)  # the block RAM's output register
    parts = -(-fold.simd // codes_per_word(weight_bits))
    load = logic(select(entry, fold.pe) + select(_WORD, parts) + 2 * _WORD, parts * _WORD + 2 * entry + fold.pe)
    return array + weights + load + _quotients(parts, fold.pe)


def _rows(rows: int, ports: int) -> Resources:
    """Rows, ``ports`` of them read at a time."""
    each = memory(_ROW_BITS, rows // ports) + logic(0, _ROW_BITS)
    return each * ports + logic(select(_ROW_BITS, ports) + 2 * _WORD, 2 * _WORD)


def _quotients(*divisors: int) -> Resources:
    return Resources(dsp=sum(n & (n - 1) != 0 for n in divisors) * int(constant("dsp.quotient")))


def _lanes(count: int, groups: int, bits: int) -> Resources:
    """Lanes from sums to codes, and the multiplexers before them."""
    lane = logic(constant("lut.lane"), constant("ff.lane"), int(constant("dsp.lane")))
    return lane * count + logic(count * select(bits, groups), count * bits)


def _conv(design: Design, index: int, layer: Conv2d) -> Resources:
    codes, fold, lanes = design.codes[index], design.fold(index), design.lanes(index)
    _, sf = design.tiles(index)
    inputs = 9 * codes.channels
    bound = inputs * largest_weight(layer.weight_bits) * (2**codes.bits - 1)
    pixel, out = codes.channels * codes.bits, layer.channels * layer.out_bits
    total = _node() + _matrix(design, index, layer.weight_bits, codes.bits + 1, bound)
    total += _rows(layer.channels, lanes) + _lanes(lanes, fold.pe // lanes, _sum_bits(bound))
    total += _quotients(lanes, fold.pe // lanes)
    total += memory(pixel, codes.rows) * 4 + fifo(out + 1, 5)
    total += logic(3 * select(pixel, 4) + 6 * pixel, 9 * pixel)  # the window
    total += logic(select(fold.simd * codes.bits, sf), fold.simd * codes.bits)
    total += logic(constant("lut.window"), constant("lut.window") + out)
    if layer.skip is not None:
        bits = design.codes[layer.skip + 1].bits
        total += fifo(layer.channels * bits, 5) + logic(0, 0, int(constant("dsp.gain"))) * lanes
        total += logic(lanes * (select(bits, layer.channels // lanes) + 32), lanes * 64)
    return total


def _pool(design: Design, index: int) -> Resources:
    codes = design.codes[index]
    pixel = codes.channels * codes.bits
    return logic(4 * pixel + constant("lut.stream"), pixel + constant("lut.stream")) + memory(pixel, codes.rows)


def _lstm(design: Design, index: int, layer: Lstm) -> Resources:
    """One direction: matrix, ring of inputs, schedule and states of the slots, gate lanes."""
    codes, fold = design.codes[index], design.fold(index)
    bits, lanes, units = layer.out_bits, design.lanes(index), fold.pe // 4
    bound = largest_weight(layer.weight_bits) * (codes.size * 2**codes.bits + layer.hidden * 2 ** (bits - 1))
    operand = max(codes.bits + (not codes.signed), bits)
    total = _node() + _matrix(design, index, layer.weight_bits, operand, bound)
    total += memory(fold.simd * codes.bits, design.ring_steps * (codes.size // fold.simd))
    total += logic(fold.simd * operand, 3 * fold.simd * codes.bits)
    total += memory(fold.simd * bits, 2 * fold.slots * (layer.hidden // fold.simd))
    total += memory(lanes * layer.cell_bits, fold.slots * layer.hidden // lanes)
    tables = memory(8 * bits, 32) * 4 + memory(8 * bits, 2**layer.cell_bits // 8) + logic(5 * select(bits, 8), 5 * bits)
    cell = logic(constant("lut.cell"), constant("ff.cell"), int(constant("dsp.cell")))
    total += (tables + cell) * lanes + _rows(4 * layer.hidden, 4 * lanes)
    total += _lanes(4 * lanes, units // lanes, _sum_bits(bound))
    total += fifo(units * bits + design.ring_steps.bit_length() + 8, 5) + logic(0, 2 * units * bits)
    slots = constant("lut.slots") + constant("lut.slot") * fold.slots
    return total + logic(slots, slots) + logic(constant("lut.counter"), constant("lut.counter")) * 4


def _dense(design: Design, index: int, layer: Dense) -> Resources:
    codes, fold, lanes = design.codes[index], design.fold(index), design.lanes(index)
    blocks = design.lstm.hidden // fold.simd
    bound = codes.size * largest_weight(layer.weight_bits) * 2 ** (codes.bits - 1)
    complete = memory(3, design.ring_steps)  # two bits of the turn, and the end of a line
    ring = memory(fold.simd * codes.bits, design.ring_steps * blocks) + complete + logic(40, 4 * fold.simd * codes.bits)
    total = _node() + _matrix(design, index, layer.weight_bits, codes.bits, bound) + ring * design.lstm.directions
    total += _rows(design.weight_shape(index)[0], lanes) + _lanes(lanes, fold.pe // lanes, _sum_bits(bound))
    total += _quotients(lanes, fold.pe // lanes)
    return total + logic(constant("lut.steps"), constant("lut.steps")) + fifo(8 * lanes + 5, 32)
