# SPDX-License-Identifier: Apache-2.0
"""Every kind of image file gives the pixels that a viewer shows, in grey; hostile ones give a sentence."""

from __future__ import annotations

import contextlib
import io
import resource
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from tests.models import line_png

from zeile.errors import BadImage, BadSettings, ImageTooLarge
from zeile.image import MAX_PIXELS, Limits, decode

Grey = npt.NDArray[np.uint8]

RAMP: Grey = (np.arange(6 * 40).reshape(6, 40) * 255 // 239).astype(np.uint8)
"""(6, 40), all but a few of the grey levels."""

COLOURS = np.random.default_rng(1).integers(0, 256, (6, 40, 3), np.uint8)
COLOURS_GREY = (((COLOURS * np.array([19595, 38470, 7471])).sum(-1) + 0x8000) >> 16).astype(np.uint8)  # ITU-R 601


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG from scratch, without filters: ``rows`` is the packed samples of all rows."""
    step = len(rows) // max(height, 1)
    lines = b"".join(b"\0" + rows[i * step : (i + 1) * step] for i in range(height))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM"])
def test_grey_is_exact_in_lossless_files(kind: str) -> None:
    grey = decode(encoded(Image.fromarray(RAMP), kind))
    assert grey.dtype == np.uint8
    assert grey.flags.c_contiguous
    assert np.array_equal(grey, RAMP)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("BMP", {}),
        ("PPM", {}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_colour_becomes_grey_by_the_usual_weights(kind: str, options: dict[str, Any]) -> None:
    assert np.array_equal(decode(encoded(Image.fromarray(COLOURS), kind, **options)), COLOURS_GREY)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_is_close(options: dict[str, Any]) -> None:
    for picture in (Image.fromarray(RAMP), Image.fromarray(RAMP).convert("RGB")):
        grey = decode(encoded(picture, "JPEG", quality=95, **options))
        assert np.abs(grey.astype(int) - RAMP).max() < 12


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM"])
def test_one_bit(kind: str) -> None:
    bits = RAMP > 127
    assert np.array_equal(decode(encoded(Image.fromarray(bits), kind)), bits * np.uint8(255))


def test_fax_compressed_tiff() -> None:
    bits = np.kron(np.random.default_rng(0).random((8, 16)) > 0.5, np.ones((4, 8), bool))
    for compression in ("group3", "group4"):
        grey = decode(encoded(Image.fromarray(bits), "TIFF", compression=compression))
        assert np.array_equal(grey, bits * np.uint8(255))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_png_of_few_bits(bits: int) -> None:
    values = np.arange(8) % 2**bits
    packed = "".join(f"{v:0{bits}b}" for v in values)
    data = png(8, 1, bits, 0, int(packed, 2).to_bytes(bits, "big"))
    assert decode(data).tolist() == [[v * 255 // (2**bits - 1) for v in values.tolist()]]


SIXTEEN = np.array([[0, 128, 129, 257, 32768, 65278, 65535]], np.uint16)
SIXTEEN_GREY = [[(v * 255 + 32767) // 65535 for v in SIXTEEN[0].tolist()]]


def test_sixteen_bits() -> None:
    files = {
        "PNG": png(7, 1, 16, 0, SIXTEEN.astype(">u2").tobytes()),
        "TIFF": encoded(Image.fromarray(SIXTEEN), "TIFF"),
        "PPM": b"P5 7 1 65535\n" + SIXTEEN.astype(">u2").tobytes(),
    }
    assert {kind: decode(data).tolist() for kind, data in files.items()} == dict.fromkeys(files, SIXTEEN_GREY)
    assert SIXTEEN_GREY[0][-1] == 255


def test_a_dark_sixteen_bit_scan_stays_dark() -> None:
    assert decode(png(2, 1, 16, 0, bytes([0, 0, 0, 255]))).tolist() == [[0, 1]]


def test_sixteen_bit_colour() -> None:
    samples = np.array([[[65535, 65535, 65535], [0, 0, 0], [65535, 0, 0]]], ">u2")
    assert decode(png(3, 1, 16, 2, samples.tobytes())).tolist() == [[255, 0, 76]]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0, -3.0]], np.float32), [0, 128, 255, 0]),
        (np.array([[0.0, 100.25, 255.0]], np.float32), [0, 100, 255]),
        (np.array([[0.0, 32768.0, 65535.0]], np.float32), [0, 128, 255]),
        (np.array([[0, 7, 255]], np.int32), [0, 7, 255]),
        (np.array([[-5, 32768, 65535]], np.int32), [0, 128, 255]),
        (np.array([[0, 2**30, 2**31 - 1]], np.int32), [0, 128, 255]),
    ],
)
def test_wide_samples(samples: npt.NDArray[Any], expected: list[int]) -> None:
    assert decode(encoded(Image.fromarray(samples), "TIFF")).tolist() == [expected]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9])
def test_floats_out_of_range_are_refused(value: float) -> None:
    data = encoded(Image.fromarray(np.array([[0, value]], np.float32)), "TIFF")
    with pytest.raises(BadImage, match=r"largest floating-point sample is .*, allowed is up to 65535"):
        decode(data)


def test_minus_infinity_is_black() -> None:
    samples = np.array([[-np.inf, 1.0]], np.float32)
    assert decode(encoded(Image.fromarray(samples), "TIFF")).tolist() == [[0, 255]]


def test_palette() -> None:
    image = Image.new("P", (3, 1))
    image.putdata([0, 1, 2])
    image.putpalette([255, 255, 255, 10, 10, 10, 255, 0, 0])
    assert decode(encoded(image, "PNG")).tolist() == [[255, 10, 76]]
    assert decode(encoded(image, "BMP")).tolist() == [[255, 10, 76]]
    assert decode(encoded(image, "PNG", transparency=1)).tolist() == [[255, 255, 76]]
    assert decode(encoded(image, "PNG", transparency=bytes([0, 128, 255]))).tolist() == [[255, 132, 76]]


def test_transparency_shows_white_paper() -> None:
    grey, alpha = np.array([[0, 0, 0, 100]], np.uint8), np.array([[0, 128, 255, 51]], np.uint8)
    expected = [[255, 127, 0, 224]]
    image = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    assert decode(encoded(image, "PNG")).tolist() == expected
    assert decode(encoded(image.convert("RGBA"), "PNG")).tolist() == expected
    assert decode(encoded(image.convert("RGBA"), "TIFF")).tolist() == expected
    webp = encoded(image.convert("RGBA"), "WEBP", lossless=True, exact=True)
    assert decode(webp).tolist() == expected


def test_a_transparent_colour_shows_white_paper() -> None:
    assert decode(encoded(Image.fromarray(RAMP), "PNG", transparency=0))[0, 0] == 255
    assert decode(encoded(Image.fromarray(RAMP).convert("RGB"), "PNG", transparency=(0, 0, 0)))[0, 0] == 255
    assert decode(png(8, 1, 1, 0, b"\x0f", chunk(b"tRNS", b"\0\0"))).tolist() == [[255] * 8]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind: str) -> None:
    ink = Image.merge("CMYK", [Image.new("L", (16, 16), level) for level in (0, 0, 0, 255)])
    paper = Image.new("CMYK", (16, 16), 0)
    assert decode(encoded(ink, kind)).max() < 8
    assert decode(encoded(paper, kind)).min() > 247


def test_other_colour_spaces() -> None:
    ycc = Image.fromarray(RAMP).convert("RGB").convert("YCbCr")
    assert np.abs(decode(encoded(ycc, "TIFF", compression="jpeg", quality=95)).astype(int) - RAMP).max() < 12
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    convert = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    picture = ImageCms.applyTransform(Image.fromarray(RAMP).convert("RGB"), convert)
    assert picture is not None
    lightness = decode(encoded(picture, "TIFF"))
    assert (np.diff(lightness.ravel().astype(int)) >= 0).all()
    assert lightness[-1, -1] == 255


UPRIGHT = np.array([[10, 60, 110], [160, 200, 250]], np.uint8)  # what must come out
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].T,
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_exif_orientation(orientation: int, kind: str) -> None:
    image = Image.fromarray(np.kron(STORED[orientation], np.ones((8, 8), np.uint8)))  # JPEG's blocks
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"tiffinfo": {0x0112: orientation}} if kind == "TIFF" else {"exif": exif}
    if kind == "WEBP":
        options["lossless"] = True
    grey = decode(encoded(image, kind, **options))
    assert np.abs(grey[4::8, 4::8].astype(int) - UPRIGHT).max() <= 3
    assert grey.shape == (16, 24)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientations_that_do_not_exist_do_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode(encoded(Image.fromarray(RAMP), "PNG", exif=exif)), RAMP)


@pytest.mark.filterwarnings("ignore")
def test_damaged_exif_does_not_spoil_a_sound_image() -> None:
    data = encoded(Image.fromarray(RAMP), "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert np.array_equal(decode(data), RAMP)


def test_the_first_of_several_pages_is_read() -> None:
    pages = [Image.fromarray(RAMP), Image.new("L", (500, 500))]
    assert np.array_equal(decode(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])), RAMP)
    frames = [Image.fromarray(RAMP).convert("RGB"), Image.new("RGB", (40, 6))]
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert np.array_equal(decode(data), RAMP)


@pytest.mark.parametrize(("magic", "grey"), [(b"P2", [0, 255]), (b"P1", [255, 0])])
def test_pnm_as_text(magic: bytes, grey: list[int]) -> None:
    top = b" 255" if magic == b"P2" else b""
    values = b"0 255" if magic == b"P2" else b"0 1"
    assert decode(magic + b"\n# a comment\n2 1" + top + b"\n" + values + b"\n").tolist() == [grey]


def test_pnm_of_odd_maximum() -> None:
    assert decode(b"P5 3 1 15\n" + bytes([0, 7, 15])).tolist() == [[0, 119, 255]]
    assert decode(b"P5 2 1 1023\n" + bytes([0, 0, 3, 255])).tolist() == [[0, 255]]


def test_a_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(decode(encoded(Image.fromarray(RAMP), "PNG", icc_profile=profile)), RAMP)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"the image file is empty \(0 bytes\)"),
        (b"hello", "of no known image format"),
        (b"%PDF-1.7 ...", "looks like PDF; PNG, JPEG, TIFF, WebP, BMP and PNM files are read"),
        (encoded(Image.new("L", (4, 4)), "GIF"), "looks like GIF"),
        (b"\0\0\0\x18ftypheic", "looks like HEIF, AVIF or MP4"),
        (encoded(Image.new("L", (4, 4)), "ICO"), "of no known image format"),
        (encoded(Image.new("RGB", (4, 4)), "EPS"), "of no known image format"),
        (b"P5 0 4 255\n", "no pixels|damaged|no known"),
        (png(0, 4, 8, 0, b""), "no pixels|damaged|no known"),
        (b"P5 4 4 255\n12", "damaged or cut off"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (line_png()[:-200], "damaged or cut off"),
        (encoded(Image.fromarray(COLOURS), "JPEG")[:-40], "damaged or cut off"),
        (encoded(Image.fromarray(COLOURS), "TIFF")[:-40], "damaged"),
        (encoded(Image.fromarray(COLOURS), "WEBP")[:-40], "damaged"),
        (encoded(Image.fromarray(COLOURS), "BMP")[:-40], "damaged or cut off"),
    ],
)
def test_what_is_no_image_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(BadImage, match=message) as caught:
        decode(data)
    assert not isinstance(caught.value, ImageTooLarge)


def test_limits_are_inclusive_and_stated() -> None:
    data = encoded(Image.fromarray(RAMP), "PNG")
    decode(data, Limits(bytes=len(data), pixels=240, width=40, height=6))
    for limits, message in (
        (Limits(bytes=len(data) - 1), f"has {len(data)} bytes, at most {len(data) - 1} are allowed"),
        (Limits(pixels=239), r"has 240 pixels \(40 x 6\), at most 239 are allowed"),
        (Limits(width=39), "is 40 x 6 pixels, at most 39 x 8192"),
        (Limits(height=5), "is 40 x 6 pixels, at most 65500 x 5"),
    ):
        with pytest.raises(ImageTooLarge, match=message):
            decode(data, limits)


def test_a_webp_may_have_a_quarter_of_the_pixels_as_its_decoder_takes_more_memory() -> None:
    data = encoded(Image.fromarray(RAMP), "WEBP")
    assert decode(data, Limits(pixels=960)).shape == (6, 40)
    with pytest.raises(ImageTooLarge, match=r"has 240 pixels \(40 x 6\), at most 239 are allowed in a WebP"):
        decode(data, Limits(pixels=959))


def modes() -> dict[str, bytes]:
    """A picture of 50 rows in files that are decoded to each of Pillow's modes."""
    samples = np.random.default_rng(1).integers(0, 256, (50, 41, 4), np.uint8)
    colour, grey, wide = Image.fromarray(samples), samples[..., 0], samples[..., 0].astype(np.uint16) * 257
    palette = colour.convert("RGB").quantize(16)
    return {
        "1": encoded(colour.convert("1"), "PNG"),
        "L": encoded(Image.fromarray(grey), "PNG"),
        "L with a transparent grey": encoded(Image.fromarray(grey), "PNG", transparency=7),
        "LA": encoded(colour.convert("LA"), "PNG"),
        "P": encoded(palette, "PNG"),
        "P with a transparent colour": encoded(palette, "PNG", transparency=3),
        "P with transparencies": encoded(palette, "PNG", transparency=bytes(range(16))),
        "RGB": encoded(colour.convert("RGB"), "PNG"),
        "RGBA": encoded(colour, "PNG"),
        "CMYK": encoded(colour.convert("CMYK"), "TIFF"),
        "I;16": encoded(Image.fromarray(wide), "PNG"),
        "I;16B": b"P5 41 50 65535\n" + wide.astype(">u2").tobytes(),
        "I": encoded(Image.fromarray(wide.astype(np.int32) * 9), "TIFF"),
        "F": encoded(Image.fromarray(wide.astype(np.float32) / 9), "TIFF"),
    }


@pytest.mark.parametrize("rows", [1, 7, 49])
def test_a_large_image_is_converted_some_rows_at_a_time_to_the_same_pixels(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = modes()
    at_once = {mode: decode(data) for mode, data in files.items()}
    monkeypatch.setattr("zeile.image._BLOCK", 41 * rows)
    for mode, data in files.items():
        assert np.array_equal(decode(data), at_once[mode]), mode


def test_width_is_what_is_seen() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("L", (20, 100)), "PNG", exif=exif)  # lies on its side: seen, it is 100 wide
    assert decode(data, Limits(width=100, height=20)).shape == (20, 100)
    with pytest.raises(ImageTooLarge, match="is 100 x 20 pixels, at most 99 x 100"):
        decode(data, Limits(width=99, height=100))


@pytest.mark.parametrize("limits", [{"pixels": MAX_PIXELS + 1}, {"bytes": 0}, {"width": -1}, {"height": 1 << 40}])
def test_limits_that_make_no_sense_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(BadSettings, match=f"the limit on {next(iter(limits))} is {next(iter(limits.values()))}"):
        Limits(**limits)


def bomb(width: int, height: int) -> bytes:
    """A PNG of white pixels whose rows all compress to nearly nothing."""
    squeeze = zlib.compressobj(9)
    row = b"\0" + bytes([255]) * ((width + 7) // 8)
    packed = b"".join(squeeze.compress(row * 64) for _ in range(height // 64)) + squeeze.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def webp_header(width: int, height: int) -> bytes:
    """Header of a lossless WebP, at most 16384 x 16384, with nothing behind it."""
    bits = (width - 1) | (height - 1) << 14
    content = b"\x2f" + struct.pack("<I", bits) + bytes(60)
    body = b"WEBPVP8L" + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("data", "pixels"),
    [
        (bomb(13_000, 13_000), "169000000"),
        (bomb(20_000, 20_000), "400000000"),
        (b"P5 1000000 1000000 255\n", "1000000000000"),
        (b"BM" + struct.pack("<IIIIiiHHIIIIII", 0, 0, 54, 40, 60_000, 60_000, 1, 8, *[0] * 6), "3600000000"),
        (webp_header(16_000, 16_000), "256000000"),
    ],
)
def test_bombs_are_refused_by_their_header(data: bytes, pixels: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageTooLarge, match=rf"has {pixels} pixels.* at most 64000000 are allowed"):
        decode(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


def test_a_bomb_is_refused_where_warnings_are_errors() -> None:
    with pytest.raises(ImageTooLarge, match="has 169000000 pixels"):
        decode(bomb(13_000, 13_000))


def test_extreme_proportions_are_refused() -> None:
    with pytest.raises(ImageTooLarge, match="is 1000000 x 1 pixels"):
        decode(b"P5 1000000 1 255\n" + bytes(1_000_000))


def test_text_chunks_cannot_fill_the_memory() -> None:
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200 << 20), 1))
    with pytest.raises(BadImage, match="damaged"):
        decode(png(8, 1, 8, 0, bytes(8), text))


def seeds() -> list[bytes]:
    small = Image.fromarray(COLOURS[:, :12])
    alpha = small.convert("RGBA")
    grey = Image.fromarray(RAMP[:, :12])
    return [
        encoded(small, "PNG"),
        encoded(alpha, "PNG"),
        encoded(small.quantize(4), "PNG"),
        encoded(small, "JPEG"),
        encoded(small.convert("CMYK"), "JPEG"),
        encoded(small, "TIFF"),
        encoded(grey, "TIFF", compression="tiff_lzw"),
        encoded(Image.fromarray(SIXTEEN), "TIFF"),
        encoded(small, "WEBP"),
        encoded(alpha, "WEBP", lossless=True),
        encoded(small, "BMP"),
        encoded(grey, "PPM"),
    ]


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused(data: st.DataObject) -> None:
    file = bytearray(data.draw(st.sampled_from(seeds())))
    for _ in range(data.draw(st.integers(0, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadImage):
        grey = decode(bytes(file[: data.draw(st.integers(0, len(file)))]), Limits(pixels=1 << 20))
        assert grey.ndim == 2
        assert grey.size
