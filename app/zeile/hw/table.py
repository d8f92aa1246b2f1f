# SPDX-License-Identifier: Apache-2.0
"""An estimate as a table that a person reads."""

from __future__ import annotations

from collections.abc import Iterable

from zeile.hw.estimate import BATCH, LSTM_PYNQ, Estimate

_HEAD = ("unit", "PE x SIMD", "cycles", "busy", "LUT", "FF", "DSP", "BRAM36", "URAM")


def describe(found: Estimate) -> str:
    """Units, totals, speed and bottleneck, as text."""
    rows: list[tuple[str, ...]] = [_HEAD]
    for unit in found.units:
        cycles, busy = (f"{unit.cycles:,}", f"{unit.busy:.0%}") if unit.cycles else ("", "")
        r = unit.resources
        rows.append((unit.name, unit.folding, cycles, busy, *_amounts(r.lut, r.ff, r.dsp, r.bram36, r.uram)))
    t = found.total
    rows.append(("total", "", "", "", *_amounts(t.lut, t.ff, t.dsp, t.bram36, t.uram)))
    if found.part is not None:
        p, shares = found.part, found.shares
        rows.append((found.design.part.split("-")[0], "", "", "", *_amounts(p.lut, p.ff, p.dsp, p.bram36, p.uram)))
        rows.append(("share", "", "", "", *(f"{shares[n]:.1%}" for n in ("lut", "ff", "dsp", "bram36", "uram"))))
    return "\n".join([*_aligned(rows), "", *_sentences(found)])


def _sentences(found: Estimate) -> Iterable[str]:
    design, lstm = found.design, found.recurrence
    yield (
        f"{design.name} at {design.clock_mhz} MHz, lines of {found.columns} columns, {found.classes} classes: "
        f"{found.lines_per_s:,.0f} lines/s"
    )
    column = found.cycles / found.columns
    yield f"  bottleneck {found.bottleneck}: {found.cycles:,} cycles a line, {column:.1f} a column"
    yield (
        f"  {BATCH} lines from a standing start: {found.batch_lines_per_s:,.0f} lines/s, multipliers of the recurrent "
        f"layer at work {found.batch_utilisation:.1%} of the time"
    )
    yield f"  one line alone: {found.latency_ms:.3f} ms; the recurrent layer's input begins after {found.fill:,} cycles"
    shares = ", ".join(f"{n} {lstm.utilisation(n):.1%}" for n in range(1, lstm.slots + 1))
    yield (
        f"  recurrent step: {lstm.issue} cycles of products, {lstm.turn} until the line's next; multipliers at work by "
        f"lines in flight: {shares}"
    )
    widths = (design.lstm.weight_bits, design.lstm.out_bits)
    if widths in LSTM_PYNQ and design.lstm.hidden == 128:
        theirs = LSTM_PYNQ[widths]
        yield (
            f"  LSTM-PYNQ W{widths[0]}A{widths[1]}, published: {theirs} cycles a column at 100 MHz; here {column:.1f}, "
            f"{theirs / column:.1f} times fewer, at {design.clock_mhz / 100:.1f} times the clock"
        )
    yield (
        "  Resources are a model's, calibrated to netlists (zeile hw area); no vendor tool has seen the design. --json "
        "lists the constants and their origins."
    )


def _amounts(lut: float, ff: float, dsp: int, bram36: float, uram: int) -> tuple[str, ...]:
    return f"{lut:,.0f}", f"{ff:,.0f}", f"{dsp:,}", f"{bram36:g}", f"{uram}"


def _aligned(rows: list[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        left = [f"{cell:<{width}}" for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True)]
        yield "  ".join(left + right).rstrip()
