# SPDX-License-Identifier: Apache-2.0
"""The figure of an exploration: lines/s against LUTs, DSP slices, block RAM, and the part's fullest resource."""

from __future__ import annotations

from typing import Any

from zeile.hw.explore import AXES, FULLEST, Curve, Exploration, Shipped
from zeile.report import as_png

_COLOURS = ("#2b6ca3", "#c8553d", "#4b8b3b", "#8a5a9e")
_GREY = "#777777"
_TITLES = {
    "lut": "LUTs",
    "dsp": "DSP48E2",
    "bram36": "block RAM, 36 Kb",
    FULLEST: "fullest of the three, share of the part",
}
_COMFORT = 0.7  # share beyond which routing gets hard


def draw(found: Exploration) -> bytes:
    """The figure as PNG.

    Raises:
        BadSettings: matplotlib is not installed.
    """
    drawn, panels = _panels()
    for axes, axis in zip(panels, AXES, strict=True):
        whole = 1.0 if axis == FULLEST else float(getattr(found.part, axis))
        for curve, colour in zip(found.curves, _COLOURS, strict=False):
            _curve(axes, curve, axis, whole, colour)
        for each in found.shipped:
            _design(axes, each, axis, found)
        axes.axvline(whole, color=_GREY, linewidth=1)
        axes.axvline(_COMFORT * whole, color=_GREY, linewidth=1, linestyle=":")
        axes.set(xlabel=_TITLES[axis], ylabel="lines/s", yscale="log", xlim=(0, 1.05 * whole))
        axes.grid(color="#dddddd", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_formatter("{x:.0%}" if axis == FULLEST else "{x:,.0f}")
    handles, labels = panels[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    drawn.suptitle(
        f"{found.model}, lines of {found.columns} columns, on {found.base.part.split('-')[0].upper()}: "
        f"resources by the calibrated model, {found.base.clock_mhz:.0f} MHz assumed\n"
        "foldings that fit; lines: fronts; dots: beaten in no resource by all others; grey: all and 70 % of the part",
        fontsize="medium",
    )
    return as_png(drawn)


def _panels() -> tuple[Any, Any]:
    from zeile.report import figure

    drawn, first = figure(11, 8.5)
    first.remove()
    panels = list(drawn.subplots(2, 2).flat)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return drawn, panels


def _curve(axes: Any, curve: Curve, axis: str, whole: float, colour: str) -> None:
    dots = [(shares[axis] * whole, speed) for speed, shares in curve.cloud]
    axes.scatter(*zip(*dots, strict=True), s=3, color=colour, alpha=0.18, linewidths=0)
    front = sorted((p.shares[axis] * whole, p.lines_per_s) for p in curve.points if axis in p.fronts)
    rate = "" if curve.cer is None else f", CER {curve.cer:.2%} on {curve.measured_on}"
    label = f"{curve.model.split('/')[0]}, {curve.widths}{rate}"
    axes.plot(*zip(*front, strict=True), marker="o", markersize=3.5, color=colour, drawstyle="steps-post", label=label)


def _design(axes: Any, each: Shipped, axis: str, found: Exploration) -> None:
    """The shipped design: a star by the model, a cross by its netlist."""
    netlist = None if each.netlist is None else each.netlist + each.platform
    for resources, marker, title in ((each.model, "*", "model"), (netlist, "X", "netlist")):
        if resources is None:
            continue
        shares = resources.shares(found.part)
        place = max(shares[name] for name in AXES[:-1]) if axis == FULLEST else getattr(resources, axis)
        style = {"marker": marker, "s": 110 if marker == "*" else 60, "zorder": 3, "edgecolors": "white"}
        colour = _COLOURS[each.curve % len(_COLOURS)]
        axes.scatter([place], [each.lines_per_s], color=colour, label=f"design {each.name}, {title}", **style)
