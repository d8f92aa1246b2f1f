# SPDX-License-Identifier: Apache-2.0
"""Equality of two modules for all arguments, by yosys: one is the bridge's, the other one is the RTL's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hw_src.proofs import bridge, exhaustive, pipeline
from hw_src.proofs.proof import Proof

from zeile.errors import DeviceError
from zeile.hw.verilate import sources_of
from zeile.hw.yosys import find_yosys

RTL = Path(__file__).resolve().parent.parent / "rtl"
_TECHMAP = Path(__file__).with_name("techmap.v")


@dataclass(frozen=True)
class Verdict:
    """What came of a proof.

    Attributes:
        proof: what was tried.
        outcome: ``proved``, ``refuted``, ``undecided`` (the time is over) or ``unbalanced`` (registers).
        seconds: of a processor, for the whole way behind LLVM IR.
        detail: the counterexample, argument = value, or what is unbalanced.
    """

    proof: Proof
    outcome: str
    seconds: float
    detail: str = ""


def reason() -> str:
    """Why nothing can be proved here, or nothing."""
    try:
        find_yosys()
    except DeviceError as error:
        return str(error)
    return bridge.reason()


def prove(
    proof: Proof, ir: str, folder: Path, *, rtl: Path = RTL, hls: Path = bridge.HLS, timeout_s: int = 600
) -> Verdict:
    """Try one proof.

    Args:
        proof: as in ``catalogue``.
        ir: what ``bridge.compile_functions`` made of a set of proofs with this one.
        folder: for the files; each proof has its own in it.
        rtl: the RTL sources; another folder for broken copies.
        hls: likewise; they must be those of ``ir``.
        timeout_s: of yosys.
    """
    start = _cpu_s()
    here = folder / proof.name
    here.mkdir(parents=True, exist_ok=True)
    if proof.top:
        _write_sides(proof, ir, here)
        (here / "run.ys").write_text(_script(proof, here, rtl))
        outcome, detail = _judge(proof, here, _run(here, timeout_s))
    else:
        outcome, detail = exhaustive.compare(proof, here, hls)
    return Verdict(proof, outcome, _cpu_s() - start, detail)


def _cpu_s() -> float:
    """Of this process and of those that it waited for: what other programs leave of a machine does not matter."""
    return sum(os.times()[:4])


def _write_sides(proof: Proof, ir: str, here: Path) -> None:
    """gold.v, the C++ side; gate.sv, the other one; both with the ports clk, the arguments, and result."""
    name = f"{proof.name}_c"
    gold = bridge.verilog(ir, name, optimise=proof.linear) + _side(proof, "gold", _call(proof, name))
    (here / "gold.v").write_text(gold)
    (here / "gate.sv").write_text(_side(proof, "gate", proof.rtl, "".join(proof.stubs.values())))


def _call(proof: Proof, name: str) -> str:
    ports = ", ".join(f".p{index}({each.name})" for index, each in enumerate(proof.arguments))
    return f"  wire [63:0] out;\n  {name} side ({ports}, .out(out));\n  assign value = out;"


def _side(proof: Proof, name: str, body: str, stubs: str = "") -> str:
    ports = "".join(
        f", input wire {'signed ' if each.signed else ''}[{each.bits - 1}:0] {each.name}" for each in proof.arguments
    )
    return (
        f"{stubs}\nmodule {name} (input wire clk{ports}, output wire [{proof.bits - 1}:0] result);\n"
        f"  wire [{proof.bits - 1}:0] value;\n{body}\n"
        f"  assign result = ({proof.given}) ? value : {proof.bits}'d0;\nendmodule\n"
    )


def _script(proof: Proof, here: Path, rtl: Path) -> str:
    """Registers of the gate are counted in gate.json, and become wires then.

    All files are copied: a yosys in WebAssembly has a /tmp of its own, and sees only what lies in its folder.
    """
    files = sources_of(proof.top, [rtl], [here / "gate.sv"])
    read = [path.name for path in files if path.stem not in proof.stubs]
    for path in (*rtl.glob("*.svh"), _TECHMAP, *files):
        if path.parent != here:
            shutil.copy(path, here)
    check = (
        "techmap; opt -full; simplemap; opt -full\nwrite_json miter.json"
        if proof.linear
        else "sat -prove trigger 0 -show-inputs -ignore_unknown_cells miter"
    )
    return f"""\
read_verilog -sv -I. {" ".join(read)}
hierarchy -check -top gate
proc
flatten
opt -full -nodffe -nosdff
write_json gate.json
wreduce
techmap -map {_TECHMAP.name}
opt -full
read_verilog gold.v
proc
miter -equiv -make_outputs -flatten gold gate miter
hierarchy -top miter
flatten
opt -full
wreduce
opt -full
techmap -map {_TECHMAP.name}
opt -full
{check}
"""


def _run(here: Path, timeout_s: int) -> str:
    command = [find_yosys(), "-q", "-l", "run.log", "run.ys"]
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:  # sat -timeout has no effect on a yosys in WebAssembly
        return ""
    if done.returncode:
        raise RuntimeError(f"yosys gives up in {here}:\n{done.stderr[-2000:]}")
    return (here / "run.log").read_text()


def _judge(proof: Proof, here: Path, log: str) -> tuple[str, str]:
    if proof.latency is not None:
        stages = pipeline.stages(json.loads((here / "gate.json").read_text())["modules"]["gate"], ("clk",), "value")
        if stages != (proof.latency, proof.latency):
            return "unbalanced", f"paths cross {stages[0]} to {stages[1]} registers, not {proof.latency}"
    if proof.linear:
        return pipeline.linear_equal(json.loads((here / "miter.json").read_text())["modules"]["miter"])
    if "no model found: SUCCESS" in log:
        return "proved", ""
    if "model found: FAIL" in log:
        return "refuted", ", ".join(f"{name} = {value}" for name, value in _counterexample(log).items())
    return "undecided", "the time is over"


def _counterexample(log: str) -> Mapping[str, str]:
    """Arguments and, behind them, both results, in hexadecimal."""
    return dict(re.findall(r"^ +\\(?:in_|\w*?)(\w+) +\S+ +([0-9a-f]+) +[01x]+$", log, re.M))
