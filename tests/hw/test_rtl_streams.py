# SPDX-License-Identifier: Apache-2.0
"""The SystemVerilog units without parameters of a model: width converter, fork, pool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from tests.hw import rtl_unit
from tests.hw.rtl_streams import Part, element_bits, packed, side_by_side, unpacked
from tests.hw.rtl_unit import RTL, RtlUnit, broken
from tests.hw.test_units import POOLS
from tests.hw.unit_checks import STALLS, lines_of

from zeile.device.reference import _maxpool
from zeile.network import Codes, MaxPool

pytestmark = rtl_unit.needs_verilator

Widths: TypeAlias = tuple[int, int, int]
Pool: TypeAlias = tuple[int, int, int, int, int]
WIDTHS: list[Widths] = [(4, 16, 1), (4, 8, 32), (3, 6, 6), (8, 1, 5), (1, 4, 2), (5, 2, 1)]
ALL_POOLS: list[Pool] = [*POOLS, (4, 3, 2, 5, 4), (3, 2, 3, 2, 1)]
FORK_BITS = 9


def widen_part(case: Widths) -> Part:
    bits, size, to = case
    parameters = {"BITS": bits, "N": size, "M": to}
    return Part("zeile_widen", parameters, {"in": element_bits(size, bits)}, {"out": element_bits(to, bits)})


def fork_part() -> Part:
    return Part("zeile_fork", {"WIDTH": FORK_BITS}, {"in": FORK_BITS}, {"out0": FORK_BITS, "out1": FORK_BITS})


def pool_part(case: Pool) -> Part:
    rows, channels, bits, kt, kr = case
    parameters = {"ROWS": rows, "CHANNELS": channels, "BITS": bits, "POOL_COLUMNS": kt, "POOL_ROWS": kr}
    width = element_bits(channels, bits)
    return Part("zeile_pool", parameters, {"in": width}, {"out": width})


PARTS = {
    **{f"widen{i}": widen_part(case) for i, case in enumerate(WIDTHS)},
    "fork0": fork_part(),
    **{f"pool{i}": pool_part(case) for i, case in enumerate(ALL_POOLS)},
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> RtlUnit:
    """All of them."""
    return side_by_side(PARTS, tmp_path_factory.mktemp("streams"))


def check_widen(bench: RtlUnit, index: int) -> None:
    name, (bits, size, to) = f"widen{index}", WIDTHS[index]
    for stalls in STALLS:
        x = lines_of(np.random.default_rng(to), [3, 1, 7, 1, 1, 40], Codes(1, np.lcm(size, to), bits))
        got, report = bench.run({f"{name}_in": packed(x, size, bits)}, stalls=stalls, seed=size)
        assert got[f"{name}_out"] == packed(x, to, bits)
        if stalls == (0, 0):  # an element a cycle on the narrower side
            moved = report["at"][f"{name}_out" if size >= to else f"{name}_in"]
            assert moved == list(range(moved[0], moved[0] + len(moved)))


def check_fork(bench: RtlUnit) -> None:
    values = np.random.default_rng(0).integers(0, 1 << FORK_BITS, 300).tolist()
    for stalls in STALLS:
        got, report = bench.run({"fork0_in": values}, stalls=stalls, seed=4)
        assert got["fork0_out0"] == values
        assert got["fork0_out1"] == values
        assert stalls != (0, 0) or report["last"]["fork0_out1"] == len(values) - 1


def check_pool(bench: RtlUnit, index: int) -> None:
    """A pixel a cycle; behind a line that ends within windows these leave first, each in a cycle."""
    name, (rows, channels, bits, kt, kr) = f"pool{index}", ALL_POOLS[index]
    lengths = [1, 2, 3, 4, 5, 6, 1, 1, 12]
    for stalls in STALLS:
        x = lines_of(np.random.default_rng(rows), lengths, Codes(rows, channels, bits))
        wanted = [_maxpool(MaxPool(columns=kt, rows=kr), line) for line in x]
        got, report = bench.run({f"{name}_in": packed(x, channels, bits)}, stalls=stalls, seed=rows)
        codes, lasts = unpacked(got[f"{name}_out"], channels, bits)
        np.testing.assert_array_equal(codes, np.concatenate([line.reshape(-1, channels) for line in wanted]))
        ends = np.cumsum([line.shape[0] * line.shape[1] for line in wanted])
        np.testing.assert_array_equal(np.flatnonzero(lasts), ends - 1)
        if stalls == (0, 0):
            short = sum(length % kt > 0 for length in lengths[:-1])
            took = report["last"][f"{name}_in"] - report["first"][f"{name}_in"] + 1
            assert took == sum(lengths) * rows + short * (rows // kr)


@pytest.mark.parametrize("index", range(len(WIDTHS)), ids=map(str, WIDTHS))
def test_widen(bench: RtlUnit, index: int) -> None:
    check_widen(bench, index)


def test_fork(bench: RtlUnit) -> None:
    check_fork(bench)


@pytest.mark.parametrize("index", range(len(ALL_POOLS)), ids=map(str, ALL_POOLS))
def test_pool(bench: RtlUnit, index: int) -> None:
    check_pool(bench, index)


CHECKS: dict[str, Callable[[RtlUnit], None]] = {
    "widen0": lambda bench: check_widen(bench, 0),
    "widen1": lambda bench: check_widen(bench, 1),
    "fork0": check_fork,
    "pool0": lambda bench: check_pool(bench, 0),
    "pool1": lambda bench: check_pool(bench, 1),
}
SLIPS = [
    ("widen0", "zeile_widen.sv", "last && count == COUNT_BITS'(1)", "last"),
    ("widen0", "zeile_widen.sv", "(count == COUNT_BITS'(1) && out_ready)", "count == COUNT_BITS'(1)"),
    ("widen1", "zeile_widen.sv", "assign in_ready  = !out_valid || out_ready", "assign in_ready  = 1'b1"),
    ("fork0", "zeile_fork.sv", "assign out1_valid = in_valid && !done1", "assign out1_valid = in_valid"),
    ("pool0", "zeile_pool.sv", "flushing <= short_line", "flushing <= 1'b0"),
    ("pool0", "zeile_pool.sv", "column_valid && (!right || !out_valid || out_ready)", "column_valid"),
    ("pool0", "zeile_pool.sv", "column <= '0;", "column <= column;"),
    ("pool1", "zeile_pool.sv", "(index == '0 && !flushing ?", "(index == '0 ?"),
    ("pool1", "zeile_pool.sv", "column_last || right ? '0", "right ? '0"),
]


@pytest.mark.parametrize(("part", "file", "right", "wrong"), SLIPS, ids=lambda value: str(value)[:24])
def test_slips_are_found(part: str, file: str, right: str, wrong: str, tmp_path: Path) -> None:
    sources = broken(tmp_path, file, right, wrong)
    bench = side_by_side({part: PARTS[part]}, tmp_path / "bench", sources)
    with pytest.raises(AssertionError):
        CHECKS[part](bench)


def test_the_bench_is_not_at_fault(tmp_path: Path) -> None:
    """A part alone, as where slips are tried, passes with the sources as they are."""
    check_fork(side_by_side({"fork0": PARTS["fork0"]}, tmp_path, RTL))
