# SPDX-License-Identifier: Apache-2.0
"""Runs cocotb_core.py: the whole SystemVerilog core of ``tiny`` behind AXI4-Stream models that others wrote."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.hw import cores, rtl_unit

from zeile.hw import verilate
from zeile.hw.rtl import TOP, core_text

RTL = cores.SOURCE / "rtl"
MODULE = "tests.hw.cocotb_core"
NAMES = re.findall(r"^async def (\w+)\(dut: Any", Path(__file__).with_name("cocotb_core.py").read_text("utf-8"), re.M)
TESTS = [name for name in NAMES if name != "watch"]

_FLAGS = ("--vpi", "-O3", "--x-assign", "unique", "--x-initial", "unique", "--timescale", "1ns/1ps")
_PORTS = '`verilator_config\npublic_flat_rw -module "zeile_rtl" -var "*"\n'


def reason() -> str:
    """Why this cannot run here; empty where it can."""
    missing = [name for name in ("cocotb", "cocotbext") if not importlib.util.find_spec(name)]
    if missing:
        return f"not installed: {', '.join(missing)}; pip install cocotb cocotbext-axi"
    import find_libpython

    return rtl_unit.reason() or ("" if find_libpython.find_libpython() else "this Python has no shared library")


pytestmark = pytest.mark.skipif(bool(reason()), reason=reason() or "cocotb and Verilator are there")


def program(sources: Path = RTL) -> Path:
    """The simulator with the core, named like the top, in a folder of its own; built where the cache has none.

    cocotb's own way of building makes every signal of the design public, which costs minutes; here only the top's are.
    """
    import cocotb_tools.config

    tool, libraries = verilate.find_verilator(), Path(cocotb_tools.config.libs_dir)
    main = Path(cocotb_tools.config.share_dir) / "lib" / "verilator" / "verilator.cpp"
    driver = f'#include "{tool.root}/include/verilated_vpi.cpp"\n#include "{main}"\n'
    link = [f"-Wl,-rpath,{libraries}:$ORIGIN/build", str(libraries / "libcocotbvpi_verilator.so")]
    core = core_text(cores.design("tiny"))
    files = sorted([*sources.glob("*.sv"), *sources.glob("*.svh")])
    key = verilate.fingerprint([tool.version, verilate.find_compiler(), core, driver, _PORTS, *_FLAGS, *link], files)
    folder = verilate.cache_folder() / f"cocotb-{key}"
    if not (folder / TOP).is_file():
        work = folder / "build"
        work.mkdir(parents=True, exist_ok=True)
        for name, text in (("core.sv", core), ("ports.vlt", _PORTS), ("driver.cpp", driver)):
            (work / name).write_text(text, "utf-8")
        given = [work / "ports.vlt", *verilate.sources_of(TOP, [sources], [work / "core.sv"])]
        verilate.generate(tool, TOP, given, [sources], work, flags=_FLAGS)
        verilate.compile_generated(tool, work, work / "driver.cpp", work / "core.so", ["-O1", "-shared"])
        command = [verilate.find_compiler(), "-Wl,--no-as-needed", "core.so", *link, "-o", str(folder / TOP)]
        subprocess.run(command, cwd=work, check=True)
    return folder / TOP


def results(made: Path, folder: Path, only: str | None = None) -> dict[str, list[str]]:
    """Runs the tests of MODULE; for each the complaints of its cases, "" of those that passed."""
    from cocotb_tools.runner import get_runner

    folder.mkdir(exist_ok=True)
    report = folder / "results.xml"
    with contextlib.suppress(SystemExit):  # some test failed: the report says which
        get_runner("verilator").test(
            test_module=MODULE,
            hdl_toplevel=TOP,
            hdl_toplevel_lang="verilog",
            build_dir=made.parent,
            test_dir=folder,
            results_xml=str(report),
            test_filter=only,
            log_file=str(folder / "log"),
            timescale=("1ns", "1ps"),
        )
    assert report.is_file(), f"the simulator did not run; see {folder / 'log'}"
    found: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        said = [entry.get("message") or entry.get("error_msg") or "failed" for entry in case.iter("failure")]
        found.setdefault(case.get("name", "").split("/")[0], []).append(" ".join(said))
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return results(program(), tmp_path_factory.mktemp("cocotb"))


@pytest.mark.parametrize("name", TESTS)
def test_protocol(found: dict[str, list[str]], name: str) -> None:
    assert found.get(name), f"{name} did not run, only {sorted(found)}"
    failed: Sequence[str] = [said for said in found[name] if said]
    assert not failed, f"{len(failed)} of {len(found[name])} cases: {failed[0]}"


@pytest.mark.slow  # another build
def test_a_core_that_does_not_wait_for_its_input_is_found(tmp_path: Path) -> None:
    right = "active && (!needs_word || paper || word_valid)"
    sources = rtl_unit.broken(tmp_path, "zeile_frames.sv", right, "active")
    cases = results(program(sources), tmp_path / "run", "lines_under_pauses")["lines_under_pauses"]
    assert sum(bool(said) for said in cases) >= 6  # all with pauses of the source
