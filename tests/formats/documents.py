# SPDX-License-Identifier: Apache-2.0
"""Lines, pages and provenances for the tests of the formats."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from zeile.errors import BadImage
from zeile.formats import Box, Page, Provenance, ReadLine, Region
from zeile.pipeline import Character, Line

TIME = datetime(2026, 11, 21, 14, 30, tzinfo=timezone(timedelta(hours=2)))
PROVENANCE = Provenance(
    model="fraktur/1",
    model_sha256="ab" * 32,
    engine="cpu",
    software="0.1.0",
    settings=(("reading", "diplomatic & <plain>"),),
    time=TIME,
)


def line_of(graphemes: Sequence[str], confidences: Sequence[int] | None = None, step: int = 7) -> Line:
    """A line whose characters stand side by side, ``step`` columns each."""
    given = confidences or [9000 + 7 * n % 1001 for n in range(len(graphemes))]
    characters = tuple(
        Character(text, step * n, step * (n + 1), confidence)
        for n, (text, confidence) in enumerate(zip(graphemes, given, strict=True))
    )
    mean = sum(given) // len(given) if given else None
    return Line("".join(graphemes), mean, characters)


ODD = line_of(
    ["A", " ", "&", "<", ">", '"', " ", " ", "aͤ", "\ue5dc", "ſ"], [10000, 9000, 1, 0, 7000, 5, 6, 7, 8000, 5555, 99]
)


def page_of(*answers: Line | BadImage, sha256: str | None = "cd" * 32) -> Page:
    """A page of 400 columns with a line for each answer, the second one in a slanted outline."""
    lines = []
    for number, answer in enumerate(answers):
        top = 10 + 30 * number
        outline = ((10, top), (389, top + 2), (389, top + 19), (10, top + 18)) if number == 1 else ()
        lines.append(ReadLine(Region(f"l{number}", Box(10, top, 390, top + 20), outline), answer))
    return Page(file='p"&<1>.png', width=400, height=20 + 30 * len(answers), lines=tuple(lines), sha256=sha256)


PAGE = page_of(ODD, BadImage('too small & "odd"'), Line("", None, ()), line_of("two words"))
