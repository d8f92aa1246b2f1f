# SPDX-License-Identifier: Apache-2.0
"""Zip files that anybody may send: nothing is unpacked to disk, and no more to memory than one member at a time.

The directory at the end of the file is read entry by entry within its limits and checked as a whole before the first
member is touched: what a name, a size or an offset says is only a claim. Read are members that are stored or deflated,
which is what every zip program writes unless it is told otherwise.

Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 and 4.4
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from zeile.errors import BadImage, ImageTooLarge
from zeile.service.problems import ArchiveTooLarge, BadArchive

MAX_NAME_BYTES = 512
_SPARE_BYTES = 16 << 20  # unpacked whatever the ratio: a few blank scans shrink a thousandfold

_END = struct.Struct("<4s4H2LH")  # end of central directory
_ENTRY = struct.Struct("<4s6H3L5H2L")  # of the directory
_LOCAL = struct.Struct("<4s5H3L2H")  # before each member's data
_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
_UTF8 = 1 << 11
_STORED, _DEFLATED = 0, 8
_ZIP64 = 0xFFFFFFFF

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:")
_NESTED = (".zip", ".jar", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst")
_LITTER = re.compile(r"(?:.*/)?(?:__MACOSX/.*|\._[^/]*|\.DS_Store|Thumbs\.db|desktop\.ini)")
"""What file managers add of themselves."""


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """What is accepted as a zip file, each at most.

    Attributes:
        files: in it, directories included.
        bytes: of all files, unpacked.
        member_bytes: of one file, unpacked; a longer one is refused alone.
        ratio: of all files to the zip file, beyond the first 16 MiB.
    """

    files: int = 20_000
    bytes: int = 1 << 30
    member_bytes: int = 32 << 20
    ratio: int = 100


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive, as the directory describes it.

    Attributes:
        name: with its folders inside the archive, slashes between them.
        raw: the name's bytes, which stand before the data again.
        offset: of its local header.
        packed: bytes in the archive.
        size: bytes unpacked.
        method: of compression.
        crc: CRC-32 of what is unpacked.
    """

    name: str
    raw: bytes
    offset: int
    packed: int
    size: int
    method: int
    crc: int


