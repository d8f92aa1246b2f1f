# SPDX-License-Identifier: Apache-2.0
"""The trade between speed and hardware: fronts that nothing beats, of foldings that work and fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.device.networks import random_network

from zeile.alphabet import Alphabet
from zeile.errors import BadSettings
from zeile.hw import sweep
from zeile.hw.costs import Resources
from zeile.hw.design import Design, find_design
from zeile.hw.estimate import check_fits, estimate
from zeile.hw.explore import AXES, Exploration, explore
from zeile.hw.explore_report import describe, to_text
from zeile.hw.resources import unit_resources
from zeile.hw.sweep import refolded, sustained
from zeile.manifest import Model
from zeile.network import Lstm

SOURCE = Path(__file__).resolve().parents[2] / "hw_src"
MODELS = Path(__file__).resolve().parents[2] / "models"


def model_of(design: Design, name: str = "small", cer: float = 0.1) -> Model:
    network = random_network(
        1,
        list(design.layers),
        height_px=design.height_px,
        columns_per_frame=design.columns_per_frame,
        pixel_bits=design.pixel_bits,
    )
    characters = ("", *(chr(0x100 + i) for i in range(1, network.classes)))
    manifest = {"evaluation": {"val": {"lines": {"cer": cer, "lines": 1}}}}
    return Model(name, "1", Path(), network, Alphabet(characters, 0, {}), "", manifest)


@pytest.fixture(scope="module")
def tiny() -> Exploration:
    return explore(model_of(find_design("tiny", SOURCE)), Path("nowhere"), SOURCE, 100)


def test_fronts_are_designs_that_work_and_fit(tiny: Exploration) -> None:
    (curve,) = tiny.curves
    assert {axis for point in curve.points for axis in point.fronts} == set(AXES)
    for point in curve.points:
        assert Design.from_json(point.design.to_json()) == point.design
        assert point.design.layers[:-1] == tiny.base.layers[:-1]
        check_fits(estimate(point.design, 100))
        assert point.lines_per_s == pytest.approx(250e6 / sustained(point.design, 100, 16), rel=1e-3)
        assert point.resources == sum(unit_resources(point.design).values(), Resources())


def test_on_a_front_more_speed_costs_more(tiny: Exploration) -> None:
    for axis in AXES:
        front = [p for p in tiny.curves[0].points if axis in p.fronts]
        speeds, shares = [p.lines_per_s for p in front], [p.shares[axis] for p in front]
        assert speeds == sorted(speeds, reverse=True)
        assert shares == sorted(shares, reverse=True)


def test_the_shipped_design_is_not_beaten_by_far_and_beats_nothing(tiny: Exploration) -> None:
    (shipped,) = tiny.shipped
    assert shipped.name == "tiny"
    best = [p for p in tiny.curves[0].points if p.lines_per_s >= shipped.lines_per_s and "lut" in p.fronts]
    assert min(p.resources.lut for p in best) <= shipped.model.lut


def test_a_layer_folded_by_hand_is_among_the_options() -> None:
    base = find_design("tiny-uni", SOURCE)
    fastest, *_ = sweep.fronts(base, 144, 10)
    reached = min(sustained(refolded(base, option.folds), 144, 10) for option in fastest)
    for units in (1, 2, 4, 8):
        for simd in (1, 2, 4, 8):
            folds = {0: replace(base.fold(0), pe=4 * units, simd=simd), 1: replace(base.fold(1), pe=10, simd=units)}
            assert sustained(refolded(base, folds), 144, 10) >= reached


def test_too_few_slots_are_slower() -> None:
    base = find_design("finn-l-w4a4", SOURCE)
    fold = base.fold(base.recurrent)
    cycles = [sustained(refolded(base, {base.recurrent: replace(fold, slots=n)}), 520, 40) for n in (1, 2, 3)]
    assert cycles[0] > cycles[1] >= cycles[2]


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=30))
def test_what_is_kept_beats_all_that_is_not(rows: list[tuple[int, ...]]) -> None:
    shares = np.array(rows, float) / 100
    kept = sweep._undominated(shares)
    for row in range(len(rows)):
        assert any((shares[k] <= shares[row]).all() for k in kept)
    for one in kept:
        assert not any((shares[other] <= shares[one]).all() for other in kept if other != one)


def test_models_of_the_same_layers_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    base = find_design("tiny", SOURCE)
    layers = tuple(replace(each, weight_bits=2) if isinstance(each, Lstm) else each for each in base.layers)
    coarse = model_of(replace(base, layers=layers), "coarse", 0.2)
    monkeypatch.setattr("zeile.hw.explore.list_models", lambda _: [Path("coarse/1")])
    monkeypatch.setattr("zeile.hw.explore.load_model", lambda _: coarse)
    found = explore(model_of(base), Path("models"), SOURCE, 100)
    assert [(curve.model, curve.cer) for curve in found.curves] == [("small/1", 0.1), ("coarse/1", 0.2)]
    assert "W2A4" in found.curves[1].widths
    assert all(point.design.lstm.weight_bits == 2 for point in found.curves[1].points)


def test_json_says_what_is_model_and_what_is_netlist(tiny: Exploration) -> None:
    entry = json.loads(to_text(tiny))
    assert "assumption" in entry["origin"]["clock"]
    assert "model" in entry["origin"]["resources"]
    assert "Yosys" in entry["origin"]["netlist"]
    (curve,) = entry["curves"]
    assert all({"lines_per_s", "lut", "dsp", "bram36", "folds", "fronts"} <= set(p) for p in curve["points"])
    assert "assumed" in describe(tiny)


def test_the_figure(tiny: Exploration) -> None:
    pytest.importorskip("matplotlib")
    from zeile.hw.explore_plot import draw

    png = draw(tiny)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(png) > 20_000


def test_what_cannot_be_explored_is_said(tmp_path: Path) -> None:
    model = model_of(find_design("tiny", SOURCE))
    (tmp_path / "designs").mkdir()
    with pytest.raises(BadSettings, match=r"no design in .* has the layers of small"):
        explore(model, Path("nowhere"), tmp_path, 100)
    with pytest.raises(BadSettings, match="columns is 1000; the design tiny takes 1 to 128"):
        explore(model, Path("nowhere"), SOURCE, 1000)
