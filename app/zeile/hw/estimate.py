# SPDX-License-Identifier: Apache-2.0
"""What a design will do and cost before anybody builds it: lines a second, its bottleneck, and its share of the part.

Cycles follow from the folding (``timing.py``) and agree with the simulated SystemVerilog within 1 %. Resources follow
from widths and folding (``costs.py``, ``resources.py``) and agree with its netlists within ``costs.BAND``. Nothing here
is measured on a board or by vendor tools.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from zeile.errors import BadManifest, BadSettings
from zeile.hw.costs import CONSTANTS, Resources
from zeile.hw.design import Design
from zeile.hw.resources import part_resources, unit_resources
from zeile.hw.timing import Recurrence, fill_cycles, recurrence, run, unit_cycles
from zeile.network import MaxPool

COLUMNS = 660
"""Columns of a usual line of printed prose at a height of 32 pixels."""

BATCH = 64
"""Lines of the run whose fill and drain are counted."""

LSTM_PYNQ = {(2, 2): 249, (2, 4): 571, (4, 4): 569, (4, 8): 2133}
"""Cycles a column of LSTM-PYNQ by weight and activation bits: 128 units, 32 pixels, a line of 520 columns, 100 MHz.
Source: Xilinx/LSTM-PYNQ, README (milliseconds a line, PYNQ-Z1)."""


@dataclass(frozen=True)
class Unit:
    """A unit's part in an estimate.

    Attributes:
        name: as in chain.h.
        folding: PE, SIMD and where the products are made; empty for units without multipliers.
        cycles: at work for the line.
        busy: share of the time between two lines.
        resources: with its memories and FIFOs.
    """

    name: str
    folding: str
    cycles: int
    busy: float
    resources: Resources


@dataclass(frozen=True)
class Estimate:
    """An estimate for lines of one length.

    Attributes:
        design: what was estimated.
        columns: of a line.
        classes: K of the model.
        units: from the source to the sink; ``platform``, last, is what stands around the core.
        recurrence: cycles of a recurrent step.
        bottleneck: name of the unit that takes longest.
        cycles: between two lines, the bottleneck's.
        fill: cycles from a line's first word to the recurrent layer.
        alone: cycles of one line, first word in to last word out.
        batch_cycles: of BATCH lines, fill and drain included.
        batch_utilisation: of a direction's multipliers in that run.
        total: resources of all units.
        part: what the part has; None if it is not known.
    """

    design: Design
    columns: int
    classes: int
    units: tuple[Unit, ...]
    recurrence: Recurrence
    bottleneck: str
    cycles: int
    fill: int
    alone: float
    batch_cycles: float
    batch_utilisation: float
    total: Resources
    part: Resources | None

    @property
    def clock_hz(self) -> float:
        """Cycles a second."""
        return self.design.clock_mhz * 1e6

    @property
    def lines_per_s(self) -> float:
        """Lines a second while lines keep coming."""
        return self.clock_hz / self.cycles

    @property
    def batch_lines_per_s(self) -> float:
        """Lines a second of a run of BATCH lines."""
        return self.clock_hz * BATCH / self.batch_cycles

    @property
    def latency_ms(self) -> float:
        """Milliseconds of one line alone."""
        return self.alone / self.clock_hz * 1e3

    @property
    def shares(self) -> dict[str, float]:
        """Share of the part, by resource; empty if the part is not known."""
        return {} if self.part is None else self.total.shares(self.part)

    def to_json(self) -> dict[str, Any]:
        """The estimate as JSON can hold it, the model's constants with their origins included."""
        return {
            "design": self.design.name,
            "design_id": f"{self.design.design_id:016x}",
            "part": self.design.part,
            "clock_mhz": self.design.clock_mhz,
            "columns": self.columns,
            "classes": self.classes,
            "units": [asdict(unit) for unit in self.units],
            "bottleneck": self.bottleneck,
            "cycles_per_line": self.cycles,
            "cycles_per_column": round(self.cycles / self.columns, 2),
            "fill_cycles": self.fill,
            "lines_per_s": round(self.lines_per_s, 1),
            "batch": {"lines": BATCH, "lines_per_s": round(self.batch_lines_per_s, 1)},
            "latency_ms": round(self.latency_ms, 4),
            "recurrence": asdict(self.recurrence),
            "utilisation": {str(n): round(self.recurrence.utilisation(n), 4) for n in range(1, self._slots + 1)},
            "total": asdict(self.total),
            "available": None if self.part is None else asdict(self.part),
            "shares": {name: round(share, 4) for name, share in self.shares.items()},
            "constants": {name: constant._asdict() for name, constant in CONSTANTS.items()},
        }

    @property
    def _slots(self) -> int:
        return self.recurrence.slots


