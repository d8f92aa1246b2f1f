# SPDX-License-Identifier: Apache-2.0
"""The folding of a layer: how much of its weight matrix is multiplied in a cycle, and where."""

from __future__ import annotations

from dataclasses import dataclass

from zeile.errors import BadManifest
from zeile.network import Conv2d, Dense, Layer, Lstm

MAX_SLOTS = 16

MACS = ("dsp", "lut", "half")
"""Where a layer's products are made: DSP slices (two products each), LUTs, or half its PE rows in each."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """How much of a layer is computed in a cycle.

    Attributes:
        pe: rows of the weight matrix.
        simd: columns of it.
        slots: lines in flight, for a recurrent layer; else 1.
        mac: one of MACS.
    """

    pe: int
    simd: int
    slots: int = 1
    mac: str = "lut"

    @property
    def dsp_rows(self) -> int:
        """PE rows whose products are made in DSP slices."""
        return {"dsp": self.pe, "half": self.pe // 2, "lut": 0}[self.mac]


def check_fold(layer: Layer, fold: Fold, shape: tuple[int, int], where: str) -> None:
    """Make sure that a fold divides its layer.

    Args:
        layer: one with weights.
        fold: its fold.
        shape: rows and columns of the weight matrix.
        where: for the message.

    Raises:
        BadManifest: it does not.
    """
    rows, columns = shape
    if fold.mac not in MACS:
        raise BadManifest(f"{where}: mac is {fold.mac!r}, it must be one of {', '.join(MACS)}")
    for key, limit in (("pe", rows), ("simd", columns), ("slots", MAX_SLOTS)):
        if not 1 <= getattr(fold, key) <= limit:
            raise BadManifest(f"{where}: {key} is {getattr(fold, key)}, allowed are 1 to {limit}")
    if rows % fold.pe:
        raise BadManifest(f"{where}: pe {fold.pe} does not divide the {rows} rows of the weights")
    if fold.mac == "half" and fold.pe % 2:
        raise BadManifest(f"{where}: mac is half, which needs an even pe, not {fold.pe}")
    if isinstance(layer, Conv2d | Dense) and columns % fold.simd:
        raise BadManifest(f"{where}: simd {fold.simd} does not divide the {columns} columns of the weights")
    if isinstance(layer, Lstm):
        inputs = columns - layer.hidden
        if inputs % fold.simd or layer.hidden % fold.simd:
            raise BadManifest(f"{where}: simd {fold.simd} must divide both {inputs} inputs and {layer.hidden} units")
        if fold.pe % 4:
            raise BadManifest(f"{where}: pe is {fold.pe}; it must be a multiple of 4, one row for each gate")
