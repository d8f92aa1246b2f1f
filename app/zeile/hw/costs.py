# SPDX-License-Identifier: Apache-2.0
"""What logic and memory cost on UltraScale+: the constants of the resource model, in one table, and memories.

Every constant has its origin beside it. ``model`` marks those that nobody has measured for this design: a
synthesis of the units calibrates them here, and nowhere else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple


class Constant(NamedTuple):
    """A number of the model and where it comes from."""

    value: float
    origin: str


CONSTANTS = {
    "lut.unit": Constant(300, "FINN-R (Blott et al., 2018), c0: control of a matrix-vector unit"),
    "lut.scale": Constant(1.1, "FINN-R (Blott et al., 2018), c1: on multipliers, adder tree and accumulator"),
    "dsp.products": Constant(2, "memory.h: two rows share a DSP48E2; model: the lower product's sign is a carry in"),
    "dsp.rescale": Constant(2, "DSP48E2 (UG579): 32 x 15 bits take two multipliers of 27 x 18"),
    "dsp.gain": Constant(1, "DSP48E2 (UG579): 16 bits x a code take one"),
    "dsp.address": Constant(4, "model: n / D of a loaded word's address, D no power of two, to write and to read"),
    "lut.lane": Constant(120, "model: bias, rounding, clamping and shifting out of one result a cycle"),
    "lut.gate": Constant(450, "model: tables' outputs, cell update, two divisions by 2^A - 1, of one unit a cycle"),
    "lut.stream": Constant(60, "model: control of a unit that only moves elements"),
    "lut.fifo": Constant(25, "model: control of a FIFO; its data are 32-bit shift registers, a bit each"),
    "lut.packets": Constant(3500, "model: Receive and Send: headers, two CRC-32 of 64 bits, error answers, counters"),
    "lut.platform": Constant(9000, "model: AXI DMA, interrupt controller, interconnects, reset (not in the core)"),
    "ff.per_lut": Constant(1.1, "model: LSTM-PYNQ's four designs have 0.7 to 1.5, as published"),
    "ff.platform": Constant(12000, "model: as lut.platform"),
    "bram.platform": Constant(6, "model: FIFOs of the AXI DMA and the interconnects"),
    "lutram.bits": Constant(64, "SLICEM (UG574): a LUT6 holds 64 bits"),
    "lutram.depth": Constant(64, "model: deeper memories go to block RAM"),
    "uram.depth": Constant(4096, "model: memories at least as deep as an URAM go there ..."),
    "uram.width": Constant(16, "model: ... if they are at least so wide"),
}

_SHARED = int(CONSTANTS["dsp.products"].value)

URAM = (4096, 72)
"""Depth and width of an URAM288 (UG573)."""

BRAM18 = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
"""Depths and widths of half a block RAM with one write and one read port (UG573)."""

PART = {"xczu7ev-ffvc1156-2-e": (230_400, 460_800, 1_728, 312.0, 96)}
"""LUT, FF, DSP, BRAM36 and URAM of the parts that are known (DS891)."""


def constant(name: str) -> float:
    """Value of a constant of the model."""
    return CONSTANTS[name].value


@dataclass(frozen=True)
class Resources:
    """Amounts of what a part has; LUTs include those used as memory."""

    lut: float = 0
    ff: float = 0
    dsp: int = 0
    bram36: float = 0
    uram: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.lut + other.lut,
            self.ff + other.ff,
            self.dsp + other.dsp,
            self.bram36 + other.bram36,
            self.uram + other.uram,
        )

    def __mul__(self, times: int) -> Resources:
        return Resources(self.lut * times, self.ff * times, self.dsp * times, self.bram36 * times, self.uram * times)

    def shares(self, part: Resources) -> dict[str, float]:
        """Share of the part that is used, by resource."""
        return {n: getattr(self, n) / getattr(part, n) for n in ("lut", "ff", "dsp", "bram36", "uram")}


def logic(luts: float, dsp: int = 0) -> Resources:
    """LUTs, the flip-flops that go with them, and DSP slices."""
    return Resources(lut=luts, ff=luts * constant("ff.per_lut"), dsp=dsp)


def memory(width: int, depth: int) -> Resources:
    """A memory with one write and one read port.

    Args:
        width: bits of an entry.
        depth: entries.
    """
    if depth >= constant("uram.depth") and width >= constant("uram.width"):
        return Resources(uram=-(-depth // URAM[0]) * -(-width // URAM[1]))
    if depth > constant("lutram.depth"):
        halves = min(-(-depth // deep) * -(-width // wide) for deep, wide in BRAM18)
        return Resources(bram36=halves / 2)
    return Resources(lut=width * math.ceil(depth / constant("lutram.bits")), ff=width)


def fifo(width: int, depth: int) -> Resources:
    """A FIFO of shift registers, 32 entries a LUT, or of block RAM where it is deeper than 64."""
    control = Resources(lut=constant("lut.fifo"), ff=width)
    return control + (Resources(lut=width * -(-depth // 32)) if depth <= 64 else memory(width, depth))


def mac_array(pe: int, simd: int, weight_bits: int, code_bits: int, columns: int, dsp_rows: int) -> Resources:
    """PE x SIMD multipliers, an adder tree and an accumulator for each PE.

    Args:
        pe: rows a cycle.
        simd: products of a row a cycle.
        weight_bits: W.
        code_bits: bits of the other operand.
        columns: of the weight matrix; they set the accumulator's width.
        dsp_rows: rows whose products are made in DSP slices.

    Source: FINN-R (Blott et al., 2018), as the FINN compiler's ``lut_estimation`` states it:
        c0 + c1 * PE * (multipliers + tree + accumulator), a multiplier of W + A bits in all being
        (2 * ceil((W + A) / 6) - 1) * (W + A) LUTs.
    """
    bits = weight_bits + code_bits
    multipliers = simd * (2 * math.ceil(bits / 6) - 1) * bits
    tree = bits * (2 * simd - 1)
    accumulator = bits + math.ceil(math.log2(columns))
    pairs = dsp_rows // _SHARED  # a row without a partner is made in LUTs
    luts = pe * (tree + accumulator) + (pe - pairs * _SHARED) * multipliers
    slices = simd * pairs
    return logic(constant("lut.unit") + constant("lut.scale") * luts, slices)
