# SPDX-License-Identifier: Apache-2.0
"""XML in and out: a parser that trusts nobody, and elements that keep the prefixes they came with.

Names are kept as they are written (``pc:TextLine``, ``xmlns:pc``), so that a document that is filled with texts comes
back with its own prefixes. A document type declaration is refused where it begins: without one there are no entities
to multiply or to fetch.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from xml.parsers import expat

from zeile.errors import BadDocument, BadSettings

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True, kw_only=True)
class DocumentLimits:
    """What is accepted as a document of line regions, each at most.

    Attributes:
        bytes: size of the file.
        elements: of XML, comments included; one takes some 500 bytes of memory.
        depth: of elements in elements.
        lines: of the page.
        points: of a line's polygon.
        coverage: area of all lines' boxes, in areas of the page.

    Raises:
        BadSettings: a limit is below 1, or ``depth`` above 200, which Python's serialiser could not follow.
    """

    bytes: int = 32 << 20
    elements: int = 400_000
    depth: int = 100
    lines: int = 4_000
    points: int = 2_000
    coverage: int = 4

    def __post_init__(self) -> None:
        for name in ("bytes", "elements", "depth", "lines", "points", "coverage"):
            value, highest = getattr(self, name), 200 if name == "depth" else 1 << 31
            if not 1 <= value <= highest:
                raise BadSettings(f"the document limit on {name} is {value}, allowed are 1 to {highest}")


DEFAULT_LIMITS = DocumentLimits()


class _Tree:
    """Expat's handlers; they build elements and keep the limits."""

    def __init__(self, limits: DocumentLimits) -> None:
        self.limits, self.elements, self.open = limits, 0, [ET.Element("document")]

    def doctype(self, name: str, *_: object) -> None:
        raise BadDocument(
            f"the document declares a type (<!DOCTYPE {name[:40]} ...>), which is refused because entities could hide "
            "in it; delete the declaration, neither ALTO nor PAGE needs one"
        )

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self.open) > self.limits.depth:
            raise BadDocument(f"the document nests elements more than {self.limits.depth} deep, which is the limit")
        element = ET.Element(tag, attributes)
        self._add(element)
        self.open.append(element)

    def end(self, _: str) -> None:
        self.open.pop()

    def comment(self, text: str) -> None:
        if len(self.open) > 1:
            self._add(ET.Comment(text))  # type: ignore[arg-type]  # a comment's tag is a function

    def text(self, text: str) -> None:
        parent = self.open[-1]
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + text
        else:
            parent.text = (parent.text or "") + text

    def _add(self, element: ET.Element) -> None:
        self.elements += 1
        if self.elements > self.limits.elements:
            raise BadDocument(f"the document has more than {self.limits.elements} elements, which is the limit")
        self.open[-1].append(element)


def parse(data: bytes, limits: DocumentLimits) -> ET.Element:
    """The root of a document; comments inside it are kept, whatever stands before and after it is not.

    Raises:
        BadDocument: not well-formed XML, beyond a limit, or with a document type declaration.
    """
    tree = _Tree(limits)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = tree.doctype
    parser.StartElementHandler, parser.EndElementHandler = tree.start, tree.end
    parser.CharacterDataHandler, parser.CommentHandler = tree.text, tree.comment
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two: encodings that Python does not know
        raise BadDocument(f"the document is not well-formed XML: {error}") from None
    return tree.open[0][0]


def local(element: ET.Element) -> str:
    """Name without the prefix; empty for a comment."""
    return element.tag.rpartition(":")[2] if isinstance(element.tag, str) else ""


def prefix(root: ET.Element) -> str:
    """The root's prefix with its colon, or nothing."""
    name, colon, _ = str(root.tag).rpartition(":")
    return name + colon


def namespace(root: ET.Element) -> str:
    """The root's namespace; empty if it has none."""
    name = prefix(root)[:-1]
    return root.get(f"xmlns:{name}" if name else "xmlns", "")


def children(element: ET.Element, *names: str) -> list[ET.Element]:
    """Children of these names, whatever their prefix."""
    return [child for child in element if local(child) in names]


def descendants(element: ET.Element, name: str) -> Iterator[ET.Element]:
    """The element and all in it that have this name, whatever their prefix, in document order."""
    return (each for each in element.iter() if local(each) == name)


def add(parent: ET.Element, tag: str, text: str | None = None, /, **attributes: str | None) -> ET.Element:
    """Append an element; attributes that are None are left out."""
    child = ET.SubElement(parent, tag, {name: value for name, value in attributes.items() if value is not None})
    child.text = text
    return child


def serialise(root: ET.Element) -> bytes:
    """The document, UTF-8."""
    return (HEAD + ET.tostring(root, encoding="unicode") + "\n").encode()
