# SPDX-License-Identifier: Apache-2.0
"""PAGE XML (2019-07-15): lines, words and glyphs with outlines and confidences; one image a document.

Source: https://github.com/PRImA-Research-Lab/PAGE-XML, pagecontent.xsd of 2019-07-15; the processing step as OCR-D
writes it, https://ocr-d.de/en/spec/page
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from zeile.errors import BadSettings
from zeile.formats.alto import Style, points
from zeile.formats.markup import add, serialise
from zeile.formats.page import Box, Page, Provenance, ReadLine, around, fraction
from zeile.formats.words import Word, clean, words_of
from zeile.pipeline import Line

NAMESPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"
UNKNOWN_TIME = "1970-01-01T00:00:00Z"
"""The schema asks for a time; this one stands for none."""


def write(pages: Sequence[Page], provenance: Provenance) -> bytes:
    """A document of the one page that there is.

    Raises:
        BadSettings: there are several.
        ZeileError: the page's own error, if its image could not be decoded: the schema asks for its size.
    """
    if len(pages) != 1:
        raise BadSettings(
            f"a PAGE document describes one image, {len(pages)} were given; read each alone, or write ALTO or hOCR"
        )
    page = pages[0]
    if page.error:
        raise page.error
    root = ET.Element("PcGts", {"xmlns": NAMESPACE, "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance"})
    root.set("xsi:schemaLocation", f"{NAMESPACE} {NAMESPACE}/pagecontent.xsd")
    metadata = add(root, "Metadata")
    add(metadata, "Creator", f"zeile {provenance.software}")
    add(metadata, "Created", provenance.utc or UNKNOWN_TIME)
    add(metadata, "LastChange", provenance.utc or UNKNOWN_TIME)
    processing(metadata, provenance, "", page)
    element = add(root, "Page", imageFilename=clean(page.file))
    element.attrib |= {"imageWidth": str(page.width), "imageHeight": str(page.height)}
    element.attrib |= {"readingDirection": "left-to-right", "textLineOrder": "top-to-bottom"}
    if page.lines:
        region = add(element, "TextRegion", id="region_1")
        _coords(region, around([read.region.box for read in page.lines]), "")
        for index, read in enumerate(page.lines, 1):
            _line(region, read, f"line_{index}")
        region.append(region_text([read.answer for read in page.lines], ""))
    ET.indent(root, " ")
    return serialise(root)


def processing(metadata: ET.Element, provenance: Provenance, prefix: str, page: Page | None = None) -> None:
    """Append the MetadataItem of what read the text."""
    step = {"type": "processingStep", "name": "recognition/text-recognition", "value": "zeile", "date": provenance.utc}
    labels = add(add(metadata, f"{prefix}MetadataItem", None, **step), f"{prefix}Labels", externalModel="zeile")
    labels.set("externalId", "provenance")
    for name, value in provenance.facts(page):
        add(labels, f"{prefix}Label", type=clean(name), value=clean(value))


def _line(region: ET.Element, read: ReadLine, name: str) -> None:
    line = add(region, "TextLine", id=name, readingDirection="left-to-right")
    if read.region.polygon:
        add(line, "Coords", points=points(read.region.polygon))
    else:
        _coords(line, read.region.box, "")
    if isinstance(read.answer, Exception):
        line.set("comments", clean(f"error: {read.answer}"))
    line.extend(contents(read, name, Style()))


def contents(read: ReadLine, name: str, style: Style) -> list[ET.Element]:
    """Word elements of a line and its TextEquiv; nothing of one that could not be read."""
    if not isinstance(read.answer, Line):
        return []
    elements = []
    for index, word in enumerate(words_of(read), 1):
        element = ET.Element(f"{style.prefix}Word", {"id": style.identify(f"{name}_word_{index}")})
        _coords(element, Box(word.left, read.region.box.top, word.right, read.region.box.bottom), style.prefix)
        _glyphs(element, word, read.region.box, style)
        element.append(_text(word.text, word.confidence, style.prefix))
        elements.append(element)
    return [*elements, _text(clean(read.answer.text), read.answer.confidence, style.prefix)]


def _glyphs(element: ET.Element, word: Word, box: Box, style: Style) -> None:
    for number, glyph in enumerate(word.glyphs, 1):
        own = add(element, f"{style.prefix}Glyph", id=style.identify(f"{element.get('id')}_glyph_{number}"))
        _coords(own, Box(glyph.left, box.top, glyph.right, box.bottom), style.prefix)
        own.append(_text(glyph.text, glyph.confidence, style.prefix))


def region_text(answers: Sequence[object], prefix: str) -> ET.Element:
    """The TextEquiv of a region: its lines' texts, one a row."""
    return _text("\n".join(clean(a.text) if isinstance(a, Line) else "" for a in answers), None, prefix)


def _text(text: str, confidence: int | None, prefix: str) -> ET.Element:
    element = ET.Element(f"{prefix}TextEquiv", {} if confidence is None else {"conf": fraction(confidence)})
    add(element, f"{prefix}Unicode", text)
    return element


def _coords(parent: ET.Element, box: Box, prefix: str) -> None:
    """A box by its corner pixels, which belong to it; an empty one has the pixel at its corner."""
    right, bottom = max(box.left, box.right - 1), max(box.top, box.bottom - 1)
    corners = [(box.left, box.top), (right, box.top), (right, bottom), (box.left, bottom)]
    add(parent, f"{prefix}Coords", points=points(corners))
