# SPDX-License-Identifier: Apache-2.0
"""The cycle and resource model: arithmetic that a person can follow, and cycles that the simulated core confirms."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.device.networks import random_line, random_network

from zeile.errors import BadManifest, BadSettings, DeviceError
from zeile.hw import csim, packets, rtlsim
from zeile.hw.costs import CONSTANTS, Resources, constant, fifo, mac_array, memory, tree
from zeile.hw.design import Design, find_design
from zeile.hw.estimate import BATCH, check_fits, estimate, usual_columns
from zeile.hw.resources import unit_resources
from zeile.hw.table import describe
from zeile.hw.timing import recurrence, run, unit_cycles

SOURCE = Path(__file__).resolve().parents[2] / "hw_src"
NAMES = ("tiny", "tiny-uni", "zeile-print", "finn-l-w4a4", "finn-l-w2a4")


def design(name: str) -> Design:
    return find_design(name, SOURCE)


def test_cycles_follow_from_the_folding() -> None:
    units = unit_cycles(design("zeile-print"), 660, 146)
    assert units["conv0"] == 660 * (32 * 1 + 1)  # NF * SF a pixel, and one more a column
    assert units["conv2"] == 220 * (16 * 8 + 1)
    assert units["conv4"] == 220 * (8 * 16 + 1)
    assert units["pool1"] == 660 * 32
    assert units["forward_lstm"] == units["backward_lstm"] == 220 * 8 * 16
    assert units["dense7"] == 220 * 7 * 16  # 146 classes are 7 row blocks of 24
    assert units["receive"] == 660 * 2 + 3
    assert units["send"] == 220 * 73 + 3  # two scores a cycle


def test_shipped_designs_fit_and_reach_their_speed() -> None:
    zeile = estimate(design("zeile-print"), 660)
    assert zeile.lines_per_s >= 8800
    assert zeile.batch_lines_per_s >= 8000
    assert max(zeile.shares.values()) <= 0.70
    for name in NAMES:
        check_fits(estimate(design(name), usual_columns(design(name))))


@pytest.mark.parametrize("name", ["finn-l-w4a4", "finn-l-w2a4"])
def test_lstm_pynq_is_beaten_by_far(name: str) -> None:
    found = estimate(design(name), 520, 146)
    assert found.batch_lines_per_s >= 33 * 338  # its W4A4, at 520 columns
    assert found.cycles / 520 < 569 / 14
    assert max(found.shares.values()) <= 0.8


def test_the_bottleneck_is_named_and_busy_all_the_time() -> None:
    found = estimate(design("zeile-print"), 660)
    assert found.bottleneck == "conv2"
    assert max(unit.busy for unit in found.units) == 1
    assert found.cycles == next(unit.cycles for unit in found.units if unit.name == "conv2")


def test_lines_in_flight_keep_the_multipliers_at_work() -> None:
    steps = recurrence(design("zeile-print"))
    assert (steps.issue, steps.turn) == (128, 169)
    assert steps.utilisation(1) == pytest.approx(128 / 169)
    assert steps.utilisation(2) == 1
    assert steps.enough() == 2
    starved = recurrence(design("tiny"))
    assert starved.utilisation(9) == starved.utilisation(3) == pytest.approx(36 / 39)  # it has three slots


def test_a_run_is_slower_than_its_bottleneck_and_comes_near_it() -> None:
    found = estimate(design("zeile-print"), 660)
    assert found.cycles * BATCH < found.batch_cycles < found.cycles * (BATCH + 5)
    assert found.alone > found.cycles


def test_a_ring_for_one_line_alone_costs_the_overlap() -> None:
    base = design("tiny")
    narrow = run(base, [128] * 8, 16).cycles  # a line of 64 steps fills the ring of 64
    wide = run(replace(base, ring_steps=256), [128] * 8, 16).cycles
    assert narrow > 1.2 * wide


def test_lines_of_different_lengths_are_followed() -> None:
    base = design("zeile-print")
    alone = sum(run(base, [columns], 146).cycles for columns in (1, 90, 8192, 30))
    together = run(base, [1, 90, 8192, 30], 146)
    assert together.cycles < alone
    assert 0 < together.utilisation < 1


CASES = [
    ("tiny", [32] * 16),
    ("tiny", [128]),
    ("tiny", [128] * 6),  # each fills the ring
    ("tiny", [8] * 20),
    ("tiny-uni", [30] * 24),
    ("tiny-uni", [141]),
    ("tiny-uni", [144] * 6),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lengths"), CASES, ids=lambda case: case if isinstance(case, str) else str(len(case)))
@pytest.mark.parametrize(("kernel", "band"), [(rtlsim.build, 0.01), (csim.build, 0.03)], ids=["rtl", "hls"])
def test_the_simulated_core_takes_the_cycles_of_the_model(
    kernel: Callable[[Design, Path], Path], band: float, name: str, lengths: list[int]
) -> None:
    chosen = design(name)
    try:
        library = kernel(chosen, SOURCE)
    except DeviceError as error:
        pytest.skip(str(error).splitlines()[0])
    network = random_network(
        1,
        list(chosen.layers),
        height_px=chosen.height_px,
        columns_per_frame=chosen.columns_per_frame,
        pixel_bits=chosen.pixel_bits,
    )
    device = csim.CoreDevice(csim.Core(library), chosen, network)
    rng = np.random.default_rng(0)
    lines = [random_line(rng, network, -(-columns // chosen.columns_per_frame)) for columns in lengths]
    questions = [packets.infer(tag, line, chosen.pixel_bits) for tag, line in enumerate(lines)]
    before = device.core.report()["cycles"]
    device.core.ask(*questions)
    cycles = device.core.report()["cycles"] - before
    device.close()
    assert run(chosen, lengths, chosen.classes).cycles == pytest.approx(cycles, rel=band)


def test_memories_are_counted_in_the_parts_own_pieces() -> None:
    assert memory(14, 32) == Resources(lut=8, ff=14)  # RAM32M16
    assert memory(64, 64) == Resources(lut=80, ff=64)  # ten RAM64M8
    assert memory(72, 512) == Resources(bram36=1)
    assert memory(36, 512) == Resources(bram36=0.5)
    assert memory(9, 2048) == Resources(bram36=0.5)
    assert memory(72, 4096) == Resources(uram=1)
    assert memory(73, 4097) == Resources(uram=4, lut=36.5)  # a multiplexer behind two depths
    assert fifo(33, 4).lut == constant("lut.fifo") + 24


def test_two_products_share_a_dsp_slice_and_cost_few_luts() -> None:
    luts, slices = mac_array(64, 16, 4, 5, 13, 0), mac_array(64, 16, 4, 5, 13, 64)
    assert (luts.dsp, slices.dsp) == (0, 512)
    assert luts.lut - slices.lut == 64 * 16 * 18 + 16 * 10 - 512  # products, multiples of the codes, borrowed signs
    assert mac_array(5, 16, 4, 5, 13, 5).dsp == 2 * 16  # the fifth row has no partner


def test_an_adder_tree_is_counted_as_yosys_counts_it() -> None:
    assert tree(8, 5, 3) == (39, 46)  # LUTs and flip-flops of zeile_tree.sv
    assert tree(2, 4, 2) == (4, 10)
    assert tree(18, 8, 4)[0] == pytest.approx(156, rel=0.05)
    assert tree(1, 9, 0) == (0, 0)


def test_more_weight_bits_and_less_folding_cost_more() -> None:
    base = unit_resources(design("zeile-print"))["conv2"]
    folded = replace(design("zeile-print").fold(2), pe=16)
    folds = list(design("zeile-print").folds)
    folds[2] = folded
    changed = replace(design("zeile-print"), folds=tuple(folds))
    assert unit_resources(changed)["conv2"].lut < base.lut
    assert unit_resources(design("finn-l-w2a4"))["forward_lstm"].lut < (
        unit_resources(design("finn-l-w4a4"))["forward_lstm"].lut
    )


def test_every_constant_says_where_it_comes_from() -> None:
    assert all(constant.origin for constant in CONSTANTS.values())
    assert any(constant.origin.startswith("netlist") for constant in CONSTANTS.values())
    assert any(constant.origin.startswith("model") for constant in CONSTANTS.values())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ring_steps": 20000}, "needs 160 UltraRAMs, xczu7ev-ffvc1156-2-e has 96; .* lower ring_steps"),
        ({"mac": "dsp"}, "needs [0-9,]* DSP slices, .* has 1,728; most of them, .*: .*in LUTs"),
        ({"mac": "lut", "pe": 128}, "needs [0-9,]* LUTs, .* has 230,400; most of them, .*: .*in DSP slices"),
    ],
)
def test_what_cannot_fit_is_refused(change: dict[str, object], sentence: str) -> None:
    base = design("zeile-print" if "ring_steps" in change else "finn-l-w4a4")
    if "mac" in change:
        pe = int(str(change.get("pe", 64)))
        lstm, dense = (replace(base.fold(index), mac=str(change["mac"])) for index in (0, 1))
        changed = replace(base, folds=(replace(lstm, pe=pe), replace(dense, simd=pe // 4)))
    else:
        changed = replace(base, ring_steps=20000)
    with pytest.raises(BadManifest, match=sentence):
        check_fits(estimate(changed, 660))


def test_a_foreign_part_has_no_shares() -> None:
    found = estimate(replace(design("tiny"), part="xc7z020clg400-1"), 100)
    assert found.shares == {}
    check_fits(found)
    assert "share" not in describe(found)


@pytest.mark.parametrize(("columns", "classes"), [(0, 16), (129, 16), (10, 17), (10, 1)])
def test_lines_that_the_design_does_not_take_are_refused(columns: int, classes: int) -> None:
    with pytest.raises(BadSettings, match="the design tiny takes"):
        estimate(design("tiny"), columns, classes)


@pytest.mark.parametrize("name", NAMES)
def test_the_estimate_is_json_and_a_table(name: str) -> None:
    found = estimate(design(name), usual_columns(design(name)))
    entry = json.loads(json.dumps(found.to_json()))
    assert entry["bottleneck"] == found.bottleneck
    assert set(entry["shares"]) == {"lut", "ff", "dsp", "bram36", "uram"}
    assert entry["constants"]["dsp.lane"]["value"] == 2
    text = describe(found)
    assert all(f"{unit.name} " in text for unit in found.units)
    assert f"{found.lines_per_s:,.0f} lines/s" in text
    assert ("LSTM-PYNQ" in text) == name.startswith(("finn", "zeile"))
