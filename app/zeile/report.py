# SPDX-License-Identifier: Apache-2.0
"""The evaluation report of a model folder: ``eval.json`` and plots, ready for ``zeile.manifest.write_model``.

Ground truth and readings of the worst lines are in it, images are not.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from zeile.errors import BadData, BadSettings
from zeile.evaluate import Evaluation

EVALUATION = "eval.json"

CONVENTION = (
    "CER: micro-averaged, NFC, extended grapheme clusters, whitespace counts, nothing folded, never clipped. "
    "WER: words by UAX #29 without punctuation. "
    "cer_lenient: quotes, dashes, long s and ligatures folded on both sides, blanks collapsed."
)
_BARS = 20
_BLANK = "␣"
_EPSILON = "ε"
_BLUE, _GREY = "#33658a", "#555555"


def report_files(evaluations: Mapping[str, Evaluation], *, plots: bool = True) -> dict[str, bytes]:
    """The report as files.

    Args:
        evaluations: name of a set to its evaluation.
        plots: whether to draw (needs matplotlib).

    Returns:
        Path inside the model folder to contents: ``eval.json``, and ``plots/*.png`` if asked for.

    Raises:
        BadData: no sets.
        BadSettings: plots are asked for and matplotlib is not installed.
    """
    if not evaluations:
        raise BadData("a report needs at least one evaluated set")
    content = {"convention": CONVENTION, "sets": {name: e.to_json() for name, e in evaluations.items()}}
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    files = {EVALUATION: (text + "\n").encode()}
    if plots:
        files["plots/cer.png"] = cer_plot({name: e.to_json() for name, e in evaluations.items()})
        files["plots/confusions.png"] = _confusions(evaluations)
        files["plots/lines.png"] = _histogram(evaluations)
    return files


def figure(width: float = 8.0, height: float = 4.0) -> tuple[Any, Any]:
    """A figure and its axes, drawn without a display.

    Raises:
        BadSettings: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise BadSettings("plots need matplotlib, which is not installed: pip install 'zeile[bench]'") from None
    drawn = Figure(figsize=(width, height), dpi=120, layout="constrained")
    axes = drawn.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return drawn, axes


def as_png(drawn: Any) -> bytes:
    """The figure as PNG, without a date or a program's name in it."""
    target = io.BytesIO()
    drawn.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def cer_plot(figures: Mapping[str, Mapping[str, Any]], title: str = "Character error rate, 95 % interval") -> bytes:
    """Bars of CER with their intervals, as PNG.

    Args:
        figures: name of a bar to ``Evaluation.to_json()``; bars without a rate are left out.
        title: above the bars.
    """
    shown = {name: f for name, f in figures.items() if f["cer"] is not None}
    drawn, axes = figure(8, 1.2 + 0.45 * len(shown))
    rates = [100 * f["cer"] for f in shown.values()]
    ends = [(100 * f["cer_interval"]["low"], 100 * f["cer_interval"]["high"]) for f in shown.values()]
    reach = [
        [max(0, rate - low) for rate, (low, _) in zip(rates, ends, strict=True)],
        [max(0, high - rate) for rate, (_, high) in zip(rates, ends, strict=True)],
    ]
    axes.barh(list(shown), rates, xerr=reach, color=_BLUE, ecolor=_GREY, capsize=3)
    for row, (rate, (_, high)) in enumerate(zip(rates, ends, strict=True)):
        axes.annotate(f"{rate:.2f}", (max(rate, high), row), (5, 0), textcoords="offset points", va="center")
    axes.invert_yaxis()
    axes.set(xlabel="CER, %", title=title)
    axes.margins(x=0.12)
    return as_png(drawn)


def _confusions(evaluations: Mapping[str, Evaluation]) -> bytes:
    """Most frequent edits of all sets."""
    counted: dict[tuple[str, str], int] = {}
    for evaluation in evaluations.values():
        for edit, count in evaluation.confusions(None):
            counted[edit] = counted.get(edit, 0) + count
    top = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:_BARS]
    drawn, axes = figure(6, 1.2 + 0.28 * max(1, len(top)))
    axes.barh(range(len(top)), [count for _, count in top], color=_BLUE)
    axes.set_yticks(range(len(top)), [f"{shown(truth)} → {shown(text)}" for (truth, text), _ in top])
    axes.invert_yaxis()
    axes.set(xlabel="times", title=f"Most frequent confusions (truth → read, {_EPSILON} nothing, {_BLANK} blank)")
    return as_png(drawn)


def _histogram(evaluations: Mapping[str, Evaluation]) -> bytes:
    """How the errors are spread over the lines."""
    drawn, axes = figure()
    edges = [0, 0.1, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50]  # %; the first bin is the lines without an error
    labels = ["0", *[f"{low:g}-{high:g}" for low, high in pairwise(edges[1:])], "50+"]
    labels[1] = "0-1"
    width = 0.8 / len(evaluations)
    for number, (name, evaluation) in enumerate(evaluations.items()):
        rates = [100 * c.characters.rate for c in evaluation.comparisons]
        bins = [
            sum(low <= r < high for r in rates) for low, high in zip(edges, [*edges[1:], float("inf")], strict=True)
        ]
        bins[-1] += sum(r == float("inf") for r in rates)
        shares = [100 * count / len(rates) for count in bins]
        axes.bar([i + number * width for i in range(len(shares))], shares, width, align="edge", label=name)
    axes.set_xticks([i + 0.4 for i in range(len(labels))], labels)
    axes.set(xlabel="CER of the line, %", ylabel="lines, %", title="Lines by their errors")
    axes.legend(frameon=False)
    return as_png(drawn)


def shown(unit: str) -> str:
    """A unit of text as it can be printed: blanks and nothing are made visible."""
    if unit == "":
        return _EPSILON
    return _BLANK if unit.isspace() else unit
