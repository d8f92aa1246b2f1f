# SPDX-License-Identifier: Apache-2.0
"""Design files: what they may say, where they are found, and that the shipped ones are sound."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zeile.errors import BadManifest, BadSettings
from zeile.hw.design import Design, design_text, find_design, hw_source, list_designs, load_design
from zeile.network import Conv2d, Lstm

SOURCE = Path(__file__).resolve().parents[2] / "hw_src"
NAMES = ("finn-l-w2a4", "finn-l-w4a4", "tiny", "tiny-uni", "zeile-print")

Edit = Callable[[dict[str, Any]], object]


def entry(name: str = "tiny") -> dict[str, Any]:
    return copy.deepcopy(find_design(name, SOURCE).to_json())


@pytest.mark.parametrize("name", NAMES)
def test_shipped_designs_are_sound_and_named_as_their_files(name: str) -> None:
    design = find_design(name, SOURCE)
    assert design.name == name
    assert Design.from_json(json.loads(json.dumps(design.to_json()))) == design
    path = SOURCE / "designs" / f"{name}.json"
    assert design_text(design) == path.read_text("utf-8")
    assert max(len(line) for line in path.read_text("utf-8").splitlines()) <= 150


def test_all_shipped_designs_are_listed() -> None:
    assert tuple(list_designs(SOURCE)) == NAMES


def test_boards_designs_take_lines_of_8192_columns() -> None:
    assert all(find_design(name, SOURCE).max_columns >= 8192 for name in NAMES if not name.startswith("tiny"))


def test_the_id_is_that_of_the_canonical_json() -> None:
    text = json.dumps(entry(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    design = Design.from_json(entry())
    assert f"{design.design_id:016x}" == hashlib.sha256(text.encode()).hexdigest()[:16]
    changed = replace(design, description="Another.")
    assert changed.design_id != design.design_id


def test_folding_gives_cycles() -> None:
    design = find_design("zeile-print", SOURCE)
    assert [design.tiles(index) for index in (0, 2, 4, 6, 7)] == [(1, 1), (1, 8), (1, 16), (8, 16), (8, 16)]
    assert design.words_per_frame == 2
    assert find_design("tiny-uni", SOURCE).words_per_frame == 2
    assert (design.lanes(6), design.lanes(7)) == (1, 2)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda e: e.update(format="zeile-model"), 'must say "format": "zeile-design"'),
        (lambda e: e.update(format_version=2), "format_version is 2, not 1"),
        (lambda e: e.update(colour="red"), "unknown key 'colour'"),
        (lambda e: e.pop("ring_steps"), "lacks 'ring_steps'"),
        (lambda e: e.update(name="Tiny!"), "name must match"),
        (lambda e: e.update(clock_mhz=900), "clock_mhz is 900.0, allowed are 1 to 800"),
        (lambda e: e.update(clock_mhz="fast"), "clock_mhz is a str"),
        (lambda e: e.update(pixel_bits=3), "1, 2, 4 and 8 fill a 64-bit word"),
        (lambda e: e.update(max_columns=129), "has 65 steps, more than the rings' 64"),
        (lambda e: e.update(max_columns=0), "max_columns is 0"),
        (lambda e: e.update(fifo={"map0": 1}), "depths of at least 2"),
        (lambda e: e["layers"].pop(), "must be dense"),
        (lambda e: e["layers"].pop(3), "one lstm or bilstm, dense"),
        (lambda e: e["layers"].__setitem__(0, 5), "layer 0 is 5, not an object"),
        (lambda e: e["layers"][0].pop("pe"), "layer 0: conv2d lacks pe"),
        (lambda e: e["layers"][0].update(slots=2), r"layer 0: conv2d has the unknown keys \['slots'\]"),
        (lambda e: e["layers"][2].update(pe=2), r"layer 2: maxpool has the unknown keys \['pe'\]"),
        (lambda e: e["layers"][0].update(pe=True), "pe is True, not a whole number"),
        (lambda e: e["layers"][0].update(mac=3), "mac is 3, not a word"),
        (lambda e: e["layers"][0].update(mac="bram"), "mac is 'bram', it must be one of dsp, lut, half"),
        (lambda e: e["layers"][0].update(pe=3), "pe 3 does not divide the 4 rows"),
        (lambda e: e["layers"][0].update(pe=0), "pe is 0, allowed are 1 to 4"),
        (lambda e: e["layers"][0].update(simd=2), "simd 2 does not divide the 9 columns"),
        (lambda e: e["layers"][0].update(pe=1, mac="half"), "needs an even pe, not 1"),
        (lambda e: e["layers"][3].update(pe=2), "pe is 2; it must be a multiple of 4"),
        (lambda e: e["layers"][3].update(simd=16), "simd 16 must divide both 16 inputs and 8 units"),
        (lambda e: e["layers"][3].update(slots=17), "slots is 17, allowed are 1 to 16"),
        (lambda e: e["layers"][3].update(pe=16), "layer 4 .dense.: simd is 2, it must be 4"),
        (lambda e: e["layers"][4].update(pe=0), "pe is 0, allowed are 1 to 16"),
        (lambda e: e["layers"][4].update(pe=5000), "pe is 5000"),
        (lambda e: e["layers"][3].update(hidden=-8), "hidden is -8"),
        (lambda e: e["layers"][0].update(weight_bits=9), "weight_bits is 9, allowed are 1 to 8"),
    ],
)
def test_a_wrong_design_is_refused_with_a_sentence(edit: Edit, sentence: str) -> None:
    changed = entry()
    edit(changed)
    with pytest.raises(BadManifest, match=sentence):
        Design.from_json(changed)


def test_gate_lanes_must_divide_simd() -> None:
    base = find_design("tiny-uni", SOURCE)
    layers = (Lstm(hidden=24, weight_bits=3, out_bits=3, cell_bits=6, bidirectional=False), base.layers[1])
    folds = (replace(base.fold(0), pe=96, simd=8), replace(base.fold(1), simd=24))
    with pytest.raises(BadManifest, match="simd 8 is no multiple of the 3 gate lanes"):
        replace(base, layers=layers, folds=folds)


def test_a_stream_must_fit_the_slices() -> None:
    design = find_design("zeile-print", SOURCE)
    folds = (*design.folds[:-2], replace(design.fold(6), simd=64), design.folds[-1])
    assert replace(design, folds=folds).fold(6).simd == 64
    odd = list(design.layers)
    odd[4] = Conv2d(channels=24, weight_bits=4, out_bits=4)
    wide = (*design.folds[:4], replace(design.fold(4), pe=24), None, replace(design.fold(6), simd=16), design.folds[-1])
    with pytest.raises(BadManifest, match="simd is 16, but 24 codes come at a time; one must divide the other"):
        replace(design, layers=tuple(odd), folds=wide)


def test_a_design_is_found_by_name_or_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEILE_HW", str(SOURCE))
    assert hw_source() == SOURCE
    own = tmp_path / "own.json"
    own.write_text(json.dumps(entry() | {"name": "own"}), "utf-8")
    assert find_design("tiny").name == "tiny"
    assert find_design(str(own)).name == "own"
    with pytest.raises(BadSettings, match=r"design 'large' is neither in .*tiny-uni.*set ZEILE_HW"):
        find_design("large")


def test_without_a_setting_the_checkout_is_searched_then_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZEILE_HW", raising=False)
    monkeypatch.chdir(SOURCE.parent)
    assert hw_source().resolve() == SOURCE
    monkeypatch.chdir(tmp_path)
    assert hw_source() == Path("/opt/zeile/hw_src")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is not JSON"),
        (b"[]", "this is none"),
        (b'{"format": "zeile-design", "format": "zeile-design"}', "a key occurs twice"),
        (b" " * (1 << 20) + b"{}", "more than 1048576 bytes"),
    ],
)
def test_a_damaged_file_is_refused(data: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(data)
    with pytest.raises(BadManifest, match=sentence):
        load_design(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match=r"none\.json: No such file"):
        load_design(tmp_path / "none.json")


@pytest.mark.parametrize(("key", "value"), [("hidden", 10**9), ("hidden", 0), ("columns", 10**9), ("rows", 0)])
def test_an_absurd_size_takes_no_memory(key: str, value: int) -> None:
    changed = entry()
    next(layer for layer in changed["layers"] if key in layer)[key] = value
    with pytest.raises(BadManifest, match=f"{key} is {value}, allowed are 1 to 1024"):
        Design.from_json(changed)


def test_more_weights_than_any_part_holds_are_refused() -> None:
    changed = entry() | {"height_px": 512}
    changed["layers"][1].update(channels=1024)
    changed["layers"][3].update(hidden=1024)
    with pytest.raises(BadManifest, match=r"layer 3 .lstm.: its weight has \d+ values, more than 16777216"):
        Design.from_json(changed)
