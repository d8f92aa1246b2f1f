# SPDX-License-Identifier: Apache-2.0
"""Reports of Vivado and Vitis HLS are read, or refused: tried on small excerpts that were written by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from zeile.errors import BadManifest
from zeile.hw.design import load_design
from zeile.hw.report import Use, describe, parse_hls, parse_timing, parse_utilisation, read_build

ROOT = Path(__file__).resolve().parent.parent.parent
REPORTS = ROOT / "tests" / "hw" / "reports"
DESIGN = ROOT / "hw_src" / "designs" / "zeile-print.json"
TIMING = (REPORTS / "timing_summary.rpt").read_text("utf-8")
UTILISATION = (REPORTS / "utilization.rpt").read_text("utf-8")
CSYNTH = (REPORTS / "zeile_core_csynth.xml").read_bytes()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def finished_build(folder: Path, design: Path = DESIGN) -> Path:
    """A build folder as make leaves it, with the excerpts for reports."""
    for name in ("reports", "hls"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("timing_summary.rpt", "utilization.rpt"):
        shutil.copy(REPORTS / name, folder / "reports" / name)
    shutil.copy(REPORTS / "zeile_core_csynth.xml", folder / "hls")
    shutil.copy(design, folder / "design.json")
    (folder / "commit.txt").write_text(f"{COMMIT}\n", "utf-8")
    return folder


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_timing() -> None:
    timing = parse_timing(TIMING)
    assert (timing.wns_ns, timing.whs_ns, timing.wpws_ns) == (0.123, 0.010, 1.458)
    assert timing.clocks_ns == {"clk_pl_0": 4.0}
    assert (timing.vivado, timing.device, timing.state) == ("2024.1", "xczu7ev-ffvc1156", "Routed")
    assert timing.problems == ()


@pytest.mark.parametrize(
    ("good", "bad", "sentence"),
    [
        ("\n      0.123        0.000", "\n     -0.123       -9.000", "WNS is -0.123 ns"),
        ("0.010        0.000", "-0.01        0.000", "WHS is -0.01 ns"),
        ("no_clock (0)", "no_clock (12)", "12 found by the check no_clock"),
        ("4. checking unconstrained_internal_endpoints (0)\n", "", "whether there are unconstrained_internal"),
        ("All user specified", "Timing constraints are not met", "all constraints are met"),
    ],
)
def test_timing_that_is_not_met(good: str, bad: str, sentence: str) -> None:
    assert any(sentence in problem for problem in parse_timing(TIMING.replace(good, bad)).problems)


@pytest.mark.parametrize("cut", ["    WNS(ns)      TNS(ns)", "| Tool Version", "| Design State", "| Device "])
def test_a_timing_report_that_lacks_something_is_refused(cut: str) -> None:
    with pytest.raises(BadManifest):
        parse_timing(TIMING.replace(cut, "| Elsewhere"))


def test_utilisation() -> None:
    assert parse_utilisation(UTILISATION) == {
        "lut": Use(used=98765, available=230400),
        "ff": Use(used=76543, available=460800),
        "dsp": Use(used=1024, available=1728),
        "bram36": Use(used=87.5, available=312),
        "uram": Use(used=12, available=96),
    }


def test_utilisation_as_vivado_2020_wrote_it() -> None:
    """Without the column Prohibited, and with a mark at CLB LUTs after synthesis."""
    lines = [line.split("|") for line in UTILISATION.splitlines()]
    older = ["|".join(cells[:4] + cells[5:]) if len(cells) == 8 else "|".join(cells) for cells in lines]
    text = "\n".join(older).replace("| CLB LUTs ", "| CLB LUTs*")
    assert "Prohibited" not in text
    assert parse_utilisation(text) == parse_utilisation(UTILISATION)


@pytest.mark.parametrize("row", ["CLB LUTs", "CLB Registers", "DSPs", "Block RAM Tile", "URAM", "Site Type"])
def test_a_utilisation_report_without_a_row_is_refused(row: str) -> None:
    with pytest.raises(BadManifest):
        parse_utilisation(UTILISATION.replace(row, "Slices"))


def test_hls() -> None:
    assert parse_hls(CSYNTH) == {
        "version": "2024.1",
        "part": "xczu7ev-ffvc1156-2-e",
        "target_clock_ns": 4,
        "estimated_clock_ns": 2.92,
        "utilisation": {"lut": 90000, "ff": 70000, "dsp": 1024, "bram18": 160, "uram": 12},
    }


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"<LUT>90000</LUT>", b""),
        (b"<LUT>90000</LUT>", b"<LUT>many</LUT>"),
        (b"</profile>", b""),
        (b"<profile>", b'<!DOCTYPE profile [<!ENTITY a "b">]><profile>'),
    ],
)
def test_a_csynth_file_that_cannot_be_is_refused(good: bytes, bad: bytes) -> None:
    with pytest.raises(BadManifest):
        parse_hls(CSYNTH.replace(good, bad, 1))


def test_a_finished_build(tmp_path: Path) -> None:
    built = read_build(finished_build(tmp_path))
    assert built["tools"] == {"vivado": "2024.1", "vitis_hls": "2024.1"}
    assert built["commit"] == COMMIT
    assert (built["wns_ns"], built["whs_ns"], built["clock_period_ns"]) == (0.123, 0.010, 4.0)
    assert built["utilisation"]["bram36"] == {"used": 87.5, "available": 312}
    assert built["hls"]["estimated_clock_ns"] == 2.92
    assert "WNS 0.123 ns" in describe(built)


def test_a_build_without_hls_has_no_hls_facts(tmp_path: Path) -> None:
    build = finished_build(tmp_path)
    shutil.rmtree(build / "hls")
    assert read_build(build)["hls"] is None


@pytest.mark.parametrize(
    ("name", "good", "bad", "sentence"),
    [
        ("reports/timing_summary.rpt", "\n      0.123 ", "\n     -0.123 ", "timing is not met: WNS is -0.123 ns"),
        ("reports/timing_summary.rpt", "Design State : Routed", "Design State : Placed", "not routed"),
        ("reports/timing_summary.rpt", "xczu7ev-ffvc1156", "xczu9eg-ffvb1156", "built for xczu9eg"),
        ("reports/timing_summary.rpt", "4.000           250.000", "5.000           200.000", "no clock was timed"),
        ("hls/zeile_core_csynth.xml", "xczu7ev-ffvc1156-2-e", "xc7z020-clg400-1", "for another part"),
    ],
)
def test_a_build_that_cannot_be_an_overlay(name: str, good: str, bad: str, sentence: str, tmp_path: Path) -> None:
    build = finished_build(tmp_path)
    edit(build / name, good, bad)
    with pytest.raises(BadManifest, match=sentence):
        read_build(build)


@pytest.mark.parametrize("name", ["design.json", "commit.txt", "reports/timing_summary.rpt", "reports/utilization.rpt"])
def test_an_unfinished_build_is_refused(name: str, tmp_path: Path) -> None:
    build = finished_build(tmp_path)
    (build / name).unlink()
    with pytest.raises(BadManifest, match="run make bit first"):
        read_build(build)


def test_the_excerpts_fit_the_design() -> None:
    assert load_design(DESIGN).part in UTILISATION
