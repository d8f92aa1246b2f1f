# SPDX-License-Identifier: Apache-2.0
"""Rows of a shard's file: what a line says, and what decided it; the same bytes, whoever read it.

    {"index":1,"file":"a/001.png","sha256":"...","key":"...","text":"...","confidence":0.98,"characters":[...]}
    {"index":2,"file":"a/002.png","sha256":"...","key":"...","text":null,...,"error":{"type":"...","detail":"..."}}

``sha256`` is the image file's. ``key`` is the SHA-256 of "sha256 model options" with the model's manifest and the
options as JSON: rows of equal keys say the same, in any job. Neither a time nor the engine's name is in a row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zeile.errors import BadImage, BadJob, ImageTooLarge
from zeile.formats.plain import json_answer
from zeile.pipeline import Line

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_KINDS = ((ImageTooLarge, "image-too-large"), (BadImage, "bad-image"))  # as in zeile.service.problems
_URN = "urn:zeile:problem:"

Answer = Mapping[str, Any]
"""What a line says: ``text``, ``confidence``, ``characters``, and ``error`` where it could not be read."""


@dataclass(frozen=True)
class Facts:
    """Everything besides an image's bytes that decides its row.

    Attributes:
        model: name and version, ``fraktur/1``.
        model_sha256: of its manifest.json.
        reading: of its alphabet; None if it has none.
        beam: width of the beam search; 0 takes the best path.
    """

    model: str
    model_sha256: str
    reading: str | None
    beam: int

    def key(self, sha256: str | None) -> str | None:
        """The key of an image."""
        if sha256 is None:
            return None
        options = _encode({"beam": self.beam, "reading": self.reading})
        return hashlib.sha256(f"{sha256} {self.model_sha256} {options}".encode()).hexdigest()

    def differences(self, other: Facts) -> str:
        """What is another one there; empty if nothing is."""
        here, there = asdict(self), asdict(other)
        return ", ".join(f"{name} {here[name]!r} and not {there[name]!r}" for name in here if here[name] != there[name])


def answer(read: Line | BadImage) -> Answer:
    """What a line says, as the service says it too."""
    if isinstance(read, Line):
        return json_answer(read)
    return unread(next(name for kind, name in _KINDS if isinstance(read, kind)), str(read))


def unread(kind: str, detail: str) -> Answer:
    """Why a line could not be read.

    Args:
        kind: last part of the problem's type, or the whole of it.
        detail: a sentence.
    """
    problem = {"type": _URN + kind.removeprefix(_URN), "detail": detail}
    return {"text": None, "confidence": None, "characters": [], "error": problem}


def encoded(index: int, name: str, sha256: str | None, key: str | None, said: Answer) -> bytes:
    """A row with its line end; characters of a name that are none of Unicode become U+FFFD."""
    head = {"index": index, "file": shown(name), "sha256": sha256, "key": key}
    kept = {part: said[part] for part in ("text", "confidence", "characters", "error") if part in said}
    return _encode(head | kept).encode() + b"\n"


def shown(name: str) -> str:
    """A file's name as text that can be written."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def parsed(data: bytes, first: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a shard's file.

    Args:
        data: of the file.
        first: index of its first row.
        names: of its images.

    Raises:
        BadJob: these are not the rows of these images.
    """
    lines = data.split(b"\n")
    if lines.pop() or len(lines) != len(names):
        raise BadJob(f"has {len(lines)} whole rows of {len(names)}")
    found = []
    for place, (line, name) in enumerate(zip(lines, names, strict=True)):
        try:
            row = json.loads(line)
            wanted = (first + place, shown(name))
            right = (row["index"], row["file"]) == wanted and {"sha256", "key", "text"} <= set(row)
        except (ValueError, KeyError, TypeError):
            right = False
        if not right:
            raise BadJob(f"row {place + 1} is damaged, or of another image than {shown(name)!r}")
        found.append(row)
    return found


def first_difference(ours: bytes, theirs: bytes) -> str:
    """The first row of two files that does not say the same, in words; empty if all do.

    What is wrong with a bad image is said by the decoder, in other words by each version of it: the kind counts.
    """
    if ours == theirs:
        return ""
    for number, (here, there) in enumerate(zip(_judged(ours), _judged(theirs), strict=False), 1):
        if here != there:
            return f"row {number}: {_excerpt(here)} here, {_excerpt(there)} there"
    counts = [data.count(b"\n") for data in (ours, theirs)]
    return "" if counts[0] == counts[1] else f"{counts[0]} rows here, {counts[1]} there"


def _judged(data: bytes) -> Iterable[Any]:
    for line in data.splitlines():
        try:
            row = json.loads(line)
            row.get("error", {}).pop("detail", None)
        except (ValueError, AttributeError):
            row = line
        yield row


def _excerpt(row: Any) -> str:
    if not isinstance(row, dict):
        return "no row at all"
    return json.dumps({name: row.get(name) for name in ("sha256", "text", "confidence")}, ensure_ascii=False)
