# SPDX-License-Identifier: Apache-2.0
"""What a board has read: its provenance names the overlay, and the CPU reproduces it from the record alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pynq", reason="pynq is not installed (the extra board)")

from tests.device.overlays import write_overlay
from tests.models import line_png
from tests.service.boarding import board_settings
from tests.service.serving import files, serving

from zeile.cli import main
from zeile.device import fpga
from zeile.device.emulated import Board, Fault, fresh_board
from zeile.hw.overlay import load_overlay
from zeile.service.audit_log import verify
from zeile.service.provenance_schema import Provenance
from zeile.settings import Settings

IMAGES = files(a_png=line_png(1), b_png=line_png(2))


@pytest.fixture
def board() -> Iterator[Board]:
    made = fresh_board("reference")
    yield made
    made.close()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return board_settings(tmp_path, monkeypatch, audit=tmp_path / "audit.jsonl")


def test_a_line_of_the_board_is_reproduced_on_the_cpu(
    settings: Settings, board: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _, (name, image) in IMAGES:
        (tmp_path / name).write_bytes(image)
    with serving(settings) as client:
        by_board = client.post("/v1/recognize", files=IMAGES).raise_for_status()
        board.faults.add(Fault("stall", 1.0, None))
        by_cpu = client.post("/v1/recognize", files=IMAGES).raise_for_status()
    first, second = (answer.json()["provenance"] for answer in (by_board, by_cpu))
    found = Provenance.model_validate_json(json.dumps(first), strict=True)
    overlay = load_overlay(settings.overlays / "tiny")
    assert found.overlay is not None
    assert (found.overlay.name, found.overlay.emulated) == ("tiny", True)
    assert found.overlay.design_id == f"{overlay.design.design_id:016x}"
    assert [engine["engine"] for engine in first["engines"]] == ["fpga"]
    assert (second["engines"][-1]["engine"], second["engines"][-1]["instead_of"]) == ("cpu", "fpga")
    assert second["overlay"] is None
    for part in ("inputs", "frames", "outputs", "output", "model", "options"):
        assert first[part] == second[part]
    (tmp_path / "answer.json").write_bytes(by_board.content)
    images = [str(tmp_path / name) for _, (name, _) in IMAGES]
    assert main(["replay", str(tmp_path / "answer.json"), *images, "--models", str(settings.models)]) == 0
    assert "cpu here, fpga then" in capsys.readouterr().out
    assert settings.audit is not None
    assert verify(settings.audit, head=by_board.json()["audit"]["sha256"]).number == 3


def test_a_built_overlay_is_named_by_the_hashes_of_its_files(tmp_path: Path) -> None:
    overlay = write_overlay(tmp_path, "tiny", built=True)
    facts = fpga.overlay_facts(overlay, emulate=False)
    assert facts["files"] == {
        role: hashlib.sha256(overlay.path(role).read_bytes()).hexdigest() for role in ("bit", "hwh")
    }
    assert fpga.overlay_facts(overlay, emulate=True)["files"] == {}
