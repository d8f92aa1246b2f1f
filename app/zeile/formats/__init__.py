# SPDX-License-Identifier: Apache-2.0
"""Formats of what was read, and line regions of whole pages.

    lines = [line_page(file, (width, height), line), ...]      images of single lines, or
    regions = read_regions(document, size) or segment(grey)     where the lines of a page stand
    page = Page(file=..., lines=(ReadLine(region, line), ...))  what cut_lines' images say
    write("alto", [page], provenance)                           bytes; MEDIA_TYPES["alto"]
    fill(document, page, provenance)                            the ALTO or PAGE document, with texts

Everything here is a pure function of its arguments, in integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from zeile.errors import BadSettings
from zeile.formats import alto, hocr, page_xml, plain
from zeile.formats.cut import cut_lines
from zeile.formats.fill import fill
from zeile.formats.markup import DEFAULT_LIMITS, DocumentLimits
from zeile.formats.page import Answer, Box, Page, Provenance, ReadLine, Region, line_page
from zeile.formats.regions import kind_of, read_regions
from zeile.formats.segment import segment

__all__ = [
    "DEFAULT_LIMITS",
    "MEDIA_TYPES",
    "Answer",
    "Box",
    "DocumentLimits",
    "Page",
    "Provenance",
    "ReadLine",
    "Region",
    "cut_lines",
    "fill",
    "kind_of",
    "line_page",
    "read_regions",
    "segment",
    "write",
]

MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "text": "text/plain; charset=utf-8",
        "tsv": "text/tab-separated-values; charset=utf-8",
        "json": "application/json",
        "hocr": "text/vnd.hocr+html; charset=utf-8",
        "alto": "application/alto+xml",
        "page": "application/vnd.prima.page+xml",
    }
)
"""Kinds that ``write`` knows, and their media types."""

_PLAIN = {"text": plain.text, "tsv": plain.tsv, "json": plain.json_array}
_MARKUP = {"hocr": hocr.write, "alto": alto.write, "page": page_xml.write}


def write(kind: str, pages: Sequence[Page], provenance: Provenance) -> bytes:
    """What was read, as a file of one of the kinds in MEDIA_TYPES.

    Args:
        kind: text, tsv, json, hocr, alto or page.
        pages: pages, or images of lines made by ``line_page``; not both in one file.
        provenance: written into hOCR, ALTO and PAGE.

    Raises:
        BadSettings: another kind; PAGE of several images.
        ZeileError: PAGE of an image that could not be decoded; its own error.
    """
    if kind in _PLAIN:
        return "".join(_PLAIN[kind](pages)).encode(errors="backslashreplace")
    if kind not in _MARKUP:
        raise BadSettings(f"the format {kind!r} is not written; choose one of {', '.join(MEDIA_TYPES)}")
    return _MARKUP[kind](pages, provenance)
