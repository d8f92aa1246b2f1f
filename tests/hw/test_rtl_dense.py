# SPDX-License-Identifier: Apache-2.0
"""The dense layer in SystemVerilog against the definition: blocks of h in the orders in which directions give them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from tests.device.networks import random_network
from tests.hw import units
from tests.hw.rtl_streams import CONFIG_BITS, READ, WRITE, message, written_and_read
from tests.hw.rtl_unit import RTL, RtlUnit, broken, needs_verilator
from tests.hw.unit_checks import LENGTHS, STALLS, Stalls
from tests.hw.units import Ints

from zeile.device.reference import Reference
from zeile.network import Dense, Layer, Lstm, Network

pytestmark = needs_verilator

CONTROL = 7 << 24
SLOW: Stalls = (950, 0)
"""Steps come in more slowly than they are computed."""
LEAST_STEP = 5
"""Cycles between two steps, however few tiles one has: the next one is looked for."""


@dataclass(frozen=True)
class Case:
    """A layer: h of ``hidden`` units of ``bits`` bits from each direction, at most ``classes`` classes."""

    hidden: int
    bits: int
    weight_bits: int
    classes: int
    pe: int
    simd: int
    directions: int = 2
    ring: int = 37
    dsp: int = 0
    extreme: bool = False

    @property
    def blocks(self) -> int:
        """Blocks of a step of one direction."""
        return self.hidden // self.simd

    @property
    def tiles(self) -> int:
        """SF, cycles of a row block."""
        return self.directions * self.blocks

    @property
    def lanes(self) -> int:
        return next(n for n in range(-(-self.pe // self.tiles), self.pe + 1) if self.pe % n == 0)

    @property
    def parameters(self) -> dict[str, int]:
        return {
            "TARGET": 4,
            "DIRECTIONS": self.directions,
            "HIDDEN": self.hidden,
            "CLASSES": self.classes,
            "IN_BITS": self.bits,
            "WEIGHT_BITS": self.weight_bits,
            "PE": self.pe,
            "SIMD": self.simd,
            "RING_STEPS": self.ring,
            "DSP_PE": self.dsp,
            "SCORE_LANES": self.lanes,
        }


CASES = [
    Case(8, 4, 4, 16, pe=4, simd=2, ring=64),  # tiny
    Case(8, 3, 2, 10, pe=4, simd=2, directions=1),  # tiny-uni
    Case(8, 4, 4, 48, pe=24, simd=4, dsp=24),  # six lanes
    Case(6, 2, 8, 256, pe=7, simd=6),  # seven lanes, a block a step
    Case(4, 8, 1, 30, pe=3, simd=1, directions=1, extreme=True),
    Case(4, 5, 5, 3, pe=1, simd=4, ring=12),
    Case(4, 6, 3, 40, pe=20, simd=2, directions=1, ring=13, dsp=7),  # ten lanes
    Case(20, 7, 6, 9, pe=9, simd=4, directions=1, ring=19, extreme=True),  # three lanes, five blocks
    Case(16, 8, 7, 33, pe=8, simd=8, directions=1, ring=200, dsp=8, extreme=True),
]
DEEP = Case(64, 4, 4, 12, pe=4, simd=2, ring=1024)


class Unit:
    """zeile_dense of a case."""

    def __init__(self, case: Case, sources: Path = RTL) -> None:
        self.case = case
        self.place_bits, self.block_bits = bits_of(case.ring), bits_of(case.blocks)
        width = case.simd * case.bits + self.place_bits + 2 + self.block_bits + 1
        self.unit = RtlUnit(
            "zeile_dense",
            case.parameters,
            {"forward": width, "backward": width, "config_in": CONFIG_BITS},
            {"out": 8 * case.lanes + 11, "config_out": CONFIG_BITS},
            sources=sources,
        )

    def block(self, step: int, block: int, last: bool, h: Sequence[int]) -> int:
        """An element of a direction."""
        case = self.case
        codes = sum((code & (1 << case.bits) - 1) << case.bits * k for k, code in enumerate(h))
        fields = [(codes, case.simd * case.bits), (step % case.ring, self.place_bits)]
        fields += [((1 + step // case.ring) & 3, 2), (block, self.block_bits), (int(last), 1)]
        word, at = 0, 0
        for value, bits in fields:
            word, at = word | value << at, at + bits
        return word

    def blocks(self, order: Sequence[tuple[int, bool]], h: Ints) -> list[int]:
        """The elements of steps, given with whether they are their lines' last, of h (all steps, hidden)."""
        size = self.case.simd
        return [
            self.block(step, block, last, h[step, block * size : (block + 1) * size].tolist())
            for step, last in order
            for block in range(self.case.blocks)
        ]

    def rows(self, elements: Sequence[int], steps: int, classes: int) -> tuple[Ints, Ints]:
        """Scores (steps, classes) of elements, whose counts and ends are checked, and the steps that end lines."""
        lanes = self.case.lanes
        each = -(-classes // lanes)
        assert len(elements) == steps * each
        rows = np.zeros((steps, each * lanes), np.int64)
        lasts = []
        for n, element in enumerate(elements):
            step, part = divmod(n, each)
            count, end, last = element >> 8 * lanes & 511, element >> 8 * lanes + 9 & 1, element >> 8 * lanes + 10
            assert (count, end) == (min(lanes, classes - part * lanes), part == each - 1)
            lasts += [step] * last
            codes = np.array([element >> 8 * k & 255 for k in range(lanes)], np.uint8).view(np.int8)
            rows[step, part * lanes : (part + 1) * lanes] = codes
            assert end or not last
        return rows[:, :classes], np.array(lasts)


def bits_of(n: int) -> int:
    """Bits that count 0 ... n - 1, at least 1."""
    return max(1, (n - 1).bit_length())


def network_of(case: Case, classes: int, seed: int = 0) -> Network:
    layers: list[Layer] = [
        Lstm(hidden=case.hidden, weight_bits=2, out_bits=case.bits, cell_bits=12, bidirectional=case.directions == 2),
        Dense(classes=classes, weight_bits=case.weight_bits),
    ]
    return random_network(seed + classes, layers, height_px=4, extreme=case.extreme)


def scores_of(network: Network, h: list[Ints]) -> Ints:
    layer = network.layers[1]
    assert isinstance(layer, Dense)
    return Reference(network)._dense(1, layer, np.concatenate(h, axis=1))


def order_of(
    rng: np.random.Generator, lengths: Sequence[int], ring: int, slots: int, direction: int
) -> list[tuple[int, bool]]:
    """Steps as a direction of `slots` slots completes them, and whether they are their lines' last in frame order.

    A line is begun only while all lines from the oldest unfinished one on fit into the ring.
    """
    starts = np.cumsum([0, *lengths])
    order: list[tuple[int, bool]] = []
    waiting = list(range(len(lengths)))
    active: dict[int, list[int]] = {}  # line to its steps still to come
    while waiting or active:
        oldest = starts[min(active)] if active else starts[waiting[0]]
        if waiting and len(active) < slots and starts[waiting[0] + 1] - oldest <= ring:
            line = waiting.pop(0)
            steps = list(range(starts[line], starts[line + 1]))
            active[line] = steps if direction == 0 else steps[::-1]
            continue
        line = int(rng.choice(list(active)))
        step = active[line].pop(0)
        order.append((step, step == starts[line + 1] - 1))
        if not active[line]:
            del active[line]
    return order


def random_h(rng: np.random.Generator, case: Case, steps: int) -> list[Ints]:
    """h of each direction, (steps, hidden), the lowest and highest codes among them for whole steps."""
    half = 1 << case.bits - 1
    h = [rng.integers(-half, half, (steps, case.hidden)) for _ in range(case.directions)]
    for each in h:
        each[rng.random(steps) < 0.1] = half - 1
        each[rng.random(steps) < 0.1] = -half
    return h


def check(case: Case, classes: int, stalled: Sequence[Stalls], sources: Path = RTL, apart: int | None = None) -> None:
    """Runs lines, some as long as the ring, and compares.

    Args:
        apart: the direction whose blocks come first, as many as the ring takes, before the other's.
    """
    unit, network = Unit(case, sources), network_of(case, classes)
    lengths = [min(n, case.ring) for n in (*LENGTHS, case.ring, case.ring, 1, case.ring - 1, *LENGTHS)]
    steps, rng = sum(lengths), np.random.default_rng(classes)
    load, answered = written_and_read(units.dense_writes(network, 1, 4, case.pe, case.simd))
    for stalls in stalled:
        h = random_h(rng, case, steps)
        blocks = [
            unit.blocks(order_of(rng, lengths, case.ring, slots, d), h[d])
            for d, slots in zip(range(case.directions), (3, 2), strict=False)
        ]
        streams = dict(zip(("forward", "backward"), blocks, strict=False))
        phases: list[dict[str, list[int]]] = [{"config_in": load}]
        if apart is not None:
            name = ("forward", "backward")[apart]
            early = first_blocks(unit, order_of(np.random.default_rng(0), lengths, case.ring, 1, apart))
            streams[name] = unit.blocks(order_of(np.random.default_rng(0), lengths, case.ring, 1, apart), h[apart])
            phases.append({name: streams[name][:early]})
            streams[name] = streams[name][early:]
        got, _ = unit.unit.run(*phases, streams, stalls=stalls, seed=classes, patience=case.ring + 1000)
        assert got["config_out"] == answered
        rows, lasts = unit.rows(got["out"], steps, classes)
        np.testing.assert_array_equal(rows, scores_of(network, h))
        np.testing.assert_array_equal(lasts, np.cumsum(lengths) - 1)


def first_blocks(unit: Unit, order: Sequence[tuple[int, bool]]) -> int:
    """How many blocks the ring takes from one direction while the other gives nothing."""
    inside = [step < unit.case.ring for step, _ in order]
    return unit.case.blocks * (inside.index(False) if False in inside else len(inside))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_scores(case: Case) -> None:
    check(case, case.classes, [*STALLS, SLOW])


@pytest.mark.parametrize("case", CASES[:4], ids=str)
@pytest.mark.parametrize("classes", [2, 5])
def test_fewer_classes(case: Case, classes: int) -> None:
    """K is the loaded model's; one unit serves all up to the compiled maximum."""
    for k in {classes, min(case.pe, case.classes), min(case.pe + 1, case.classes), case.classes - 1}:
        check(case, k, STALLS[-1:])


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[5]], ids=str)
def test_directions_apart(case: Case, direction: int) -> None:
    """One direction fills its ring before the other gives its first block."""
    check(case, case.classes, [(0, 0), (500, 500)], apart=direction)


