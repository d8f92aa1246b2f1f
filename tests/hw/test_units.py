# SPDX-License-Identifier: Apache-2.0
"""Every hardware unit alone against the definition: the same integers, whatever waits at either end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.hw import unit_checks, units
from tests.hw.unit_checks import STALLS, Convolution, Output, Recurrence
from tests.hw.units import HLS, Driver, Ints, elements

from zeile.network import Codes

pytestmark = pytest.mark.skipif(units.COMPILER is None, reason="there is no C++ compiler")

CONVOLUTIONS = [
    Convolution(8, 1, 4, 4, 8, 4, pe=2, simd=3),
    Convolution(4, 4, 4, 4, 4, 4, pe=4, simd=6, skip_bits=4, dsp=4),
    Convolution(32, 1, 16, 4, 8, 4, pe=16, simd=9, extreme=True),  # a pixel a cycle
    Convolution(3, 2, 6, 3, 1, 2, pe=6, simd=18),
    Convolution(1, 3, 2, 8, 8, 8, pe=1, simd=1, skip_bits=8, extreme=True),
    Convolution(2, 5, 8, 1, 3, 1, pe=8, simd=15, skip_bits=1),
    Convolution(16, 16, 32, 4, 4, 4, pe=32, simd=18, dsp=16),
    Convolution(5, 4, 10, 6, 5, 7, pe=5, simd=18, dsp=3),
    Convolution(6, 2, 3, 2, 7, 6, pe=3, simd=2, skip_bits=6, extreme=True),
]
RECURRENCES = [
    Recurrence(16, 8, 4, 4, 8, pe=8, simd=8, dsp=8),
    Recurrence(24, 8, 3, 3, 6, pe=8, simd=8, slots=2, in_bits=3),
    Recurrence(32, 128, 4, 4, 8, pe=64, simd=32, slots=4, ring=64),
    Recurrence(6, 6, 1, 2, 12, pe=24, simd=6, slots=1, in_bits=2),
    Recurrence(4, 4, 8, 8, 10, pe=4, simd=1, slots=5, in_bits=8, extreme=True),
    Recurrence(8, 4, 2, 5, 7, pe=16, simd=4, slots=2, in_bits=8, ring=12),
    Recurrence(8, 16, 5, 6, 12, pe=16, simd=4, in_bits=6, in_signed=True, extreme=True, dsp=10),
    Recurrence(4, 8, 6, 7, 9, pe=8, simd=4, slots=16, in_bits=1, ring=200),
]
OUTPUTS = [
    Output(RECURRENCES[0], 16, 16, 4, pe=4),
    Output(RECURRENCES[1], 7, 10, 2, pe=4, directions=1),
    Output(RECURRENCES[2], 146, 192, 4, pe=96, dsp=96),
    Output(RECURRENCES[3], 5, 256, 8, pe=7),
    Output(RECURRENCES[4], 13, 30, 1, pe=3, directions=1),
    Output(RECURRENCES[5], 3, 3, 5, pe=1),
]
POOLS = [(8, 4, 4, 2, 2), (32, 16, 4, 3, 2), (3, 1, 8, 4, 3), (5, 2, 1, 1, 1)]


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_conv(case: Convolution, tmp_path: Path) -> None:
    unit_checks.check_conv(case, tmp_path)


@pytest.mark.parametrize("case", POOLS, ids=str)
def test_pool(case: tuple[int, int, int, int, int], tmp_path: Path) -> None:
    unit_checks.check_pool(case, tmp_path)


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("case", RECURRENCES, ids=str)
def test_lstm(case: Recurrence, direction: int, tmp_path: Path) -> None:
    unit_checks.check_lstm(case, direction, tmp_path)


@pytest.mark.parametrize("case", OUTPUTS, ids=str)
def test_recurrent_and_dense(case: Output, tmp_path: Path) -> None:
    unit_checks.check_output(case, tmp_path)


@pytest.mark.parametrize(("bits", "size", "to"), [(4, 16, 1), (4, 8, 32), (3, 6, 6), (8, 1, 5), (1, 4, 2)])
def test_widen_and_fork(bits: int, size: int, to: int, tmp_path: Path) -> None:
    driver = Driver("widen", tmp_path, {"Layer": {"kBits": bits, "kFrom": size, "kTo": to}})
    for stalls in STALLS:
        x = unit_checks.lines_of(np.random.default_rng(to), [3, 1, 7], Codes(1, np.lcm(size, to), bits))
        wanted = elements(x, to, 0, 0)[3:]
        given: list[int | Ints] = [elements(x, size, 1, stalls[0]), 2, stalls[0], len(wanted) // (to + 1), 3, stalls[1]]
        got = driver.run(given)
        np.testing.assert_array_equal(got[: len(wanted)], wanted)
        np.testing.assert_array_equal(got[len(wanted) + 1 :], wanted)  # the other reader's


def test_arithmetic(tmp_path: Path) -> None:
    unit_checks.check_arithmetic(tmp_path)


def test_mac_issue(tmp_path: Path) -> None:
    """With its slots full the array issues in 95 of 100 cycles and more; with one line it waits for each h."""
    shapes = {"print": (128, 16), "finn-l": (32, 32)}
    for name, (inputs, simd) in shapes.items():
        case = Recurrence(inputs, 128, 4, 4, 8, pe=64, simd=simd, slots=4, ring=1024)
        driver = Driver("lstm", tmp_path / name, {"Layer": case.constants | {"kDirection": 0}})
        lines, shares = [np.zeros((30, inputs), np.int64)] * 12, []
        for count in (12, 1):
            given: list[int | Ints] = [
                units.configuration([]),
                elements(lines[:count], simd, 1, 0),
                30 * count * 8,
                2,
                0,
            ]
            issued, starved, stalled = driver.run(given)[-3:].tolist()
            assert issued == 30 * count * 8 * (inputs + 128) // simd
            assert stalled == 0
            shares.append(issued / (issued + starved))
        assert shares[0] >= 0.95
        assert shares[1] < 0.8


@pytest.mark.parametrize("depth", [8, 7])
def test_skip_fifo(depth: int, tmp_path: Path) -> None:
    """A skip past one convolution of four rows needs two columns: one pixel less, and nothing moves any more."""
    case = Convolution(4, 4, 4, 4, 4, 4, pe=4, simd=6, skip_bits=4)
    layer = unit_checks.conv_constants(case)
    driver = Driver("skip", tmp_path, {"": {"ZEILE_DEPTH": depth}, "Layer": layer})
    x = unit_checks.lines_of(np.random.default_rng(0), [5, 1, 3], Codes(4, 4, 4))
    got = driver.run([units.configuration([]), elements(x, 4, 1, 0), 36, 2, 0], fails=depth < 8)
    assert len(got) == (36 * 5 + 1 if depth == 8 else 0)


CHECKS: dict[str, Callable[[Path, Path], None]] = {
    "arithmetic": unit_checks.check_arithmetic,
    "conv": lambda folder, sources: unit_checks.check_conv(CONVOLUTIONS[0], folder, sources),
    "conv in DSP slices": lambda folder, sources: unit_checks.check_conv(CONVOLUTIONS[1], folder, sources),
    "pool": lambda folder, sources: unit_checks.check_pool(POOLS[0], folder, sources),
    "lstm": lambda folder, sources: unit_checks.check_lstm(RECURRENCES[0], 0, folder, sources),
    "lstm, small ring": lambda folder, sources: unit_checks.check_lstm(RECURRENCES[5], 1, folder, sources),
    "output": lambda folder, sources: unit_checks.check_output(OUTPUTS[0], folder, sources),
    "output, small ring": lambda folder, sources: unit_checks.check_output(OUTPUTS[5], folder, sources),
}
SLIPS = [
    ("arithmetic", "arithmetic.h", "(1 << 14)", "((1 << 14) - 1)"),
    ("conv in DSP slices", "arithmetic.h", "+ ap_uint<1>(low < ap_int<2>(0))", ""),
    ("arithmetic", "arithmetic.h", "A == 4 ? 2185", "A == 4 ? 2184"),
    ("conv", "conv.h", "paper[3] = {first_,", "paper[3] = {false,"),
    ("conv", "conv.h", "filled_ == 3", "false"),
    ("conv", "conv.h", "(last && out.full())", "false"),
    ("pool", "pool.h", "flushing_ = element.last", "flushing_ = false"),
    ("lstm", "slots.h", "state.first = false;", "state.first = false, ready_[current_.slot.to_int()] = 1;"),
    ("lstm, small ring", "slots.h", "used_ < STEPS", "true"),
    ("lstm", "slots.h", "lines_[state.line.to_int()].done = true;", ""),
    ("output", "lstm.h", "? finished_step_.last :", "? finished_step_.first :"),
    ("output, small ring", "dense.h", "block.place < head_.place", "true"),
    ("output", "dense.h", "element.last = element.end && finished_last_", "element.last = false"),
]


@pytest.mark.parametrize(("check", "header", "right", "wrong"), SLIPS, ids=lambda value: str(value)[:24])
def test_slips_are_found(check: str, header: str, right: str, wrong: str, tmp_path: Path) -> None:
    sources = tmp_path / "hls"
    shutil.copytree(HLS, sources, ignore=shutil.ignore_patterns("sim", "test", "example"))
    text = (sources / header).read_text("utf-8")
    assert text.count(right) == 1, f"{header} has changed: say here what the slip is now"
    (sources / header).write_text(text.replace(right, wrong), "utf-8")
    with pytest.raises(AssertionError):
        CHECKS[check](tmp_path / "broken", sources)
