# SPDX-License-Identifier: Apache-2.0
"""Lines of a clean page of one column: a convenience, no layout analysis.

It knows one column of horizontal lines, dark on light or the reverse, turned by at most 3.5 degrees, of about one size
of type. Columns side by side are read across, marginal notes are taken into lines, figures and rules are left out.
For anything else bring regions of a layout tool (``read_regions``).

    grey -> paper evened out -> ink -> connected components -> slope of the baselines -> bands -> regions

Connected components vote for the slope at which their lower edges fall into the fewest rows; at that slope, letters
of ordinary height vote with their middle third for the rows of lines. Integers and exact operations of OpenCV only:
every machine finds the same lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from zeile.formats.page import Box, Point, Region, around
from zeile.normalise import MIN_CONTRAST

Grey = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

WORKING_HEIGHT = 2048
"""Pages are halved until they are at most this high: some 30 px a line on a page of 60."""

MAX_SLOPE = 64
"""Steepest baseline, in 1/1024 px a px: 3.6 degrees."""

_UNIT = 10  # slopes are in 2**-10
_SMALL, _PARTS = 6, 20_000  # least ink of a component, px; more of them than that are noise
_PAPER = 31  # side of the square in which the brightest pixel is paper


@dataclass(frozen=True, slots=True)
class _Parts:
    """Connected components: edges and ink in pixels, (n,) int64 each."""

    left: Numbers
    top: Numbers
    right: Numbers
    bottom: Numbers
    area: Numbers

    @property
    def height(self) -> Numbers:
        return self.bottom - self.top

    @property
    def width(self) -> Numbers:
        return self.right - self.left

    def where(self, mask: npt.NDArray[np.bool_]) -> _Parts:
        return _Parts(self.left[mask], self.top[mask], self.right[mask], self.bottom[mask], self.area[mask])

    def straightened(self, slope: int) -> _Parts:
        """Moved up or down by what the slope makes of their middle column."""
        shift = ((self.left + self.right) * slope) >> (_UNIT + 1)
        return _Parts(self.left, self.top - shift, self.right, self.bottom - shift, self.area)


def segment(grey: Grey) -> list[Region]:
    """Find the lines of a page.

    Args:
        grey: (h, w) uint8, one column of text.

    Returns:
        Regions from top to bottom, ``line_1`` and so on; with an outline where the page is turned. Empty for a page
        without text.
    """
    small, factor = grey, 1
    while small.shape[0] > WORKING_HEIGHT and small.shape[1] > 1:
        h, w = small.shape
        small = np.asarray(cv2.resize(small, (w // 2, h // 2), interpolation=cv2.INTER_LINEAR_EXACT), np.uint8)
        factor *= 2
    ink = _ink(small)
    parts = None if ink is None else _components(ink)
    if parts is None:
        return []
    height = _type_height(parts)
    parts = parts.where(_is_text(parts, height))
    letters = parts.where((2 * parts.height >= height) & (5 * parts.height <= 9 * height))
    slope = _slope(letters)
    bands = _bands(letters.straightened(slope), height)
    boxes = _extents(parts.straightened(slope), bands, height)
    size = (grey.shape[1], grey.shape[0])
    return [_region(f"line_{number}", box, slope, factor, size) for number, box in enumerate(boxes, 1)]


def _ink(grey: Grey) -> Grey | None:
    """1 where something is written, (h, w) uint8; None if nothing is."""
    counts = np.cumsum(np.bincount(grey.ravel(), minlength=256))
    low, middle, high = (int(np.searchsorted(counts, counts[-1] * share // 100)) for share in (2, 50, 98))
    if 2 * middle < low + high:  # bright on dark
        grey = 255 - grey
    paper = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, np.ones((_PAPER, _PAPER), np.uint8))
    ink = np.asarray(cv2.subtract(paper, grey), np.uint8)
    counts = np.cumsum(np.bincount(ink.ravel(), minlength=256))
    for share in (9900, 9990, 9999):  # little text on much paper: look at ever fewer pixels
        full = int(np.searchsorted(counts, counts[-1] * share // 10_000))
        if full >= 2 * MIN_CONTRAST:
            break
    if full < MIN_CONTRAST:
        return None
    return (ink > full * 2 // 5).astype(np.uint8)


def _components(ink: Grey) -> _Parts | None:
    stats = cv2.connectedComponentsWithStats(ink, connectivity=8, ltype=cv2.CV_32S)[2][1:].astype(np.int64)
    stats = stats[stats[:, cv2.CC_STAT_AREA] >= _SMALL]
    if not 1 <= len(stats) <= _PARTS:
        return None
    left, top, width, height, area = stats.T
    return _Parts(left, top, left + width, top + height, area)


def _type_height(parts: _Parts) -> int:
    """Height of most of the writing: the components' median, each counted by its width up to twice its height."""
    order = np.argsort(parts.height, kind="stable")
    weight = np.cumsum(np.minimum(parts.width, 2 * parts.height)[order])
    return max(2, int(parts.height[order][np.searchsorted(weight, (weight[-1] + 1) // 2)]))


def _is_text(parts: _Parts, height: int) -> npt.NDArray[np.bool_]:
    """Not as high as a figure or a frame, not as long and thin as a rule, not as small as dust."""
    figure = parts.height > 4 * height
    rule = (parts.width > 6 * height) & (4 * parts.height < height)
    dust = 100 * parts.area < height * height
    return ~(figure | rule | dust)


def _slope(letters: _Parts) -> int:
    """The slope that gathers the lower edges of letters in the fewest rows; of equal ones the flattest."""
    best, found = -1, 0
    for slope in sorted(range(-MAX_SLOPE, MAX_SLOPE + 1), key=abs):
        rows = letters.straightened(slope).bottom
        if len(rows) == 0:
            break
        votes = np.bincount(rows - rows.min(), np.minimum(letters.width, 100)).astype(np.int64)
        near = np.convolve(votes, [1, 2, 1])
        score = int((near * near).sum())
        if score > best:
            best, found = score, slope
    return found


def _bands(letters: _Parts, height: int) -> list[tuple[int, int]]:
    """Rows of the lines' middles, each from a first row to before a last one, from top to bottom."""
    if len(letters.top) == 0:
        return []
    above, first = letters.height // 3, int(letters.top.min())
    votes = np.zeros(int(letters.bottom.max()) - first + 2, np.int64)
    np.add.at(votes, letters.top + above - first, letters.width)
    np.add.at(votes, letters.bottom - above - first, -letters.width)
    votes = np.cumsum(votes)
    padded = np.pad(votes, height)
    strongest = np.lib.stride_tricks.sliding_window_view(padded, 2 * height + 1).max(axis=1)
    written = np.concatenate(([False], votes * 8 > strongest, [False]))
    edges = np.flatnonzero(written[1:] != written[:-1]) + first
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _extents(parts: _Parts, bands: list[tuple[int, int]], height: int) -> list[Box]:
    """Boxes around what belongs to each band, in straightened rows: the components that are nearest to it."""
    if not bands:
        return []
    starts, ends = np.array(bands, np.int64).T  # (lines,)
    middle = (parts.top + parts.bottom) // 2
    away = np.maximum(np.maximum(starts - middle[:, None], middle[:, None] - ends), 0)  # (parts, lines)
    nearest = np.where(away.min(axis=1) <= height, away.argmin(axis=1), -1)
    lines: list[tuple[Box, int, int]] = []  # with the first and last row of the middle
    for index, (start, end) in enumerate(bands):
        own = parts.where((nearest == index) & (parts.height <= 3 * height))
        if len(own.left) == 0:
            continue
        box = Box(int(own.left.min()), int(own.top.min()), int(own.right.max()), int(own.bottom.max()))
        if lines and _same(lines[-1][0], box):
            above, first, _ = lines.pop()
            box, start = around([above, box]), first
        lines.append((box, start, end))
    return _apart(lines, height)


def _same(above: Box, below: Box) -> bool:
    """Whether two boxes share most of their rows: a heading, of which small and large letters made a line each."""
    return 2 * (above.bottom - below.top) > min(above.height, below.height)


def _apart(lines: list[tuple[Box, int, int]], height: int) -> list[Box]:
    """Boxes with slack, half the type's height along the line and a pixel across, that end where neighbours begin."""
    boxes = []
    for index, (box, _, _) in enumerate(lines):
        ceiling = lines[index - 1][2] if index else box.top - 1
        floor = lines[index + 1][1] if index + 1 < len(lines) else box.bottom + 1
        top, bottom = max(box.top - 1, ceiling), min(box.bottom + 1, floor)
        boxes.append(Box(box.left - height // 2, top, box.right + height // 2, bottom))
    return boxes


def _region(name: str, box: Box, slope: int, factor: int, size: tuple[int, int]) -> Region:
    """The box on the page: scaled, turned back, clipped."""
    fall = ((box.left * slope) >> _UNIT, (box.right * slope) >> _UNIT)
    left, right = box.left * factor, box.right * factor
    tops, bottoms = ([(edge + d) * factor for d in fall] for edge in (box.top, box.bottom))
    whole = Box(left, min(tops), right, max(bottoms)).clipped(*size)
    if fall[0] == fall[1]:
        return Region(name, whole)
    corners = [(left, tops[0]), (right - 1, tops[1]), (right - 1, bottoms[1] - 1), (left, bottoms[0] - 1)]
    return Region(name, whole, tuple(_held(corner, size) for corner in corners))


def _held(point: Point, size: tuple[int, int]) -> Point:
    return min(max(point[0], 0), size[0] - 1), min(max(point[1], 0), size[1] - 1)
