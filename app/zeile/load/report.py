# SPDX-License-Identifier: Apache-2.0
"""What a load test found, as a table, as JSON, as CSV and as a plot."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zeile.report import as_png, figure

Found = Mapping[str, Any]
"""The JSON content, see ``zeile.commands.load``."""

_COLOURS = ("#33658a", "#e0853d", "#7a4b8c", "#4f7d3c", "#9a9a9a")
_PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9")


def as_text(found: Found) -> str:
    """A table for a terminal, and what was wrong."""
    closed = found["loop"] == "closed"
    first = "concurrency" if closed else "requests/s asked"
    head = [
        first,
        "lines/s",
        "requests/s",
        *(f"{p} ms" for p in _PERCENTILES),
        "good",
        "not",
        "batch",
        "client CPU",
        "",
    ]
    rows = [[head[0], *head[1:]]]
    rows += [_row(level) for level in found["levels"]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    counts = f"{found['pictures']} images, {found['files_per_request']} a request"
    parts = [f"{found['loop']} loop on {found['url']}: {counts}", "", *lines, ""]
    for level in found["levels"]:
        parts += [f"{level['load']:g}: {note}" for note in _notes(level)]
    return "\n".join(parts).rstrip()


def _row(level: Mapping[str, Any]) -> list[str]:
    statuses = level["statuses"]
    good = statuses.get("200", 0)
    batch = level["server"].get("batch_lines")
    return [
        f"{level['load']:g}",
        f"{level['lines_per_second']:.1f}",
        f"{level['requests_per_second']:.1f}",
        *(_number(level["latency_ms"][p]) for p in _PERCENTILES),
        str(good),
        str(sum(statuses.values()) - good),
        _number(batch),
        f"{100 * level['client_cpu']:.0f} %",
        "" if level["stable"] else "not stable",
    ]


def _notes(level: Mapping[str, Any]) -> list[str]:
    """What a reader should know beside the row."""
    whole, notes = level["total"], []
    bad = {status: count for status, count in whole["statuses"].items() if status != "200"}
    if bad:
        shown = ", ".join(f"{count} x {status}" for status, count in bad.items())
        p95 = _number(level["other_latency_ms"]["p95"])
        notes.append(f"not answered with a text, from start to end: {shown}; within {p95} ms (p95)")
    notes += [f"{count} x {text}" for text, count in whole["problems"].items()]
    counted = level["server"].get("lines")
    if counted is not None and counted != whole["lines"]:
        notes.append(f"the service counted {counted:.0f} lines, this client {whole['lines']}; did others ask as well?")
    end = "_joules_per_line"
    rails = [f"{key[: -len(end)]} {value:.3g}" for key, value in level["server"].items() if key.endswith(end)]
    if rails:
        notes.append(f"joules a line, whatever else the board did: {', '.join(rails)}")
    if level["client_cpu"] > 0.8:
        notes.append("this client used more than 80 % of a core: it may be what limits the rate")
    return notes


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def as_json(found: Found) -> str:
    """The same as JSON."""
    return json.dumps(found, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def as_csv(found: Found) -> str:
    """A row a level for a spreadsheet, with what the service said of its stages; what is not known is empty."""
    rows = []
    for level in found["levels"]:
        statuses = level["statuses"]
        row = {"concurrency" if found["loop"] == "closed" else "requests_per_second_asked": level["load"]}
        row |= {name: level[name] for name in ("lines_per_second", "requests_per_second")}
        row |= {f"latency_{name}_ms": level["latency_ms"][name] for name in ("mean", *_PERCENTILES, "max")}
        row |= {"good": statuses.get("200", 0), "not_good": sum(statuses.values()) - statuses.get("200", 0)}
        row |= {"stable": int(level["stable"]), "client_cpu": level["client_cpu"]}
        rows.append(row | {f"server_{name}": value for name, value in level["server"].items()})
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write(found: Found, folder: Path) -> list[Path]:
    """Write ``load.json``, ``load.txt``, ``load.csv`` and ``load.png``.

    Raises:
        BadSettings: matplotlib is not installed; the others are written before that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "load.json").write_text(as_json(found), encoding="utf-8")
    (folder / "load.txt").write_text(as_text(found) + "\n", encoding="utf-8")
    (folder / "load.csv").write_text(as_csv(found), encoding="utf-8")
    (folder / "load.png").write_bytes(plot(found))
    return [folder / name for name in ("load.json", "load.txt", "load.csv", "load.png")]


def plot(found: Found) -> bytes:
    """Latency percentiles against lines a second, a point a level.

    Raises:
        BadSettings: matplotlib is not installed.
    """
    drawn, axes = figure(8, 4.5)
    levels = found["levels"]
    rates = [level["lines_per_second"] for level in levels]
    for percentile, colour in zip(_PERCENTILES, _COLOURS, strict=True):
        values: Sequence[float] = [_or_nan(level["latency_ms"][percentile]) for level in levels]
        axes.plot(rates, values, marker="o", markersize=4, color=colour, label=percentile)
    for level, rate in zip(levels, rates, strict=True):
        where = (rate, _or_nan(level["latency_ms"][_PERCENTILES[-1]]))
        axes.annotate(f"{level['load']:g}", where, textcoords="offset points", xytext=(0, 6), ha="center", fontsize=8)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y", alpha=0.3)
    what = "concurrency" if found["loop"] == "closed" else "requests a second asked for"
    axes.set(xlabel="lines a second", ylabel="latency, ms", title=f"Latency against rate; numbers are {what}")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return as_png(drawn)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
