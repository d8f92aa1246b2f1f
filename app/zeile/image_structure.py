# SPDX-License-Identifier: Apache-2.0
"""What a file's structure may cost before there is a pixel.

A decoder's time is bounded by the pixels only where it is written in C and passes over them once. The counts here
bound the rest: parts of files that Pillow goes through in Python, and passes that a progressive JPEG asks for again.
Each is far above what any scanner, camera or program writes.
"""

from __future__ import annotations

import struct

from PIL import Image

from zeile.errors import BadImage, ImageTooLarge

PNG_CHUNKS = 8192
JPEG_SEGMENTS = 512
JPEG_SCANS = 64
JPEG_PIXELS = 512  # to a byte, at most: a block of 64 takes at least a bit, by Huffman's code
PNG_PIXELS = 8 * 1032  # of a bit each, likewise: deflate codes 258 bytes in two bits
WEBP_PIXELS = 1024  # likewise: the modes of a block of 256 take three bits; only blank lossless ones take none at all
WEBP_BLANK = 1 << 20  # pixels whatever the bytes
JPEG_PADDING = 64  # bytes between segments
TIFF_TAGS = 512
TIFF_VALUES = 70_000  # of a tag; a strip or tile has one
PNM_HEADER = 4096  # bytes, with its comments
SLOW_PIXELS = 250_000
"""Pixels of a picture that is decoded in Python: text PNM, PNM of an odd maximum, run-length BMP."""

_SLOW = {"ppm": "PNM of a maximum other than 255 or 65535", "ppm_plain": "PNM in text", "bmp_rle": "run-length BMP"}
_BYTES = (1, 2, 6, 7)  # TIFF types that Pillow keeps as they are
_PNG_SAMPLES = {2: 3, 4: 2, 6: 4}  # of a pixel, by the type of colour; one in others
_ALONE = (0x01, *range(0xD0, 0xD9))  # JPEG markers without a length
_TIFFS = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}


def check_structure(data: bytes) -> None:
    """Look at a file before a decoder does.

    Raises:
        BadImage: it has more parts than are read.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        _png(data)
    elif data.startswith(b"\xff\xd8"):
        _jpeg(data)
    elif data[:4] in _TIFFS:
        _tiff(data, _TIFFS[data[:4]])
    elif data[:1] == b"P" and len(data) > PNM_HEADER:
        _pnm(data)


def check_decoder(image: Image.Image, data: bytes) -> None:
    """Look at an opened image.

    Args:
        image: with its header read.
        data: its file.

    Raises:
        BadImage: so few bytes cannot hold so many pixels.
        ImageTooLarge: its decoder is a slow one, and there is much to decode.
    """
    size, most = len(data), _most_pixels(image, data)
    if image.width * image.height > most:
        raise BadImage(
            f"the image file is cut off: it claims {image.width} x {image.height} pixels, and has {size} bytes, which "
            f"hold at most {most} pixels; send it whole"
        )
    kinds = [_SLOW[tile[0]] for tile in getattr(image, "tile", ()) if tile[0] in _SLOW]
    pixels = max(image.width * image.height, size // 8)  # a pixel takes up to 8 bytes as text
    if kinds and pixels > SLOW_PIXELS:
        raise ImageTooLarge(
            f"the image is a {kinds[0]} of {image.width} x {image.height} pixels in {size} bytes, and of these at "
            f"most {SLOW_PIXELS} pixels are read; save it as PNG"
        )


def _most_pixels(image: Image.Image, data: bytes) -> int:
    """Pixels that a file of a compressed format can hold: where there are more, memory would be filled in vain."""
    if image.format == "JPEG":
        return JPEG_PIXELS * len(data)
    if image.format == "WEBP":
        return WEBP_BLANK + WEBP_PIXELS * len(data)
    if image.format == "PNG":
        depth, colour = data[24:26]  # of the first chunk, which has been read
        return PNG_PIXELS * len(data) // max(1, depth * _PNG_SAMPLES.get(colour, 1))
    return image.width * image.height


def _many(what: str, most: int) -> BadImage:
    return BadImage(f"the image file has more than {most} {what}; save it again with another program")


def _png(data: bytes) -> None:
    at = 8
    for _ in range(PNG_CHUNKS):
        if at + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if kind == b"IEND":
            return
    raise _many("chunks", PNG_CHUNKS)


def _jpeg(data: bytes) -> None:
    # In coded data a byte 255 is followed by others; in a preview that a camera puts in there are one or two scans.
    if data.count(b"\xff\xda") > JPEG_SCANS:
        raise _many("scans", JPEG_SCANS)
    at, padding = 2, 0
    for _ in range(JPEG_SEGMENTS):
        start = at
        while data[at : at + 1] in (b"\xff", b"\0") and data[at + 1 : at + 2] in (b"\xff", b"\0"):
            at += 1
            padding += 1
            if padding > JPEG_PADDING:
                raise _many("bytes between its segments", JPEG_PADDING)
        marker = data[at + 1] if at + 1 < len(data) else 0xD9
        if data[at : at + 1] != b"\xff" or marker in (0xD9, 0xDA):
            return
        at += 2
        if marker not in _ALONE:
            at += int.from_bytes(data[at : at + 2], "big")
        if at <= start:
            return
    raise _many("segments", JPEG_SEGMENTS)


def _tiff(data: bytes, order: str) -> None:
    big = data[2:3] == b"+" or data[3:4] == b"+"
    where, counted, entry = ("Q", "Q", "HHQQ") if big else ("I", "H", "HHII")
    try:
        at = int(struct.unpack_from(order + where, data, 8 if big else 4)[0])
        (tags,) = struct.unpack_from(order + counted, data, at)
        at += struct.calcsize(order + counted)
        if tags > TIFF_TAGS:
            raise _many("tags", TIFF_TAGS)
        for i in range(tags):
            _, kind, count, _ = struct.unpack_from(order + entry, data, at + i * struct.calcsize(order + entry))
            if kind not in _BYTES and count > TIFF_VALUES:
                raise _many("values of a tag", TIFF_VALUES)
    except (struct.error, OverflowError):
        return  # cut off: the decoder says so


def _pnm(data: bytes) -> None:
    lines = data[:PNM_HEADER].split(b"\n")
    words = [word for line in lines for word in line.partition(b"#")[0].split()]
    if len(words) < 3 and all(byte < 128 for byte in data[:PNM_HEADER]):
        raise BadImage(f"the header of the PNM file has more than {PNM_HEADER} bytes; save it without comments")
