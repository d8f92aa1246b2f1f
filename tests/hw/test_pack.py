# SPDX-License-Identifier: Apache-2.0
"""Overlay folders: the shipped ones are what their designs give; a build goes in, and nothing else does."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.hw.test_report import COMMIT, edit, finished_build

from zeile.errors import BadManifest, OverlayMissing
from zeile.hw import hwh
from zeile.hw.design import load_design
from zeile.hw.handoff import differences, facts
from zeile.hw.overlay import load_overlay
from zeile.hw.pack import design_tcl, divider, pack

ROOT = Path(__file__).resolve().parent.parent.parent
OVERLAYS = ROOT / "overlays"
DESIGNS = ROOT / "hw_src" / "designs"
DESIGN = DESIGNS / "zeile-print.json"
SHIPPED = sorted(path.parent.name for path in OVERLAYS.glob("*/manifest.json"))


def with_bitstream(folder: Path) -> Path:
    """A finished build, with a container for a bitstream and the generated handoff in place of Vivado's."""
    build, design = finished_build(folder), load_design(DESIGN)
    (build / "zeile-print.bit").write_bytes(hwh.bit_container(design) + b"no configuration data")
    (build / "zeile-print.hwh").write_text(hwh.hwh(design), "utf-8")
    return build


def test_these_overlays_are_shipped() -> None:
    assert SHIPPED == ["finn-l-w2a4", "finn-l-w4a4", "zeile-print"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_overlay_is_what_its_design_gives(name: str, tmp_path: Path) -> None:
    shipped = load_overlay(OVERLAYS / name)
    assert shipped.design == load_design(DESIGNS / f"{name}.json")
    if shipped.built is None:
        again = pack(DESIGNS / f"{name}.json", tmp_path)
        for path in again.iterdir():
            assert path.read_bytes() == (OVERLAYS / name / path.name).read_bytes(), f"zeile hw pack {name} anew"
        assert {path.name for path in (OVERLAYS / name).iterdir()} == {path.name for path in again.iterdir()}
    else:
        shipped.bitstream()
    for role, (digest, size) in shipped.files.items():
        data = shipped.path(role).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (digest, size)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_handoff_for_emulation_is_the_generated_one(name: str) -> None:
    shipped = load_overlay(OVERLAYS / name)
    generated = hwh.hwh(shipped.design).encode()
    assert shipped.path("emulated_hwh").read_bytes() == generated
    if shipped.built is not None:
        assert differences(generated, shipped.path("hwh").read_bytes()) == []


def test_without_a_build_the_overlay_says_so(tmp_path: Path) -> None:
    overlay = load_overlay(pack(DESIGN, tmp_path))
    assert overlay.built is None
    manifest = json.loads((overlay.folder / "manifest.json").read_bytes())
    assert manifest["state"] == "no bitstream built yet"
    assert set(manifest["files"]) == {"emulated_hwh"}
    with pytest.raises(OverlayMissing, match="has no bitstream"):
        overlay.bitstream()


def test_a_build_goes_in_with_its_facts(tmp_path: Path) -> None:
    build = with_bitstream(tmp_path / "build")
    overlay = load_overlay(pack(DESIGN, tmp_path / "overlays", build))
    assert overlay.bitstream().read_bytes() == (build / "zeile-print.bit").read_bytes()
    assert overlay.built is not None
    assert overlay.built["commit"] == COMMIT
    assert overlay.built["wns_ns"] == 0.123
    assert json.loads((overlay.folder / "manifest.json").read_bytes())["state"] == "built"


def test_packing_again_keeps_a_bitstream_of_the_design(tmp_path: Path) -> None:
    folder = pack(DESIGN, tmp_path / "overlays", with_bitstream(tmp_path / "build"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    pack(DESIGN, tmp_path / "overlays")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_packing_a_changed_design_does_not_lose_a_bitstream(tmp_path: Path) -> None:
    folder = pack(DESIGN, tmp_path / "overlays", with_bitstream(tmp_path / "build"))
    changed = json.loads(DESIGN.read_bytes()) | {"ring_steps": 16384}
    (tmp_path / "zeile-print.json").write_text(json.dumps(changed), "utf-8")
    with pytest.raises(BadManifest, match="holds the bitstream of design"):
        pack(tmp_path / "zeile-print.json", tmp_path / "overlays")
    assert load_overlay(folder).bitstream().exists()


@pytest.mark.parametrize(
    ("name", "good", "bad", "sentence"),
    [
        ("reports/timing_summary.rpt", "\n      0.123 ", "\n     -0.123 ", "timing is not met"),
        ("design.json", '"ring_steps": 8192', '"ring_steps": 16384', "was built of design"),
        ("commit.txt", COMMIT, "main", "which is no commit"),
        (
            "zeile-print.hwh",
            '"c_sg_length_width" VALUE="26"',
            '"c_sg_length_width" VALUE="14"',
            "is not what the driver",
        ),
        ("zeile-print.hwh", '"0xA0020000"', '"0xA0010000"', "axi_intc_0 addresses"),
    ],
)
def test_a_build_that_cannot_go_in(name: str, good: str, bad: str, sentence: str, tmp_path: Path) -> None:
    build = with_bitstream(tmp_path / "build")
    edit(build / name, good, bad)
    with pytest.raises(BadManifest, match=sentence):
        pack(DESIGN, tmp_path / "overlays", build)
    assert not (tmp_path / "overlays").exists()


def test_a_bitstream_for_another_part_cannot_go_in(tmp_path: Path) -> None:
    build = with_bitstream(tmp_path / "build")
    (build / "zeile-print.bit").write_bytes(
        hwh.bit_container(replace(load_design(DESIGN), part="xczu9eg-ffvb1156-2-e"))
    )
    with pytest.raises(BadManifest, match="for the part xczu9eg"):
        pack(DESIGN, tmp_path / "overlays", build)


@pytest.mark.parametrize("suffix", ["bit", "hwh"])
def test_a_build_without_its_files_cannot_go_in(suffix: str, tmp_path: Path) -> None:
    build = with_bitstream(tmp_path / "build")
    (build / f"zeile-print.{suffix}").unlink()
    with pytest.raises(BadManifest, match="run make bit first"):
        pack(DESIGN, tmp_path / "overlays", build)


def test_facts_of_a_handoff_are_spelled_in_one_way() -> None:
    """Vivado writes some parameters in capitals and some numbers in other ways."""
    generated = hwh.hwh(load_design(DESIGN)).encode()
    as_vivado = generated.replace(b'"c_sg_length_width" VALUE="26"', b'"C_SG_LENGTH_WIDTH" VALUE="0x1A"')
    as_vivado = as_vivado.replace(b"0xA0000000", b"0xa0000000").replace(b"249.997500", b"249.997498")
    assert as_vivado != generated
    assert facts(as_vivado) == facts(generated)


@pytest.mark.parametrize("damage", [b"", b"<EDKSYSTEM/>", b"<!DOCTYPE a><EDKSYSTEM/>"])
def test_what_is_no_handoff_is_refused(damage: bytes) -> None:
    with pytest.raises(BadManifest):
        facts(damage)


@pytest.mark.parametrize(("clock_mhz", "n"), [(249.9975, 6), (187.498125, 8), (299.997, 5), (99.999, 15)])
def test_clocks_that_can_be_made(clock_mhz: float, n: int) -> None:
    assert divider(clock_mhz) == n


@pytest.mark.parametrize("clock_mhz", [250.5, 200.0, 240.0])
def test_a_clock_that_cannot_be_made_is_refused(clock_mhz: float) -> None:
    design = replace(load_design(DESIGN), clock_mhz=clock_mhz)
    with pytest.raises(BadManifest, match="choose one of"):
        design_tcl(design)


def test_an_unknown_board_is_refused() -> None:
    with pytest.raises(BadManifest, match="known are ZCU104"):
        design_tcl(replace(load_design(DESIGN), board="ZCU102"))
