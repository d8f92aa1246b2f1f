# SPDX-License-Identifier: Apache-2.0
"""What a benchmark found, as a plain table, as JSON and as plots."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zeile.report import as_png, cer_plot, figure

Found = Mapping[str, Any]
"""The JSON content, see ``zeile.bench.run``."""

_OURS, _THEIRS = "#33658a", "#9a9a9a"


def as_text(found: Found) -> str:
    """Tables for a terminal."""
    model, lines, engine = found["model"], found["set"], found["engine"]
    machine, load = found["machine"], found["machine"]["load"]
    parts = [
        f"{model['name']}/{model['version']} ({model['sha256'][:12]}) on {engine['engine']}"
        f"{'/' + engine['path'] if 'path' in engine else ''}, reading {model['reading']}",
        f"{lines['path']}, split {lines['split'] or 'all'}: "
        f"{lines['lines']} of {lines['lines_in_set']} lines, "
        f"{lines['characters']} characters, {lines['documents']} documents",
        f"{machine['cpu']}, {machine['cores']} cores, load {load['before']} before, {load['after']} after",
        "",
        _accuracy(found["accuracy"], found["paired"]),
        "",
        _bounded(found["accuracy"]),
        "",
        _table(
            ["one thread, " + str(lines["lines"]) + " lines", "lines/s", "lines/cpu-s"],
            [[name, _n(r["lines_s"]), _n(r["lines_cpu_s"])] for name, r in found["speed"]["stages"].items()],
        ),
        "",
        _table(
            ["all cores", "lines/s"],
            [[name, _n(rate)] for name, rate in found["speed"]["all_cores"].items()],
        ),
    ]
    for title, group in found["speed"]["peers"].items():
        rows = [[name, _n(r["lines_s"]), _n(r["lines_cpu_s"]), _ratio(r.get("ratio"))] for name, r in group.items()]
        parts += ["", _table([title, "lines/s", "lines/cpu-s", "zeile is faster by (least-most)"], rows)]
    parts += ["", _peak(found["peak"])]
    parts += [_energy(found["energy"])] if found["energy"] else []
    parts += [f"not run: {name}: {reason}" for name, reason in found["not_run"].items()]
    parts += [f"note: {note}" for note in found["notes"]]
    return "\n".join(parts)


def _energy(energy: Mapping[str, Any]) -> str:
    rail = energy["rail"]
    return (
        f"rail {rail}: {energy['joules_per_line']:.4g} J a line, {energy['joules_per_line_above_rest']:.4g} above rest "
        f"({energy['watts_loaded'][rail]:.2f} W, at rest {energy['watts_at_rest'][rail]:.2f} W; "
        f"{energy['lines']} lines in {energy['seconds']:.0f} s)"
    )


def _accuracy(accuracy: Mapping[str, Any], paired: Mapping[str, Any]) -> str:
    rows = []
    for name, a in accuracy.items():
        interval = a["cer_interval"]
        ends = f"{_percent(interval['low'])}-{_percent(interval['high'])}"
        rates = [_percent(a[key]) for key in ("cer", "cer_codepoints", "cer_lenient", "wer", "exact_lines")]
        edits = "/".join(str(a[key]) for key in ("substitutions", "insertions", "deletions"))
        against = "" if name not in paired else f"{100 * paired[name]['value']:+.2f}"
        if against:
            against += f" ({100 * paired[name]['low']:+.2f} to {100 * paired[name]['high']:+.2f})"
        rows.append([name, rates[0], ends, *rates[1:], edits, against])
    head = [
        "accuracy, %",
        "CER",
        "95 %",
        "CER code points",
        "CER lenient",
        "WER",
        "exact lines",
        "S/I/D",
        "zeile - it",
    ]
    return _table(head, rows)


def _bounded(accuracy: Mapping[str, Any]) -> str:
    """CER by the lengths that others divide by, see ``zeile.metrics``; ours first, for comparison."""
    head = [
        "CER, %",
        "errors / ground truth",
        "/ (errors + matches)",
        "mean of lines",
        "/ longer text",
        "mean of lines",
    ]
    kinds = [(key, kind) for key in ("cer_aligned", "cer_longer") for kind in ("total", "line_mean")]
    rows = [
        [name, _percent(a["cer"]), *(_percent(a[key][kind]) for key, kind in kinds)] for name, a in accuracy.items()
    ]
    return _table(head, rows)


def _peak(peak: Mapping[str, Any]) -> str:
    if peak["share"] is None:
        return f"share of the int8 peak: not known, {peak['reason']}"
    shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in peak["share"].items())
    return f"share of one core's int8 peak ({peak['peak_gmacs_s']:.1f} GMAC/s, path {peak['path']}): {shares}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns under their heads, the first to the left, numbers to the right."""
    lines = [list(head), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    aligned = [[line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in aligned)


def _n(rate: float) -> str:
    return f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}"


def _ratio(ratio: Mapping[str, float] | None) -> str:
    return "" if ratio is None else f"x{ratio['median']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.2f}"


def as_json(found: Found) -> str:
    """The same as JSON."""
    return json.dumps(found, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def write(found: Found, folder: Path) -> list[Path]:
    """Write ``bench.json``, ``bench.txt`` and plots.

    Raises:
        BadSettings: matplotlib is not installed; the JSON and the text are written before that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(as_json(found), encoding="utf-8")
    (folder / "bench.txt").write_text(as_text(found) + "\n", encoding="utf-8")
    plots = {"cer.png": cer_plot(found["accuracy"]), "stages.png": _stages(found)}
    for number, (title, group) in enumerate(found["speed"]["peers"].items(), 1):
        if len(group) > 1:
            plots[f"peers{number}.png"] = _peers(title, group)
    for name, content in plots.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in ("bench.json", "bench.txt", *plots)]


def _stages(found: Found) -> bytes:
    stages = found["speed"]["stages"]
    drawn, axes = figure(8, 1.2 + 0.4 * len(stages))
    values = [1000 / r["lines_cpu_s"] for r in stages.values()]
    bars = axes.barh(list(stages), values, color=_OURS)
    axes.bar_label(bars, [f"{v:.3g} ms" for v in values], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(xlabel="CPU time a line, ms", title="Where the time goes, one thread")
    return as_png(drawn)


def _peers(title: str, group: Mapping[str, Any]) -> bytes:
    drawn, axes = figure(8, 1.2 + 0.45 * len(group))
    values = [r["lines_cpu_s"] for r in group.values()]
    bars = axes.barh(list(group), values, color=[_OURS if name == "zeile" else _THEIRS for name in group])
    labels = [f"{_n(r['lines_cpu_s'])}  {_ratio(r.get('ratio'))}" for r in group.values()]
    axes.bar_label(bars, labels, padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.3)
    axes.set(xlabel="lines a second of CPU time", title=title)
    return as_png(drawn)