@pytest.mark.parametrize(
    ("case", "classes"), [(CASES[0], 16), (CASES[1], 10), (CASES[2], 30), (CASES[3], 256), (CASES[8], 33)]
)
def test_cycles(case: Case, classes: int) -> None:
    """NF * SF cycles a step, NF by the model's K."""
    unit, network = Unit(case), network_of(case, classes)
    steps = 120 // case.ring * case.ring or 120
    lengths = [min(case.ring, 20)] * (steps // min(case.ring, 20))
    rng, steps = np.random.default_rng(1), sum(lengths)
    h = random_h(rng, case, steps)
    blocks = [unit.blocks(order_of(rng, lengths, case.ring, 1, 0), each) for each in h]
    load, _ = written_and_read(units.dense_writes(network, 1, 4, case.pe, case.simd))
    _, report = unit.unit.run({"config_in": load}, dict(zip(("forward", "backward"), blocks, strict=False)))
    each = -(-classes // case.lanes)
    ends = report["at"]["out"][each - 1 :: each]
    assert set(np.diff(ends[10:]).tolist()) == {max(LEAST_STEP, -(-classes // case.pe) * case.tiles)}


def test_deep_rings() -> None:
    """Rings of more memories than one take more cycles to read."""
    check(DEEP, 11, [(0, 300)])


def test_reset_forgets() -> None:
    """K is the compiled maximum after a reset."""
    unit = Unit(CASES[0])
    asking = message(READ, 4, CONTROL, 0)
    got, _ = unit.unit.run({"config_in": [asking, message(WRITE, 4, CONTROL, 7), asking]})
    assert [word >> 42 for word in got["config_out"]] == [16, 7]


def check_power_up(case: Case, sources: Path = RTL) -> None:
    """No step is complete after a reset, whatever the memories begin with."""
    unit = Unit(case, sources)
    for seed in range(64):
        assert not unit.unit.run({}, seed=seed)[0]["out"]


def check_all(case: Case, sources: Path) -> None:
    check_power_up(case, sources)
    check(case, case.classes, [*STALLS, SLOW], sources)


def test_power_up() -> None:
    check_power_up(CASES[0])


SLIPS = [  # case, file, right, wrong
    (5, "zeile_dense_ring.sv", "place < head_place", "1'b1"),
    (0, "zeile_dense_ring.sv", ".we(!cleared || (write_q && ends_q))", ".we(write_q && ends_q)"),
    (0, "zeile_dense_ring.sv", "(write_q && ends_q)", "write_q"),
    (0, "zeile_dense_steps.sv", "backward_turn == look_turn", "1'b1"),
    (0, "zeile_dense_steps.sv", "(!issue_end || room)", "1'b1"),
    (0, "zeile_dense_steps.sv", "rest <= 9'(PE)", "rest <= 9'd1"),
    (0, "zeile_dense_drain.sv", "step_end && (done ? step_last : last)", "1'b0"),
    (0, "zeile_dense.sv", "zeile_delay #(1, RING - 1)", "zeile_delay #(1, RING)"),
]


@pytest.mark.parametrize(("case", "file", "right", "wrong"), SLIPS, ids=lambda value: str(value)[:32])
def test_slips_are_found(case: int, file: str, right: str, wrong: str, tmp_path: Path) -> None:
    sources = broken(tmp_path, file, right, wrong)
    with pytest.raises(AssertionError):
        check_all(CASES[case], sources)


def test_cases_differ() -> None:
    """What the cases are there for: lanes, blocks and directions of all sorts."""
    assert {case.lanes for case in CASES} >= {1, 3, 6, 7, 10}
    assert {case.blocks for case in CASES} >= {1, 2, 4, 5}
    assert replace(CASES[0], directions=1).tiles == 4
