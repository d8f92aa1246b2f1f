# SPDX-License-Identifier: Apache-2.0
"""Joules a line, on a board whose power rails can be read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from zeile.device import Device, Frames
from zeile.hw.power import BOARD_RAIL, Sampler

STEADY_S = 15.0
"""Of each measurement: the rails are slow and coarse."""


def joules(
    device: Device,
    frames: Sequence[Frames],
    seconds: float = STEADY_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any] | None:
    """Measure a board at rest, then under a steady load of these lines.

    Returns:
        Watts of each rail at rest and under load; J a line of the board's rail (or of the first, if it has none),
        whole and above rest. None if the device has no rails, or there are no lines.
    """
    rails = getattr(device, "rails", None)
    if rails is None or not frames:
        return None
    with Sampler(rails) as resting:
        sleep(seconds)
    lines, end = 0, clock() + seconds
    with Sampler(rails) as loaded:
        while clock() < end:
            device.run_batch(frames)
            lines += len(frames)
    rest, load = resting.energy, loaded.energy
    rail = BOARD_RAIL if BOARD_RAIL in load.joules else next(iter(load.joules))
    return {
        "rail": rail,
        "lines": lines,
        "seconds": load.seconds,
        "joules_per_line": load.per_line(lines, rail),
        "joules_per_line_above_rest": load.per_line(lines, rail, rest.watts(rail)),
        "watts_at_rest": {name: rest.watts(name) for name in rest.joules},
        "watts_loaded": {name: load.watts(name) for name in load.joules},
    }
