# SPDX-License-Identifier: Apache-2.0
"""``zeile hw`` as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zeile.cli import main
from zeile.hw.design import find_design, load_design
from zeile.hw.estimate import estimate

SOURCE = Path(__file__).resolve().parents[2] / "hw_src"


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEILE_HW", str(SOURCE))


def zeile(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["hw", *arguments])
    output = capsys.readouterr()
    return code, output.out, output.err


@pytest.mark.parametrize("action", [[], ["estimate"], ["fold"], ["config"], ["pack"], ["report"]])
def test_help_shows_examples(action: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["hw", *action, "--help"])
    assert stop.value.code == 0
    assert f"zeile hw {' '.join(action)}" in capsys.readouterr().out.partition("examples:")[2]


def test_a_table_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = zeile(capsys, "estimate", "zeile-print")
    assert code == 0
    assert "8,809 lines/s" in text
    assert "bottleneck conv2: 28,380 cycles a line, 43.0 a column" in text
    assert "LSTM-PYNQ W4A4, published: 569 cycles a column" in text
    assert max(len(line) for line in text.splitlines()) <= 160


def test_json_for_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = zeile(capsys, "estimate", "finn-l-w4a4", "--columns", "520", "--classes", "146", "--json")
    assert code == 0
    entry = json.loads(text)
    assert (entry["columns"], entry["classes"], entry["design"]) == (520, 146, "finn-l-w4a4")
    assert entry["lines_per_s"] > 6760


def test_what_cannot_fit_is_shown_and_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = find_design("zeile-print", SOURCE).to_json() | {"ring_steps": 40000}
    path = tmp_path / "large.json"
    path.write_text(json.dumps(entry), "utf-8")
    code, text, complaint = zeile(capsys, "estimate", str(path))
    assert code == 1
    assert "lines/s" in text
    assert complaint.startswith("zeile: design 'zeile-print' cannot fit: it needs")


def test_a_folding_is_written_and_can_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.json"
    code, text, _ = zeile(capsys, "fold", "zeile-print", "--target", "5000", "-o", str(path))
    assert code == 0
    assert f"{path}: written, " in text
    assert estimate(load_design(path), 660).lines_per_s >= 5000
    code, text, _ = zeile(capsys, "fold", "zeile-print", "--target", "5000", "--columns", "660")
    assert (code, text) == (0, path.read_text("utf-8"))


def test_headers_and_facts_of_a_build_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = zeile(capsys, "config", "tiny", "-o", str(tmp_path / "build"))
    assert code == 0
    names = ["config.h", "chain.h", "core.sv", "design.tcl", "design.json"]
    assert text.split() == [str(tmp_path / "build" / name) for name in names]
    assert load_design(tmp_path / "build" / "design.json") == find_design("tiny", SOURCE)
    assert "xczu7ev-ffvc1156-2-e" in (tmp_path / "build" / "design.tcl").read_text("utf-8")


def test_an_overlay_folder_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = zeile(capsys, "pack", "tiny", "--overlays", str(tmp_path))
    assert code == 0
    assert Path(text.strip()).resolve() == (tmp_path / "tiny").resolve()
    assert json.loads((tmp_path / "tiny" / "manifest.json").read_text("utf-8"))["state"] == "no bitstream built yet"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["estimate", "nothing"], 2, "design 'nothing' is neither in"),
        (["estimate", "tiny", "--columns", "1000"], 2, "columns is 1000; the design tiny takes 1 to 128"),
        (["fold", "tiny", "--target", "0"], 2, "the target is 0 lines/s"),
        (["fold", "tiny", "--target", "9e9"], 2, "ask for at most"),
        (["fold", "tiny", "--target", "9", "-o", "/nowhere/x.json"], 2, "its folder does not exist"),
        (["config", "tiny", "-o", "/dev/null"], 2, "name a folder that can be written"),
        (["report", "/nowhere"], 1, "/nowhere"),
    ],
)
def test_a_mistake_is_a_sentence(
    arguments: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, _, complaint = zeile(capsys, *arguments)
    assert found == code
    assert complaint.startswith("zeile: ")
    assert sentence in complaint
    assert complaint.count("\n") == 1
