# SPDX-License-Identifier: Apache-2.0
"""hOCR: HTML that is well-formed XML too, with boxes and confidences of words and characters.

Source: hOCR 1.2, http://kba.github.io/hocr-spec/1.2/
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from zeile.formats.markup import HEAD, add
from zeile.formats.page import Box, Page, Provenance, ReadLine, around
from zeile.formats.words import Word, clean, words_of

CAPABILITIES = "ocr_page ocr_carea ocr_line ocrx_word"


def write(pages: Sequence[Page], provenance: Provenance) -> bytes:
    """A document with an ocr_page for each page or line image."""
    root = ET.Element("html", {"xmlns": "http://www.w3.org/1999/xhtml"})
    head = add(root, "head")
    add(head, "meta", charset="utf-8")
    add(head, "title", clean(pages[0].file) if len(pages) == 1 else f"{len(pages)} images")
    meta = [("ocr-system", f"zeile {provenance.software}"), ("ocr-capabilities", CAPABILITIES)]
    meta += [(f"zeile-{name}", value) for name, value in provenance.facts()]
    if provenance.utc:
        meta.append(("zeile-time", provenance.utc))
    for name, value in meta:
        add(head, "meta", name=clean(name), content=clean(value))
    body = add(root, "body")
    for number, page in enumerate(pages, 1):
        _page(body, page, number)
    ET.indent(root, " ")
    text = ET.tostring(root, encoding="unicode", short_empty_elements=False)
    # An empty <span/> would stay open in HTML, and </meta> is no HTML: a literal one can only be a tag's own end.
    return (HEAD + "<!DOCTYPE html>\n" + text.replace("></meta>", "/>") + "\n").encode()


def _page(body: ET.Element, page: Page, number: int) -> None:
    facts = [_property("image", _quoted(page.file)), _bbox(Box(0, 0, page.width, page.height)), f"ppageno {number - 1}"]
    if page.sha256:
        facts.append(f"x_sha256 {page.sha256}")
    if page.error:
        facts.append(_property("x_error", _quoted(str(page.error))))
    element = add(body, "div", None, **{"class": "ocr_page", "id": f"page_{number}", "title": "; ".join(facts)})
    if not page.lines or page.error:
        return
    area = add(element, "div", None, **{"class": "ocr_carea", "id": f"block_{number}_1"})
    area.set("title", _bbox(around([read.region.box for read in page.lines])))
    for index, read in enumerate(page.lines, 1):
        _line(area, read, f"{number}_{index}")


def _line(area: ET.Element, read: ReadLine, name: str) -> None:
    facts = [_bbox(read.region.box)]
    if read.region.polygon:
        facts.append("poly " + " ".join(f"{x} {y}" for x, y in read.region.polygon))
    if isinstance(read.answer, Exception):
        facts.append(_property("x_error", _quoted(str(read.answer))))
    elif read.answer.confidence is not None:
        facts.append(f"x_conf {_percent(read.answer.confidence)}")
    line = add(area, "span", None, **{"class": "ocr_line", "id": f"line_{name}", "dir": "ltr"})
    line.set("title", "; ".join(facts))
    for index, word in enumerate(words_of(read), 1):
        title = _word(word, read.region.box)
        add(line, "span", word.text, **{"class": "ocrx_word", "id": f"word_{name}_{index}", "title": title})


def _word(word: Word, box: Box) -> str:
    """A box and a confidence for each glyph, whatever the number of its code points."""
    boxes = (f"{glyph.left} {box.top} {glyph.right} {box.bottom}" for glyph in word.glyphs)
    confidences = (_percent(glyph.confidence) for glyph in word.glyphs)
    own = Box(word.left, box.top, word.right, box.bottom)
    listed = f"x_confs {' '.join(confidences)}; x_bboxes {' '.join(boxes)}"
    return f"{_bbox(own)}; x_wconf {_percent(word.confidence)}; {listed}"


def _percent(confidence: int) -> str:
    """0 ... 10000 as 0.00 ... 100.00."""
    return f"{confidence // 100}.{confidence % 100:02d}"


def _bbox(box: Box) -> str:
    return f"bbox {box.left} {box.top} {box.right} {box.bottom}"


def _quoted(text: str) -> str:
    """A string of hOCR's property grammar, in which a backslash escapes."""
    return '"' + clean(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _property(name: str, value: str) -> str:
    return f"{name} {value}"
