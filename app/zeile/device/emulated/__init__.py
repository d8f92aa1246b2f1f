# SPDX-License-Identifier: Apache-2.0
"""The emulated board: a ``pynq.Device`` whose core is the compiled hardware source. Importing it tells pynq of it.

    ZEILE_EMULATE          1 or hls: the HLS source, compiled; rtl: its SystemVerilog twin, which needs Verilator too;
                           reference: their NumPy peer, which needs no compiler
    ZEILE_EMULATE_FAULTS   what goes wrong, as stall:0.01,corrupt:3 (see ``faults``)

The driver ``zeile.device.fpga`` is the same file on and off the board: pynq finds this device before its own where
ZEILE_EMULATE is set. What it does not show: timing, fpga_manager, XRT, the check for root, scatter-gather DMA.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pynq import Clocks
from pynq.interrupt import _InterruptController
from pynq.pl_server.device import Device

from zeile.device.emulated.board import Board
from zeile.device.emulated.bus import BusError
from zeile.device.emulated.faults import Fault, Faults
from zeile.errors import DeviceError
from zeile.hw import hwh
from zeile.hw.design import Design

__all__ = ["Board", "BusError", "Fault", "Faults", "cache_folder", "fresh_board", "overlay"]


def cache_folder() -> Path:
    """Where overlays for emulation are made: below XDG_CACHE_HOME, else ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "zeile" / "emulated"


def overlay(design: Design) -> Path:
    """Make a ``.bit`` container for the emulated board, with ``.hwh`` and design beside it; its path.

    Raises:
        DeviceError: the cache folder cannot be written.
    """
    folder = cache_folder() / f"{design.name}-{design.design_id:016x}"
    try:
        return hwh.write(design, folder)
    except OSError as error:
        raise DeviceError(f"{folder}: {error.strerror}; set XDG_CACHE_HOME to a folder that can be written") from None


def fresh_board(core: str = "hls", faults: Iterable[Fault] = (), seed: int = 0) -> Board:
    """A new board, which becomes pynq's active device; pynq forgets what it knew of the one before."""
    board = Board(core, Faults(faults, seed))
    Device.active_device = board
    if hasattr(Clocks, "_real_instance"):
        del Clocks._real_instance  # it keeps the first device it saw
    _InterruptController._controllers.clear()
    _InterruptController._uio_devices.clear()
    return board
