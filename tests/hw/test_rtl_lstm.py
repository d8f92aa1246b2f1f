# SPDX-License-Identifier: Apache-2.0
"""A direction of a recurrent layer in SystemVerilog: the integers of the definition, the schedule of the HLS unit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.device.networks import random_network
from tests.hw import rtl_unit, unit_checks, units
from tests.hw.rtl_unit import RTL, RtlUnit
from tests.hw.test_units import RECURRENCES
from tests.hw.unit_checks import LENGTHS, Recurrence, Stalls
from tests.hw.units import Driver, Ints

from zeile.network import Dense, Layer, Lstm, Network

pytestmark = rtl_unit.needs_verilator

WRITE, READ, DATA, CONTROL = 0, 1, 2, 7
NARROW, SMALL_RING = RECURRENCES[0], RECURRENCES[5]
WIDTHS = [  # what the cases of the HLS unit leave out, and 1, 2 and 7 to 8 bits of inputs
    Recurrence(8, 8, 1, 2, 4, pe=8, simd=4, in_bits=8),
    Recurrence(8, 8, 2, 3, 5, pe=8, simd=4, in_bits=1, dsp=8),
    Recurrence(8, 8, 7, 8, 11, pe=8, simd=4, in_bits=2, in_signed=True, dsp=5),
]
SLOTS = [replace(NARROW, slots=slots, ring=ring) for slots, ring in [(1, 40), (2, 13), (4, 64), (7, 100)]]
NARROW_CASES = [case for case in RECURRENCES if case.pe < 64] + WIDTHS + SLOTS
CASES = [(case, n % 2) for n, case in enumerate(NARROW_CASES)] + [(NARROW, 1), (SMALL_RING, 0)]
STALLS = [*unit_checks.STALLS, (0, 900)]


class Unit:
    """zeile_lstm of a case, its network and what it is loaded with."""

    def __init__(self, case: Recurrence, direction: int, sources: Path = RTL, folder: Path | None = None) -> None:
        self.case, self.direction = case, direction
        self.network, self.index = network_of(case)
        self.blocks = 4 * case.hidden // case.pe
        self.place_bits, self.block_bits = bits_of(case.ring), bits_of(self.blocks)
        out_bits = case.pe // 4 * case.out_bits + self.place_bits + 2 + self.block_bits + 1
        self.unit = RtlUnit(
            "zeile_lstm",
            {name_of(key): value for key, value in case.constants.items()} | {"DIRECTION": direction},
            {"in": case.simd * case.in_bits + 1, "config_in": 106},
            {"out": out_bits, "config_out": 106},
            folder,
            sources=sources,
        )
        self.writes = units.lstm_writes(self.network, self.index, 3, direction, case.pe, case.simd)

    def run(self, lines: list[Ints], stalls: Stalls = (0, 0), **options: Any) -> tuple[Ints, list[int], dict[str, Any]]:
        """Blocks as rows (place, turn, block, last, h); counters cycles, issued, starved, stalled; the report."""
        load = [message(WRITE, *write) for write in self.writes]
        check = [message(READ, target, address, 0) for target, address, _ in self.writes]
        counters = [message(READ, 3, (8 * self.direction + CONTROL) << 24 | n, 0) for n in range(4)]
        given = {"in": [word for line in lines for word in self.words(line)]}
        phases = {"config_in": load + check}, given, {"config_in": counters}
        got, report = self.unit.run(*phases, stalls=stalls, **options)
        answers = got["config_out"]
        assert answers[:-4] == [message(DATA, *write) for write in self.writes]
        return np.array([self.block(word) for word in got["out"]]), [word >> 42 for word in answers[-4:]], report

    def words(self, line: Ints) -> list[int]:
        case = self.case
        parts = line.reshape(-1, case.simd).tolist()
        packed = [pack(part, case.in_bits) for part in parts]
        packed[-1] |= 1 << case.simd * case.in_bits
        return packed

    def block(self, word: int) -> list[int]:
        """(place, turn, block, last, h ...) of an element."""
        size, bits = self.case.pe // 4, self.case.out_bits
        half = 1 << bits - 1
        h = [((word >> bits * k) + half) % (2 * half) - half for k in range(size)]
        rest = word >> bits * size
        place, rest = rest % (1 << self.place_bits), rest >> self.place_bits
        turn, rest = rest % 4, rest >> 2
        return [place, turn, rest % (1 << self.block_bits), rest >> self.block_bits, *h]


def network_of(case: Recurrence) -> tuple[Network, int]:
    """A random network with the layer, and its index."""
    layers: list[Layer] = [case.layer, Dense(classes=2, weight_bits=2)]
    if case.in_signed:
        layers.insert(0, Lstm(hidden=case.inputs // 2, weight_bits=2, out_bits=case.in_bits, cell_bits=12))
    network = random_network(case.pe, layers, height_px=case.inputs, pixel_bits=case.in_bits, extreme=case.extreme)
    return network, len(layers) - 2


def name_of(constant: str) -> str:
    """kInBits is IN_BITS in SystemVerilog."""
    return "".join(f"_{c}" if c.isupper() else c for c in constant[1:]).lstrip("_").upper()


def bits_of(n: int) -> int:
    return max(1, (n - 1).bit_length())


def pack(codes: list[int], bits: int) -> int:
    return sum((code & (1 << bits) - 1) << bits * k for k, code in enumerate(codes))


def message(op: int, target: int, address: int, data: int) -> int:
    """A word of the configuration chain."""
    return op | target << 2 | address << 10 | int(data) << 42


def check(
    case: Recurrence,
    direction: int,
    sources: Path = RTL,
    folder: Path | None = None,
    lengths: list[int] = LENGTHS,
    stalled: list[Stalls] = STALLS,
) -> None:
    """Runs one direction on random lines and compares it with the definition."""
    unit, rng = Unit(case, direction, sources, folder), np.random.default_rng(case.simd)
    for seed, stalls in enumerate(stalled):
        x = unit_checks.lines_of(rng, lengths, case.codes)
        wanted = [unit_checks.direction_of(unit.network, unit.index, case.layer, a[:, 0], direction) for a in x]
        got, (_, issued, _, _), _ = unit.run(x, stalls, seed=seed)
        assert len(got) == sum(lengths) * unit.blocks
        steps = unit_checks.by_step(got, case.ring, case.pe // 4, unit.blocks, sum(lengths))
        np.testing.assert_array_equal(steps[:, 1:], np.concatenate(wanted))
        np.testing.assert_array_equal(np.flatnonzero(steps[:, 0]), np.cumsum(lengths) - 1)
        assert issued == sum(lengths) * unit.blocks * (case.inputs + case.hidden) // case.simd


@pytest.mark.parametrize(("case", "direction"), CASES, ids=str)
def test_lstm(case: Recurrence, direction: int) -> None:
    check(case, direction)


def test_short_fold() -> None:
    """Row blocks every other cycle, and of all shapes the least time from the last h of a step to its first reader."""
    check(Recurrence(32, 32, 2, 4, 8, pe=16, simd=32, slots=4, ring=64), 0)


@pytest.mark.slow  # to compile
def test_wide() -> None:
    """The multipliers of finn-l."""
    check(RECURRENCES[2], 0)


@pytest.mark.skipif(units.COMPILER is None, reason="there is no C++ compiler")
@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("case", [replace(NARROW, ring=400), *SLOTS[:1], *SLOTS[3:]], ids=str)
def test_schedule_is_that_of_hls(case: Recurrence, direction: int, tmp_path: Path) -> None:
    """The same blocks in the same order, and as many cycles in which the array issues, starves, or is stalled."""
    unit, lengths = Unit(case, direction), [*LENGTHS, 30, 1, 20]
    lines = unit_checks.lines_of(np.random.default_rng(5), lengths, case.codes)
    got, counters, _ = unit.run(lines)
    driver = Driver("lstm", tmp_path, {"Layer": case.constants | {"kDirection": direction}})
    given: list[int | Ints] = [units.configuration(unit.writes)]
    given += [units.elements(lines, case.simd, 1, 0), len(got), 2, 0]
    hls = driver.run(given)[len(unit.writes) :]
    np.testing.assert_array_equal(got, hls[:-4].reshape(len(got), -1))
    assert counters[1:] == hls[-3:].tolist()


SLOT_COUNTS = [1, 2, 3, 4, 8]
BUSY = {  # folds, and busy issue slots per cent with so many slots, as in hw_src/hls/README.md
    "print": ({"SFX": 8, "SFH": 8, "NF": 8, "GROUPS": 16}, [76.5, 98.9, 99.2, 99.6, 99.8]),
    "finn-l": ({"SFX": 1, "SFH": 4, "NF": 8, "GROUPS": 4}, [59.2, 99.6, 99.3, 99.8, 99.9]),
    "tiny": ({"SFX": 2, "SFH": 1, "NF": 4, "GROUPS": 2}, [31.9, 60.5, 86.2, 92.0, 96.9]),
}
BENCH = """`default_nettype none
module bench #(parameter int SFX = 8, SFH = 8, NF = 8, GROUPS = 16) (
    input wire clk, rst, in_valid, in_data, output wire in_ready, output wire [14:0] state);
  wire [4:0] ready;
  assign in_ready = &ready;
  for (genvar n = 0; n < 5; ++n) begin : g_slots
    zeile_sequencer #(
        .SLOTS(n < 4 ? n + 1 : 8), .STEPS(2048), .SFX(SFX), .SFH(SFH), .NF(NF), .GROUPS(GROUPS)
    ) sequencer (
        .clk, .rst, .in_valid, .in_ready(ready[n]), .in_last(in_data), .drain_room(1'b1),
        .issue(state[3*n]), .starved(state[3*n+1]), .stalled(state[3*n+2]));
  end
endmodule
"""


@pytest.mark.parametrize("design", BUSY)
def test_busy(design: str, tmp_path: Path) -> None:
    """With its slots full the array issues in 95 of 100 cycles and more, as in the HLS model."""
    fold, shares = BUSY[design]
    steps, lines, tiles = 60, 30, fold["NF"] * (fold["SFX"] + fold["SFH"])
    (tmp_path / "bench.sv").write_text(BENCH, "utf-8")
    bench = RtlUnit("bench", fold, {"in": 1}, {}, watch={"state": 15}, extra=[tmp_path / "bench.sv"])
    given = ([0] * (steps * fold["SFX"] - 1) + [1]) * lines
    got, _ = bench.run({"in": given}, patience=steps * lines * (tiles + 50))
    states = np.array(got["state"])
    for n, share in enumerate(shares):
        issued, starved, stalled = (int((states >> 3 * n + bit & 1).sum()) for bit in range(3))
        assert (issued, stalled) == (steps * lines * tiles, 0)
        assert 100 * issued / (issued + starved) > share - 0.3, f"{SLOT_COUNTS[n]} slots"


SLIPS = [
    (NARROW, "zeile_divide.sv", "1 << (SHIFT - 1)", "0 << (SHIFT - 1)"),
    (NARROW, "zeile_tiles.sv", "row(!issue_half", "row(issue_half"),
    (NARROW, "zeile_slots.sv", "waits[i] == 5'd2", "waits[i] == 5'd20"),
    (NARROW, "zeile_sequencer.sv", "? step_last : step_first", "? step_first : step_last"),
    (NARROW, "zeile_blocks.sv", "drain_room = places != '0", "drain_room = 1'b1"),
    (SMALL_RING, "zeile_lines.sv", "used != COUNT_BITS'(STEPS)", "1'b1"),
    (SMALL_RING, "zeile_slots.sv", "done(finish && step_last)", "done(1'b0)"),
]


@pytest.mark.parametrize(("case", "file", "right", "wrong"), SLIPS, ids=lambda value: str(value)[:24])
def test_slips_are_found(case: Recurrence, file: str, right: str, wrong: str, tmp_path: Path) -> None:
    sources = rtl_unit.broken(tmp_path, file, right, wrong)
    with pytest.raises(AssertionError):
        check(case, 0, sources, tmp_path / "broken", stalled=[(0, 0), (300, 0), (0, 900)])
