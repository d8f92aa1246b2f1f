# SPDX-License-Identifier: Apache-2.0
"""What a model's manifest.json may say: keys, types, names and bounds, checked first."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from zeile.errors import BadManifest

FORMAT, FORMAT_VERSION = "zeile-model", 1
MANIFEST, WEIGHTS = "manifest.json", "weights.npz"

MAX_FILES = 256

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,2}")
_FILE = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._-]{0,99}/){0,3}[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

_KEYS: dict[str, type] = {
    "format": str,
    "format_version": int,
    "name": str,
    "version": str,
    "description": str,
    "license": str,
    "network": dict,
    "alphabet": dict,
    "text": dict,
    "training": dict,
    "evaluation": dict,
    "files": dict,
}
NETWORK_KEYS: dict[str, type] = {
    "height_px": int,
    "columns_per_frame": int,
    "pixel_bits": int,
    "layers": list,
}
STRETCH = "stretch_percent"
"""A key of network that may be missing, which means 100."""

ALPHABET_KEYS: dict[str, type] = {"characters": list, "blank": int, "readings": dict}
_TEXT_KEYS: dict[str, type] = {"normalisation": str}
_TRAINING_KEYS: dict[str, type] = {
    "data": list,
    "command": str,
    "code_version": str,
    "seed": int,
    "lines_seen": int,
}
_DATA_KEYS: dict[str, type] = {"name": str, "license": str, "source": str, "lines": int}


def parse(data: bytes) -> dict[str, Any]:
    """The manifest, with keys and types checked; layers and alphabet are checked where they are built."""
    manifest = parse_json(data, MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BadManifest(f'{MANIFEST} does not say "format": "{FORMAT}"; this is no model folder')
    if manifest.get("format_version") != FORMAT_VERSION:
        raise BadManifest(
            f"{MANIFEST} is of format_version {manifest.get('format_version')!r}, this Zeile reads "
            f"{FORMAT_VERSION}; install a Zeile that is as new as the model"
        )
    check(manifest, _KEYS, MANIFEST)
    for key, pattern in (("name", NAME), ("version", VERSION)):
        if not pattern.fullmatch(manifest[key]):
            raise BadManifest(f"{MANIFEST}: {key} is {manifest[key]!r}, it must match {pattern.pattern}")
    for key in ("description", "license"):
        printable(manifest[key], f"{MANIFEST}: {key}")
    check(manifest["text"], _TEXT_KEYS, "text")
    check(manifest["training"], _TRAINING_KEYS, "training", more=True)
    for index, entry in enumerate(manifest["training"]["data"]):
        check(entry, _DATA_KEYS, f"training.data[{index}]", more=True)
    for split, sets in manifest["evaluation"].items():
        if not isinstance(sets, dict) or not all(isinstance(figures, dict) for figures in sets.values()):
            raise BadManifest(f"evaluation.{split} is not an object of sets, each an object of figures")
    _check_files(manifest["files"])
    return manifest


def parse_json(data: bytes, where: str) -> Any:
    """JSON of a file that may come from anywhere: no key twice, no NaN.

    Raises:
        BadManifest: it is not.
    """
    try:
        return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadManifest(f"{where} is not JSON: {error}") from None


def _check_files(files: Mapping[str, Any]) -> None:
    if WEIGHTS not in files or MANIFEST in files or len(files) > MAX_FILES:
        raise BadManifest(f"files must name {WEIGHTS}, not {MANIFEST}, and at most {MAX_FILES} files")
    for name, digest in files.items():
        if not _FILE.fullmatch(name):
            raise BadManifest(f"files: {name!r} is no plain relative path of letters, digits, '.', '_' and '-'")
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise BadManifest(f"files: {name!r} has SHA-256 {digest!r}, which is not 64 lower-case hex digits")


def check(entry: Any, keys: Mapping[str, type], where: str, *, more: bool = False) -> None:
    """Exactly these keys (or, with ``more``, at least), each of its type; a bool is no int."""
    if not isinstance(entry, dict):
        raise BadManifest(f"{where} is {entry!r}, not an object")
    if missing := sorted(set(keys) - set(entry)):
        raise BadManifest(f"{where} lacks {_list(missing)}")
    if not more and (unknown := sorted(set(entry) - set(keys))):
        raise BadManifest(f"{where} has the unknown key {_list(unknown)}; known are {_list(sorted(keys))}")
    for key, wanted in keys.items():
        if type(entry[key]) is not wanted:
            found = type(entry[key]).__name__
            raise BadManifest(f"{where}: {key} is a {found}, it must be a {wanted.__name__}")


def _list(keys: Sequence[str]) -> str:
    return ", ".join(repr(key) for key in keys)


def printable(text: str, where: str) -> None:
    """Control characters could move a reader's cursor; lone surrogates could not be written out."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise BadManifest(f"{where} is {text!r}, with a control character or a lone surrogate")


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) != len(pairs):
        raise ValueError(f"a key occurs twice in {_list([key for key, _ in pairs][:20])}")
    return entry


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
