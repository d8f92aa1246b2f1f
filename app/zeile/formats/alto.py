# SPDX-License-Identifier: Apache-2.0
"""ALTO 4.4: pages, lines, strings and glyphs with boxes and confidences.

A glyph's CONTENT is one code point by the schema, so that a character of several gives several glyphs of one box.

Source: https://www.loc.gov/standards/alto/, alto-4-4.xsd
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from zeile.formats.markup import add, serialise
from zeile.formats.page import Box, Page, Point, Provenance, ReadLine, around, fraction
from zeile.formats.words import Word, clean, words_of

NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"
SCHEMA = "http://www.loc.gov/standards/alto/v4/alto-4-4.xsd"

Identify = Callable[[str], str]
"""Gives an XML ID that the document has not, close to the one asked for."""


@dataclass(frozen=True, slots=True)
class Units:
    """The document's units in a pixel, across and down: 1 where it measures in pixels."""

    x: Fraction = Fraction(1)
    y: Fraction = Fraction(1)

    def place(self, box: Box) -> dict[str, str]:
        """A box as ALTO's four attributes."""
        return {
            "HPOS": _decimal(box.left * self.x),
            "VPOS": _decimal(box.top * self.y),
            "WIDTH": _decimal(box.width * self.x),
            "HEIGHT": _decimal(box.height * self.y),
        }


def _decimal(value: Fraction) -> str:
    """A number of at most two decimals, rounding half up."""
    hundredths = (value.numerator * 200 + value.denominator) // (2 * value.denominator)
    whole, part = divmod(hundredths, 100)
    return f"{whole}.{part:02d}" if part else str(whole)


@dataclass(frozen=True, slots=True)
class Style:
    """How a document wants its strings.

    Attributes:
        prefix: of its elements, with the colon.
        units: that it measures in.
        glyphs: whether it has Glyph elements, ALTO 4.
        identify: see Identify.
    """

    prefix: str = ""
    units: Units = Units()
    glyphs: bool = True
    identify: Identify = str


def write(pages: Sequence[Page], provenance: Provenance) -> bytes:
    """A document with a Page for each page or line image."""
    root = ET.Element("alto", {"xmlns": NAMESPACE, "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance"})
    root.set("xsi:schemaLocation", f"{NAMESPACE} {SCHEMA}")
    root.set("SCHEMAVERSION", "4.4")
    description = add(root, "Description")
    add(description, "MeasurementUnit", "pixel")
    source = add(description, "sourceImageInformation")
    if len(pages) == 1:
        add(source, "fileName", clean(pages[0].file))
    for number, page in enumerate(pages, 1):
        if len(pages) > 1:
            add(source, "fileIdentifier", clean(page.file), fileIdentifierLocation=f"file of page_{number}")
        if page.sha256:
            add(source, "fileIdentifier", page.sha256, fileIdentifierLocation=f"SHA-256 of page_{number}")
    processing(description, provenance, "zeile", "")
    tags = ET.Element("Tags")
    layout = ET.Element("Layout")
    for number, page in enumerate(pages, 1):
        _page(layout, tags, page, number)
    root.extend([tags, layout] if len(tags) else [layout])
    ET.indent(root, " ")
    return serialise(root)


def processing(description: ET.Element, provenance: Provenance, name: str, prefix: str, *, step: bool = True) -> None:
    """Append a Processing, or for ALTO 2 and 3 an OCRProcessing with its step, which says the same."""
    if step:
        parent = add(description, f"{prefix}Processing", ID=name)
        add(parent, f"{prefix}processingCategory", "contentGeneration")
    else:
        parent = add(add(description, f"{prefix}OCRProcessing", ID=name), f"{prefix}ocrProcessingStep")
    if provenance.utc:
        add(parent, f"{prefix}processingDateTime", provenance.utc)
    add(parent, f"{prefix}processingStepDescription", "text recognition")
    settings = "\n".join(f"{name}: {value}" for name, value in provenance.facts())
    add(parent, f"{prefix}processingStepSettings", settings)
    software = add(parent, f"{prefix}processingSoftware")
    add(software, f"{prefix}softwareName", "zeile")
    add(software, f"{prefix}softwareVersion", provenance.software)


def _page(layout: ET.Element, tags: ET.Element, page: Page, number: int) -> None:
    name = f"page_{number}"
    element = add(layout, "Page", ID=name, PHYSICAL_IMG_NR=str(number))
    if page.error:  # the schema has no better place for what is wrong with an image
        element.set("QUALITY_DETAIL", clean(str(page.error)))
        return
    whole = Units().place(Box(0, 0, page.width, page.height))
    element.set("WIDTH", whole["WIDTH"])
    element.set("HEIGHT", whole["HEIGHT"])
    space = add(element, "PrintSpace", None, **whole)
    if not page.lines:
        return
    box = around([read.region.box for read in page.lines])
    block = add(space, "TextBlock", None, ID=f"{name}_block", **Units().place(box))
    for index, read in enumerate(page.lines, 1):
        own = f"{name}_line_{index}"
        line = add(block, "TextLine", None, ID=own, BASEDIRECTION="ltr", **Units().place(read.region.box))
        if isinstance(read.answer, Exception):
            add(tags, "OtherTag", ID=f"{own}_error", TYPE="error", LABEL=clean(str(read.answer)))
            line.set("TAGREFS", f"{own}_error")
        if read.region.polygon:
            add(add(line, "Shape"), "Polygon", POINTS=points(read.region.polygon))
        line.extend(strings(read, own, Style()))


def points(polygon: Sequence[Point]) -> str:
    """A polygon as ALTO and PAGE write it."""
    return " ".join(f"{x},{y}" for x, y in polygon)


def strings(read: ReadLine, name: str, style: Style) -> list[ET.Element]:
    """String and SP elements of a line; one without text has an empty String, for the schema asks for one."""
    box, elements = read.region.box, []
    before: Word | None = None
    for index, word in enumerate(words_of(read), 1):
        if before is not None:
            blank = Box(min(before.right, word.left), box.top, word.left, box.bottom)
            elements.append(ET.Element(f"{style.prefix}SP", style.units.place(blank)))
        own = Box(word.left, box.top, word.right, box.bottom)
        facts = {"ID": style.identify(f"{name}_word_{index}"), "CONTENT": word.text, "WC": fraction(word.confidence)}
        string = ET.Element(f"{style.prefix}String", facts | style.units.place(own))
        if style.glyphs:
            _glyphs(string, word, box, style)
        elements.append(string)
        before = word
    empty = {"CONTENT": "", **style.units.place(box)}
    return elements or [ET.Element(f"{style.prefix}String", empty)]


def _glyphs(string: ET.Element, word: Word, box: Box, style: Style) -> None:
    for glyph in word.glyphs:
        place = style.units.place(Box(glyph.left, box.top, glyph.right, box.bottom))
        for character in glyph.text:
            add(string, f"{style.prefix}Glyph", None, CONTENT=character, GC=fraction(glyph.confidence), **place)
