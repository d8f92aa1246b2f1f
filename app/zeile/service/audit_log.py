# SPDX-License-Identifier: Apache-2.0
"""The audit log as a file: a record a line, each with the hash of the one before it.

    audit.jsonl.1 .2 ...   full files, oldest first; the chain goes on from each to the next
    audit.jsonl            the one that is written
    audit.jsonl.head       number and hash of the last record, so that a log that was cut off shows it

A line is a JSON object that ends in ``,"sha256":"..."}``: the hash of the line without that last member. Since each
names the hash of its predecessor, nobody can change, drop, insert or reorder records without rewriting all later ones;
against that, keep a hash of ``zeile audit head`` elsewhere now and then, or the receipts that answers carry.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from zeile.errors import BadData

NOTHING = "0" * 64
"""Hash before the first record."""

LONGEST = 256 << 20
"""Bytes of the longest record that is read."""

_END = re.compile(rb',"sha256":"([0-9a-f]{64})"\}')
_END_BYTES = 77
_HEAD = re.compile(rb"([0-9]{15}) ([0-9a-f]{64})\n")


class BadLog(BadData):
    """The audit log was damaged or changed."""


class CutOff(BadLog):
    """Its last line has no end."""


@dataclass(frozen=True)
class Mark:
    """A place in the chain: the number of a record, from 1, and its hash; 0 and NOTHING before the first."""

    number: int = 0
    sha256: str = NOTHING


def write_record(before: Mark, facts: Mapping[str, Any]) -> tuple[bytes, Mark]:
    """The line of the next record, with its newline."""
    entry = {"n": before.number + 1, "previous": before.sha256, **facts}
    body = json.dumps(entry, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + f',"sha256":"{digest}"}}\n'.encode(), Mark(before.number + 1, digest)


def read_record(line: bytes) -> tuple[dict[str, Any], Mark]:
    """A record and its place, from its line.

    Raises:
        BadLog: it is none, or it was changed.
    """
    line = line.removesuffix(b"\n")
    end = _END.fullmatch(line[-_END_BYTES:])
    if end is None:
        raise BadLog("is no record: it does not end in its SHA-256")
    digest = hashlib.sha256(line[:-_END_BYTES] + b"}").hexdigest()
    if digest != end[1].decode():
        raise BadLog(f"was changed: its SHA-256 is {digest}, it says {end[1].decode()}")
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadLog(f"is no JSON: {error}") from None
    if not (type(entry.get("n")) is int and isinstance(entry.get("previous"), str) and entry["n"] > 0):
        raise BadLog("is no record: it has no number, or no hash of the one before it")
    return entry, Mark(entry["n"], digest)


def full_files(path: Path) -> list[Path]:
    """Full files of a log that are here, oldest first."""
    numbered = [(int(p.suffix[1:]), p) for p in path.parent.glob(f"{path.name}.*") if p.suffix[1:].isdecimal()]
    return [p for _, p in sorted(numbered)]


def records(file: Path, before: Mark | None = None) -> Iterator[tuple[dict[str, Any], Mark, int]]:
    """Records of one file, checked and in order, each with its place and the byte behind it.

    Args:
        file: of a log.
        before: place of the record before its first one; None if that is not known.

    Raises:
        BadLog: a record is changed, missing, or not where it belongs; the message names it.
        OSError: the file cannot be read.
    """
    with file.open("rb") as stream:
        yield from _records(stream, file, before)


def _records(stream: BinaryIO, file: Path, before: Mark | None) -> Iterator[tuple[dict[str, Any], Mark, int]]:
    end = 0
    for number, line in enumerate(iter(lambda: stream.readline(LONGEST), b""), 1):
        entry, before = _linked(line, before, f"{file}, line {number}")
        end += len(line)
        yield entry, before, end


def _linked(line: bytes, before: Mark | None, where: str) -> tuple[dict[str, Any], Mark]:
    expected = "" if before is None else f" (record {before.number + 1})"
    if not line.endswith(b"\n"):
        raise CutOff(f"{where}{expected}: is cut off; a service that opens the log repairs that, and notes it")
    try:
        entry, mark = read_record(line)
    except BadLog as error:
        raise BadLog(f"{where}{expected}: {error}") from None
    if before is None:
        if mark.number == 1 and entry["previous"] != NOTHING:
            raise BadLog(f"{where}: record 1 follows another one, {entry['previous']}")
    elif mark.number != before.number + 1:
        raise BadLog(f"{where}: record {before.number + 1} should stand here, and record {mark.number} does")
    elif entry["previous"] != before.sha256:
        raise BadLog(
            f"{where}: record {mark.number} follows {entry['previous']}, but record {before.number} is {before.sha256}"
        )
    return entry, mark


def verify(path: Path, first: int = 1, head: str | None = None) -> Mark:
    """Check a whole log; returns the place of its last record.

    Args:
        path: of the file that is written; full ones are found beside it.
        first: number of the first record that must be here; later than 1 if older files were taken away.
        head: hash of a record that must be in it.

    Raises:
        BadLog: something is changed, missing or out of order; the message names the first such record.
    """
    known, seen = read_head(path), head is None
    last: Mark | None = None
    for _, mark in all_records(path):
        if last is None and mark.number != first:
            raise BadLog(f"{path}: the log begins with record {mark.number}, not {first}; what was before is not here")
        if known is not None and mark.number == known.number and mark != known:
            raise BadLog(f"record {mark.number} is {mark.sha256}, but {head_path(path)} says {known.sha256}")
        seen, last = seen or mark.sha256 == head, mark
    last = last or Mark()
    if known is None:
        raise BadLog(f"{head_path(path)} is missing, so nobody knows whether records were cut off; restore it")
    if known.number > last.number:
        raise BadLog(f"records {last.number + 1} to {known.number} are missing at the end: {head_path(path)} has them")
    if not seen:
        raise BadLog(f"no record is {head}; records were cut off, or all were written anew")
    return last


def all_records(path: Path) -> Iterator[tuple[dict[str, Any], Mark]]:
    """Records of all files of a log, see ``records``; a line that is being written is not looked at.

    Raises:
        BadLog: as there, or a file cannot be read.
    """
    before: Mark | None = None
    try:
        with ExitStack() as files:
            for file, stream in _opened(path, files):
                try:
                    for entry, mark, _ in _records(stream, file, before):
                        before = mark
                        yield entry, mark
                except CutOff:
                    if file != path or not in_use(path):
                        raise
    except OSError as error:
        raise BadLog(f"{path}: cannot be read ({error.strerror}); name the file that ZEILE_AUDIT names") from None


def _opened(path: Path, files: ExitStack) -> Iterator[tuple[Path, BinaryIO]]:
    """Each file of a log, opened.

    The last one is opened before the others are looked for: if a service puts it aside meanwhile, it is among them
    under another name, and not read twice.
    """
    last = None if full_files(path) and not path.exists() else files.enter_context(path.open("rb"))
    for file in full_files(path):
        stream = files.enter_context(file.open("rb"))
        if last is None or not os.path.samestat(os.fstat(stream.fileno()), os.fstat(last.fileno())):
            yield file, stream
        stream.close()
    if last is not None:
        yield path, last


def in_use(path: Path) -> bool:
    """Whether a service has the log open."""
    try:
        with head_path(path).open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def head_path(path: Path) -> Path:
    """Where number and hash of the last record stand."""
    return path.with_name(f"{path.name}.head")


def write_head(mark: Mark) -> bytes:
    """What stands in the head; always as long, so that it can be written over itself."""
    return f"{mark.number:015d} {mark.sha256}\n".encode()


def read_head(path: Path) -> Mark | None:
    """What a log's head says; None if there is none.

    Raises:
        BadLog: it says nothing that can be read.
    """
    try:
        content = head_path(path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadLog(f"{head_path(path)}: cannot be read ({error.strerror})") from None
    match = _HEAD.fullmatch(content)
    if match is None and content:
        raise BadLog(f"{head_path(path)} holds {content[:80]!r}, not a number and a SHA-256; restore it")
    return Mark(int(match[1]), match[2].decode()) if match else None
