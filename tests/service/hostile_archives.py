# SPDX-License-Identifier: Apache-2.0
"""Zip files that nobody sends in good faith, by name; each is made when it is asked for."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping

from tests.models import line_png


def zipped(members: Iterable[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data, method)
    return buffer.getvalue()


def by_hand(
    name: bytes,
    data: bytes,
    *,
    size: int | None = None,
    packed: int | None = None,
    method: int = 8,
    flags: int = 0,
    crc: int | None = None,
    external: int = 0,
    copies: int = 1,
) -> bytes:
    """A zip file of one member, or of many directory entries for the same one, with whatever is claimed of it."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = deflate.compress(data) + deflate.flush() if method == 8 else data
    size = len(data) if size is None else size
    packed = len(body) if packed is None else packed
    crc = zlib.crc32(data) if crc is None else crc
    facts = struct.pack("<5H3L", 20, flags, method, 0, 0, crc, packed, size)
    local = b"PK\3\4" + facts + struct.pack("<2H", len(name), 0) + name + body
    entry = b"PK\1\2" + struct.pack("<H", 20) + facts + struct.pack("<5H2L", len(name), 0, 0, 0, 0, external, 0) + name
    directory = entry * copies
    end = struct.pack("<4H2LH", 0, 0, min(copies, 65535), min(copies, 65535), len(directory), len(local), 0)
    return local + directory + b"PK\5\6" + end


def _one(name: str | zipfile.ZipInfo = "a.png", data: bytes | None = None) -> bytes:
    return zipped([(name, line_png(1) if data is None else data)])


def _ten_gigabytes() -> bytes:
    """10 MB that unpack to 10 GB: three members of the same compressed blocks, one behind the other."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = deflate.compress(bytes(1 << 24)) + deflate.flush(zlib.Z_FULL_FLUSH)
    body = block * 200 + zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    files, directory = b"", b""
    for name in (b"a.png", b"b.png", b"c.png"):
        facts = struct.pack("<5H3L", 20, 0, 8, 0, 0, 0, len(body), 200 << 24)
        directory += (
            b"PK\1\2" + struct.pack("<H", 20) + facts + struct.pack("<5H2L", 5, 0, 0, 0, 0, 0, len(files)) + name
        )
        files += b"PK\3\4" + facts + struct.pack("<2H", 5, 0) + name + body
    return files + directory + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 3, 3, len(directory), len(files), 0)


def _link() -> zipfile.ZipInfo:
    link = zipfile.ZipInfo("a.png")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return link


def _nested(depth: int) -> bytes:
    data = zipped([("a.png", bytes(1_000_000))])
    for _ in range(depth):
        data = zipped((f"{i}.zip", data) for i in range(10))
    return data


def _patched(data: bytes, mark: bytes, offset: int, value: bytes) -> bytes:
    at = data.index(mark) + offset
    return data[:at] + value + data[at + len(value) :]


ARCHIVES: Mapping[str, Callable[[], bytes]] = {
    "zip empty": lambda: zipped([]),
    "zip of nothing": lambda: b"",
    "zip that is none": lambda: line_png(1),
    "zip cut off": lambda: _one()[:-10],
    "zip without its directory": lambda: _one()[: _one().index(b"PK\1\2")],
    "zip signature only": lambda: b"PK\3\4",
    "zip end only, of 65535 files": lambda: b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 65535, 65535, 0, 0, 0),
    "zip name climbs": lambda: _one("../../etc/cron.d/a.png"),
    "zip name climbs in the middle": lambda: _one("a/../../b.png"),
    "zip name absolute": lambda: _one("/etc/passwd.png"),
    "zip name of a drive": lambda: _one("C:\\windows\\a.png"),
    "zip name with backslashes": lambda: by_hand(b"..\\..\\a.png", line_png(1)),
    "zip name with a zero": lambda: by_hand(b"a.png\0.txt", line_png(1)),
    "zip name with a newline": lambda: by_hand(b"a\n.png", line_png(1)),
    "zip name of 60000 letters": lambda: by_hand(b"a" * 60_000 + b".png", line_png(1)),
    "zip name empty": lambda: by_hand(b"", line_png(1)),
    "zip link": lambda: _one(_link(), b"/etc/passwd"),
    "zip device": lambda: by_hand(b"a.png", b"", external=(stat.S_IFCHR | 0o666) << 16),
    "zip encrypted": lambda: by_hand(b"a.png", line_png(1), flags=1),
    "zip bomb of 1 GB": lambda: by_hand(b"a.png", bytes(1 << 20) * 50, size=1 << 30),
    "zip bomb of 10 GB in 10 MB": _ten_gigabytes,
    "zip bomb that claims little": lambda: by_hand(b"a.png", bytes(60_000_000), size=1000),
    "zip bomb of many overlapping files": lambda: by_hand(b"a.png", bytes(20_000_000), copies=2000),
    "zip of 60000 entries": lambda: by_hand(b"a.png", line_png(1), copies=60_000),
    "zip in zip in zip": lambda: _nested(2),
    "zip claims 4 GB": lambda: by_hand(b"a.png", line_png(1), size=2**32 - 2),
    "zip packed beyond the end": lambda: by_hand(b"a.png", line_png(1), packed=2**31),
    "zip method 99": lambda: by_hand(b"a.png", line_png(1), method=99),
    "zip by lzma": lambda: zipped([("a.png", line_png(1))], zipfile.ZIP_LZMA),
    "zip by bzip2": lambda: zipped([("a.png", line_png(1))], zipfile.ZIP_BZIP2),
    "zip twice the same name": lambda: by_hand(b"a.png", line_png(1), copies=2),
    "zip of folders only": lambda: zipped([("a/", b""), ("b/", b"")]),
    "zip directory elsewhere": lambda: _patched(_one(), b"PK\5\6", 16, struct.pack("<L", 2**31)),
    "zip on disk 7": lambda: _patched(_one(), b"PK\5\6", 4, struct.pack("<H", 7)),
    "zip offset of a member beyond the end": lambda: _patched(_one(), b"PK\1\2", 42, struct.pack("<L", 2**31)),
    "zip checksum wrong": lambda: by_hand(b"a.png", line_png(1), crc=1),
    "zip data damaged": lambda: by_hand(b"a.png", b"\xff" * 500, method=0).replace(b"\x08\0", b"\x08\0", 1),
    "zip of no image": lambda: _one("a.png", b"no image"),
}
"""To /v1/recognize and /v1/measure. Refused, or read with the bad members reported."""
