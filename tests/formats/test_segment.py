# SPDX-License-Identifier: Apache-2.0
"""Lines are found on clean pages of one column, made of the sample lines and of drawn ones, and cut out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models import line_pixels

from zeile.errors import BadImage
from zeile.formats import Box, Region, cut_lines, segment
from zeile.image import decode

Grey = npt.NDArray[np.uint8]
SAMPLES = Path(__file__).resolve().parent.parent / "lines"


def sample_page(folder: str, degrees: float = 0) -> tuple[Grey, list[tuple[int, int]]]:
    """The sample lines one below the other on white, turned; and the rows of their middles before turning."""
    images = [decode(path.read_bytes()) for path in sorted((SAMPLES / folder).glob("*.png"))]
    width = max(image.shape[1] for image in images) + 120
    page = np.full((sum(image.shape[0] + 14 for image in images) + 120, width), 255, np.uint8)
    top, places = 60, []
    for image in images:
        paper = max(1, int(np.sort(image.ravel())[image.size * 8 // 10]))
        page[top : top + image.shape[0], 60 : 60 + image.shape[1]] = np.minimum(image.astype(int) * 255 // paper, 255)
        places.append((top, top + image.shape[0]))
        top += image.shape[0] + 14
    return turned(page, degrees), places


def turned(page: Grey, degrees: float) -> Grey:
    if not degrees:
        return page
    turn = cv2.getRotationMatrix2D((page.shape[1] / 2, page.shape[0] / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(page, turn, (page.shape[1], page.shape[0]), borderValue=(255,)), np.uint8)


def drawn_page(count: int, pitch: int = 60) -> Grey:
    page = np.full((count * pitch + 80, 700), 235, np.uint8)
    for number in range(count):
        width = 600 if number % 4 != 3 else 200  # the last line of a paragraph is short
        page[40 + number * pitch : 80 + number * pitch, 50 : 50 + width] = line_pixels(number, 40, width)
    return page


@pytest.mark.parametrize("folder", ["antiqua", "fraktur"])
def test_every_sample_line_is_found(folder: str) -> None:
    page, places = sample_page(folder)
    regions = segment(page)
    assert len(regions) == len(places)
    for region, (top, bottom) in zip(regions, places, strict=True):
        assert top <= (region.box.top + region.box.bottom) // 2 < bottom
        assert region.box.left <= 90


@pytest.mark.parametrize("degrees", [-2.0, -0.7, 1.0, 2.5])
@pytest.mark.parametrize("folder", ["antiqua", "fraktur"])
def test_every_sample_line_is_found_on_a_turned_page(folder: str, degrees: float) -> None:
    page, places = sample_page(folder, degrees)
    regions = segment(page)
    assert len(regions) == len(places)
    assert all(len(region.polygon) == 4 for region in regions if region.box.width > 300)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 12), st.booleans(), st.integers(0, 3))
def test_drawn_lines(count: int, inverted: bool, shift: int) -> None:
    page = np.roll(drawn_page(count), shift, axis=0)
    regions = segment(255 - page if inverted else page)
    assert [region.id for region in regions] == [f"line_{n + 1}" for n in range(count)]
    for number, region in enumerate(regions):
        assert region.box.top < 60 + number * 60 + shift < region.box.bottom
        assert region.box.height < 60


def test_a_large_page_is_halved_and_found_the_same() -> None:
    small = drawn_page(30)
    large = np.kron(small, np.ones((2, 2), np.uint8)).astype(np.uint8)
    assert large.shape[0] > 2048
    pairs = zip(segment(small), segment(large), strict=True)
    assert all(tuple(2 * n for n in a.box) == b.box for a, b in pairs)


def test_rules_frames_and_figures_are_no_lines() -> None:
    page = drawn_page(6)
    page[:, 20:23] = 0
    page[-12:-9, 30:680] = 0
    assert len(segment(page)) == 6


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (40, 40), (3000, 2)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_pages_without_text_have_no_lines(shape: tuple[int, int], value: int) -> None:
    assert segment(np.full(shape, value, np.uint8)) == []


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(1, 200))
def test_any_image_gives_regions_inside_it(seed: int, height: int, width: int) -> None:
    grey = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)
    for region in segment(grey):
        assert region.box == region.box.clipped(width, height)
        assert all(0 <= x < width and 0 <= y < height for x, y in region.polygon)


def test_a_box_is_cut_as_it_is() -> None:
    page = drawn_page(2)
    (cut,) = cut_lines(page, [Region("a", Box(50, 40, 650, 80))])
    assert np.array_equal(np.asarray(cut), page[40:80, 50:650])


def test_outside_the_outline_is_paper() -> None:
    page = np.full((100, 200), 230, np.uint8)
    page[10:90, 20:180:7] = 10
    outline = ((20, 30), (179, 40), (179, 70), (20, 60))
    (cut,) = cut_lines(page, [Region("a", Box(20, 30, 180, 71), outline)])
    cut = np.asarray(cut)
    assert set(cut[0, 40:].tolist()) == {230}
    assert np.array_equal(cut[20], page[50, 20:180])
    assert page[10, 20] == 10


def test_a_region_outside_or_too_small_is_an_error_of_its_own() -> None:
    page = drawn_page(1)
    cuts = list(
        cut_lines(
            page, [Region("a", Box(10, 10, 10, 10)), Region("b", Box(0, 0, 50, 50)), Region("c", Box(0, 0, 2, 50))]
        )
    )
    assert [isinstance(cut, BadImage) for cut in cuts] == [True, False, True]
    assert "at least 3 x 3" in str(cuts[0])
