# SPDX-License-Identifier: Apache-2.0
"""Native line geometry is the NumPy definition, bit for bit."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeile.image import decode
from zeile.normalise import native, normalise_reference, normalise_with_extent

Grey = npt.NDArray[np.uint8]

ROOT = Path(__file__).resolve().parent.parent
LINES = ROOT / "tests" / "lines"
SETS = sorted((ROOT.parent / "shared" / "data" / "lines").glob("*.zip"))
HEIGHTS = [8, 16, 32, 48]
KINDS = ["noise", "blots", "bilevel", "across", "down", "strokes", "faint"]

pytestmark = pytest.mark.skipif(native is None, reason="the native module is not built")


def drawn(kind: str, height: int, width: int, seed: int) -> Grey:
    """An image of noise, blots, two levels, a gradient, strokes that lie like neighbouring lines, or faint ink."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (height, width)).astype(np.uint8)
    y, x = np.mgrid[:height, :width]
    if kind == "blots":
        noise = np.where(rng.random((height, width)) < 0.03, 0, 250).astype(np.uint8)
    elif kind == "bilevel":
        noise = np.where(noise > 128, 255, 0).astype(np.uint8)
    elif kind == "across":
        noise = (x * 255 // width).astype(np.uint8)
    elif kind == "down":
        noise = (y * 255 // height).astype(np.uint8)
    elif kind == "strokes":
        written = rng.random((height, 1)) < 0.5
        noise = np.where(written & (rng.random((height, width)) < 0.4), 20, 230).astype(np.uint8)
    elif kind == "faint":
        noise = np.where(rng.random((height, width)) < 0.004, 90, 200 + noise % 12).astype(np.uint8)
    return 255 - noise if seed % 3 == 0 else noise


def assert_same(grey: Grey, height_px: int, stretch_percent: int = 100) -> None:
    line, *extent = normalise_with_extent(grey, height_px, stretch_percent)
    expected, *expected_extent = normalise_reference(grey, height_px, stretch_percent)
    assert extent == expected_extent
    assert line.dtype == expected.dtype
    np.testing.assert_array_equal(line, expected)


@settings(max_examples=600, deadline=None)
@given(
    st.integers(1, 80),
    st.integers(1, 200),
    st.integers(0, 2**32 - 1),
    st.sampled_from(KINDS),
    st.sampled_from(HEIGHTS),
    st.sampled_from([100, 25, 99, 120, 400]),
)
def test_any_small_image(height: int, width: int, seed: int, kind: str, height_px: int, stretch_percent: int) -> None:
    assert_same(drawn(kind, height, width, seed), height_px, stretch_percent)


@pytest.mark.parametrize("height_px", HEIGHTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(600, 900), (300, 3), (300, 1), (1, 3000), (3, 20_000), (41, 9001)])
def test_large_wide_and_narrow_scans(shape: tuple[int, int], kind: str, height_px: int) -> None:
    assert_same(drawn(kind, *shape, seed=shape[0] + shape[1]), height_px)


@pytest.mark.parametrize("height_px", HEIGHTS)
def test_the_sample_lines(height_px: int) -> None:
    paths = sorted(LINES.glob("*/*.png"))
    assert paths
    for path in paths:
        grey = decode(path.read_bytes())
        assert_same(grey, height_px)
        assert_same(cv2.resize(grey, None, fx=600 / len(grey), fy=600 / len(grey)), height_px)


@pytest.mark.skipif(not SETS, reason="needs the data sets in ../shared/data/lines")
def test_lines_of_every_data_set() -> None:
    count, rng = 0, np.random.default_rng(7)
    for path in SETS:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".png")]
            for index in rng.choice(len(names), min(40, len(names)), replace=False):
                grey = decode(archive.read(names[index]))
                for height_px in (32, 48):
                    assert_same(grey, height_px)
                count += 1
    assert count >= 300


@settings(max_examples=1000, deadline=None)
@given(*[st.integers(1, n) for n in (90, 700, 90, 1600)], st.integers(0, 2**32 - 1))
def test_resize_is_opencv_s(height: int, width: int, tall: int, wide: int, seed: int) -> None:
    grey = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    assert_resized(grey, wide, tall)


@pytest.mark.parametrize("target", [2, 48, 96, 512, 513 * 2, 512 * 3, 1024 * 5, 512 * 21, 65_536])
def test_resize_where_a_coordinate_lies_between_two_steps(target: int) -> None:
    """Ties of 1/512 px are decided by the rounding of doubles."""
    rng = np.random.default_rng(target)
    for width in [*range(1, 130), 777, 1001, 4097, 20_001]:
        assert_resized(rng.integers(0, 256, (2, width), np.uint8), target, 3)
        assert_resized(rng.integers(0, 256, (width, 2), np.uint8), 3, target)


def assert_resized(grey: Grey, width: int, height: int) -> None:
    expected = cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    np.testing.assert_array_equal(native.resize(grey, width, height), expected)


def test_more_pixels_of_a_level_than_a_float_counts_exactly() -> None:
    page = np.full((4200, 4201), 255, np.uint8)  # cv2.calcHist counts in float32
    page[:300], page[300:700, ::2] = 0, 100
    assert_same(page, 32)


def test_a_view_of_an_image_is_read_as_it_looks() -> None:
    page = drawn("blots", 60, 400, 1)
    assert_same(page[5:50, 390:10:-2], 32)


def test_no_pixels_or_no_height_is_refused() -> None:
    page = np.zeros((5, 5), np.uint8)
    for grey, height_px, stretch_percent in ((page[:0], 32, 100), (page, 0, 100), (page, 32, 0)):
        with pytest.raises(ValueError, match=r"no pixels|below 1"):
            native.normalise(grey, height_px, stretch_percent)
