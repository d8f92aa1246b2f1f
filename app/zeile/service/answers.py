# SPDX-License-Identifier: Apache-2.0
"""Results as the JSON of ``schemas.py``.

Plain dictionaries, encoded a chunk of lines at a time: building models of a thousand lines at once would keep the
event loop from its other requests.
"""

from __future__ import annotations

import json
from typing import Any

from zeile.ctc import CERTAIN
from zeile.errors import BadImage
from zeile.manifest import Model
from zeile.pipeline import Line
from zeile.service.batch import Stages
from zeile.service.problems import problem


def confidence(value: int | None) -> float | None:
    """0 ... 10000 as 0 ... 1."""
    return None if value is None else round(value / CERTAIN, 4)


def line(file: str, read: Line | BadImage) -> dict[str, Any]:
    """A ``schemas.Line``."""
    if isinstance(read, BadImage):
        return {"file": file, "text": None, "confidence": None, "characters": [], "error": problem(read)}
    characters = [
        {"text": c.text, "left": c.left_px, "right": c.right_px, "confidence": confidence(c.confidence)}
        for c in read.characters
    ]
    return {"file": file, "text": read.text, "confidence": confidence(read.confidence), "characters": characters}


def model(read_with: Model) -> dict[str, str]:
    """A ``schemas.ModelName``."""
    return {"name": read_with.name, "version": read_with.version, "sha256": read_with.sha256}


def times(stages: Stages, total: float) -> dict[str, float]:
    """A ``schemas.Times`` from seconds."""
    seconds = {
        "decode": stages.decode,
        "preprocess": stages.preprocess,
        "network": stages.network,
        "ctc": stages.ctc,
        "total": total,
    }
    return {name: round(1000 * value, 3) for name, value in seconds.items()}


def encoded(value: object) -> bytes:
    """JSON, as short as it can be; numbers beyond JSON are a fault of ours."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
