# SPDX-License-Identifier: Apache-2.0
"""What the SystemVerilog core of a design needs, counted in a netlist that Yosys makes for UltraScale+.

    hw_src/area/<design>.json    the counts of the shipped designs: by unit, FIFOs together, and in all

Counts are pessimistic, not Vivado's: Yosys knows neither CARRY8 nor the accumulators and output registers of DSP slices
and block RAMs, so both stay in LUTs and flip-flops, and it optimises each module for itself. Nothing here says how fast
a netlist is.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from zeile.errors import BadManifest
from zeile.hw.costs import Resources
from zeile.hw.design import Design
from zeile.hw.resources import part_resources
from zeile.hw.rtl import TOP
from zeile.hw.yosys import SYNTHESIS, Netlist, find_yosys, source_hash, synthesise, version
from zeile.schema import parse_json

FORMAT, FORMAT_VERSION = "zeile-area", 1

_LUTS = {f"LUT{n}": 1 for n in range(1, 7)} | {"INV": 1}
_LUTRAM = {  # LUTs of a SLICEM that each takes (UG974)
    "RAM32X1S": 1, "RAM64X1S": 1, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1S": 2, "RAM256X1S": 4, "RAM512X1S": 8,
    "RAM128X1D": 4, "RAM256X1D": 8, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM64X8SW": 8,
    "RAM32X16DR8": 8,
}  # fmt: skip
_SRL = {"SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1}
_FF = ("FDRE", "FDSE", "FDCE", "FDPE")
_BRAM36 = {"RAMB18E2": 0.5, "RAMB36E2": 1.0}
_FREE = {"CARRY4", "CARRY8", "MUXF7", "MUXF8", "MUXF9", "$scopeinfo"}  # beside the LUTs of a slice


@dataclass(frozen=True)
class Area:
    """Cells of a netlist.

    Attributes:
        lut: LUTs, those used as memory and as shift registers included.
        lutram: of these, as memory.
        srl: of these, as shift registers.
        ff: flip-flops.
        dsp: DSP48E2.
        bram36: block RAMs of 36 Kb; a half each of 18 Kb.
        uram: URAM288.
        carry4: carry chains of four bits; they cost no LUTs.
    """

    lut: int = 0
    lutram: int = 0
    srl: int = 0
    ff: int = 0
    dsp: int = 0
    bram36: float = 0
    uram: int = 0
    carry4: int = 0

    def __add__(self, other: Area) -> Area:
        return Area(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def resources(self) -> Resources:
        """As the resource model counts."""
        return Resources(self.lut, self.ff, self.dsp, self.bram36, self.uram)


def area(design: Design, hw_src: Path, cache: Path | None = None) -> dict[str, Any]:
    """Synthesise a design's core and count.

    Args:
        design: a design.
        hw_src: folder of the hardware sources.
        cache: where counts are kept by their sources; default $XDG_CACHE_HOME/zeile/area, or ~/.cache/zeile/area.

    Returns:
        The object of ``hw_src/area/<design>.json``.

    Raises:
        DeviceError: there is no Yosys, or it fails.
        BadManifest: the netlist has latches, or cells that a part has not.
    """
    tool = find_yosys()
    entry: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "design": design.name,
        "design_id": f"{design.design_id:016x}",
        "part": design.part,
        "tool": version(tool),
        "synthesis": SYNTHESIS,
        "sources": source_hash(design, hw_src),
    }
    cache = _default_cache() if cache is None else cache
    kept = cache / f"{design.name}-{hashlib.sha256(json.dumps(entry).encode()).hexdigest()[:16]}.json"
    if kept.is_file():
        return read_area(kept)
    units = by_unit(synthesise(tool, design, hw_src))
    total = sum(units.values(), Area())
    available = part_resources(design.part)
    entry["units"] = [{"name": name} | _plain(each) for name, each in units.items()]
    entry["total"] = _plain(total)
    entry["available"] = None if available is None else asdict(available)
    shares = {} if available is None else total.resources.shares(available)
    entry["shares"] = {name: round(share, 4) for name, share in shares.items()}
    cache.mkdir(parents=True, exist_ok=True)
    part = kept.with_name(f"{kept.name}.{os.getpid()}")
    part.write_text(to_text(entry), "utf-8")
    os.replace(part, kept)
    return entry


def by_unit(netlist: Netlist) -> dict[str, Area]:
    """Counts by the name of the unit, in the order of the core; ``fifos``, last, is all that is between them."""

    @functools.cache
    def flat(module: str) -> Area:
        inner = Counter({kind: n for kind, n in netlist.modules[module].items() if kind in netlist.modules})
        found = counted({kind: n for kind, n in netlist.modules[module].items() if kind not in inner})
        return sum((flat(kind) for kind in inner.elements()), found)

    units = {name: flat(module) for name, module in netlist.units.items()}
    cells = {kind: n for kind, n in netlist.modules[TOP].items() if kind not in netlist.modules}
    return units | {"fifos": counted(cells)}


def counted(cells: Mapping[str, int]) -> Area:
    """Counts of primitive cells.

    Raises:
        BadManifest: there are latches, or cells that the part has not.
    """
    found: dict[str, float] = dict.fromkeys(("lut", "lutram", "srl", "ff", "dsp", "bram36", "uram", "carry4"), 0)
    for name, number in cells.items():
        if name in _LUTS:
            found["lut"] += number
        elif name in _LUTRAM or name in _SRL:
            luts = number * (_LUTRAM | _SRL)[name]
            found["lut"] += luts
            found["lutram" if name in _LUTRAM else "srl"] += luts
        elif name in _FF:
            found["ff"] += number
        elif name in _BRAM36:
            found["bram36"] += number * _BRAM36[name]
        elif name in ("DSP48E2", "URAM288"):
            found["dsp" if name == "DSP48E2" else "uram"] += number
        elif name not in _FREE:
            what = "latches" if name.startswith("LD") else "cells that no UltraScale+ part has"
            raise BadManifest(f"the netlist has {what}: {number} {name}; look into the log of the synthesis")
        found["carry4"] += number if name == "CARRY4" else 0
    bram36 = found.pop("bram36")
    return Area(bram36=bram36, **{name: int(value) for name, value in found.items()})


def read_area(path: Path) -> dict[str, Any]:
    """Read recorded counts.

    Raises:
        BadManifest: the file is none of ours.
    """
    try:
        entry = parse_json(path.read_bytes(), path.name)
    except OSError as error:
        raise BadManifest(f"{path}: {error.strerror}; zeile hw area DESIGN -o {path} writes it") from None
    if not isinstance(entry, dict) or (entry.get("format"), entry.get("format_version")) != (FORMAT, FORMAT_VERSION):
        raise BadManifest(f"{path} is no {FORMAT} of version {FORMAT_VERSION}; zeile hw area writes one")
    return entry


def to_text(entry: Mapping[str, Any]) -> str:
    """The text of a file of counts: a unit a line."""
    lines = []
    for key, value in entry.items():
        text = json.dumps(value)
        if key == "units":
            text = "[\n" + ",\n".join(f"    {json.dumps(unit)}" for unit in value) + "\n  ]"
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def describe(entry: Mapping[str, Any]) -> str:
    """Counts as a table that a person reads."""
    names = ("lut", "ff", "dsp", "bram36", "uram")
    rows: list[tuple[str, ...]] = [("unit", "LUT", "FF", "DSP", "BRAM36", "URAM")]
    rows += [(u["name"], *(f"{u[n]:,g}" if n == "bram36" else f"{u[n]:,}" for n in names)) for u in entry["units"]]
    rows.append(("total", *(f"{entry['total'][n]:,}" for n in names)))
    if entry["available"] is not None:
        rows.append((entry["part"].split("-")[0], *(f"{entry['available'][n]:,}" for n in names)))
        rows.append(("share", *(f"{entry['shares'][n]:.1%}" for n in names)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        f"{row[0]:<{widths[0]}}  " + "  ".join(f"{cell:>{w}}" for cell, w in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
    closing = (
        f"Netlist of {entry['tool']}, {entry['synthesis']}: pessimistic (accumulators and memories' output registers "
        "outside the DSP slices and block RAMs), without timing, the DMA and what else stands around the core."
    )
    return "\n".join([*lines, "", closing])


def _plain(each: Area) -> dict[str, Any]:
    return {name: int(value) if float(value).is_integer() else value for name, value in asdict(each).items()}


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zeile" / "area"
