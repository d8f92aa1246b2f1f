# SPDX-License-Identifier: Apache-2.0
"""Line geometry: whatever the scan, the model sees the same line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeile.columns import frames_of
from zeile.image import decode
from zeile.normalise import normalise, normalise_with_extent

LINES = Path(__file__).parent / "lines"


def written(text: str = "Zeile um Zeile", size: float = 1.2, thick: int = 2) -> npt.NDArray[np.uint8]:
    """A drawn line, dark on light."""
    page = np.full((70, 400), 235, np.uint8)
    cv2.putText(page, text, (12, 48), cv2.FONT_HERSHEY_COMPLEX, size, 20, thick, cv2.LINE_AA)
    return page


def difference(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Mean absolute difference of two lines of nearly the same width, grey levels."""
    width = min(a.shape[1], b.shape[1])
    assert abs(a.shape[1] - b.shape[1]) <= max(4, width // 10)
    resized = cv2.resize(b, (a.shape[1], a.shape[0]), interpolation=cv2.INTER_AREA)
    return float(np.abs(a.astype(int) - resized.astype(int)).mean())


def test_height_dtype_and_polarity_of_the_result() -> None:
    line = normalise(written(), 32)
    assert line.shape[0] == 32
    assert line.dtype == np.uint8
    assert line.max() > 200
    assert np.median(line) == 0, "paper is 0"


@pytest.mark.parametrize("height", [8, 24, 32, 48])
def test_any_line_height(height: int) -> None:
    assert normalise(written(), height).shape[0] == height


@pytest.mark.parametrize("percent", [50, 120, 200])
def test_a_stretched_line_is_wider_and_not_higher(percent: int) -> None:
    line, wide = normalise(written(), 32), normalise(written(), 32, percent)
    assert wide.shape[0] == 32
    assert abs(wide.shape[1] - line.shape[1] * percent / 100) <= 1
    assert difference(line, cv2.resize(wide, line.shape[::-1], interpolation=cv2.INTER_AREA)) < 8


def test_light_on_dark_is_the_same_line() -> None:
    page = written()
    np.testing.assert_allclose(normalise(255 - page, 32), normalise(page, 32), atol=2)


def test_contrast_and_brightness_do_not_matter() -> None:
    page = written()
    faint = (page // 3 + 120).astype(np.uint8)
    assert difference(normalise(page, 32), normalise(faint, 32)) < 6


def test_scale_does_not_matter() -> None:
    page = written()
    large = cv2.resize(page, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    assert difference(normalise(page, 32), normalise(large, 32)) < 20


def test_slack_around_the_line_does_not_matter() -> None:
    page = written()
    slack = cv2.copyMakeBorder(page, 60, 90, 200, 40, cv2.BORDER_CONSTANT, value=235)
    assert difference(normalise(page, 32), normalise(slack, 32)) < 3


@pytest.mark.parametrize("slope", [-0.05, 0.05])
def test_a_skewed_line_is_straightened(slope: float) -> None:
    """The writing's rows stay as compact as on a level line."""
    page = cv2.copyMakeBorder(written(), 20, 20, 0, 0, cv2.BORDER_CONSTANT, value=235)
    at = np.array([[1, 0, 0], [slope, 1, -slope * 200]], np.float32)
    skewed = cv2.warpAffine(page, at, page.shape[::-1], borderValue=235)
    level, mended = (normalise(p, 32).sum(1) / normalise(p, 32).sum() for p in (page, skewed))
    rows = np.arange(32)

    def spread(share: npt.NDArray[np.float64]) -> float:
        return float(np.sqrt((share * (rows - (share * rows).sum()) ** 2).sum()))

    assert spread(mended) < 1.12 * spread(level)


def test_remnants_of_neighbouring_lines_are_cut_off_and_do_not_shrink_the_line() -> None:
    page = written("nahe Zeilen hier")
    crowded = cv2.copyMakeBorder(page, 12, 10, 0, 0, cv2.BORDER_CONSTANT, value=235)
    crowded[:9] = written("gypq jgpy gyjp")[50:59]  # descenders of the line above
    alone, among = normalise(page, 32), normalise(crowded, 32)
    assert 0.8 < among.shape[1] / alone.shape[1] < 1.2
    assert not among[:3].any(), "the neighbour's descenders are gone"


def test_an_i_keeps_its_dot() -> None:
    line = normalise(written("i"), 32)
    rows = np.flatnonzero((line > 100).any(axis=1))
    gaps = np.diff(rows)
    assert gaps.max() > 1, "the dot stands apart from the stem"


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (40, 300)])
def test_a_blank_line_has_no_columns(shape: tuple[int, int], value: int) -> None:
    assert normalise(np.full(shape, value, np.uint8), 32).shape == (32, 0)


def test_paper_grain_alone_is_blank() -> None:
    grain = np.random.default_rng(1).integers(228, 238, (40, 300)).astype(np.uint8)
    assert normalise(grain, 32).shape == (32, 0)


def test_very_wide_and_very_tall_lines_are_defined() -> None:
    wide = np.tile(written(), (1, 60))  # 24,000 px
    assert normalise(wide, 32).shape[1] > 8_000
    tall = written()[:, :30]
    tall = np.tile(tall, (40, 1))  # 2,800 px high
    assert normalise(tall, 32).shape[0] == 32


def test_extent_is_the_part_of_the_image_that_the_line_shows() -> None:
    page = np.full((60, 500), 240, np.uint8)
    cv2.putText(page, "mitten", (200, 40), cv2.FONT_HERSHEY_COMPLEX, 1, 10, 2)
    ink = np.flatnonzero((page < 100).any(axis=0))
    line, left, right = normalise_with_extent(page, 32)
    assert left <= ink[0] <= left + 20
    assert right - 20 <= ink[-1] < right
    assert line.shape[1] > 20


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 120), st.integers(0, 2**32 - 1), st.sampled_from(["noise", "blots", "bilevel"])
)
def test_every_image_gives_a_line(height: int, width: int, seed: int, kind: str) -> None:
    """No crash, no empty shape, whatever comes in."""
    rng = np.random.default_rng(seed)
    grey = rng.integers(0, 256, (height, width)).astype(np.uint8)
    if kind == "blots":
        grey = np.where(rng.random((height, width)) < 0.03, 0, 250).astype(np.uint8)
    elif kind == "bilevel":
        grey = np.where(grey > 128, 255, 0).astype(np.uint8)
    line, left, right = normalise_with_extent(grey, 32)
    assert line.shape[0] == 32
    assert 0 <= left <= right <= width


def test_the_sample_lines_give_the_same_columns_on_every_machine() -> None:
    """Hash of all sample lines, prepared; the same on x86-64 and aarch64 (tests/test_aarch64.py) and every OpenCV."""
    digest = hashlib.sha256()
    for path in sorted(LINES.glob("*/*.png")):
        digest.update(frames_of(normalise(decode(path.read_bytes()), 32), 4, 1).tobytes())
    expected = (LINES / "frames.sha256").read_text().split()[0]
    assert digest.hexdigest() == expected
