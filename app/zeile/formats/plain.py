# SPDX-License-Identifier: Apache-2.0
"""Text, TSV and JSON; each yields its output piece by piece, one piece a page, so that it can be streamed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from zeile.ctc import CERTAIN
from zeile.formats.page import Answer, Page, ReadLine, fraction
from zeile.pipeline import Line

ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
"""How cells of a TSV are written, for ``str.translate``."""


def text(pages: Iterable[Page]) -> Iterator[str]:
    """A row for each line; an empty one for a line that could not be read, so that row n is line n."""
    for page in pages:
        yield "".join([(read.answer.text if isinstance(read.answer, Line) else "") + "\n" for read in page.lines])


def tsv(pages: Iterable[Page]) -> Iterator[str]:
    """File, confidence, text and error; of pages also the line's number and its box. Tabs and breaks as in C."""
    head = True
    for page in pages:
        rows = []
        if head:
            place = ["line", "left", "top", "right", "bottom"] if page.whole else []
            rows.append(["file", *place, "confidence", "text", "error"])
            head = False
        for number, read in enumerate(page.lines, 1):
            place = [str(n) for n in (number, *read.region.box)] if page.whole else []
            rows.append([page.file, *place, *_cells(read.answer)])
        if page.whole and page.error:
            rows.append([page.file, *[""] * 5, *_cells(page.error)])
        yield "".join("\t".join(cell.translate(ESCAPES) for cell in row) + "\n" for row in rows)


def _cells(answer: Answer) -> list[str]:
    if not isinstance(answer, Line):
        return ["", "", str(answer)]
    return ["" if answer.confidence is None else fraction(answer.confidence), answer.text, ""]


def json_array(pages: Iterable[Page]) -> Iterator[str]:
    """One array, an object on a line for each page or line image."""
    separator = "[\n"
    for page in pages:
        yield separator + json.dumps(json_page(page), ensure_ascii=False, allow_nan=False)
        separator = ",\n"
    yield "\n]\n" if separator == ",\n" else "[]\n"


def json_page(page: Page) -> dict[str, Any]:
    """A page as what ``zeile read --regions`` also takes; the image of one line without regions."""
    entry: dict[str, Any] = {"file": page.file}
    if not page.whole:
        return entry | json_answer(page.lines[0].answer)
    if page.error:
        return entry | {"error": str(page.error)}
    return entry | {"width": page.width, "height": page.height, "lines": [_json_line(read) for read in page.lines]}


def _json_line(read: ReadLine) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": read.region.id, "box": list(read.region.box)}
    if read.region.polygon:
        entry["polygon"] = [list(point) for point in read.region.polygon]
    return entry | json_answer(read.answer)


def json_answer(answer: Answer) -> dict[str, Any]:
    """Text, confidence and characters of a line, columns counted from its own left edge; or the error."""
    if not isinstance(answer, Line):
        return {"error": str(answer)}
    return {
        "text": answer.text,
        "confidence": None if answer.confidence is None else answer.confidence / CERTAIN,
        "characters": [
            {"text": c.text, "left": c.left_px, "right": c.right_px, "confidence": c.confidence / CERTAIN}
            for c in answer.characters
        ],
    }
