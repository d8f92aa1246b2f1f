# SPDX-License-Identifier: Apache-2.0
"""The folding pass: the target is met, nothing smaller meets it, and what cannot be is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeile.errors import BadManifest, BadSettings
from zeile.hw.design import Design, find_design
from zeile.hw.estimate import check_fits, estimate
from zeile.hw.fold import fold
from zeile.hw.timing import recurrence, unit_cycles
from zeile.network import Conv2d

SOURCE = Path(__file__).resolve().parents[2] / "hw_src"


def multipliers(design: Design, index: int) -> int:
    each = design.fold(index)
    return each.pe * each.simd


@settings(max_examples=25, deadline=None)
@given(target=st.integers(200, 60_000), columns=st.integers(1, 128))
def test_the_target_is_met_or_refused(target: int, columns: int) -> None:
    base = find_design("tiny", SOURCE)
    try:
        folded = fold(base, target, columns)
    except BadSettings:
        with pytest.raises(BadSettings, match="ask for at most"):
            fold(base, target, columns)
        return
    found = estimate(folded, columns)
    assert found.lines_per_s >= target
    check_fits(found)
    assert folded.layers == base.layers
    assert folded.name == base.name
    assert Design.from_json(folded.to_json()) == folded


@pytest.mark.parametrize(
    ("name", "target", "columns"),
    [("zeile-print", 8800, 660), ("zeile-print", 5000, 660), ("zeile-print", 500, 660), ("finn-l-w4a4", 6760, 520)],
)
def test_no_convolution_could_be_smaller(name: str, target: float, columns: int) -> None:
    folded = fold(find_design(name, SOURCE), target, columns)
    budget = folded.clock_mhz * 1e6 / target
    cycles = unit_cycles(folded, columns, folded.classes)
    assert max(cycles.values()) <= budget
    for index, layer in enumerate(folded.layers):
        if isinstance(layer, Conv2d) and multipliers(folded, index) > 1:
            codes, (nf, sf) = folded.codes[index], folded.tiles(index)
            columns_here = cycles[f"conv{index}"] // (codes.rows * nf * sf + 1)
            assert columns_here * (codes.rows * 2 * nf * sf + 1) > budget


def test_the_shipped_design_is_as_large_as_its_speed_needs() -> None:
    shipped = find_design("zeile-print", SOURCE)
    folded = fold(shipped, 8800, 660)
    assert [multipliers(folded, i) for i in (0, 2, 4, 6, 7)] == [multipliers(shipped, i) for i in (0, 2, 4, 6, 7)]


def test_products_go_where_there_is_room() -> None:
    folded = fold(find_design("finn-l-w4a4", SOURCE), 6760, 520)
    shares = estimate(folded, 520).shares
    assert 0.5 < shares["dsp"] < 1
    assert 0.5 < shares["lut"] < 1


def test_slots_keep_the_multipliers_at_work() -> None:
    base = find_design("zeile-print", SOURCE)
    folds = tuple(each and replace(each, slots=1) for each in base.folds)
    folded = fold(replace(base, folds=folds), 8800, 660)
    assert folded.fold(6).slots == recurrence(folded).enough() + 1
    assert recurrence(folded).utilisation(folded.fold(6).slots) == 1


@pytest.mark.parametrize("target", [0.0, -1.0, float("nan")])
def test_a_target_must_be_above_0(target: float) -> None:
    with pytest.raises(BadSettings, match="it must be above 0"):
        fold(find_design("tiny", SOURCE), target, 10)


def test_columns_must_be_the_designs() -> None:
    with pytest.raises(BadSettings, match="columns is 129; the design tiny takes 1 to 128"):
        fold(find_design("tiny", SOURCE), 10, 129)


@pytest.mark.parametrize("name", ["tiny", "tiny-uni", "zeile-print", "finn-l-w4a4"])
def test_a_target_beyond_the_stream_says_what_is_possible(name: str) -> None:
    with pytest.raises(BadSettings, match=r"lines/s leave \d+ cycles a line at 249.9975 MHz, but \w+ takes"):
        fold(find_design(name, SOURCE), 3e6, 100)


def test_what_is_fast_enough_but_too_large_is_refused() -> None:
    with pytest.raises(BadManifest, match=r"cannot fit: it needs .* LUTs"):
        fold(find_design("finn-l-w4a4", SOURCE), 20_000, 520)
