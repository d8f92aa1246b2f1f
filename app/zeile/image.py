# SPDX-License-Identifier: Apache-2.0
"""Files become grey pixels: PNG, JPEG, TIFF, WebP, BMP, PNM of any depth, colours or transparency.

A file may come from anywhere. Only these six decoders are ever tried, the header is read and held against the
limits before a pixel is decoded, and whatever a decoder makes of a damaged file is a ``BadImage``. From the
decoded samples on there is only exact arithmetic, so that every machine gets the same pixels.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from zeile.errors import BadImage, BadSettings, ImageTooLarge
from zeile.image_structure import check_decoder, check_structure

Grey = npt.NDArray[np.uint8]

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "PPM")
"""Pillow's names of the decoders in use."""

MAX_PIXELS = 89_478_485
"""Largest pixel limit that can be set: beyond it Pillow itself sees a decompression bomb."""

_NAMES = "PNG, JPEG, TIFF, WebP, BMP and PNM"
_FOREIGN = {
    b"%PDF": "PDF",
    b"GIF8": "GIF",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"<svg": "SVG",
    b"<?xm": "XML",
    b"PK\3\4": "ZIP",
}
_BITS_PER_SAMPLE = 258  # TIFF tag
_BLOCK = 1 << 18  # pixels converted at a time: conversions are generous with memory
_WEBP_SHARE = 4  # Pillow's WebP decoder takes 16 bytes a pixel
_WIDE = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # modes of more than 8 bits


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is accepted as an image, each at most.

    Attributes:
        bytes: size of the file.
        pixels: width times height, of a WebP a quarter. A pixel takes up to 5 bytes while decoding, in a progressive
            JPEG up to 11. No more than MAX_PIXELS.
        width: pixels along the line, as it is seen (after EXIF orientation).
        height: pixels across the line, likewise.

    Raises:
        BadSettings: a limit is below 1, or ``pixels`` above MAX_PIXELS.
    """

    bytes: int = 32 << 20
    pixels: int = 64_000_000
    width: int = 65_500
    height: int = 8192

    def __post_init__(self) -> None:
        for name in ("bytes", "pixels", "width", "height"):
            value, highest = getattr(self, name), MAX_PIXELS if name == "pixels" else 1 << 31
            if not 1 <= value <= highest:
                raise BadSettings(f"the limit on {name} is {value}, allowed are 1 to {highest}")


DEFAULT_LIMITS = Limits()


def decode(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Grey:
    """Read an image file as grey pixels; of several frames or pages the first.

    Transparent parts show white paper. EXIF orientation is applied, colour profiles are not.

    Args:
        data: the file.
        limits: checked against the header, before decoding.

    Returns:
        (h, w) uint8, 0 black and 255 white, C order; h and w at least 1.

    Raises:
        ImageTooLarge: a limit is exceeded.
        BadImage: of another format, damaged, cut off, or without pixels.
    """
    if len(data) > limits.bytes:
        raise ImageTooLarge(
            f"the image file has {len(data)} bytes, at most {limits.bytes} are allowed; cut the page into lines"
        )
    if not data:
        raise BadImage("the image file is empty (0 bytes)")
    check_structure(data)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_header(image, limits)
            check_decoder(image, data)
            image.load()
            grey, orientation = _grey(image), _orientation(image)
            del image  # and its pixels; turning takes another byte for each
    except (BadImage, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = (re.findall(r"\d+", str(error)) or ["too many"])[0]
        raise ImageTooLarge(f"the image has {pixels} pixels, at most {limits.pixels} are allowed") from None
    except UnidentifiedImageError:
        raise BadImage(f"{_looks_like(data)}; {_NAMES} files are read") from None
    except Exception as error:  # on damaged files Pillow's decoders raise nearly anything
        raise BadImage(f"the image file is damaged or cut off: {error or type(error).__name__}") from None
    grey = _turned(grey, orientation)
    height, width = grey.shape
    if width > limits.width or height > limits.height:
        raise ImageTooLarge(_sides(width, height, limits))
    return grey


def _check_header(image: Image.Image, limits: Limits) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise BadImage(f"the image has no pixels: it is {width} x {height}")
    most, kind = limits.pixels, "allowed"
    if image.format == "WEBP":
        most, kind = max(1, most // _WEBP_SHARE), "allowed in a WebP"
    if width * height > most:
        raise ImageTooLarge(
            f"the image has {width * height} pixels ({width} x {height}), at most {most} are {kind}; "
            "cut the page into lines, or scan at a lower resolution"
        )
    if max(width, height) > max(limits.width, limits.height):  # exactly only when the orientation is known
        raise ImageTooLarge(_sides(width, height, limits))


def _sides(width: int, height: int, limits: Limits) -> str:
    allowed = f"{limits.width} x {limits.height}"
    return f"the image is {width} x {height} pixels, at most {allowed} are allowed; cut the page into lines"


def _looks_like(data: bytes) -> str:
    kind = next((name for magic, name in _FOREIGN.items() if data.startswith(magic)), None)
    if data[4:8] == b"ftyp":
        kind = "HEIF, AVIF or MP4"
    return f"the file looks like {kind}" if kind else "the file is of no known image format, or its header is damaged"


def _grey(image: Image.Image) -> Grey:
    """Grey of a decoded image, any mode."""
    if image.mode in _WIDE:
        return _narrowed(image, _white(image))
    if image.mode == "LAB":
        return np.array(image.getchannel(0))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _by_rows(_on_white, image)
    return _by_rows(_plain, image)


def _plain(image: Image.Image) -> Grey:
    if image.mode not in ("1", "L", "RGB"):  # P, CMYK, YCbCr, RGBX: by way of RGB, as a viewer shows them
        image = image.convert("RGB")
    grey = image.convert("L")
    return np.frombuffer(grey.tobytes(), np.uint8).reshape(grey.height, grey.width)


def _on_white(image: Image.Image) -> npt.NDArray[Any]:
    """Composite on white paper, rounding half up."""
    image = image.convert("RGBA")
    grey, alpha = np.asarray(image.convert("L")), np.asarray(image.getchannel("A")).astype(np.uint16)
    return (grey * alpha + 255 * (255 - alpha) + 127) // 255


def _white(image: Image.Image) -> int:
    """The sample that means white in a mode of more than 8 bits; 0 if the file does not say."""
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0]
        return 0 if image.mode in ("I", "F") else 2 ** min(int(bits), 16) - 1
    return 0 if image.mode == "F" else 65535  # PNG and PNM of 16 bits; older Pillows decode them as "I"


def _narrowed(image: Image.Image, white: int) -> Grey:
    """Samples of more than 8 bits to 0 ... 255, rounding half up; what is negative is black.

    Args:
        image: of uint16, int32 or float32.
        white: sample that means white. If 0, it is the first of 1 (of floats only), 255, 65535 and 2**31 - 1
            that is not exceeded.
    """
    largest = np.max([np.asarray(part).max() for _, part in _parts(image)])
    if largest.dtype.kind != "f":
        white = white or next(top for top in (255, 65535, 2**31 - 1) if largest <= top)
        return _by_rows(
            lambda part: (np.asarray(part).clip(0, white).astype(np.int64) * 255 + white // 2) // white, image
        )
    if not largest <= 65535:  # or not a number
        raise BadImage(f"the image's largest floating-point sample is {largest}, allowed is up to 65535")
    # To steps of 1/65536 or 1/256: times a power of two and floor are exact in any floating-point unit.
    scale = 65536 if largest <= 1 else 256
    top = scale * next(top for top in (1, 255, 65535) if largest <= top)
    return _by_rows(
        lambda part: (np.floor(np.asarray(part).clip(0) * np.float64(scale)).astype(np.int64) * 255 + top // 2) // top,
        image,
    )


def _by_rows(grey: Callable[[Image.Image], npt.NDArray[Any]], image: Image.Image) -> Grey:
    """Grey of an image, made of some rows at a time."""
    result = np.empty((image.height, image.width), np.uint8)
    for rows, part in _parts(image):
        result[rows] = grey(part)
    return result


def _parts(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Some rows at a time, as images."""
    step = max(1, _BLOCK // image.width)
    if image.height <= step:
        yield slice(None), image
        return
    for top in range(0, image.height, step):
        rows = slice(top, min(top + step, image.height))
        yield rows, image.crop((0, rows.start, image.width, rows.stop))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 ... 8; 1 if it is absent or damaged, or applied already, as Pillow does for TIFF."""
    if image.format == "TIFF":
        return 1
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF of a sound image: any error, as above
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _turned(grey: Grey, orientation: int) -> Grey:
    """Undo an EXIF orientation: 2 to 4 mirror or turn by 180 degrees, 5 to 8 also swap the axes."""
    if orientation >= 5:
        grey = grey.T
    if orientation in (2, 3, 6, 7):
        grey = grey[:, ::-1]
    if orientation in (3, 4, 7, 8):
        grey = grey[::-1]
    return np.ascontiguousarray(grey)
