# SPDX-License-Identifier: Apache-2.0
"""``zeile info``: what is here: versions, machine, engines and models."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL

from zeile import __version__
from zeile.errors import ZeileError
from zeile.hw.overlay import list_overlays, load_overlay
from zeile.manifest import list_models, load_model
from zeile.settings import Settings

_LINE_COLUMNS = 600  # of a usual line of print in its own proportions


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the facts; returns 0."""
    found = facts(settings)
    if args.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return 0
    for key, value in found.items():
        if isinstance(value, list):
            print(f"{key}:" + ("" if value else " none"))
            for entry in value:
                print("  " + _sentence(entry))
        else:
            print(f"{key}: " + (", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value))
    return 0


def facts(settings: Settings) -> dict[str, Any]:
    """Facts that JSON can hold."""
    return {
        "zeile": __version__,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pillow": PIL.__version__,
            "opencv": cv2.__version__,
        },
        "machine": {
            "architecture": platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "processor": _processor(),
        },
        "engines": [*_engines(), _board(settings)],
        "models_folder": str(settings.models),
        "models": [_model(folder) for folder in list_models(settings.models)],
    }


def _engines() -> list[dict[str, Any]]:
    """Engines, whether they can be used here, and by which path they would compute."""
    reference = {"name": "reference", "path": "numpy", "paths": ["numpy"]}
    try:
        from zeile.native import paths
    except ImportError as error:
        return [{"name": "cpu", "error": f"not built: {error}; build it with `pip install .`"}, reference]
    runnable = paths()
    wanted = os.environ.get("ZEILE_NATIVE_PATH") or runnable[0]
    if wanted not in runnable:
        here = ", ".join(runnable)
        return [{"name": "cpu", "error": f"ZEILE_NATIVE_PATH is {wanted!r}, here run {here}"}, reference]
    return [{"name": "cpu", "path": wanted, "paths": runnable}, reference]


def _board(settings: Settings) -> dict[str, Any]:
    """The engine fpga: its overlays, without touching the board; ``zeile doctor`` looks closer."""
    usable, reasons = [], []
    for folder in list_overlays(settings.overlays):
        try:
            overlay = load_overlay(folder)
            if settings.emulate == "0" and overlay.built is None:
                reasons.append(f"{overlay.name} has no bitstream")
            else:
                usable.append(overlay.name)
        except ZeileError as error:
            reasons.append(str(error))
    if importlib.util.find_spec("pynq") is None:
        reasons.insert(0, "pynq is not installed")
        usable = []
    if not usable:
        reason = "; ".join(reasons) or f"no overlays in {settings.overlays}"
        return {"name": "fpga", "error": f"{reason} (zeile doctor --engine fpga says more)"}
    emulated = "" if settings.emulate == "0" else ", emulated"
    return {"name": "fpga", "path": (settings.overlay or usable[0]) + emulated, "paths": usable}


def _model(folder: Path) -> dict[str, Any]:
    name = {"name": folder.parent.name, "version": folder.name}
    try:
        model = load_model(folder)
    except ZeileError as error:
        return name | {"error": str(error)}
    return name | {
        "description": model.manifest["description"],
        "license": model.manifest["license"],
        "sha256": model.sha256,
        "readings": list(model.alphabet.readings),
        "classes": model.network.classes,
        "height_px": model.network.height_px,
        "macs_per_line": model.network.macs(_LINE_COLUMNS * model.network.stretch_percent // 100),
    }


def _sentence(entry: dict[str, Any]) -> str:
    name = entry["name"] + (f"/{entry['version']}" if "version" in entry else "")
    if "error" in entry:
        return f"{name}: cannot be used: {entry['error']}"
    if "paths" in entry:
        return f"{name}: path {entry['path']} of {', '.join(entry['paths'])}"
    return (
        f"{name}: {entry['description'].rstrip('.')}; {entry['classes']} classes, lines of {entry['height_px']} px, "
        f"{entry['macs_per_line'] / 1e6:.1f} million MACs a line of {_LINE_COLUMNS} px, "
        f"{entry['license']}, sha256 {entry['sha256'][:12]}"
    )


def _processor() -> str:
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    names = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
