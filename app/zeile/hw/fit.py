# SPDX-License-Identifier: Apache-2.0
"""Whether an overlay, the board, its image, its clock and the core that runs belong together.

In this order, before anything is accessed: an address that nothing answers, or a clock that stands, hangs a board.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zeile.errors import OverlayMismatch
from zeile.hw.overlay import Overlay
from zeile.hw.packets import ABI, Status

BOARD = Path("/proc/device-tree/chosen/pynq_board")
"""Where PYNQ's images name the board."""

DMA = "axi_dma_0"

_CLOCK_TOLERANCE = 1.0005  # of the PLL's figures, not of the timing


def board_name() -> str:
    """The board's name by its image, as ``ZCU104``; empty where none is known."""
    try:
        return BOARD.read_text("ascii", "replace").rstrip("\0\n ")
    except OSError:
        return os.environ.get("BOARD", "")


def check_machine(overlay: Overlay, pynq_version: str) -> None:
    """Release of the image, ABI and board, before anything is downloaded.

    Raises:
        OverlayMismatch: the overlay is not for this machine.
    """
    name = f"overlay {overlay.name!r}"
    if not any(pynq_version == image or pynq_version.startswith(f"{image}.") for image in overlay.images):
        raise OverlayMismatch(
            f"{name} is for PYNQ {' and '.join(overlay.images)}, here is {pynq_version}; "
            "flash such an image, or build the overlay for this one"
        )
    if overlay.abi != ABI:
        raise OverlayMismatch(f"{name} speaks packet ABI {overlay.abi}, this Zeile {ABI}; build the overlay again")
    board = board_name()
    if board and board != overlay.design.board:
        raise OverlayMismatch(f"{name} is for the board {overlay.design.board}, this is a {board}; take its overlay")


def check_logic(overlay: Overlay, ip_dict: Mapping[str, Mapping[str, Any]], clock_mhz: float) -> Mapping[str, Any]:
    """What pynq made of the .hwh, and the clock that it set.

    Returns:
        The DMA's entry of ``ip_dict``.

    Raises:
        OverlayMismatch: the DMA is not the manifest's, or the clock not one that the timing was closed for.
    """
    name, dma = f"overlay {overlay.name!r}", ip_dict.get(DMA)
    if dma is None or dma["type"] != overlay.dma_vlnv:
        there = "missing" if dma is None else dma["type"]
        raise OverlayMismatch(f"{name}: by its .hwh {DMA} is {there}, not {overlay.dma_vlnv}; copy its files again")
    bits = int(dma["parameters"].get("c_sg_length_width", 0))
    if bits != overlay.dma_length_bits:
        raise OverlayMismatch(
            f"{name}: the DMA's length has {bits} bits by its .hwh, {overlay.dma_length_bits} by its manifest; "
            "the .hwh, or pynq's cache of it, is another build's"
        )
    if not 1 <= clock_mhz <= overlay.clock_mhz * _CLOCK_TOLERANCE:
        raise OverlayMismatch(
            f"{name}: the clock runs at {clock_mhz:.3f} MHz, the timing was closed for {overlay.clock_mhz:.3f}; "
            "restart the board, and let nothing else set its clocks"
        )
    return dma


def check_core(status: Status, overlay: Overlay) -> None:
    """Make sure that the core that runs is the one that the manifest speaks of.

    Raises:
        OverlayMismatch: it is another.
    """
    design = overlay.design
    for what, has, needs in (
        ("design id", f"{status.design_id:016x}", f"{design.design_id:016x}"),
        ("packet ABI", status.abi, overlay.abi),
        ("largest number of classes", status.max_classes, design.classes),
        ("longest line", status.max_columns, design.max_columns),
        ("buffers' steps", status.ring_steps, design.ring_steps),
    ):
        if has != needs:
            raise OverlayMismatch(
                f"overlay {overlay.name!r}: the core that runs is another: its {what} is {has}, the manifest says "
                f"{needs}; build and pack the overlay again, or restart the board"
            )