class Archive:
    """An open zip file.

    Args:
        file: seekable; not closed here. Used by one thread at a time.
        limits: see ArchiveLimits.

    Attributes:
        members: its files in the directory's order, without directories and what file managers add.

    Raises:
        BadArchive: damaged, encrypted, of several parts, or with names that do not belong into it.
        ArchiveTooLarge: a limit is exceeded.
    """

    def __init__(self, file: BinaryIO, limits: ArchiveLimits) -> None:
        self._file, self._limits = file, limits
        self._bytes = file.seek(0, os.SEEK_END) or file.tell()  # a spooled file's seek returns nothing in Python 3.10
        start, entries = self._directory()
        members = [member for member in (self._entry() for _ in range(entries)) if member is not None]
        if file.tell() != self._directory_end:
            raise BadArchive(f"the zip file's directory does not end after its {entries} entries; build it anew")
        self._check(members, start)
        self.members = tuple(m for m in members if not _LITTER.fullmatch(m.name))
        if not self.members:
            raise BadArchive("the zip file holds no files; put images of lines into it")

    def read(self, member: Member) -> bytes:
        """Unpack one member.

        Raises:
            ImageTooLarge: it is longer than ``member_bytes``.
            BadImage: it is damaged, or compressed in another way.
        """
        if member.size > self._limits.member_bytes:
            raise ImageTooLarge(
                f"the file has {member.size} bytes unpacked, at most {self._limits.member_bytes} are allowed; "
                "cut the page into lines"
            )
        if member.method not in (_STORED, _DEFLATED):
            raise BadImage(f"the file is compressed by method {member.method}; only 'store' and 'deflate' are read")
        packed = self._packed(member)
        data = packed if member.method == _STORED else _inflated(packed, member.size)
        if len(data) != member.size or zlib.crc32(data) != member.crc:
            raise BadImage("the file is damaged in the zip: its length or checksum is not the directory's")
        return data

    def _directory(self) -> tuple[int, int]:
        """Go to the directory; returns where it starts, and its number of entries."""
        tail = min(self._bytes, _END.size + 0xFFFF)  # a comment may follow
        self._file.seek(self._bytes - tail)
        data = self._file.read(tail)
        place = data.rfind(b"PK\5\6")
        if place < 0 or len(data) - place < _END.size:
            raise BadArchive(f"the file of {self._bytes} bytes is no zip file, or its end is missing; send it whole")
        _, disk, first, here, entries, size, start, _ = _END.unpack_from(data, place)
        if _ZIP64 in (size, start) or entries == 0xFFFF:
            raise BadArchive("the zip file is of the kind zip64, which is not read; split it into smaller ones")
        if disk or first or here != entries:
            raise BadArchive("the zip file is one part of several; join them")
        if entries > self._limits.files:
            raise ArchiveTooLarge(
                f"the zip file has {entries} entries, at most {self._limits.files} are read; split it, "
                "or have the service started with a higher ZEILE_ARCHIVE_FILES"
            )
        self._directory_end = start + size
        if self._directory_end > self._bytes - tail + place:
            raise BadArchive("the zip file's directory lies outside of it; is the file cut off?")
        self._file.seek(start)
        return start, entries

    def _entry(self) -> Member | None:
        """The next entry of the directory; None for a folder."""
        head = self._file.read(_ENTRY.size)
        if len(head) < _ENTRY.size or not head.startswith(b"PK\1\2"):
            raise BadArchive("the zip file's directory is damaged; build it anew")
        values = _ENTRY.unpack(head)
        flags, method, crc, packed, size, named, extra, comment = values[3], values[4], *values[7:13]
        attributes, offset = values[15], values[16]
        if named > MAX_NAME_BYTES:
            raise BadArchive(f"a name in the zip file has {named} bytes, at most {MAX_NAME_BYTES} are read; shorten it")
        raw = self._file.read(named)
        further = self._file.read(extra + comment)[:extra]
        if _ZIP64 in (packed, size, offset):
            packed, size, offset = _long_values(further, packed, size, offset)
        name = _name(raw, flags)
        if flags & _ENCRYPTED:
            raise BadArchive(f"{name!r} in the zip file is encrypted; send it without a password")
        kind = stat.S_IFMT(attributes >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise BadArchive(f"{name!r} in the zip file is a link or a special file; put the file itself there")
        return None if name.endswith("/") else Member(name, raw, offset, packed, size, method, crc)

    def _check(self, members: list[Member], start: int) -> None:
        """Hold all members against the limits and each other; the first ``start`` bytes are theirs."""
        unpacked, end, seen = 0, 0, set[str]()
        for member in sorted(members, key=lambda m: m.offset):
            if member.offset < end or member.offset + _LOCAL.size + member.packed > start:
                raise BadArchive(f"{member.name!r} overlaps another file of the zip, or lies outside of it")
            end = member.offset + _LOCAL.size + member.packed
            unpacked += member.size
            if member.name in seen:
                raise BadArchive(f"{member.name!r} occurs twice in the zip file; answers go by the names")
            seen.add(member.name)
            if member.name.lower().endswith(_NESTED):
                raise BadArchive(f"{member.name!r} is an archive in the zip file; unpack it, only images are read")
        allowed = self._limits.ratio * self._bytes + _SPARE_BYTES
        if unpacked > min(self._limits.bytes, allowed):
            raise ArchiveTooLarge(
                f"the zip file of {self._bytes} bytes has {unpacked} bytes unpacked, at most {self._limits.bytes} "
                f"and {self._limits.ratio} times its size are read; split it, or use fewer blank images"
            )

    def _packed(self, member: Member) -> bytes:
        self._file.seek(member.offset)
        head = self._file.read(_LOCAL.size)
        if len(head) < _LOCAL.size or not head.startswith(b"PK\3\4"):
            raise BadImage("the file is damaged in the zip: there is nothing where the directory says")
        named, extra = _LOCAL.unpack(head)[9:11]
        if self._file.read(named) != member.raw:
            raise BadImage("the file is damaged in the zip: it has another name than in the directory")
        self._file.read(extra)
        most = member.size + member.size // 1000 + 64  # deflate never makes a file longer by more than that
        return self._file.read(min(member.packed, most))


def _inflated(packed: bytes, size: int) -> bytes:
    """The data, or one byte more than ``size`` if there is more."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)
    except zlib.error as error:
        raise BadImage(f"the file is damaged in the zip: {error}") from None


def _long_values(further: bytes, *values: int) -> list[int]:
    """Sizes and offset of an entry, of which those that did not fit stand in an extra field."""
    place = 0
    while place + 4 <= len(further):
        kind, length = struct.unpack_from("<2H", further, place)
        if kind == 1:
            data = further[place + 4 : place + 4 + length]
            longer = iter(struct.unpack_from(f"<{len(data) // 8}Q", data))
            return [next(longer, _ZIP64) if value == _ZIP64 else value for value in values]
        place += 4 + length
    return list(values)


def _name(raw: bytes, flags: int) -> str:
    """The name, if it stays inside the archive."""
    try:
        name = raw.decode("utf-8" if flags & _UTF8 else "cp437").replace("\\", "/")
    except UnicodeDecodeError:
        raise BadArchive(f"the name {raw[:80]!r} in the zip file is not UTF-8, as it says") from None
    if _CONTROL.search(name) or not name.strip("/"):
        raise BadArchive(f"the name {name[:80]!r} in the zip file is empty or has control characters; rename it")
    if name.startswith("/") or ".." in name.split("/") or _DRIVE.match(name):
        raise BadArchive(f"the name {name!r} leads out of the zip file; build it with plain names")
    return name
