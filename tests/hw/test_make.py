# SPDX-License-Identifier: Apache-2.0
"""hw_src/Makefile: with recorders in place of AMD's tools, and with none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zeile.hw import hwh
from zeile.hw.design import load_design
from zeile.hw.overlay import load_overlay

ROOT = Path(__file__).resolve().parent.parent.parent
HW_SRC = ROOT / "hw_src"
TESTS = ROOT / "tests" / "hw"
TARGETS = ("csim", "config", "hls", "ip", "bit", "pack", "unit", "cosim", "lint", "clean")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
needs_tclsh = pytest.mark.skipif(shutil.which("tclsh") is None, reason="tclsh is not installed (Debian: tcl)")


def make(*arguments: str, tools: Path) -> subprocess.CompletedProcess[str]:
    """Runs make with a PATH that holds, of AMD's tools, those of the folder ``tools``."""
    needed = {Path(found).parent for name in ("sh", "git", "tclsh") if (found := shutil.which(name))}
    path = os.pathsep.join([str(tools), *(str(folder) for folder in sorted(needed))])
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HW_", "ZEILE_", "MAKE"))}
    return subprocess.run(
        [shutil.which("make") or "make", "-C", str(HW_SRC), f"PYTHON={sys.executable}", *arguments],
        env=environment | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    return folder


def add_tool(tools: Path, name: str, script: str, timing: str = "timing_summary.rpt") -> None:
    """An executable of this name that runs the script argument under the recorder; `script` finds it in "$@"."""
    files, stub, record = tools / "files", TESTS / "tcl_stub.tcl", tools / f"{name}.txt"
    line = f'exec env HW_STUB_FILES={files} tclsh {stub} "{script}" {name} {record} {TESTS / "reports" / timing}'
    (tools / name).write_text(f"#!/bin/sh\n{line}\n", "utf-8")
    (tools / name).chmod(0o755)


def add_files(tools: Path, name: str) -> None:
    """What the tools would leave of a build."""
    design = load_design(HW_SRC / "designs" / f"{name}.json")
    shutil.copytree(TESTS / "reports", tools / "files")
    (tools / "files" / "system.bit").write_bytes(hwh.bit_container(design))
    (tools / "files" / "system.hwh").write_text(hwh.hwh(design), "utf-8")


def test_help_names_every_target(tools: Path) -> None:
    done = make("help", tools=tools)
    assert done.returncode == 0
    assert all(f"\n  {target} " in done.stdout for target in TARGETS)
    assert "zeile-print" in done.stdout


@pytest.mark.parametrize(("target", "missing"), [("ip", "vitis-run"), ("hls", "vitis-run"), ("unit", "vitis-run")])
def test_without_vitis_a_sentence_says_what_to_install(target: str, missing: str, tools: Path, tmp_path: Path) -> None:
    done = make(target, "DESIGN=tiny", f"BUILD={tmp_path / 'build'}", tools=tools)
    assert done.returncode == 2
    assert missing in done.stderr
    assert "install" in done.stderr


@needs_tclsh
def test_without_vivado_a_sentence_says_what_to_install(tools: Path, tmp_path: Path) -> None:
    add_tool(tools, "vitis_hls", "$2")
    done = make("bit", "DESIGN=tiny", f"BUILD={tmp_path / 'build'}", tools=tools)
    assert done.returncode == 2
    assert "vivado is not on the PATH" in done.stderr
    assert (tmp_path / "build" / "ip" / "component.xml").exists()


def test_another_kernel_is_refused(tools: Path) -> None:
    done = make("ip", "KERNEL=vhdl", tools=tools)
    assert done.returncode == 2
    assert "there are hls" in done.stderr
    assert "and rtl" in done.stderr


@needs_tclsh
def test_the_systemverilog_kernel_needs_vivado_alone(tools: Path, tmp_path: Path) -> None:
    done = make("ip", "DESIGN=tiny", "KERNEL=rtl", f"BUILD={tmp_path / 'none'}", tools=tools)
    assert (done.returncode, "vivado is not on the PATH" in done.stderr) == (2, True)
    add_tool(tools, "vivado", "$8")
    add_files(tools, "tiny")
    places = (f"BUILD={tmp_path / 'build'}", f"OVERLAYS={tmp_path / 'overlays'}")
    done = make("pack", "DESIGN=tiny", "KERNEL=rtl", *places, tools=tools)
    assert done.returncode == 0, done.stderr
    overlay = load_overlay(tmp_path / "overlays" / "tiny")
    assert overlay.built is not None
    assert overlay.built["tools"] == {"vivado": "2024.1"}
    assert overlay.built["hls"] is None
    again = make("bit", "DESIGN=tiny", "KERNEL=rtl", *places, tools=tools)
    assert "tcl/rtl.tcl" not in again.stdout


@needs_tclsh
@pytest.mark.parametrize(("tool", "script"), [("vitis-run", "$4"), ("vitis_hls", "$2")])
def test_from_a_design_to_an_overlay(tool: str, script: str, tools: Path, tmp_path: Path) -> None:
    add_tool(tools, tool, script)
    add_tool(tools, "vivado", "$8")
    add_files(tools, "tiny")
    places = (f"BUILD={tmp_path / 'build'}", f"OVERLAYS={tmp_path / 'overlays'}")
    done = make("pack", "DESIGN=tiny", *places, tools=tools)
    assert done.returncode == 0, done.stderr
    overlay = load_overlay(tmp_path / "overlays" / "tiny")
    assert overlay.bitstream().is_file()
    assert overlay.built is not None
    assert overlay.built["tools"] == {"vivado": "2024.1", "vitis_hls": "2024.1"}
    again = make("bit", "DESIGN=tiny", *places, tools=tools)
    assert "tcl/vivado.tcl" not in again.stdout  # nothing has changed


@needs_tclsh
def test_no_overlay_comes_of_a_build_that_is_too_slow(tools: Path, tmp_path: Path) -> None:
    add_tool(tools, "vitis-run", "$4")
    add_tool(tools, "vivado", "$8", timing="slow.rpt")
    add_files(tools, "tiny")
    report = (TESTS / "reports" / "timing_summary.rpt").read_text("utf-8")
    slow = tools / "slow.rpt"
    slow.write_text(report.replace("\n      0.123 ", "\n     -0.123 "), "utf-8")
    (tools / "vivado").write_text((tools / "vivado").read_text("utf-8").replace(f"{TESTS / 'reports'}/", f"{tools}/"))
    done = make("pack", "DESIGN=tiny", f"BUILD={tmp_path / 'build'}", f"OVERLAYS={tmp_path / 'overlays'}", tools=tools)
    assert done.returncode == 2
    assert "WNS is -0.123 ns" in done.stderr
    assert not (tmp_path / "overlays").exists()
    assert not list((tmp_path / "build").glob("*.bit"))
