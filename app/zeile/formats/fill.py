# SPDX-License-Identifier: Apache-2.0
"""The texts go back into the ALTO or PAGE document that the regions came from.

Everything else stays as it is: blocks, reading order, tags, outlines, baselines, prefixes, comments. A line that could
not be read keeps what it had.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable

from zeile.errors import BadDocument
from zeile.formats import alto, page_xml
from zeile.formats.alto import Style
from zeile.formats.markup import DEFAULT_LIMITS, DocumentLimits, add, children, descendants, local, prefix, serialise
from zeile.formats.page import Page, Provenance, ReadLine
from zeile.formats.regions import Markup, check_bytes, parse_markup
from zeile.pipeline import Line

_GENERIC = ("4",)  # ALTO versions with Processing and Glyph
_ITEMS_FROM = "2018-07-15"  # first PAGE version with MetadataItem


def fill(document: bytes, page: Page, provenance: Provenance, limits: DocumentLimits = DEFAULT_LIMITS) -> bytes:
    """The document with the lines' strings (ALTO) or words and text (PAGE) replaced by what was read.

    Args:
        document: ALTO or PAGE, from which ``read_regions`` had the lines.
        page: what was read of them, all of them in their order.
        provenance: appended to the document's description or metadata.
        limits: as for ``read_regions``.

    Raises:
        BadDocument: see ``read_regions``; or the page has another number of lines.
    """
    check_bytes(document, limits)
    markup = parse_markup(document, (page.width, page.height), limits)
    lines = list(markup.lines())
    if len(lines) != len(page.lines):
        raise BadDocument(f"the document has {len(lines)} lines, {len(page.lines)} were read; they must be the same")
    style = Style(
        prefix(markup.root), markup.units, markup.kind == "page" or markup.version in _GENERIC, _identifier(markup.root)
    )
    put = _fill_alto if markup.kind == "alto" else _fill_page
    for number, (line, read) in enumerate(zip(lines, page.lines, strict=True), 1):
        if isinstance(read.answer, Line):
            put(line, read, line.get("ID") or line.get("id") or f"line_{number}", style)
    if markup.kind == "alto":
        _describe_alto(markup, provenance, style)
    else:
        _describe_page(markup, page, provenance, style)
    return serialise(markup.root)


def _identifier(root: ET.Element) -> Callable[[str], str]:
    """Makes names that the document does not have yet."""
    taken = {name for each in root.iter() for name in (each.get("ID"), each.get("id")) if name}

    def identify(wanted: str) -> str:
        number, name = 1, wanted
        while name in taken:
            number, name = number + 1, f"{wanted}_{number}"
        taken.add(name)
        return name

    return identify


def _fill_alto(line: ET.Element, read: ReadLine, name: str, style: Style) -> None:
    for old in children(line, "String", "SP", "HYP"):
        line.remove(old)
    line.extend(alto.strings(read, name, style))


def _fill_page(line: ET.Element, read: ReadLine, name: str, style: Style) -> None:
    for old in children(line, "Word", "TextEquiv"):
        line.remove(old)
    place = _behind(line, "AlternativeImage", "Coords", "Baseline")
    line[place:place] = page_xml.contents(read, name, style)


def _behind(parent: ET.Element, *names: str) -> int:
    """The index behind the last child of these names."""
    return max((index for index, child in enumerate(parent, 1) if local(child) in names), default=0)


def _describe_alto(markup: Markup, provenance: Provenance, style: Style) -> None:
    description = next(descendants(markup.root, "Description"), None)
    if description is None:
        description = ET.Element(f"{style.prefix}Description")
        add(description, f"{style.prefix}MeasurementUnit", "pixel")
        markup.root.insert(0, description)
    generic = markup.version in _GENERIC
    alto.processing(description, provenance, style.identify("zeile"), style.prefix, step=generic)


def _describe_page(markup: Markup, page: Page, provenance: Provenance, style: Style) -> None:
    _refresh_regions(markup, page, style)
    metadata = next(iter(children(markup.root, "Metadata")), None)
    if metadata is None:
        return
    for change in children(metadata, "LastChange"):
        change.text = provenance.utc or change.text
    if markup.version >= _ITEMS_FROM:
        page_xml.processing(metadata, provenance, style.prefix, page)
        return
    comments = next(iter(children(metadata, "Comments")), None)
    if comments is None:
        comments = ET.Element(f"{style.prefix}Comments")
        metadata.insert(_behind(metadata, "Creator", "Created", "LastChange"), comments)
    facts = "; ".join(f"{name}: {value}" for name, value in provenance.facts(page))
    comments.text = "\n".join(filter(None, [comments.text, f"text recognition: {facts}"]))


def _refresh_regions(markup: Markup, page: Page, style: Style) -> None:
    """A region's own text would be out of date; where every line of a region was read, it is their texts."""
    answers = dict(zip(map(id, markup.lines()), (read.answer for read in page.lines), strict=True))
    for region in descendants(markup.page, "TextRegion"):
        own = [answers[id(line)] for line in children(region, "TextLine")]
        if own and all(isinstance(answer, Line) for answer in own):
            for old in children(region, "TextEquiv"):
                region.remove(old)
            region.insert(_behind(region, "TextLine"), page_xml.region_text(own, style.prefix))
