# SPDX-License-Identifier: Apache-2.0
"""Checks of single hardware units against the definition, for given parameters and for given (or broken) sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.device.networks import random_network
from tests.hw import units
from tests.hw.units import HLS, Constants, Driver, Ints, elements

from zeile.device.reference import Reference, _maxpool, divide, rescale
from zeile.network import Codes, Conv2d, Dense, Layer, Lstm, MaxPool

Stalls = tuple[int, int]
STALLS: list[Stalls] = [(0, 0), (300, 0), (0, 600), (500, 500)]
"""How often, in thousandths, the input and the output of a unit wait."""
LENGTHS = [1, 5, 2, 12, 1, 1, 7, 3, 12, 9, 4, 1, 1, 1, 1, 8]
"""Steps of the lines of recurrent layers."""


@dataclass(frozen=True)
class Convolution:
    rows: int
    inputs: int
    outputs: int
    in_bits: int
    weight_bits: int
    out_bits: int
    pe: int
    simd: int
    skip_bits: int = 0
    dsp: int = 0
    extreme: bool = False


@dataclass(frozen=True)
class Recurrence:
    inputs: int
    hidden: int
    weight_bits: int
    out_bits: int
    cell_bits: int
    pe: int
    simd: int
    slots: int = 3
    ring: int = 37
    in_bits: int = 4
    in_signed: bool = False
    dsp: int = 0
    extreme: bool = False

    @property
    def layer(self) -> Lstm:
        return Lstm(hidden=self.hidden, weight_bits=self.weight_bits, out_bits=self.out_bits, cell_bits=self.cell_bits)

    @property
    def codes(self) -> Codes:
        return Codes(1, self.inputs, self.in_bits, self.in_signed)

    @property
    def constants(self) -> Constants:
        return units.lstm_constants(self.layer, self.codes, self.pe, self.simd, self.slots, self.ring, self.dsp)


@dataclass(frozen=True)
class Output:
    recurrence: Recurrence
    classes: int
    compiled: int
    weight_bits: int
    pe: int
    directions: int = 2
    dsp: int = 0


def lines_of(rng: np.random.Generator, lengths: list[int], codes: Codes) -> list[Ints]:
    """Random maps (T, rows, channels), with stretches of paper and of the largest code."""
    low, high = (-codes.largest, codes.largest - 1) if codes.signed else (0, codes.largest)
    lines = [rng.integers(low, high + 1, (n, codes.rows, codes.channels)) for n in lengths]
    for line in lines:
        line[rng.random(len(line)) < 0.1] = 0
        line[rng.random(len(line)) < 0.1] = high
    return lines


def conv_constants(case: Convolution) -> Constants:
    """The struct of the layer in ``config.h``."""
    return {
        "kTarget": 2,
        "kRows": case.rows,
        "kInChannels": case.inputs,
        "kOutChannels": case.outputs,
        "kInBits": case.in_bits,
        "kWeightBits": case.weight_bits,
        "kOutBits": case.out_bits,
        "kSkipBits": case.skip_bits,
        "kPe": case.pe,
        "kSimd": case.simd,
        "kDspPe": case.dsp,
    }


def check_conv(case: Convolution, folder: Path, sources: Path = HLS, stalled: Sequence[Stalls] = STALLS) -> None:
    """Runs a convolution on random maps and compares it with the definition."""
    source = Conv2d(channels=case.outputs, weight_bits=2, out_bits=case.skip_bits or 1)
    before = Conv2d(channels=case.inputs, weight_bits=2, out_bits=case.in_bits)
    layer = Conv2d(
        channels=case.outputs,
        weight_bits=case.weight_bits,
        out_bits=case.out_bits,
        skip=0 if case.skip_bits else None,
    )
    layers: list[Layer] = [source, before, layer, Dense(classes=2, weight_bits=2)]
    network = random_network(case.rows, layers, height_px=case.rows, extreme=case.extreme)
    structs = {"": {"ZEILE_SKIP": int(case.skip_bits > 0)}, "Layer": conv_constants(case)}
    driver = Driver("conv", folder, structs, sources)
    rng = np.random.default_rng(case.simd)
    writes, lengths = units.conv_writes(network, 2, 2, case.pe, case.simd), [1, 2, 3, 9, 1, 1, 5]
    for stalls in stalled:
        x, skip = lines_of(rng, lengths, network.codes[2]), lines_of(rng, lengths, network.codes[1])
        wanted = [
            Reference(network)._conv2d(2, layer, a, b if case.skip_bits else None) for a, b in zip(x, skip, strict=True)
        ]
        given: list[Any] = [units.configuration(writes), elements(x, case.inputs, 1, stalls[0])]
        given += [elements(skip, case.outputs, 2, stalls[0])] if case.skip_bits else []
        got = driver.run([*given, sum(lengths) * case.rows, 3, stalls[1]])
        np.testing.assert_array_equal(got[: len(writes)], units.read_back(writes))
        np.testing.assert_array_equal(got[len(writes) : -1], elements(wanted, case.outputs, 0, 0)[3:])
        if stalls == (0, 0):
            cycles_per_pixel = case.outputs // case.pe * 9 * case.inputs // case.simd
            columns = sum(lengths) + 2  # the first two come in while nothing is computed
            assert got[-1] <= columns * (case.rows * cycles_per_pixel + 1) + 4 * cycles_per_pixel + 2 * case.rows + 30


def check_pool(
    case: tuple[int, int, int, int, int], folder: Path, sources: Path = HLS, stalled: Sequence[Stalls] = STALLS
) -> None:
    """Runs a pool of (rows, channels, bits, columns, rows of a window) and compares it with the definition."""
    rows, channels, bits, kt, kr = case
    constants = {"kRows": rows, "kChannels": channels, "kBits": bits, "kPoolColumns": kt, "kPoolRows": kr}
    driver, lengths = Driver("pool", folder, {"Layer": constants}, sources), [1, 2, 3, 4, 5, 6, 1, 1, 12]
    for stalls in stalled:
        x = lines_of(np.random.default_rng(rows), lengths, Codes(rows, channels, bits))
        wanted = [_maxpool(MaxPool(columns=kt, rows=kr), line) for line in x]
        out = sum(line.shape[0] * line.shape[1] for line in wanted)
        got = driver.run([elements(x, channels, 1, stalls[0]), out, 2, stalls[1]])
        np.testing.assert_array_equal(got[:-1], elements(wanted, channels, 0, 0)[3:])


def check_lstm(
    case: Recurrence, direction: int, folder: Path, sources: Path = HLS, stalled: Sequence[Stalls] = STALLS
) -> None:
    """Runs one direction on lines of LENGTHS steps and compares it with the definition."""
    layers: list[Layer] = [case.layer, Dense(classes=2, weight_bits=2)]
    if case.in_signed:
        layers.insert(0, Lstm(hidden=case.inputs // 2, weight_bits=2, out_bits=case.in_bits, cell_bits=12))
    index = len(layers) - 2
    network = random_network(case.pe, layers, height_px=case.inputs, pixel_bits=case.in_bits, extreme=case.extreme)
    driver = Driver("lstm", folder, {"Layer": case.constants | {"kDirection": direction}}, sources)
    writes, blocks = units.lstm_writes(network, index, 3, direction, case.pe, case.simd), 4 * case.hidden // case.pe
    rng = np.random.default_rng(case.simd)
    for stalls in stalled:
        x = lines_of(rng, LENGTHS, case.codes)
        wanted = [direction_of(network, index, case.layer, line[:, 0], direction) for line in x]
        got = driver.run(
            [
                units.configuration(writes),
                elements(x, case.simd, 1, stalls[0]),
                sum(LENGTHS) * blocks,
                2,
                stalls[1],
            ]
        )
        np.testing.assert_array_equal(got[: len(writes)], units.read_back(writes))
        steps = by_step(got[len(writes) : -4], case.ring, case.pe // 4, blocks, sum(LENGTHS))
        np.testing.assert_array_equal(steps[:, 1:], np.concatenate(wanted))
        np.testing.assert_array_equal(np.flatnonzero(steps[:, 0]), np.cumsum(LENGTHS) - 1)
        assert got[-3] == sum(LENGTHS) * blocks * (case.inputs + case.hidden) // case.simd  # tiles issued


def direction_of(network: Any, index: int, layer: Lstm, x: Ints, direction: int) -> Ints:
    """h of one direction, at its frames."""
    step = 1 if direction == 0 else -1
    return Reference(network)._direction(index, layer, x[::step], direction)[::step]


def by_step(blocks: Ints, ring: int, size: int, per_step: int, steps: int) -> Ints:
    """Blocks as an Lstm put them out, sorted to their steps: (steps, last flag and h)."""
    rows = blocks.reshape(-1, 4 + size)
    result = np.full((steps, 1 + per_step * size), -999, np.int64)
    for place, turn, block, last, *h in rows.tolist():
        behind = [step for step in range(place, steps, ring) if (1 + step // ring) % 4 == turn]
        step = next((s for s in behind if result[s, 1 + block * size] == -999), None)  # turns repeat: the oldest one
        assert step is not None, f"block {block} of place {place}, turn {turn} came twice"
        assert block == 0 or result[step, 1 + (block - 1) * size] != -999, "blocks of a step come in order"
        result[step, 0] = last
        result[step, 1 + block * size : 1 + (block + 1) * size] = h
    return result


def check_output(case: Output, folder: Path, sources: Path = HLS, stalled: Sequence[Stalls] = STALLS) -> None:
    """Runs a recurrent layer and the dense one behind it, lines as long as the ring among others, and compares."""
    r, lanes = case.recurrence, 0
    lstm = Lstm(**(vars(r.layer) | {"bidirectional": case.directions == 2}))
    layers: list[Layer] = [lstm, Dense(classes=case.classes, weight_bits=case.weight_bits)]
    network = random_network(case.pe, layers, height_px=r.inputs, pixel_bits=r.in_bits, extreme=r.extreme)
    simd = r.pe // 4
    sf = case.directions * r.hidden // simd
    lanes = next(n for n in range(-(-case.pe // sf), case.pe + 1) if case.pe % n == 0)
    dense = {
        "kTarget": 4,
        "kDirections": case.directions,
        "kHidden": r.hidden,
        "kClasses": case.compiled,
        "kInBits": r.out_bits,
        "kWeightBits": case.weight_bits,
        "kPe": case.pe,
        "kSimd": simd,
        "kRingSteps": r.ring,
        "kDspPe": case.dsp,
    }
    structs = {"": {"ZEILE_DIRECTIONS": case.directions}, "LayerL": r.constants, "LayerD": dense}
    driver = Driver("recurrent", folder, structs, sources)
    writes = [w for d in range(case.directions) for w in units.lstm_writes(network, 0, 3, d, r.pe, r.simd)]
    writes += units.dense_writes(network, 1, 4, case.pe, simd)
    lengths = [*LENGTHS, r.ring, r.ring, 1, r.ring - 1, *LENGTHS]
    each = -(-case.classes // lanes)
    rng = np.random.default_rng(case.classes)
    for stalls in stalled:
        x = lines_of(rng, lengths, r.codes)
        wanted = np.concatenate([Reference(network).run(line[:, 0].astype(np.uint8)) for line in x])
        given: list[int | Ints] = [
            units.configuration(writes),
            elements(x, r.simd, 1, stalls[0]),
            sum(lengths) * each,
            2,
            stalls[1],
        ]
        got = driver.run(given)
        np.testing.assert_array_equal(got[: len(writes)], units.read_back(writes))
        rows = got[len(writes) : -1].reshape(sum(lengths), each, 3 + lanes)
        np.testing.assert_array_equal(rows[:, :, 3:].reshape(sum(lengths), -1)[:, : case.classes], wanted)
        assert (rows[:, :, 0].sum(axis=1) == case.classes).all()
        np.testing.assert_array_equal(rows[:, :, 1], np.arange(each) == each - 1 + np.zeros((sum(lengths), 1)))
        np.testing.assert_array_equal(np.flatnonzero(rows[:, -1, 2]), np.cumsum(lengths) - 1)
        assert not rows[:, :-1, 2].any()


def check_arithmetic(folder: Path, sources: Path = HLS) -> None:
    """Calls the functions of arithmetic.h on corners and on random operands."""
    driver, rng = Driver("arithmetic", folder, {}, sources), np.random.default_rng(8)
    given, wanted = [], []
    top = 2**31 - 1
    for a in [0, 1, -1, top, -top, 2**14, -(2**14), 3 * 2**14, *rng.integers(-top, top, 300)]:
        for m in [0, 1, 32767, int(rng.integers(0, 32768))]:
            given += [0, a, m]
            value = int(rescale(np.int64(a), np.int64(m)))
            wanted += [value, np.clip(value, 0, 15), np.clip(value, 0, 255), np.clip(value, -128, 127)]
    for w0, w1 in [(-127, -127), (127, 127), (-127, 127), (-1, 0), (0, -1), *rng.integers(-127, 128, (200, 2))]:
        for x in [-256, 255, 0, -1, 1, int(rng.integers(-256, 256))]:
            s0, s1 = rng.integers(-(2**20), 2**20, 2)
            given += [1, w0, w1, x, s0, s1]
            wanted += [s0 + w0 * x, s0 + w0 * x, s1 + w1 * x]
    for bits in range(2, 9):
        for i, f, g, t, o in gates(rng, bits):
            small, large = int(rng.integers(-(2 ** (bits + 1)), 2 ** (bits + 1))), int(rng.integers(-2048, 2048))
            given += [bits, i, f, g, o, t, small, large]
            for cell_bits, cell in ((bits + 2, small), (12, large)):
                n, half = np.int64(f * cell + i * g * 2 ** (cell_bits - bits - 2)), 2 ** (cell_bits - 1)
                wanted.append(np.clip(divide(n, bits), -half, half - 1))
            wanted.append(divide(np.int64(o * t), bits))
    for n in [0, 1, 2**24 - 1, *rng.integers(0, 2**24, 500)]:
        given += [9, n]
        wanted += [n // d for d in (1, 3, 24, 64, 96, 251, 65535)]
    got = driver.run([np.array([*given, -1], np.int64)])
    np.testing.assert_array_equal(got, np.array(wanted, np.int64))


def gates(rng: np.random.Generator, bits: int) -> Ints:
    """Rows of gate codes i, f, o (uA) and g, tanh_cell (sA): corners and random ones; as i, f, g, t, o."""
    top, half = 2**bits - 1, 2 ** (bits - 1) - 1
    corners = [(top, top, half, half, top), (top, top, -half, -half, top), (0, top, half, -half, 0)]
    random = rng.integers([0, 0, -half, -half, 0], [top + 1, top + 1, half + 1, half + 1, top + 1], (300, 5))
    return np.concatenate([np.array(corners), random])
