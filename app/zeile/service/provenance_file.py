# SPDX-License-Identifier: Apache-2.0
"""Provenance read back from a file that may come from anywhere: nothing of it is used before it was looked at."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zeile.errors import BadData, BadManifest
from zeile.formats import Box, Region
from zeile.schema import NAME, VERSION, check, parse_json
from zeile.service.provenance import FORMAT, FORMAT_VERSION

MAX_BYTES = 256 << 20
MAX_BEAM = 1000

_KEYS: dict[str, type] = {
    "inputs": list,
    "frames": list,
    "outputs": list,
    "model": dict,
    "options": dict,
    "engines": list,
    "software": dict,
    "decoder": dict,
}
_MODEL_KEYS: dict[str, type] = {"name": str, "version": str, "sha256": str, "alphabet_sha256": str}
_OPTION_KEYS: dict[str, type] = {"reading": str, "beam": int, "alternatives": int}
_PAGE_KEYS: dict[str, type] = {"sha256": str, "regions": list}


def recorded(name: str) -> dict[str, Any]:
    """The provenance in a file.

    Raises:
        BadData: there is none.
    """
    try:
        with sys.stdin.buffer if name == "-" else Path(name).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadData(f"{name}: cannot be read ({error.strerror}); name the JSON of an answer") from None
    if len(data) > MAX_BYTES:
        raise BadData(f"{name}: has more than {MAX_BYTES} bytes; name the JSON of an answer")
    try:
        entry = parse_json(data, name)
    except BadManifest as error:
        raise BadData(f"{error}; for a line of an audit log, see zeile audit show") from None
    if isinstance(entry, dict) and isinstance(entry.get("provenance"), dict):
        entry = entry["provenance"]
    if not isinstance(entry, dict) or entry.get("format") != FORMAT:
        raise BadData(f"{name}: holds no provenance; give the JSON of an answer, or a record of the audit log")
    if entry.get("format_version") != FORMAT_VERSION:
        version = entry.get("format_version")
        raise BadData(f"{name}: is of format_version {version!r}, this Zeile reads {FORMAT_VERSION}; use a newer one")
    try:
        _sound(entry)
    except (BadManifest, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise BadData(f"{name}: its provenance is damaged: {error}") from None
    return entry


def _sound(entry: Mapping[str, Any]) -> None:
    """Refuse, with an error of Python's, what is used of it and is not as it is written."""
    check(entry, _KEYS, "provenance", more=True)
    check(entry["model"], _MODEL_KEYS, "model", more=True)
    check(entry["options"], _OPTION_KEYS, "options", more=True)
    for name, pattern in (("name", NAME), ("version", VERSION)):  # a record must not lead out of the folder of models
        if not pattern.fullmatch(entry["model"][name]):
            raise ValueError(f"model.{name} is {entry['model'][name]!r}, it must match {pattern.pattern}")
    for name in ("beam", "alternatives"):
        if not 0 <= entry["options"][name] <= MAX_BEAM:
            raise ValueError(f"options.{name} is {entry['options'][name]}, it must be 0 to {MAX_BEAM}")
    if not all(isinstance(engine, dict) for engine in entry["engines"]):
        raise TypeError("engines is no list of objects")
    inputs, frames, outputs = (entry[name] for name in ("inputs", "frames", "outputs"))
    if not all(isinstance(digest, str | None) for digest in (*inputs, *frames, *outputs)):
        raise TypeError("inputs, frames or outputs is no list of hashes")
    if not len(inputs) == len(frames) == len(outputs):
        raise ValueError(f"there are {len(inputs)} inputs, {len(frames)} frames and {len(outputs)} outputs")
    page = entry["page"]
    if page is not None:
        check(page, _PAGE_KEYS, "page")
        if len(regions_of(page)) != len(inputs):
            raise ValueError(f"there are {len(page['regions'])} regions and {len(inputs)} inputs")


def regions_of(page: Mapping[str, Any]) -> list[Region]:
    """Where the lines of a page stand."""
    return [
        Region(str(r["id"]), Box(*map(int, r["box"])), tuple((int(x), int(y)) for x, y in r["polygon"]))
        for r in page["regions"]
    ]
