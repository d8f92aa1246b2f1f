# SPDX-License-Identifier: Apache-2.0
"""An exploration as JSON, and as a table that a person reads."""

from __future__ import annotations

import json
from typing import Any

from zeile.hw.costs import BAND, Resources
from zeile.hw.explore import FULLEST, Exploration, Point


def to_json(found: Exploration) -> dict[str, Any]:
    """As JSON can hold it, each figure with where it comes from."""
    return {
        "format": "zeile-exploration",
        "format_version": 1,
        "model": found.model,
        "columns": found.columns,
        "part": found.base.part,
        "clock_mhz": found.base.clock_mhz,
        "origin": {
            "clock": "an assumption: nothing has been placed and routed",
            "lines_per_s": "the cycle model, which agrees with the simulated core within 1 %",
            "resources": f"the resource model, calibrated to netlists of Yosys ({_bands()})",
            "netlist": "counts of Yosys, with the model's figure for the DMA and what else is around the core",
        },
        "available": _amounts(found.part),
        "curves": [
            {
                "model": curve.model,
                "widths": curve.widths,
                "cer": curve.cer,
                "measured_on": curve.measured_on,
                "points": [_point(point) for point in curve.points],
            }
            for curve in found.curves
        ],
        "designs": [
            {
                "name": each.name,
                "lines_per_s": round(each.lines_per_s, 1),
                "model": _amounts(each.model),
                "netlist": None if each.netlist is None else _amounts(each.netlist + each.platform),
            }
            for each in found.shipped
        ],
    }


def _bands() -> str:
    return ", ".join(f"{name} within {band:.0%}" if band else f"{name} exact" for name, band in BAND.items())


def _amounts(each: Resources) -> dict[str, float]:
    return {
        "lut": round(each.lut),
        "ff": round(each.ff),
        "dsp": each.dsp,
        "bram36": each.bram36,
        "uram": each.uram,
    }


def _point(point: Point) -> dict[str, Any]:
    folds = [
        {"layer": index, "pe": fold.pe, "simd": fold.simd, "mac": fold.mac}
        | ({"slots": fold.slots} if index == point.design.recurrent else {})
        for index, fold in enumerate(point.design.folds)
        if fold is not None
    ]
    return {
        "lines_per_s": round(point.lines_per_s, 1),
        **_amounts(point.resources),
        "shares": {name: round(share, 4) for name, share in point.shares.items()},
        "fronts": list(point.fronts),
        "folds": folds,
    }


def describe(found: Exploration) -> str:
    """The foldings that fit the part with the most room for their speed, as a table that a person reads."""
    lines = [
        f"{found.model} on {found.base.part}, lines of {found.columns} columns, {found.base.clock_mhz} MHz (assumed)",
        f"{'widths':<12}{'lines/s':>9}{'LUT':>9}{'FF':>9}{'DSP':>7}{'BRAM36':>8}{'URAM':>6}{'fullest':>9}  folding",
    ]
    for curve in found.curves:
        rate = "" if curve.cer is None else f", CER {curve.cer:.2%} on {curve.measured_on}"
        lines.append(f"-- {curve.model}, {curve.widths}{rate}")
        for point in curve.points:
            if FULLEST in point.fronts:
                r = point.resources
                folds = " ".join(f"{f.pe}x{f.simd}{f.mac[0]}" for f in point.design.folds if f is not None)
                lines.append(
                    f"{curve.widths.split()[-1]:<12}{point.lines_per_s:>9,.0f}{r.lut:>9,.0f}{r.ff:>9,.0f}{r.dsp:>7,}"
                    f"{r.bram36:>8g}{r.uram:>6}{point.shares[FULLEST]:>9.1%}  {folds}"
                )
    for each in found.shipped:
        netlist = None if each.netlist is None else each.netlist + each.platform
        for title, amounts in (("model", each.model), ("netlist", netlist)):
            if amounts is not None:
                sums = f"{amounts.lut:>9,.0f} LUT{amounts.dsp:>7,} DSP{amounts.bram36:>8g} BRAM36"
                lines.append(f"{each.name + ', ' + title:<21}{each.lines_per_s:>8,.0f} lines/s{sums}")
    lines.append(f"Resources are the model's ({_bands()}), cycles the cycle model's (within 1 %); --output writes all.")
    return "\n".join(lines)


def to_text(found: Exploration) -> str:
    """The JSON's text."""
    return json.dumps(to_json(found), indent=1) + "\n"
