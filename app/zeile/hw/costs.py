# SPDX-License-Identifier: Apache-2.0
"""What logic and memory cost on UltraScale+: the constants of the resource model, in one table, and memories.

Every constant has its origin beside it: ``netlist`` is counted in what Yosys makes of the SystemVerilog core
(hw_src/area), ``model`` is nobody's measurement. The C++ kernel's resources are the vendor tool's to say; its units
have the same multipliers and memories.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Constant(NamedTuple):
    """A number of the model and where it comes from."""

    value: float
    origin: str


CONSTANTS = {
    "lut.add": Constant(1, "a bit of an adder (UG574)"),
    "lut.select": Constant(1 / 2, "netlist: a bit of a multiplexer, for each input but the first (a LUT6 takes four)"),
    "lut.pair": Constant(1, "netlist: the sign that the lower product of two in a DSP slice has borrowed"),
    "lut.lane": Constant(86, "netlist: a sum and its row to a code: bias, half of the product, rounding, clamping"),
    "ff.lane": Constant(168, "netlist, likewise"),
    "dsp.lane": Constant(2, "netlist: 32 x 16 bits; DSP48E2 (UG579) multiplies 27 x 18"),
    "dsp.quotient": Constant(1, "netlist: a loaded word's place divided by what is no power of two"),
    "dsp.gain": Constant(1, "netlist: 16 bits x a code"),
    "dsp.cell": Constant(1, "netlist: forget gate x cell"),
    "lut.cell": Constant(100, "netlist: a unit's cell and h: one product, two divisions by 2^A - 1"),
    "ff.cell": Constant(60, "netlist, likewise"),
    "lut.fifo": Constant(12, "netlist: control of a FIFO"),
    "ff.fifo": Constant(10, "netlist, likewise"),
    "lut.node": Constant(60, "netlist: a place in the configuration chain"),
    "ff.node": Constant(110, "netlist, likewise"),
    "lut.window": Constant(60, "netlist: schedule of a convolution"),
    "lut.slots": Constant(300, "netlist: schedule of a recurrent layer, and 90 for each slot"),
    "lut.slot": Constant(90, "netlist, likewise"),
    "lut.counter": Constant(64, "netlist: a counter of 64 bits; there are four in each direction"),
    "lut.steps": Constant(60, "netlist: schedule of the dense layer and its rings"),
    "lut.stream": Constant(10, "netlist: control of a unit that only moves elements"),
    "lut.receive": Constant(1280, "netlist: packets in, CRC-32 of 64 bits, the table of memories"),
    "ff.receive": Constant(1110, "netlist, likewise"),
    "lut.send": Constant(890, "netlist: packets out, CRC-32 of 64 bits, scores to words"),
    "ff.send": Constant(430, "netlist, likewise"),
    "bram.receive": Constant(1, "netlist: what ECHO holds, 512 words"),
    "lut.platform": Constant(9000, "model: AXI DMA, interrupt controller, interconnects, reset (not in the core)"),
    "ff.platform": Constant(12000, "model: as lut.platform"),
    "bram.platform": Constant(6, "model: FIFOs of the AXI DMA and the interconnects"),
    "lutram.depth": Constant(64, "zeile_ram.sv: deeper memories go to block RAM"),
    "uram.depth": Constant(4096, "zeile_ram.sv: memories at least as deep as an URAM go there ..."),
    "uram.width": Constant(16, "zeile_ram.sv: ... if they are at least so wide"),
}

BAND = {"lut": 0.08, "ff": 0.08, "dsp": 0.0, "bram36": 0.0, "uram": 0.08}
"""How far the model's totals lie from the netlists' at most; block RAM may be one half off. The tests hold it.

The large designs are within 2 %. Yosys puts 65,536 x 64 bits into 15 UltraRAMs; the model says 16.
"""

URAM = (4096, 72)
"""Depth and width of an URAM288 (UG573)."""

LUTRAM = ((32, 14), (64, 7))
"""Depths and widths of the eight LUTs of a SLICEM as a memory with one write and one read port (UG574)."""

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


def logic(luts: float, ffs: float, dsp: int = 0) -> Resources:
    """LUTs, flip-flops and DSP slices."""
    return Resources(lut=luts, ff=ffs, dsp=dsp)


def memory(width: int, depth: int) -> Resources:
    """A memory with one write and one read port, as zeile_ram.sv chooses its kind.

    Args:
        width: bits of an entry.
        depth: entries.
    """
    if depth >= constant("uram.depth") and width >= constant("uram.width"):
        rows = -(-depth // URAM[0])  # joined by multiplexers; Vivado would cascade them
        return Resources(lut=select(width, rows), uram=rows * -(-width // URAM[1]))
    if depth > constant("lutram.depth"):
        halves = min(-(-depth // deep) * -(-width // wide) for deep, wide in BRAM18)
        return Resources(bram36=halves / 2)
    wide = next(wide for deep, wide in LUTRAM if depth <= deep)
    return Resources(lut=8 * -(-width // wide), ff=width)


def fifo(width: int, depth: int) -> Resources:
    """A FIFO: its memory and the register behind it."""
    return logic(constant("lut.fifo"), constant("ff.fifo")) + memory(width, depth)


def select(width: int, count: int) -> float:
    """LUTs of a multiplexer of ``count`` values."""
    return width * (count - 1) * constant("lut.select")


def tree(terms: int, bits: int, stages: int) -> tuple[float, float]:
    """LUTs and flip-flops of an adder tree, zeile_tree.sv.

    Args:
        terms: how many are added.
        bits: of each.
        stages: of registers.
    """
    levels = max(0, terms - 1).bit_length()
    luts, ffs, left = 0.0, 0.0, terms
    for level in range(levels):
        luts += left // 2 * (bits + level) * constant("lut.add")
        left -= left // 2
    for stage in range(1, stages + 1):
        taken = min(levels, stage + min(stage, max(0, levels - stages)))  # levels behind it: two a stage, then one
        ffs += max(1, terms // 2**taken) * (bits + taken)  # an odd term waits in a shift register
    return luts, ffs


def mac_array(pe: int, simd: int, weight_bits: int, code_bits: int, sum_bits: int, dsp_rows: int) -> Resources:
    """PE x SIMD multipliers, an adder tree and an accumulator for each PE: zeile_mac_array.sv without its weights.

    Args:
        pe: rows a cycle.
        simd: products of a row a cycle.
        weight_bits: W.
        code_bits: bits of the other operand, its sign included.
        sum_bits: bits of an accumulator.
        dsp_rows: rows whose products are made in DSP slices.
    """
    value = max(2, weight_bits)  # signs are -1 and 1
    term, stages = value + code_bits - 1, (max(0, simd - 1).bit_length() + 1) // 2
    pairs = dsp_rows // 2  # a row without a partner is made in LUTs
    alone = pe - 2 * pairs
    luts = simd * (pairs * constant("lut.pair") + alone * -(-value // 2) * (value + code_bits))
    ffs: float = simd * (3 * code_bits + alone * term) + 2 * pe * sum_bits
    for rows, more in ((2 * pairs, 0), (alone, 1)):
        each = tree(simd, term, stages + more)
        luts, ffs = luts + rows * (each[0] + sum_bits), ffs + rows * each[1]
    if alone:  # minus and three times the code, for all rows
        luts, ffs = luts + simd * 2 * code_bits, ffs + simd * (2 * code_bits + 3)
    return logic(luts, ffs, simd * pairs)
