# SPDX-License-Identifier: Apache-2.0
"""The convolution in SystemVerilog against the definition, with the layers and maps of the HLS unit's tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
HARD: list[Stalls] = [*STALLS, (0, 970), (970, 0)]
"""Also an output, and inputs, that move once in 33 cycles: less often than a pixel is computed."""


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
    stalled: Sequence[Stalls] = HARD,
) -> dict[str, Any]:
    """Loads a model, reads it back, runs lines and compares; returns the report of the last run."""
    unit, network = conv_unit(case, folder, sources), network_of(case)
    report: dict[str, Any] = {}
    layer = network.layers[2]
    assert isinstance(layer, Conv2d)
    given, answers = written_and_read(units.conv_writes(network, 2, 2, case.pe, case.simd))
    rng = np.random.default_rng(case.simd)
    for seed, stalls in enumerate(stalled):
        x, skip = lines_of(rng, LENGTHS, network.codes[2]), lines_of(rng, LENGTHS, network.codes[1])
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
        np.testing.assert_array_equal(np.flatnonzero(lasts), np.cumsum(LENGTHS) * case.rows - 1)
    return report


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_conv(case: Convolution) -> None:
    check_conv(case)


def check_late_skip(case: Convolution, folder: Path | None = None, sources: Path = RTL) -> None:
    """No pixel begins without the one to add, though both columns of its line are there."""
    unit, network = conv_unit(case, folder, sources), network_of(case)
    layer = network.layers[2]
    assert isinstance(layer, Conv2d)
    given, _ = written_and_read(units.conv_writes(network, 2, 2, case.pe, case.simd))
    rng = np.random.default_rng(1)
    x, skip = lines_of(rng, [2], network.codes[2])[0], lines_of(rng, [2], network.codes[1])[0]
    pixels, late = packed([x], case.inputs, case.in_bits), packed([skip], case.outputs, case.skip_bits)
    got, report = unit.run({"config_in": given}, {"in": pixels}, {"skip": late[:3]}, {"skip": late[3:]})
    codes, _ = unpacked(got["out"], case.outputs, case.out_bits)
    np.testing.assert_array_equal(codes, Reference(network)._conv2d(2, layer, x, skip).reshape(-1, case.outputs))
    assert [report["at"]["out"][i] > report["at"]["skip"][i] for i in range(len(codes))] == [True] * len(codes)


@pytest.mark.parametrize("case", [CONVOLUTIONS[i] for i in (1, 4)], ids=str)
def test_late_skip(case: Convolution) -> None:
    check_late_skip(case)


@pytest.mark.parametrize("case", [CONVOLUTIONS[i] for i in (0, 1, 2, 6)], ids=str)
def test_cycles(case: Convolution) -> None:
    """NF * SF cycles a pixel and one more a column, whatever the lines: ``zeile.hw.timing.unit_cycles``, to the cycle.

    The first pixel comes behind two columns, its own tiles, and what the stages of the pipeline take.
    """
    at = check_conv(case, stalled=[(0, 0)])
    sf, nf = 9 * case.inputs // case.simd, case.outputs // case.pe
    lanes = next(n for n in range(-(-case.pe // sf), case.pe + 1) if case.pe % n == 0)
    tiles, period, columns = nf * sf, case.rows * nf * sf + 1, sum(LENGTHS)
    pixels = [t * period + r * tiles for t in range(columns) for r in range(case.rows)]
    assert [n - at["at"]["out"][0] for n in at["at"]["out"]] == pixels
    mac = 7 + ((case.simd - 1).bit_length() + 1) // 2
    fill = 2 * case.rows + tiles + mac + case.pe // lanes + 11 + (case.skip_bits > 0)
    assert at["first"]["out"] - at["first"]["in"] == fill


SMALL = replace(CONVOLUTIONS[0], rows=4)
SKIPPED = replace(CONVOLUTIONS[1], dsp=0)
CHECKS: dict[str, tuple[Convolution, Callable[[Convolution, Path, Path], Any]]] = {
    "conv": (SMALL, check_conv),
    "skip": (SKIPPED, check_conv),
    "late skip": (SKIPPED, check_late_skip),
}
SLIPS = [
    ("conv", "zeile_rescale.sv", "+ (R_BITS + 1)'(1)", "+ (R_BITS + 1)'(0)"),
    ("conv", "zeile_conv_window.sv", "first_column || below}", "below}"),
    ("conv", "zeile_conv_window.sv", "{last_column || below,", "{below,"),
    ("conv", "zeile_conv_window.sv", "assign in_bank = bank + filled", "assign in_bank = bank + filled - 2'd1"),
    ("conv", "zeile_conv_window.sv", "filled != 2'd3", "1'b1"),
    ("conv", "zeile_conv_window.sv", "column_end && last_column}", "last_column}"),
    ("conv", "zeile_conv.sv", ".grant(has_room && skip_waits)", ".grant(skip_waits)"),
    ("late skip", "zeile_conv.sv", ".grant(has_room && skip_waits)", ".grant(has_room)"),
    ("skip", "zeile_conv_drain.sv", "skip_used = draining && pixel_end", "skip_used = draining && group != '0"),
]


@pytest.mark.parametrize(("check", "file", "right", "wrong"), SLIPS, ids=lambda value: str(value)[:30])
def test_slips_are_found(check: str, file: str, right: str, wrong: str, tmp_path: Path) -> None:
    sources = broken(tmp_path, file, right, wrong)
    case, function = CHECKS[check]
    with pytest.raises(AssertionError):
        function(case, tmp_path / "build", sources)
