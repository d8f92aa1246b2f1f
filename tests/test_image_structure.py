# SPDX-License-Identifier: Apache-2.0
"""Files whose structure would cost more than their pixels. Hostile ones in number: tests/service/hostile_images.py."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from zeile.errors import BadImage, ImageTooLarge
from zeile.image import decode
from zeile.image_structure import JPEG_SCANS, JPEG_SEGMENTS, PNG_CHUNKS, TIFF_TAGS, TIFF_VALUES


def saved(kind: str, width: int = 100, height: int = 40, **how: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width), np.uint8)).save(buffer, kind, **how)
    return buffer.getvalue()


def with_chunks(count: int) -> bytes:
    data = saved("PNG")
    empty = struct.pack(">I", 0) + b"prVt" + struct.pack(">I", zlib.crc32(b"prVt"))
    return data[:33] + empty * count + data[33:]


def with_scans(count: int) -> bytes:
    data = saved("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * (count - data.count(b"\xff\xda")) + data[-2:]


def with_segments(count: int) -> bytes:
    data = saved("JPEG")
    return data[:2] + b"\xff\xfe\0\3a" * count + data[2:]


def with_tag(number: int, kind: int, count: int, tags: int = 1) -> bytes:
    entries = b"".join(struct.pack("<2H2I", number + i, kind, count, 8) for i in range(tags))
    return b"II*\0" + struct.pack("<IH", 8, tags) + entries + bytes(4)


def test_files_just_within_the_counts_are_read() -> None:
    for data in (with_chunks(PNG_CHUNKS - 10), with_scans(JPEG_SCANS), with_segments(JPEG_SEGMENTS - 10)):
        assert decode(data).shape == (40, 100)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (with_chunks(PNG_CHUNKS), "8192 chunks"),
        (with_scans(JPEG_SCANS + 1), "64 scans"),
        (with_segments(JPEG_SEGMENTS), "512 segments"),
        (with_tag(1000, 4, 1, TIFF_TAGS + 1), "512 tags"),
        (with_tag(273, 4, TIFF_VALUES + 1), "70000 values"),
        (with_tag(258, 3, 10**9), "70000 values"),
        (b"MM\0*" + struct.pack(">IH", 8, TIFF_TAGS + 1), "512 tags"),
        (b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, TIFF_TAGS + 1), "512 tags"),
        (b"P5 " + b"# comment\n" * 1000 + b"1 1 255 x", "without comments"),
    ],
    ids=["chunks", "scans", "segments", "tags", "strips", "depths", "big-endian", "big-tiff", "comments"],
)
def test_files_of_more_parts_are_refused_with_the_number(data: bytes, says: str) -> None:
    with pytest.raises(BadImage, match=says):
        decode(data)


def test_a_jpeg_of_more_pixels_than_its_bytes_can_hold_is_cut_off() -> None:
    data = bytearray(saved("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">2H", 7900, 8000)
    with pytest.raises(BadImage, match="claims 8000 x 7900 pixels"):
        decode(bytes(data))
    blank = io.BytesIO()  # the emptiest page there can be is far from that
    Image.new("L", (4000, 4000), 128).save(blank, "JPEG", quality=1, progressive=True, optimize=True)
    assert decode(blank.getvalue()).shape == (4000, 4000)


def blank(kind: str, mode: str, **how: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (4000, 2000), "white").save(buffer, kind, **how)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_a_png_of_more_pixels_than_its_bytes_can_hold_is_cut_off(mode: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (4000, 2000)).save(buffer, "PNG", compress_level=9)  # the emptiest page there can be
    data = buffer.getvalue()
    assert decode(data).shape == (2000, 4000)
    with pytest.raises(BadImage, match="claims 4000 x 2000 pixels"):
        decode(data[: len(data) // 3])
    with pytest.raises(BadImage, match="claims 4000 x 7000 pixels"):
        decode(data[:20] + struct.pack(">I", 7000) + (head := data[24:29]) + checksum(data, 7000, head) + data[33:])


def checksum(data: bytes, height: int, head: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data[12:20] + struct.pack(">I", height) + head))


def test_a_webp_of_more_pixels_than_its_bytes_can_hold_is_cut_off() -> None:
    assert decode(blank("WEBP", "RGB", quality=0)).shape == (2000, 4000)
    lossless = blank("WEBP", "RGB", lossless=True, method=0)
    with pytest.raises(BadImage, match="claims 4000 x 2000 pixels"):
        decode(lossless)  # 8 megapixels in 40 bytes: blank as can be, and dear
    at = lossless.index(b"VP8L") + 9
    smaller = lossless[:at] + struct.pack("<I", 1023 | 1023 << 14) + lossless[at + 4 :]
    assert decode(smaller).shape == (1024, 1024)


@pytest.mark.parametrize(
    ("header", "bytes_a_pixel", "name"),
    [
        ("P5 {} {} 254\n", 1, "other than 255 or 65535"),
        ("P6 {} {} 100\n", 3, "other than 255 or 65535"),
        ("P2 {} {} 255\n", 2, "PNM in text"),
    ],
)
def test_what_is_decoded_slowly_is_read_up_to_a_size(header: str, bytes_a_pixel: int, name: str) -> None:
    assert decode(header.format(100, 40).encode() + b"9 " * 100 * 40 * bytes_a_pixel).shape == (40, 100)
    with pytest.raises(ImageTooLarge, match=name):
        decode(header.format(1000, 400).encode() + b"9 " * 1000 * 400 * bytes_a_pixel)


def test_large_pictures_in_fast_formats_are_not_limited_so() -> None:
    for kind, how in (("PPM", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("JPEG", {})):
        assert decode(saved(kind, 1000, 400, **how)).shape == (400, 1000)


def test_a_preview_inside_a_photograph_is_not_counted_as_its_scans() -> None:
    photograph = saved("JPEG")
    preview = saved("JPEG", 50, 20, progressive=True)
    segment = b"\xff\xe2" + struct.pack(">H", len(preview) + 2) + preview
    assert decode(photograph[:2] + segment + photograph[2:]).shape == (40, 100)
