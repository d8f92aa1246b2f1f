# SPDX-License-Identifier: Apache-2.0
"""Memory that is free goes back to the system.

Each time that a large block is freed, glibc raises the size from which blocks are mapped singly, up to 32 MiB. From
then on images come from the arenas of the threads, where what is free stays as long as anything after it is in use:
after ten thousand images of all sizes a service would hold 20 MiB more than before.
"""

from __future__ import annotations

import ctypes
import gc
import os

MAPPED_BYTES = 1 << 20
"""Blocks from this size on are mapped singly, and given back as soon as they are free; lines have smaller ones."""

GARBAGE = 20_000
"""Objects more than before, after which circles among them are looked for."""

BUSY = 500_000
"""The same while requests are worked on: those that wait have a hundred thousand objects, and looking at them all for
circles that are hardly ever there would stop the service for a tenth of a second, several times in one."""

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h


def give_back() -> bool:
    """Have large blocks given back, for the whole process; returns whether that was done.

    It is not where the C library has no such switch, or where the environment has set it already.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or "MALLOC_MMAP_THRESHOLD_" in os.environ or "mmap_threshold" in os.getenv("GLIBC_TUNABLES", ""):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, MAPPED_BYTES))


def leave_alone(garbage: int = GARBAGE) -> None:
    """Take what there is now for good: the garbage collector looks at what comes later only, and not at every turn.

    What a request leaves behind is freed without it; it only finds circles, which are few.

    Args:
        garbage: objects more than before, after which it looks by itself.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(garbage)


def tidy() -> None:
    """Have the garbage collector look if it may find something; for moments at which nothing is worked on."""
    if gc.get_count()[0] > GARBAGE:
        gc.collect()
