# SPDX-License-Identifier: Apache-2.0
"""The SystemVerilog units without parameters of a model: width converter, fork, pool; and their parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.hw import rtl_unit
from tests.hw.rtl_streams import element_bits, packed, unpacked
from tests.hw.rtl_unit import RTL, RtlUnit, broken
from tests.hw.test_units import POOLS
from tests.hw.unit_checks import STALLS, Stalls, lines_of

from zeile.device.reference import _maxpool
from zeile.network import Codes, MaxPool

pytestmark = rtl_unit.needs_verilator

Pool = tuple[int, int, int, int, int]
WIDTHS = [(4, 16, 1), (4, 8, 32), (3, 6, 6), (8, 1, 5), (1, 4, 2), (5, 2, 1)]


def check_widen(bits: int, size: int, to: int, folder: Path | None = None, sources: Path = RTL) -> None:
    unit = RtlUnit(
        "zeile_widen",
        {"BITS": bits, "N": size, "M": to},
        {"in": element_bits(size, bits)},
        {"out": element_bits(to, bits)},
        folder,
        sources=sources,
    )
    for stalls in STALLS:
        x = lines_of(np.random.default_rng(to), [3, 1, 7, 1, 1, 40], Codes(1, np.lcm(size, to), bits))
        got, report = unit.run({"in": packed(x, size, bits)}, stalls=stalls, seed=size)
        assert got["out"] == packed(x, to, bits)
        if stalls == (0, 0):  # an element a cycle on the narrower side
            slow = report["at"]["out" if size >= to else "in"]
            assert slow == list(range(slow[0], slow[0] + len(slow)))


def check_fork(folder: Path | None = None, sources: Path = RTL) -> None:
    unit = RtlUnit("zeile_fork", {"WIDTH": 9}, {"in": 9}, {"out0": 9, "out1": 9}, folder, sources=sources)
    values = np.random.default_rng(0).integers(0, 512, 300).tolist()
    for stalls in STALLS:
        got, report = unit.run({"in": values}, stalls=stalls, seed=4)
        assert got["out0"] == values
        assert got["out1"] == values
        assert stalls != (0, 0) or report["last"]["out1"] == len(values) - 1


def check_pool(case: Pool, folder: Path | None = None, sources: Path = RTL, stalled: list[Stalls] = STALLS) -> None:
    rows, channels, bits, kt, kr = case
    parameters = {"ROWS": rows, "CHANNELS": channels, "BITS": bits, "POOL_COLUMNS": kt, "POOL_ROWS": kr}
    width = element_bits(channels, bits)
    unit = RtlUnit("zeile_pool", parameters, {"in": width}, {"out": width}, folder, sources=sources)
    lengths = [1, 2, 3, 4, 5, 6, 1, 1, 12]
    for stalls in stalled:
        x = lines_of(np.random.default_rng(rows), lengths, Codes(rows, channels, bits))
        wanted = [_maxpool(MaxPool(columns=kt, rows=kr), line) for line in x]
        got, report = unit.run({"in": packed(x, channels, bits)}, stalls=stalls, seed=rows)
        codes, lasts = unpacked(got["out"], channels, bits)
        np.testing.assert_array_equal(codes, np.concatenate([line.reshape(-1, channels) for line in wanted]))
        ends = np.cumsum([line.shape[0] * line.shape[1] for line in wanted])
        np.testing.assert_array_equal(np.flatnonzero(lasts), ends - 1)
        if stalls == (0, 0):
            short = sum(length % kt > 0 for length in lengths[:-1])  # their windows leave while nothing is taken
            assert report["last"]["in"] - report["first"]["in"] + 1 == sum(lengths) * rows + short * (rows // kr)


@pytest.mark.parametrize(("bits", "size", "to"), WIDTHS)
def test_widen(bits: int, size: int, to: int) -> None:
    check_widen(bits, size, to)


def test_fork() -> None:
    check_fork()


@pytest.mark.parametrize("case", [*POOLS, (4, 3, 2, 5, 4), (3, 2, 3, 2, 1)], ids=str)
def test_pool(case: Pool) -> None:
    check_pool(case)


@pytest.mark.parametrize(("width", "count"), [(1, 1), (3, 2), (5, 6), (2, 16)])
def test_select(width: int, count: int, tmp_path: Path) -> None:
    """Every index: the value at it, zeros beyond the last one."""
    index = max(1, (count - 1).bit_length())
    wrapper = tmp_path / "select_bench.sv"
    wrapper.write_text(
        f"module select_bench (input wire clk, rst, in_valid, output wire in_ready, input wire [{count * width - 1}:0]"
        f" in_data, input wire [{index - 1}:0] at, output wire [{width - 1}:0] value);\n"
        f"zeile_select #(.WIDTH({width}), .COUNT({count})) unit (.values(in_data), .index(at), .value(value));\n"
        "assign in_ready = !rst && clk == clk && in_valid == in_valid;\nendmodule\n",
        "utf-8",
    )
    bits = {"in": count * width}
    unit = RtlUnit("select_bench", {}, bits, {}, drive={"at": index}, watch={"value": width}, extra=[wrapper])
    values = np.random.default_rng(count).integers(0, 1 << width, (1 << index, count))
    given = [sum(int(v) << width * i for i, v in enumerate(row)) for row in values]
    got, _ = unit.run({"in": given, "at": list(range(1 << index))})
    assert got["value"][: 1 << index] == [int(values[i, i]) if i < count else 0 for i in range(1 << index)]


CHECKS: dict[str, Callable[[Path, Path], None]] = {
    "widen": lambda folder, sources: check_widen(4, 16, 1, folder, sources),
    "join": lambda folder, sources: check_widen(4, 8, 32, folder, sources),
    "fork": check_fork,
    "pool": lambda folder, sources: check_pool(POOLS[0], folder, sources),
    "pool of 3 columns": lambda folder, sources: check_pool(POOLS[1], folder, sources),
}
SLIPS = [
    ("widen", "zeile_widen.sv", "last && count == COUNT_BITS'(1)", "last"),
    ("widen", "zeile_widen.sv", "(count == COUNT_BITS'(1) && out_ready)", "count == COUNT_BITS'(1)"),
    ("join", "zeile_widen.sv", "assign in_ready  = !out_valid || out_ready", "assign in_ready  = 1'b1"),
    ("fork", "zeile_fork.sv", "assign out1_valid = in_valid && !done1", "assign out1_valid = in_valid"),
    ("pool", "zeile_pool.sv", "flushing <= short_line", "flushing <= 1'b0"),
    ("pool", "zeile_pool.sv", "column_valid && (!right || !out_valid || out_ready)", "column_valid"),
    ("pool", "zeile_pool.sv", "column <= '0;", "column <= column;"),
    ("pool of 3 columns", "zeile_pool.sv", "(index == '0 && !flushing ?", "(index == '0 ?"),
    ("pool of 3 columns", "zeile_pool.sv", "column_last || right ? '0", "right ? '0"),
]


@pytest.mark.parametrize(("check", "file", "right", "wrong"), SLIPS, ids=lambda value: str(value)[:24])
def test_slips_are_found(check: str, file: str, right: str, wrong: str, tmp_path: Path) -> None:
    sources = broken(tmp_path, file, right, wrong)
    with pytest.raises(AssertionError):
        CHECKS[check](tmp_path / "build", sources)
