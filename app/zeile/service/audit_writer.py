# SPDX-License-Identifier: Apache-2.0
"""Writes the audit log: appends, continues after a crash, begins a new file when one is full."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zeile.service.audit_log import BadLog, Mark, full_files, head_path, read_head, records, write_head, write_record

ROOM = 1 << 16
"""Bytes that must be free on the disk when a log is opened: one that is full again at once would only seem mended."""

_MODE = 0o640  # records hold no texts unless asked to, but who reads what is nobody else's business


class Writer:
    """The one writer of a log; a second one is refused.

    What a crash left half-written behind the last acknowledged record is taken away. What is damaged before it is
    nothing that a crash does: the log is refused, and nothing is appended to it.

    Args:
        path: of the log.
        full_bytes: a file as long as that is put aside, and a new one begun.

    Attributes:
        last: place of the last record.
        repaired: bytes that were taken away, and their SHA-256; None if there were none.

    Raises:
        BadLog: the log is damaged, or in use.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, full_bytes: int) -> None:
        self._path, self._full = path, full_bytes
        self.repaired: dict[str, Any] | None = None
        self._file = -1
        self._head = _opened(head_path(path), os.O_RDWR)
        try:
            self._lock()
            self.last = self._continued()
            self._file = _opened(path, os.O_WRONLY | os.O_APPEND)
            self._size = os.fstat(self._file).st_size
            disk = os.fstatvfs(self._file)
            if disk.f_bavail * disk.f_frsize < ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._write_head()
            os.fsync(self._head)
            _sync_folder(path)
        except BaseException:
            self.close()
            raise

    def append(self, entries: Sequence[Mapping[str, Any]]) -> list[Mark]:
        """Write records; when this returns they are on the disk.

        Raises:
            OSError: they cannot be written; close this writer, and open another one.
        """
        if self._size >= self._full:
            self._begin_file()
        lines, marks, last = [], [], self.last
        for entry in entries:
            line, last = write_record(last, entry)
            lines.append(line)
            marks.append(last)
        data = b"".join(lines)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fdatasync(self._file)
        except OSError:
            with contextlib.suppress(OSError):  # whoever opens the log again takes away what is left of it
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)
        self.last = last
        self._write_head()
        return marks

    def close(self) -> None:
        """Let go of the log."""
        for file in (self._file, self._head):
            if file >= 0:
                os.close(file)
        self._file = self._head = -1

    def _lock(self) -> None:
        try:
            fcntl.flock(self._head, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadLog(f"{self._path} is written by another service; give each its own ZEILE_AUDIT") from None

    def _continued(self) -> Mark:
        """The last record; half-written ones behind it are cut off."""
        known = read_head(self._path)
        full = full_files(self._path)
        last = Mark() if not full else self._walked(full[-1], None, known)
        if self._path.exists():
            last = self._walked(self._path, last, known)
        if known is None and last.number:
            raise BadLog(f"{head_path(self._path)} is missing; restore it, or put the log's files aside and begin anew")
        if known is not None and known.number > last.number:
            raise BadLog(
                f"records {last.number + 1} to {known.number} are missing at the end of {self._path}; restore them, "
                "or put the log's files aside and begin anew"
            )
        return last

    def _walked(self, file: Path, before: Mark | None, known: Mark | None) -> Mark:
        last, sound = before or Mark(), 0
        try:
            for _, mark, end in records(file, before):
                last, sound = mark, end
        except BadLog:
            if file != self._path or known is None or last.number < known.number:
                raise
            with file.open("r+b") as stream:
                stream.seek(sound)
                torn = stream.read()
                stream.truncate(sound)
                os.fsync(stream.fileno())
            self.repaired = {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
        if known is not None and last.number == known.number and last != known:
            raise BadLog(f"record {last.number} of {file} is {last.sha256}, but {head_path(self._path)} says {known}")
        return last

    def _begin_file(self) -> None:
        full = full_files(self._path)
        number = int(full[-1].suffix[1:]) + 1 if full else 1
        os.rename(self._path, self._path.with_name(f"{self._path.name}.{number}"))
        fresh = _opened(self._path, os.O_WRONLY | os.O_APPEND)
        os.close(self._file)
        self._file, self._size = fresh, 0
        _sync_folder(self._path)

    def _write_head(self) -> None:
        # Not synchronised: it may fall behind the log in a crash, but never runs ahead of it.
        os.pwrite(self._head, write_head(self.last), 0)


def _opened(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, _MODE)


def _sync_folder(path: Path) -> None:
    """Make names in a folder last."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
