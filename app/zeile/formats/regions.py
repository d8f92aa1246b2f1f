# SPDX-License-Identifier: Apache-2.0
"""Where the lines of a page stand, from ALTO (2 to 4), PAGE XML (any version) or JSON.

The JSON, of which only ``lines`` and in each line one of ``box`` and ``polygon`` must be there:

    {"width": 1200, "height": 1800,
     "lines": [{"id": "a", "box": [left, top, right, bottom]},
               {"id": "b", "polygon": [[x, y], [x, y], [x, y]]}]}

Whole pixels of the image; right and bottom lie behind the last pixel, points of a polygon on its last pixels. What
``zeile read --page --format json`` or the service's /v1/pages writes is such a document too. Unknown names are refused.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from zeile.errors import BadDocument
from zeile.formats.alto import Units
from zeile.formats.markup import DEFAULT_LIMITS, DocumentLimits, children, descendants, local, namespace, parse, prefix
from zeile.formats.page import Box, Point, Region

_ALTO = re.compile(r"http://www\.loc\.gov/standards/alto/ns-v([234])#")
_PAGE = re.compile(r"http://schema\.primaresearch\.org/PAGE/gts/pagecontent/(\d{4}-\d\d-\d\d)")
_NUMBER = re.compile(r"([+-]?)0*(\d{1,9})(?:\.(\d{0,6})\d*)?")
_ANSWER_NAMES = {"segmented", "model", "engine", "time_ms", "provenance", "audit"}  # of the service
_PAGE_NAMES = {"file", "width", "height", "lines"} | _ANSWER_NAMES
_LINE_NAMES = {"id", "box", "polygon", "text", "confidence", "characters", "alternatives", "error"}
_COORDINATE = 10**9


@dataclass(frozen=True, slots=True)
class Markup:
    """A parsed document.

    Attributes:
        kind: alto or page.
        version: ALTO's major version, or PAGE's date.
        root: its root.
        page: its only page.
        units: that it measures in, in a pixel.
    """

    kind: str
    version: str
    root: ET.Element
    page: ET.Element
    units: Units

    def lines(self) -> Iterator[ET.Element]:
        """TextLine elements in document order."""
        return descendants(self.page, "TextLine")


def kind_of(data: bytes) -> str:
    """``xml`` or ``json``, by the first byte that is no blank."""
    start = data[:64].lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")
    return "xml" if start.startswith(b"<") else "json"


def read_regions(
    data: bytes, size: tuple[int, int], limits: DocumentLimits = DEFAULT_LIMITS
) -> tuple[str, list[Region]]:
    """The kind of a document (alto, page or json) and its lines' regions, in document order.

    Args:
        data: the document.
        size: width and height of the image that it describes, pixels.
        limits: see DocumentLimits.

    Raises:
        BadDocument: of no known format, damaged, beyond a limit, or of an image of another size.
    """
    check_bytes(data, limits)
    if kind_of(data) == "json":
        return "json", _within(list(_json_lines(data, size, limits)), size, limits)
    document = parse_markup(data, size, limits)
    read = _alto_line if document.kind == "alto" else _page_line
    lines = []
    for number, line in enumerate(document.lines(), 1):
        if number > limits.lines:
            raise _too_many(limits)
        lines.append(read(line, document.units, f"line {number}", limits))
    return document.kind, _within(lines, size, limits)


def check_bytes(data: bytes, limits: DocumentLimits) -> None:
    """Refuse a document that is too long."""
    if len(data) > limits.bytes:
        raise BadDocument(f"the document has {len(data)} bytes, at most {limits.bytes} are allowed; split the page")


def parse_markup(data: bytes, size: tuple[int, int], limits: DocumentLimits) -> Markup:
    """Parse ALTO or PAGE and find its only page.

    Raises:
        BadDocument: see ``read_regions``.
    """
    root = parse(data, limits)
    name, space = local(root), namespace(root)
    found = _ALTO.fullmatch(space) if name == "alto" else _PAGE.fullmatch(space) if name == "PcGts" else None
    if found is None:
        raise BadDocument(
            f"the root is <{prefix(root)}{name[:40]}> of namespace {space[:80]!r}; ALTO 2 to 4 and PAGE XML are read"
        )
    if name == "PcGts":
        page = _only(children(root, "Page"))
        _check_size(page.get("imageWidth"), page.get("imageHeight"), size)
        return Markup("page", found[1], root, page, Units())
    page = _only([page for layout in children(root, "Layout") for page in children(layout, "Page")])
    return Markup("alto", found[1], root, page, _alto_units(root, page, size))


def _only(pages: Sequence[ET.Element]) -> ET.Element:
    if len(pages) != 1:
        raise BadDocument(f"the document has {len(pages)} pages, exactly one can be read with an image; split it")
    return pages[0]


def _alto_units(root: ET.Element, page: ET.Element, size: tuple[int, int]) -> Units:
    unit = next((each.text or "" for each in descendants(root, "MeasurementUnit")), "pixel").strip()
    if unit == "pixel":
        _check_size(page.get("WIDTH"), page.get("HEIGHT"), size)
        return Units()
    if unit not in ("mm10", "inch1200"):
        raise BadDocument(f"the document measures in {unit[:40]!r}; pixel, mm10 and inch1200 are read")
    width, height = (_number(page.get(name), f"the page's {name}") for name in ("WIDTH", "HEIGHT"))
    if width <= 0 or height <= 0:
        raise BadDocument(f"the document measures in {unit}, but its page has no WIDTH and HEIGHT to scale by")
    return Units(width / size[0], height / size[1])


def _check_size(width: str | None, height: str | None, size: tuple[int, int]) -> None:
    if width is None or height is None:
        return
    described = (_number(width, "the page's width"), _number(height, "the page's height"))
    if described != (Fraction(size[0]), Fraction(size[1])):
        raise BadDocument(
            f"the document describes an image of {width[:12]} x {height[:12]} pixels, this one has "
            f"{size[0]} x {size[1]}; give the image that it was made for"
        )


def _number(text: str | None, what: str) -> Fraction:
    found = _NUMBER.fullmatch((text or "").strip())
    if found is None:
        shown = "missing" if text is None else repr(text[:40])
        raise BadDocument(f"{what} is {shown}; it must be a number below {_COORDINATE}")
    sign, whole, part = found[1], found[2], found[3] or ""
    return Fraction(int(sign + whole + part), 10 ** len(part))


def _alto_line(line: ET.Element, units: Units, what: str, limits: DocumentLimits) -> Region:
    name = line.get("ID", "")
    for shape in children(line, "Shape"):
        for polygon in children(shape, "Polygon"):
            return _outlined(name, _points(polygon.get("POINTS"), units, what, limits))
    left, top, width, height = (_number(line.get(n), f"{n} of {what}") for n in ("HPOS", "VPOS", "WIDTH", "HEIGHT"))
    left, right, top, bottom = left / units.x, (left + width) / units.x, top / units.y, (top + height) / units.y
    return Region(name, Box(int(left // 1), int(top // 1), int(-(-right // 1)), int(-(-bottom // 1))))


def _page_line(line: ET.Element, units: Units, what: str, limits: DocumentLimits) -> Region:
    found = next(iter(children(line, "Coords")), None)
    if found is None:
        raise BadDocument(f"{what} has no Coords")
    text = found.get("points")
    if text is None:  # before 2013 points were elements
        text = " ".join(f"{point.get('x')},{point.get('y')}" for point in children(found, "Point"))
    return _outlined(line.get("id", ""), _points(text, units, what, limits))


def _points(text: str | None, units: Units, what: str, limits: DocumentLimits) -> list[Point]:
    """Points of PAGE (x,y x,y) or ALTO (also x y x y), in pixels, rounded down."""
    values = (text or "").replace(",", " ").split(maxsplit=2 * limits.points + 1)
    if len(values) < 4 or len(values) % 2 or len(values) > 2 * limits.points:
        raise BadDocument(f"the outline of {what} must be 2 to {limits.points} points, x,y each")
    numbers = [_number(value, f"a coordinate of {what}") for value in values]
    return [(int(x // units.x), int(y // units.y)) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]


def _outlined(name: str, points: Sequence[Point]) -> Region:
    """A region with an outline, or without one if the outline is its box."""
    columns, rows = zip(*points, strict=True)
    box = Box(min(columns), min(rows), max(columns) + 1, max(rows) + 1)
    corners = {(x, y) for x in (box.left, box.right - 1) for y in (box.top, box.bottom - 1)}
    steps = zip(points, [*points[1:], points[0]], strict=True)
    straight = all(a[0] == b[0] or a[1] == b[1] for a, b in steps)
    plain = (set(points) == corners and straight) or len(points) == 2
    return Region(name, box, () if plain else tuple(points))


def _within(lines: list[Region], size: tuple[int, int], limits: DocumentLimits) -> list[Region]:
    """The regions, clipped to the image, if they do not cover it too many times."""
    width, height = size
    clipped = [
        Region(r.id, r.box.clipped(width, height), tuple((_held(x, width), _held(y, height)) for x, y in r.polygon))
        for r in lines
    ]
    area = sum(region.box.width * region.box.height for region in clipped)
    if area > limits.coverage * width * height:
        raise BadDocument(
            f"the lines' boxes cover {area} pixels, more than {limits.coverage} times the page of {width} x {height}; "
            "give regions of lines, not of blocks"
        )
    return clipped


def _held(value: int, size: int) -> int:
    return min(max(value, 0), size - 1)


def _too_many(limits: DocumentLimits) -> BadDocument:
    return BadDocument(f"the document has more than {limits.lines} lines, which is the limit; split the page")


def _json_lines(data: bytes, size: tuple[int, int], limits: DocumentLimits) -> Iterator[Region]:
    objects, values = limits.elements // 4, 2 * limits.elements
    if data.count(b"{") > objects or data.count(b",") + data.count(b"[") > values:  # parsing would take long already
        raise BadDocument(f"the JSON has more than {objects} objects or {values} values; leave the characters out")
    try:
        page = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadDocument(f"the document is neither XML nor well-formed JSON: {error}") from None
    if isinstance(page, list) and len(page) == 1:  # as zeile read writes it
        page = page[0]
    if not isinstance(page, dict) or not isinstance(page.get("lines"), list):
        raise BadDocument('the JSON must be an object with "lines", an array of objects with "box" or "polygon" each')
    _known(page, _PAGE_NAMES, "the JSON")
    if len(page["lines"]) > limits.lines:
        raise _too_many(limits)
    if "width" in page or "height" in page:
        _check_size(str(page.get("width")), str(page.get("height")), size)
    for number, line in enumerate(page["lines"], 1):
        yield _json_line(line, f"line {number}", limits)


def _known(entry: dict[str, Any], names: set[str], what: str) -> None:
    if unknown := sorted(set(entry) - names):
        raise BadDocument(f"{what} has an unknown name {unknown[0][:40]!r}; known are {', '.join(sorted(names))}")


def _json_line(line: object, what: str, limits: DocumentLimits) -> Region:
    if not isinstance(line, dict):
        raise BadDocument(f"{what} is no object")
    _known(line, _LINE_NAMES, what)
    name, polygon, box = line.get("id", ""), line.get("polygon"), line.get("box")
    if not isinstance(name, str) or len(name) > 200:
        raise BadDocument(f"the id of {what} must be a string of at most 200 characters")
    if polygon is not None:
        if not isinstance(polygon, list) or not 2 <= len(polygon) <= limits.points:
            raise BadDocument(f"the polygon of {what} must be an array of 2 to {limits.points} points")
        points = [_whole(point, 2, f"a point of {what}") for point in polygon]
        return _outlined(name, [(x, y) for x, y in points])
    left, top, right, bottom = _whole(box, 4, f"the box of {what}")
    if left >= right or top >= bottom:
        raise BadDocument(f"the box of {what} is {[left, top, right, bottom]}; left < right and top < bottom must hold")
    return Region(name, Box(left, top, right, bottom))


def _whole(values: object, count: int, what: str) -> list[int]:
    if not isinstance(values, list) or len(values) != count:
        raise BadDocument(f"{what} must be an array of {count} numbers")
    if not all(type(value) is int and abs(value) < _COORDINATE for value in values):
        raise BadDocument(f"{what} must be whole numbers of pixels below {_COORDINATE}")
    return values
