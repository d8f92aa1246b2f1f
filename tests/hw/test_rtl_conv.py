# SPDX-License-Identifier: Apache-2.0
"""The convolution in SystemVerilog against the definition, with the layers and maps of the HLS unit's tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.device.networks import random_network
from tests.hw import rtl_unit, units
from tests.hw.rtl_streams import CONFIG_BITS, element_bits, packed, unpacked, written_and_read
from tests.hw.rtl_unit import RTL, RtlUnit, broken
from tests.hw.test_units import CONVOLUTIONS
from tests.hw.unit_checks import STALLS, Convolution, Stalls, conv_constants, lines_of

from zeile.device.reference import Reference
from zeile.network import Conv2d, Dense, Layer, Network

pytestmark = rtl_unit.needs_verilator

LENGTHS = [2, 1, 3, 9, 1, 1, 5, 1]


def conv_unit(case: Convolution, folder: Path | None = None, sources: Path = RTL) -> RtlUnit:
    """The unit, its parameters those of the struct in ``config.h``."""
    names = {name[1:]: value for name, value in conv_constants(case).items()}
    parameters = {"".join("_" * c.isupper() + c.upper() for c in n).strip("_"): value for n, value in names.items()}
    inputs = {
        "in": element_bits(case.inputs, case.in_bits),
        "skip": element_bits(case.outputs, max(case.skip_bits, 1)),
        "config_in": CONFIG_BITS,
    }
    outputs = {"out": element_bits(case.outputs, case.out_bits), "config_out": CONFIG_BITS}
    return RtlUnit("zeile_conv", parameters, inputs, outputs, folder, sources=sources)


def network_of(case: Convolution) -> Network:
    """A layer to add, one before, and the convolution."""
    skip = 0 if case.skip_bits else None
    conv = Conv2d(channels=case.outputs, weight_bits=case.weight_bits, out_bits=case.out_bits, skip=skip)
    layers: list[Layer] = [
        Conv2d(channels=case.outputs, weight_bits=2, out_bits=case.skip_bits or 1),
        Conv2d(channels=case.inputs, weight_bits=2, out_bits=case.in_bits),
        conv,
        Dense(classes=2, weight_bits=2),
    ]
    return random_network(case.rows, layers, height_px=case.rows, extreme=case.extreme)


def check_conv(
    case: Convolution,
    folder: Path | None = None,
    sources: Path = RTL,
    stalled: Sequence[Stalls] = STALLS,
    lengths: Sequence[int] = LENGTHS,
) -> dict[str, Any]:
    """Loads a model, reads it back, runs lines and compares; returns the report of the last run."""
    unit, network, report = conv_unit(case, folder, sources), network_of(case), {}
    layer = network.layers[2]
    assert isinstance(layer, Conv2d)
    given, answers = written_and_read(units.conv_writes(network, 2, 2, case.pe, case.simd))
    rng = np.random.default_rng(case.simd)
    for seed, stalls in enumerate(stalled):
        x, skip = lines_of(rng, list(lengths), network.codes[2]), lines_of(rng, list(lengths), network.codes[1])
        wanted = [
            Reference(network)._conv2d(2, layer, a, b if case.skip_bits else None) for a, b in zip(x, skip, strict=True)
        ]
        maps = {"in": packed(x, case.inputs, case.in_bits)}
        if case.skip_bits:
            maps["skip"] = packed(skip, case.outputs, case.skip_bits)
        got, report = unit.run({"config_in": given}, maps, stalls=stalls, seed=seed)
        assert got["config_out"] == answers
        codes, lasts = unpacked(got["out"], case.outputs, case.out_bits)
        np.testing.assert_array_equal(codes, np.concatenate([line.reshape(-1, case.outputs) for line in wanted]))
        np.testing.assert_array_equal(np.flatnonzero(lasts), np.cumsum(lengths) * case.rows - 1)
    return report


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_conv(case: Convolution) -> None:
    check_conv(case)


@pytest.mark.parametrize("case", [CONVOLUTIONS[i] for i in (0, 1, 2, 6)], ids=str)
def test_cycles(case: Convolution) -> None:
    """NF * SF cycles a pixel and one more a column, whatever the lines; before the first pixel two columns and 25 or so.

    This is ``zeile.hw.timing.unit_cycles``, to the cycle.
    """
    report = check_conv(case, stalled=[(0, 0)])
    tiles = case.outputs // case.pe * 9 * case.inputs // case.simd
    period = case.rows * tiles + 1
    at, columns = report["at"]["out"], sum(LENGTHS)
    assert len(at) == columns * case.rows
    assert [n - at[0] for n in at] == [t * period + r * tiles for t in range(columns) for r in range(case.rows)]
    fill = at[0] - report["first"]["in"] - 2 * case.rows
    assert tiles <= fill <= 2 * tiles + 30


def test_back_pressure() -> None:
    """Room for results is enough: with an output that waits for long nothing is lost, and nothing is late after."""
    check_conv(CONVOLUTIONS[2], stalled=[(0, 950), (950, 0)], lengths=[3, 1])


def test_no_skip_no_pixel() -> None:
    """Without its pixel to add none begins."""
    case = CONVOLUTIONS[1]
    network = network_of(case)
    x = packed(lines_of(np.random.default_rng(0), [4], network.codes[2]), case.inputs, case.in_bits)
    unit = conv_unit(case)
    got, _ = unit.run({"in": x, "skip": [0] * 7}, rest=True)
    assert len(got["out"]) == 7


SMALL = replace(CONVOLUTIONS[0], rows=4)
SKIPPED = replace(CONVOLUTIONS[1], dsp=0)
SLIPS = [
    (SMALL, "zeile_rescale.sv", "+ (R_BITS + 1)'(1)", "+ (R_BITS + 1)'(0)"),
    (SMALL, "zeile_conv_window.sv", "first_column || below}", "below}"),
    (SMALL, "zeile_conv_window.sv", "{last_column || below,", "{below,"),
    (SMALL, "zeile_conv_window.sv", "assign in_bank = bank + filled", "assign in_bank = bank + filled - 2'd1"),
    (SMALL, "zeile_conv_window.sv", "filled != 2'd3", "1'b1"),
    (SMALL, "zeile_conv_window.sv", "column_end && last_column}", "last_column}"),
    (SMALL, "zeile_conv.sv", ".grant(has_room && skip_waits)", ".grant(skip_waits)"),
    (SKIPPED, "zeile_conv.sv", ".grant(has_room && skip_waits)", ".grant(has_room)"),
    (SKIPPED, "zeile_conv_drain.sv", "skip_used = draining && pixel_end", "skip_used = draining && group != '0"),
]


@pytest.mark.parametrize(("case", "file", "right", "wrong"), SLIPS, ids=lambda value: str(value)[:30])
def test_slips_are_found(case: Convolution, file: str, right: str, wrong: str, tmp_path: Path) -> None:
    sources = broken(tmp_path, file, right, wrong)
    with pytest.raises(AssertionError):
        check_conv(case, tmp_path / "build", sources)
