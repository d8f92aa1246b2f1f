# SPDX-License-Identifier: Apache-2.0
"""The build scripts: linted, and run against a recorder of AMD's commands. AMD's tools have not seen them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from zeile.hw import hwh
from zeile.hw.config import write_headers
from zeile.hw.design import Design, load_design
from zeile.hw.handoff import facts
from zeile.hw.pack import design_tcl

ROOT = Path(__file__).resolve().parent.parent.parent
HW_SRC = ROOT / "hw_src"
TCL = sorted((HW_SRC / "tcl").glob("*.tcl"))
STUB = ROOT / "tests" / "hw" / "tcl_stub.tcl"
MET = ROOT / "tests" / "hw" / "reports" / "timing_summary.rpt"
DESIGNS = sorted((HW_SRC / "designs").glob("*.json"))

needs_tclsh = pytest.mark.skipif(shutil.which("tclsh") is None, reason="tclsh is not installed (Debian: tcl)")
Call = list[str]


def prepared(folder: Path, name: str = "zeile-print") -> tuple[Design, Path]:
    """A build folder as `zeile hw config` leaves it."""
    design = load_design(HW_SRC / "designs" / f"{name}.json")
    write_headers(design, folder)
    (folder / "design.tcl").write_text(design_tcl(design), "utf-8")
    return design, folder


def dry_run(
    script: str, tool: str, build: Path, timing: Path = MET, **environment: str
) -> tuple[subprocess.CompletedProcess[str], list[Call]]:
    record = build / "record.txt"
    done = subprocess.run(
        ["tclsh", str(STUB), str(HW_SRC / "tcl" / script), tool, str(record), str(timing)],
        env=os.environ | {"HW_BUILD": str(build), "HW_SRC": str(HW_SRC)} | environment,
        cwd=build,
        capture_output=True,
        text=True,
        check=False,
    )
    return done, [line.split("\t") for line in record.read_text("utf-8").splitlines()]


def calls_of(calls: list[Call], name: str) -> list[Call]:
    return [call[1:] for call in calls if call[0] == name]


def properties(calls: list[Call], cell: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for call in calls_of(calls, "set_property"):
        if call[-1] == cell and call[0] == "-dict":
            words = call[1].split()
            found |= dict(zip(words[::2], words[1::2], strict=True))
    return found


@pytest.mark.skipif(shutil.which("tclint") is None, reason="tclint is not installed (deploy/test.sh does it)")
@pytest.mark.parametrize("path", [*TCL, STUB], ids=lambda path: path.name)
def test_lint(path: Path) -> None:
    command = ["tclint", "--style-line-length", "120", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@needs_tclsh
@pytest.mark.parametrize("tool", ["vitis-run", "vitis_hls"])
@pytest.mark.parametrize("name", [path.stem for path in DESIGNS])
def test_synthesis_names_part_clock_top_and_files(name: str, tool: str, tmp_path: Path) -> None:
    design, build = prepared(tmp_path, name)
    done, calls = dry_run("hls.tcl", tool, build)
    assert done.returncode == 0, done.stderr
    names = [call[0] for call in calls]
    assert names[0] == ("open_component" if tool == "vitis-run" else "open_project")
    assert ("open_solution" in names) == (tool == "vitis_hls")
    assert ["-flow_target", "vivado"] in [call[i : i + 2] for call in calls for i in range(len(call))]
    assert calls_of(calls, "set_part") == [["xczu7ev-ffvc1156-2-e"]] == [[design.part]]
    assert calls_of(calls, "set_top") == [["zeile_core"]]
    (clock,) = calls_of(calls, "create_clock")
    assert float(clock[clock.index("-period") + 1]) == pytest.approx(1000 / design.clock_mhz, abs=1e-4)
    (added,) = calls_of(calls, "add_files")
    assert added[0] == str(HW_SRC / "hls" / "top.cpp")
    assert added[2] == f"-std=c++14 -I{build} -I{HW_SRC / 'hls'}"
    (export,) = calls_of(calls, "config_export")
    options = dict(zip(export[::2], export[1::2], strict=True))
    vlnv = ":".join(options[f"-{key}"] for key in ("vendor", "library", "ipname", "version"))
    assert vlnv == hwh.CORE_VLNV
    assert names.index("csynth_design") < names.index("config_export") < names.index("export_design")
    assert calls_of(calls, "config_rtl") == [["-reset", "state"]]  # else a unit keeps its state over a reset
    assert names.index("config_rtl") < names.index("csynth_design")
    assert (build / "ip" / "component.xml").exists()
    assert (build / "hls" / "zeile_core_csynth.xml").exists()


@needs_tclsh
def test_synthesis_alone_exports_nothing(tmp_path: Path) -> None:
    done, calls = dry_run("hls.tcl", "vitis-run", prepared(tmp_path)[1], HW_STEP="csynth")
    assert done.returncode == 0, done.stderr
    assert calls_of(calls, "csynth_design") == [[]]
    assert calls_of(calls, "export_design") == []


@needs_tclsh
@pytest.mark.parametrize("tool", ["vitis-run", "vitis_hls"])
def test_a_unit_is_synthesised_alone(tool: str, tmp_path: Path) -> None:
    done, calls = dry_run("unit.tcl", tool, prepared(tmp_path, "tiny")[1], HW_UNIT="conv0")
    assert done.returncode == 0, done.stderr
    assert calls_of(calls, "set_top") == [["conv0_unit"]]
    assert calls_of(calls, "config_rtl") == [["-reset", "state"]]
    assert calls_of(calls, "cosim_design") == []


@needs_tclsh
def test_the_core_is_simulated_synthesised_and_compared(tmp_path: Path) -> None:
    _, build = prepared(tmp_path, "tiny")
    assert dry_run("unit.tcl", "vitis-run", build, HW_UNIT="core")[0].returncode == 4  # no vectors yet
    (build / "vectors.txt").write_text("", "utf-8")
    done, calls = dry_run("unit.tcl", "vitis-run", build, HW_UNIT="core")
    assert done.returncode == 0, done.stderr
    order = [call[0] for call in calls if call[0].endswith("_design")]
    assert order == ["csim_design", "csynth_design", "cosim_design"]


@needs_tclsh
def test_the_systemverilog_core_is_packaged_as_the_same_ip(tmp_path: Path) -> None:
    design, build = prepared(tmp_path, "tiny")
    (build / "core.sv").write_text('module zeile_rtl;\n`include "zeile.svh"\nendmodule\n', "utf-8")
    done, calls = dry_run("rtl.tcl", "vivado", build)
    assert done.returncode == 0, done.stderr
    (project,) = calls_of(calls, "create_project")
    assert project[-2:] == ["-part", design.part]
    joined, wrapper = calls_of(calls, "add_files")[0][1].split()
    assert Path(wrapper) == HW_SRC / "rtl" / "zeile_ip.v"
    text = Path(joined).read_text("utf-8")
    assert text.startswith("`define ZEILE_DSP48E2\n")  # explicit DSP slices, in every module
    assert "`include" not in text
    for source in (HW_SRC / "rtl").glob("*.sv"):
        assert f"module {source.stem}" in text
    assert text.rindex("module zeile_rtl") > max(text.find(f"module {s.stem}") for s in (HW_SRC / "rtl").glob("*.sv"))
    assert ["top", "zeile_ip", "sources_1"] in calls_of(calls, "set_property")
    (package,) = calls_of(calls, "ipx::package_project")
    options = dict(zip(package[:6:2], package[1:6:2], strict=True))
    facts_of = {call[0]: call[1] for call in calls_of(calls, "set_property") if call[-1] == "core"}
    vlnv = ":".join([options["-vendor"], options["-library"], facts_of["name"], facts_of["version"]])
    assert vlnv == hwh.CORE_VLNV
    streams = [call[1] for call in calls_of(calls, "ipx::associate_bus_interfaces")]
    assert streams == [hwh.STREAM_IN, hwh.STREAM_OUT]
    names = [call[0] for call in calls]
    assert names.index("ipx::check_integrity") < names.index("ipx::save_core")
    assert (build / "ip" / "component.xml").exists()


@needs_tclsh
def test_without_a_generated_core_nothing_is_packaged(tmp_path: Path) -> None:
    done, calls = dry_run("rtl.tcl", "vivado", prepared(tmp_path, "tiny")[1])
    assert done.returncode == 1
    assert "run make config first" in done.stderr
    assert calls == []


def test_the_packaged_top_has_the_ports_of_the_block_design() -> None:
    text = (HW_SRC / "rtl" / "zeile_ip.v").read_text("utf-8")
    for port in ("ap_clk", "ap_rst_n", f"{hwh.STREAM_IN}_TDATA", f"{hwh.STREAM_OUT}_TREADY"):
        assert f" {port}" in text
    assert "`default_nettype none" in text


@needs_tclsh
def test_the_block_design(tmp_path: Path) -> None:
    design, build = prepared(tmp_path)
    (build / "ip").mkdir()
    (build / "ip" / "component.xml").write_text("<component/>", "utf-8")
    done, calls = dry_run("vivado.tcl", "vivado", build)
    assert done.returncode == 0, done.stderr
    (project,) = calls_of(calls, "create_project")
    assert project[-2:] == ["-part", "xczu7ev-ffvc1156-2-e"]
    blocks = {call[4]: call[3] for call in calls_of(calls, "create_bd_cell")}
    assert blocks["axi_dma_0"] == "xilinx.com:ip:axi_dma:7.1"
    assert blocks["axi_intc_0"] == "xilinx.com:ip:axi_intc:4.1"
    assert blocks["zeile_0"] == hwh.CORE_VLNV
    dma = properties(calls, "axi_dma_0")
    assert dma["CONFIG.c_sg_length_width"] == "26"
    assert dma["CONFIG.c_include_sg"] == "0"
    processor = properties(calls, "zynq_ultra_ps_e_0")
    assert float(processor["CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ"]) == pytest.approx(design.clock_mhz)
    assert processor["CONFIG.PSU__USE__S_AXI_GP2"] == "1"
    nets = [{*call} for call in calls_of(calls, "connect_bd_net") + calls_of(calls, "connect_bd_intf_net")]
    for net in (
        {"axi_dma_0/mm2s_introut", "xlconcat_0/In0"},
        {"axi_dma_0/s2mm_introut", "xlconcat_0/In1"},
        {"axi_intc_0/irq", "zynq_ultra_ps_e_0/pl_ps_irq0"},
        {"axi_dma_0/M_AXIS_MM2S", "zeile_0/s_in"},
        {"zeile_0/m_out", "axi_dma_0/S_AXIS_S2MM"},
        {"memory_0/M00_AXI", "zynq_ultra_ps_e_0/S_AXI_HP0_FPD"},
        {"zynq_ultra_ps_e_0/pl_clk0", "zeile_0/ap_clk"},
        {"reset_0/peripheral_aresetn", "zeile_0/ap_rst_n"},
    ):
        assert net in nets


@needs_tclsh
def test_the_block_design_is_what_the_generated_handoff_says(tmp_path: Path) -> None:
    design, build = prepared(tmp_path)
    (build / "ip").mkdir()
    (build / "ip" / "component.xml").write_text("<component/>", "utf-8")
    _, calls = dry_run("vivado.tcl", "vivado", build)
    handoff = facts(hwh.hwh(design).encode())
    for cell in ("axi_dma_0", "zynq_ultra_ps_e_0"):
        for name, value in properties(calls, cell).items():
            key = f"{cell} {name.removeprefix('CONFIG.').lower()}"
            assert handoff.get(key, value) == value, name
    assert {f"axi_dma_0 {key}" for key in ("c_include_sg", "c_sg_length_width")} <= set(handoff)
    for call in calls_of(calls, "assign_bd_address"):
        options = dict(zip(call[0:6:2], call[1:6:2], strict=True))
        cell = call[6].split("/")[0]
        if cell != "zynq_ultra_ps_e_0":
            low = int(options["-offset"], 0)
            assert handoff[f"{cell} addresses"] == f"{low}..{low + int(options['-range'], 0) - 1}"
    sinks = {call[0]: call[1] for call in calls_of(calls, "connect_bd_net")}
    assert handoff["axi_dma_0 mm2s_introut"].startswith(sinks["axi_dma_0/mm2s_introut"] + ",")
    assert handoff["axi_dma_0 s2mm_introut"].startswith(sinks["axi_dma_0/s2mm_introut"] + ",")


@needs_tclsh
def test_timing_is_judged_before_a_bitstream_is_written(tmp_path: Path) -> None:
    _, build = prepared(tmp_path)
    (build / "ip").mkdir()
    (build / "ip" / "component.xml").write_text("<component/>", "utf-8")
    done, calls = dry_run("vivado.tcl", "vivado", build)
    names = [call[0] for call in calls]
    assert names.index("report_timing_summary") < names.index("write_bitstream")
    assert all("write_bitstream" not in call for call in calls_of(calls, "launch_runs"))
    assert {path.name for path in build.glob("zeile-print.*")} == {"zeile-print.bit", "zeile-print.hwh"}
    assert (build / "reports" / "timing_summary.rpt").read_text("utf-8").strip() == MET.read_text("utf-8").strip()
    assert done.returncode == 0


@needs_tclsh
@pytest.mark.parametrize(
    ("good", "bad", "sentence"),
    [
        ("\n      0.123        0.000", "\n     -0.001       -0.001", "WNS is -0.001 ns"),
        ("   0.010        0.000", "  -0.010       -0.020", "WHS is -0.010 ns"),
        ("   1.458        0.000", "  -1.458       -0.020", "WPWS is -1.458 ns"),
        ("no_clock (0)", "no_clock (3)", "3 found by the check no_clock"),
        ("unconstrained_internal_endpoints (0)", "unconstrained_internal_endpoints (7)", "7 found by"),
        ("9. checking loops (0)\n", "", "does not say whether there are loops"),
        ("All user specified timing constraints are met.", "Timing constraints are not met.", "does not say that all"),
        ("\n      0.123        0.000", "\n         NA           NA", "no path is timed"),
    ],
)
def test_no_bitstream_is_written_where_timing_is_not_met(good: str, bad: str, sentence: str, tmp_path: Path) -> None:
    _, build = prepared(tmp_path)
    (build / "ip").mkdir()
    (build / "ip" / "component.xml").write_text("<component/>", "utf-8")
    report = MET.read_text("utf-8")
    assert report.count(good) == 1
    (build / "bad.rpt").write_text(report.replace(good, bad), "utf-8")
    done, calls = dry_run("vivado.tcl", "vivado", build, timing=build / "bad.rpt")
    assert done.returncode == 1
    assert sentence in done.stderr
    assert calls_of(calls, "write_bitstream") == []
    assert not list(build.glob("*.bit"))


@needs_tclsh
def test_without_an_ip_the_system_is_not_begun(tmp_path: Path) -> None:
    done, calls = dry_run("vivado.tcl", "vivado", prepared(tmp_path)[1])
    assert done.returncode == 1
    assert "run make ip first" in done.stderr
    assert calls_of(calls, "create_project") == []


@needs_tclsh
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("csynth_desing", 3),
        ("create_clock -perod 4.0", 3),
        ("open_solution hls", 3),  # of the other tool
        ("add_files nowhere.cpp", 4),
        ("source nowhere.tcl", 1),
    ],
)
def test_the_recorder_refuses_slips(line: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "slip.tcl").write_text(f"{line}\n", "utf-8")
    command = ["tclsh", str(STUB), str(tmp_path / "slip.tcl"), "vitis-run", str(tmp_path / "record.txt")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == code


@needs_tclsh
def test_the_recorder_knows_pins(tmp_path: Path) -> None:
    lines = "create_bd_cell -type ip -vlnv xilinx.com:ip:axi_dma:7.1 dma\nget_bd_pins dma/mm2s_introut\n"
    (tmp_path / "pins.tcl").write_text(f"{lines}get_bd_pins dma/mm2s_interrupt\n", "utf-8")
    command = ["tclsh", str(STUB), str(tmp_path / "pins.tcl"), "vivado", str(tmp_path / "record.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (5, "there is no pin dma/mm2s_interrupt\n")
