# SPDX-License-Identifier: Apache-2.0
"""Overlay folders for tests: as they are before a build, and as if a build had been."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.device.networks import random_network

from zeile.hw import hwh
from zeile.hw.design import Design, load_design
from zeile.hw.overlay import Overlay, load_overlay
from zeile.hw.pack import manifest
from zeile.network import Dense, Network

ROOT = Path(__file__).resolve().parents[2]


def design_of(name: str) -> Design:
    return load_design(ROOT / "hw_src" / "designs" / f"{name}.json")


def network_of(design: Design, seed: int = 0) -> Network:
    """Random weights, and one class fewer than the design could have."""
    dense = design.layers[-1]
    assert isinstance(dense, Dense)
    layers = [*design.layers[:-1], replace(dense, classes=dense.classes - 1)]
    return random_network(
        seed,
        layers,
        height_px=design.height_px,
        columns_per_frame=design.columns_per_frame,
        pixel_bits=design.pixel_bits,
    )


def write_overlay(overlays: Path, name: str, *, built: bool, changes: Mapping[str, Any] | None = None) -> Overlay:
    """Write overlays/<name>; ``built`` makes up a bitstream, ``changes`` replaces keys of the manifest."""
    design = design_of(name)
    folder = overlays / name
    folder.mkdir(parents=True)
    files = {"bit": hwh.bit_container(design), "hwh": hwh.hwh(design).encode()} if built else {}
    entry = manifest(design, files, {"date": "never"} if built else None) | dict(changes or {})
    for role, data in files.items():
        (folder / f"{name}.{role}").write_bytes(data)
        assert entry["files"][role]["sha256"] == hashlib.sha256(data).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(entry), "utf-8")
    return load_overlay(folder)
