# SPDX-License-Identifier: Apache-2.0
"""A service on the emulated board, for tests; needs pynq."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.device.overlays import design_of, network_of, write_overlay

from zeile.alphabet import alphabet_of
from zeile.device import fpga
from zeile.manifest import write_model
from zeile.settings import Settings


def board_settings(folder: Path, monkeypatch: pytest.MonkeyPatch, **others: Any) -> Settings:
    """Settings of a service whose model and overlay fit each other, with the reference core on the board."""
    monkeypatch.setenv("ZEILE_EMULATE", "reference")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.delenv("BOARD", raising=False)
    monkeypatch.setattr(fpga, "EMULATED_PATIENCE_S", 0.1)
    write_board_model(folder / "models", "tiny")
    write_overlay(folder / "overlays", "tiny", built=False)
    return Settings(
        models=folder / "models",
        model="tiny/1",
        engine="fpga",
        emulate="reference",
        overlays=folder / "overlays",
        **others,
    )


def write_board_model(models: Path, name: str) -> None:
    """A model of random weights that fits an overlay."""
    network = network_of(design_of(name))
    write_model(
        models / "tiny" / "1",
        name="tiny",
        version="1",
        description="Random weights for tests.",
        license="Apache-2.0",
        network=network,
        alphabet=alphabet_of("abcdefghijklmnopqrstuvwxyz"[: network.classes - 1], {"plain": {}}),
        text={"normalisation": "NFC"},
        training={
            "data": [{"name": "none", "license": "Apache-2.0", "source": "random numbers", "lines": 0}],
            "command": "tests/service/boarding.py",
            "code_version": "0",
            "seed": 0,
            "lines_seen": 0,
        },
        evaluation={},
        files={"eval.json": b"{}\n"},
    )
