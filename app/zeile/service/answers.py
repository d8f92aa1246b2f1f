# SPDX-License-Identifier: Apache-2.0
"""Results as the JSON of ``schemas.py``.

Plain dictionaries, encoded a chunk of lines at a time: building models of a thousand lines at once would keep the
event loop from its other requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from zeile.ctc import CERTAIN
from zeile.errors import ZeileError
from zeile.formats import Region
from zeile.manifest import Model
from zeile.pipeline import Line
from zeile.service.batch import Answer, Stages
from zeile.service.problems import problem

_SURE = [value / CERTAIN for value in range(CERTAIN + 1)]


def confidence(value: int | None) -> float | None:
    """0 ... 10000 as 0 ... 1, four decimals: a quotient of whole numbers is rounded once, so it prints as one."""
    return None if value is None else _SURE[value]


def reading(read: Line | ZeileError) -> dict[str, Any]:
    """What a line says, or why it could not be read."""
    if isinstance(read, ZeileError):
        return {"text": None, "confidence": None, "characters": [], "error": problem(read)}
    characters = [
        {"text": text, "left": left, "right": right, "confidence": _SURE[sure]}
        for text, left, right, sure in read.characters
    ]
    entry = {"text": read.text, "confidence": confidence(read.confidence), "characters": characters}
    if read.alternatives:
        entry["alternatives"] = [{"text": text, "score": score} for text, score in read.alternatives]
    return entry


def place(region: Region) -> dict[str, Any]:
    """What a ``schemas.PageLine`` says before its reading."""
    entry: dict[str, Any] = {"id": region.id, "box": list(region.box)}
    if region.polygon:
        entry["polygon"] = [list(point) for point in region.polygon]
    return entry


def model(read_with: Model) -> dict[str, str]:
    """A ``schemas.ModelName``."""
    return {"name": read_with.name, "version": read_with.version, "sha256": read_with.sha256}


def times(stages: Stages, total: float) -> dict[str, float]:
    """A ``schemas.Times`` from seconds."""
    seconds = {
        "queue": stages.queue,
        "decode": stages.decode,
        "preprocess": stages.preprocess,
        "network": stages.network,
        "ctc": stages.ctc,
        "total": total,
    }
    return {name: round(1000 * value, 3) for name, value in seconds.items()}


def facts(answer: Answer, total: float) -> dict[str, Any]:
    """What every answer says beside its lines: model, engine, and where the ``total`` seconds went."""
    return {
        "model": model(answer.model),
        "engine": answer.engine,
        "time_ms": times(answer.stages, total),
    }


def encoded(value: object) -> bytes:
    """JSON in UTF-8, as short as it can be."""
    return orjson.dumps(value)


def encoded_line(head: Mapping[str, Any], read: Line | ZeileError) -> bytes:
    """A line of an answer.

    Args:
        head: what stands before the reading, at least one name.
        read: the line.
    """
    return encoded({**head, **reading(read)})


def record(value: Mapping[str, Any]) -> bytes:
    """A row of NDJSON."""
    return encoded(value) + b"\n"