def usual_columns(design: Design) -> int:
    """Columns of a usual line, or of the longest that the design takes."""
    return min(COLUMNS, design.max_columns)


def estimate(design: Design, columns: int, classes: int | None = None) -> Estimate:
    """Estimate a design for lines of one length.

    Args:
        design: a design.
        columns: of a line, 1 to the design's longest.
        classes: K of the model; default the most that the design takes.

    Raises:
        BadSettings: columns or classes are out of the design's range.
    """
    classes = design.classes if classes is None else classes
    for name, value, low, high in (
        ("columns", columns, 1, design.max_columns),
        ("classes", classes, 2, design.classes),
    ):
        if not low <= value <= high:
            raise BadSettings(f"{name} is {value}; the design {design.name} takes {low} to {high}")
    cycles, resources = unit_cycles(design, columns, classes), unit_resources(design)
    bottleneck = max(cycles, key=lambda name: cycles[name])
    units = tuple(
        Unit(name, _folding(design, name), cycles.get(name, 0), cycles.get(name, 0) / cycles[bottleneck], each)
        for name, each in resources.items()
    )
    batch = run(design, [columns] * BATCH, classes)
    return Estimate(
        design=design,
        columns=columns,
        classes=classes,
        units=units,
        recurrence=recurrence(design),
        bottleneck=bottleneck,
        cycles=cycles[bottleneck],
        fill=fill_cycles(design),
        alone=batch.first,
        batch_cycles=batch.cycles,
        batch_utilisation=batch.utilisation,
        total=sum(resources.values(), Resources()),
        part=part_resources(design.part),
    )


def check_fits(found: Estimate) -> None:
    """Make sure that a design fits its part.

    Raises:
        BadManifest: it needs more of a resource than the part has, by the model.
    """
    if found.part is None:
        return
    names = {
        "lut": "LUTs",
        "ff": "flip-flops",
        "dsp": "DSP slices",
        "bram36": "block RAMs of 36 Kb",
        "uram": "UltraRAMs",
    }
    for name, share in found.shares.items():
        if share > 1:
            largest = max(found.units, key=lambda unit: float(getattr(unit.resources, name)))
            needs, has = getattr(found.total, name), getattr(found.part, name)
            raise BadManifest(
                f"design {found.design.name!r} cannot fit: it needs {needs:,.0f} {names[name]}, {found.design.part} "
                f"has {has:,.0f}; most of them, {getattr(largest.resources, name):,.0f}, are in {largest.name}: "
                f"{_REMEDIES[name]}"
            )


_REMEDIES = {
    "lut": "fold it more (lower pe or simd), or make its products in DSP slices (mac)",
    "ff": "fold it more (lower pe or simd)",
    "dsp": "fold it more (lower pe or simd), or make its products in LUTs (mac)",
    "bram36": "lower pe, or the classes",
    "uram": "lower ring_steps, and max_columns with it",
}


def _folding(design: Design, name: str) -> str:
    digits = name.lstrip("abcdefghijklmnopqrstuvwxyz_")
    index = design.recurrent if name.endswith("_lstm") else int(digits) if digits else -1
    if index < 0 or name.startswith("widen") or isinstance(design.layers[index], MaxPool):
        return ""
    fold = design.fold(index)
    return f"{fold.pe} x {fold.simd} {fold.mac}"
