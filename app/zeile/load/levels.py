# SPDX-License-Identifier: Apache-2.0
"""Levels of load, as they are written on the command line: ``8``, ``1,4,16``, ``1:64:x2``, ``100:500:+100``."""

from __future__ import annotations

import math

from zeile.errors import BadSettings

MAX_LEVELS = 50


def levels(text: str, most: float) -> tuple[float, ...]:
    """The levels that a text stands for.

    Args:
        text: numbers with commas between them, or ``FROM:TO:xFACTOR``, or ``FROM:TO:+STEP``.
        most: largest that may be asked for.

    Raises:
        BadSettings: it cannot be understood, or is out of range.
    """
    try:
        found = _range(text) if ":" in text else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BadSettings(f"the load {text!r} cannot be understood; write 8, 1,4,16, 1:64:x2 or 100:500:+100") from None
    if not 0 < len(found) <= MAX_LEVELS or not all(0 < level <= most for level in found):
        shown = f"{len(found)} levels from {min(found):g} to {max(found):g}" if found else "none"
        raise BadSettings(f"the load {text!r} has {shown}; 1 to {MAX_LEVELS} above 0 and up to {most:g} can be driven")
    return found


def _range(text: str) -> tuple[float, ...]:
    first, last, step = text.split(":")
    level, end, by = float(first), float(last), float(step[1:])
    if not all(map(math.isfinite, (level, end, by))):
        raise ValueError
    if step[0] == "x" and by > 1 and level > 0:
        count = math.floor(math.log(end / level, by) + 1e-9) + 1 if end >= level else 0
        return tuple(level * by**i for i in range(min(count, MAX_LEVELS + 1)))
    if step[0] == "+" and by > 0:
        count = math.floor((end - level) / by + 1e-9) + 1
        return tuple(level + by * i for i in range(max(0, min(count, MAX_LEVELS + 1))))
    raise ValueError
