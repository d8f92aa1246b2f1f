# SPDX-License-Identifier: Apache-2.0
"""Text-line recognition in integers: the same bits on a CPU and on an FPGA.

from pathlib import Path
import zeile

model = zeile.load_model(Path("models/latin-print/1"))
with zeile.open_device("cpu", model.network) as device:
    line = zeile.Recognizer(model, device).read(zeile.decode(Path("line.png").read_bytes()))
print(line.text, line.confidence)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeile.beam import BeamOptions
    from zeile.device import Device, open_device
    from zeile.errors import ZeileError
    from zeile.image import Limits, decode
    from zeile.manifest import Model, find_model, load_model
    from zeile.pipeline import Character, Line, Recognizer
    from zeile.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "BeamOptions",
    "Character",
    "Device",
    "Limits",
    "Line",
    "Model",
    "Recognizer",
    "Settings",
    "ZeileError",
    "__version__",
    "decode",
    "find_model",
    "load_model",
    "open_device",
]

_HOMES = {
    "BeamOptions": "zeile.beam",
    "Character": "zeile.pipeline",
    "Device": "zeile.device",
    "Limits": "zeile.image",
    "Line": "zeile.pipeline",
    "Model": "zeile.manifest",
    "Recognizer": "zeile.pipeline",
    "Settings": "zeile.settings",
    "ZeileError": "zeile.errors",
    "decode": "zeile.image",
    "find_model": "zeile.manifest",
    "load_model": "zeile.manifest",
    "open_device": "zeile.device",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``zeile --help`` and ``zeile.__version__`` load no NumPy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'zeile' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
