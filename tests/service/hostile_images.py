# SPDX-License-Identifier: Apache-2.0
"""Image files that nobody sends in good faith, by name; each is made when it is asked for."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image
from tests.models import line_png

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes, damaged: bool = False) -> bytes:
    """Of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ damaged)


def png(width: int, height: int, pixels: bytes | None = None, *more: bytes, depth: int = 8, colour: int = 0) -> bytes:
    """A grey PNG file; without pixels, of so many zeros as its header claims, at most 20 MB."""
    header = struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0)
    if pixels is None:
        pixels = bytes(min(20_000_000, (width * depth // 8 + 1) * height))
    parts = (chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(pixels, 9)), chunk(b"IEND", b""))
    return SIGNATURE + b"".join(parts)


def _saved(kind: str, size: tuple[int, int] = (200, 40), **options: object) -> bytes:
    rng = np.random.default_rng(1)
    buffer = io.BytesIO()
    image = Image.fromarray(rng.integers(0, 256, (size[1], size[0]), np.uint8))
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _resized_jpeg(width: int, height: int) -> bytes:
    """A small JPEG whose header claims another size."""
    data = bytearray(_saved("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">2H", height, width)
    return bytes(data)


def _scans(count: int) -> bytes:
    """A progressive JPEG with its last scan again and again: each costs a pass over all the pixels."""
    data = _saved("JPEG", (2000, 100), progressive=True, quality=30)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


def _empty_scans(count: int) -> bytes:
    """A progressive JPEG of 63 megapixels that asks for passes over nothing, ten bytes each."""
    buffer = io.BytesIO()
    Image.new("L", (64, 64), 200).save(buffer, "JPEG", progressive=True)
    data = bytearray(buffer.getvalue())
    at = data.index(b"\xff\xc2")
    data[at + 5 : at + 9] = struct.pack(">2H", 7900, 8000)
    scan = b"\xff\xda" + struct.pack(">HB", 8, 1) + b"\1\0" + bytes([1, 63, 0, 0])
    return bytes(data[:-2]) + scan * count + bytes(data[-2:])


def tiff(*tags: tuple[int, int, int, int], next_directory: int = 0, tail: bytes = b"") -> bytes:
    """A TIFF file of one directory; tags are (number, type, count, value)."""
    entries = b"".join(struct.pack("<2H2I", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", next_directory) + tail


def _tiff_of(width: int, height: int, compression: int, data: bytes, strip_bytes: int | None = None) -> bytes:
    at = 8 + 2 + 8 * 12 + 4
    return tiff(
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
        (273, 4, 1, at),
        (278, 4, 1, height),
        (279, 4, 1, len(data) if strip_bytes is None else strip_bytes),
        tail=data,
    )


def _bmp(width: int, height: int, bits: int, compression: int, data: bytes) -> bytes:
    header = struct.pack("<I2i2H6I", 40, width, height, 1, bits, compression, len(data), 0, 0, 0, 0)
    palette = bytes(4 << bits) if bits <= 8 else b""
    start = 14 + len(header) + len(palette)
    return struct.pack("<2sI2HI", b"BM", start + len(data), 0, 0, start) + header + palette + data


def _webp(width: int, height: int) -> bytes:
    """A lossless WebP header that claims a size."""
    claimed = struct.pack("<I", (width - 1) | (height - 1) << 14)
    body = b"WEBPVP8L" + struct.pack("<I", 12) + b"\x2f" + claimed + bytes(7)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _resized_webp(width: int, height: int, lossless: bool) -> bytes:
    """A small blank WebP whose header claims another size: a lossless one has every pixel of it."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "white").save(buffer, "WEBP", lossless=lossless)
    data = bytearray(buffer.getvalue())
    if lossless:
        at = data.index(b"VP8L") + 9
        data[at : at + 4] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    else:
        at = data.index(b"\x9d\x01\x2a") + 3
        data[at : at + 4] = struct.pack("<2H", width, height)
    return bytes(data)


def _damaged(data: bytes, at: float) -> bytes:
    spot = int(len(data) * at)
    return data[:spot] + bytes(b ^ 0x5A for b in data[spot : spot + 8]) + data[spot + 8 :]


HEADER = chunk(b"IHDR", struct.pack(">2I5B", 100, 40, 8, 0, 0, 0, 0))
BOMB = zlib.compress(bytes(50_000_000), 9)  # 50 kB

IMAGES: Mapping[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "one byte": lambda: b"\x89",
    "text": lambda: b"Dear Sir, please find enclosed",
    "html": lambda: b"<!doctype html><script>alert(1)</script>",
    "svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="100000" height="100000"/>',
    "pdf": lambda: b"%PDF-1.7\n1 0 obj",
    "postscript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n(/etc/passwd) run",
    "gif": lambda: b"GIF89a" + struct.pack("<2H", 65535, 65535) + bytes(20),
    "icon": lambda: b"\0\0\1\0\1\0" + bytes(16),
    "photoshop": lambda: b"8BPS\0\1" + bytes(20),
    "jpeg 2000": lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(30),
    "fits": lambda: b"SIMPLE  =                    T" + bytes(100),
    "avif": lambda: b"\0\0\0\x1cftypavif" + bytes(40),
    "elf": lambda: b"\x7fELF\2\1\1" + bytes(60),
    "png signature only": lambda: SIGNATURE,
    "png header only": lambda: SIGNATURE + HEADER,
    "png cut off": lambda: _cut(line_png(1)),
    "png header damaged": lambda: SIGNATURE + chunk(b"IHDR", struct.pack(">2I5B", 9, 9, 8, 0, 0, 0, 0), damaged=True),
    "png data damaged": lambda: _damaged(line_png(1), 0.6),
    "png of 169 megapixels": lambda: png(13_000, 13_000),
    "png of 400 megapixels": lambda: png(20_000, 20_000, depth=1),
    "png a million wide": lambda: png(1_000_000, 1),
    "png a million high": lambda: png(1, 1_000_000),
    "png without pixels": lambda: png(0, 0),
    "png of the largest size": lambda: png(2**31 - 1, 2**31 - 1, b"\0"),
    "png of depth 7": lambda: png(100, 40, depth=7),
    "png of colour type 9": lambda: png(100, 40, colour=9),
    "png filter unknown": lambda: png(100, 2, (b"\x09" + bytes(100)) * 2),
    "png without data": lambda: SIGNATURE + HEADER + chunk(b"IEND", b""),
    "png text bomb": lambda: png(100, 40, None, chunk(b"zTXt", b"a\0\0" + BOMB)),
    "png profile bomb": lambda: png(100, 40, b"", chunk(b"iCCP", b"a\0\0" + BOMB)),
    "png chunk of 2 GB": lambda: SIGNATURE + struct.pack(">I", 2**31 - 1) + b"IHDR" + bytes(30),
    "jpeg cut off": lambda: _cut(_saved("JPEG")),
    "jpeg signature only": lambda: b"\xff\xd8\xff\xe0",
    "jpeg of 65500 squared": lambda: _resized_jpeg(65_500, 65_500),
    "jpeg of 63 megapixels without data": lambda: _cut(_resized_jpeg(7900, 8000)),
    "jpeg too high": lambda: _resized_jpeg(100, 65_000),
    "jpeg without pixels": lambda: _resized_jpeg(0, 0),
    "tiff cut off": lambda: _cut(_saved("TIFF", compression="tiff_lzw")),
    "tiff header only": lambda: b"II*\0\x08\0\0\0",
    "tiff directory beyond the end": lambda: b"II*\0\xff\xff\xff\x7f",
    "tiff directory that is its own next": lambda: tiff((256, 4, 1, 10), next_directory=8),
    "tiff of 65535 tags": lambda: b"II*\0" + struct.pack("<IH", 8, 65535) + bytes(100),
    "tiff tag of 4 GB": lambda: tiff((256, 4, 1, 10), (257, 4, 1, 10), (273, 4, 2**32 - 1, 8)),
    "tiff of 400 megapixels": lambda: _tiff_of(20_000, 20_000, 1, b""),
    "tiff strip beyond the end": lambda: _tiff_of(100, 40, 1, b"abc", 2**31),
    "tiff deflate bomb": lambda: _tiff_of(2000, 4000, 8, BOMB[:2000]),
    "tiff lzw damaged": lambda: _tiff_of(1000, 100, 5, b"\xff" * 2000),
    "tiff of compression 65000": lambda: _tiff_of(100, 40, 65000, bytes(100)),
    "webp cut off": lambda: _cut(_saved("WEBP")),
    "webp of 268 megapixels": lambda: _webp(16_383, 16_383),
    "webp without data": lambda: _webp(100, 40),
    "webp of 63 megapixels in 40 bytes": lambda: _resized_webp(8000, 7900, lossless=True),
    "webp of 15 megapixels in 40 bytes": lambda: _resized_webp(4000, 3900, lossless=True),
    "webp of 15 megapixels without data": lambda: _resized_webp(4000, 3900, lossless=False),
    "png of 60 megapixels in 1 KB": lambda: png(7500, 8000, bytes(1_000_000)),
    "bmp of 100000 squared": lambda: _bmp(100_000, 100_000, 8, 0, b""),
    "bmp without data": lambda: _bmp(1000, 1000, 8, 0, b""),
    "bmp run-length without end": lambda: _bmp(5000, 5000, 8, 1, b"\xff\0" * 100),
    "bmp of 99 bits": lambda: _bmp(100, 40, 99, 0, bytes(100))[:200],
    "pnm of absurd size": lambda: b"P5 99999999999 99999999999 255\n",
    "pnm of long digits": lambda: b"P5 " + b"9" * 10_000 + b" 1 255\n",
    "pnm of maximum 0": lambda: b"P5 10 10 0\n" + bytes(100),
    "pnm plain without numbers": lambda: b"P2 1000 1000 255\n" + b"x " * 1000,
    "pnm cut off": lambda: b"P5 1000 1000 255\n" + bytes(100),
    "png of 80000 empty chunks": lambda: SIGNATURE + HEADER + chunk(b"IDAT", b"") * 80_000 + chunk(b"IEND", b""),
    "png of 60000 texts": lambda: png(100, 40, None, chunk(b"tEXt", b"a\0b") * 60_000),
    "jpeg of 100000 scans": lambda: _empty_scans(100_000),
    "jpeg of 250000 comments": lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 250_000 + b"\xff\xd9",
    "jpeg of padding": lambda: b"\xff\xd8\xff\xe0\0\2" + b"\xff" * 1_000_000,
    "jpeg of stuffing": lambda: b"\xff\xd8\xff\xe0\0\2" + b"\xff\0" * 500_000,
    "tiff of 60000 tags": lambda: tiff(*((1000 + i, 4, 1, i) for i in range(60_000))),
    "tiff of 8 million strips": lambda: tiff((256, 4, 1, 9), (257, 4, 1, 9), (273, 4, 8_000_000, 8), tail=bytes(1000)),
    "tiff of a million bit depths": lambda: tiff((256, 4, 1, 9), (257, 4, 1, 9), (258, 3, 1_000_000, 8)),
    "pnm of a million comments": lambda: b"P5\n" + b"#\n" * 500_000 + b" 100 40 255\n" + bytes(4000),
    "pnm of a million numbers": lambda: b"P2 1000 1000 255\n" + b"9 " * 1_000_000,
    "pnm of maximum 254": lambda: b"P5 1000 1000 254\n" + bytes(1_000_000),
    "bmp of a million runs": lambda: _bmp(1000, 1000, 8, 1, b"\1\0" * 500_000),
}
"""Refused, each with 413 or 422."""

ODD: Mapping[str, Callable[[], bytes]] = {
    "jpeg of 20 scans": lambda: _scans(20),
    "jpeg without tables": lambda: _saved("JPEG").replace(b"\xff\xc4", b"\xff\xfe"),
    "png too few rows": lambda: png(1000, 1000, bytes(1001)),
    "png with trailing bytes": lambda: line_png(1) + b"<script>" * 1000,
    "tiff of 300 pages": lambda: _pages(300),
    "png interlaced": lambda: _saved("PNG", (199, 39)),
    "png of one pixel": lambda: png(1, 1),
    "jpeg orientation 9": lambda: _oriented(9),
    "bmp upside down": lambda: _bmp(100, -40, 8, 0, bytes(4000)),
}
"""Odd, but images: read or refused, and cheap."""


def _pages(count: int) -> bytes:
    buffer = io.BytesIO()
    page = Image.new("L", (100, 20), 255)
    page.save(buffer, "TIFF", save_all=True, append_images=[page] * (count - 1))
    return buffer.getvalue()


def _oriented(value: int) -> bytes:
    exif = Image.Exif()
    exif[274] = value
    return _saved("JPEG", exif=exif)
