# SPDX-License-Identifier: Apache-2.0
"""Geometry and contrast of a text line: a grey image becomes a line of the model's height.

    grey (h, w)  ->  ink  ->  crop  ->  centre curve  ->  scale  ->  straighten  ->  line (H, T)

After the idea of ocropus' CenterNormalizer (Breuel, "High-performance OCR for printed English and
Fraktur using LSTM networks", ICDAR 2013): the centre of the writing is followed along the line, and
height is measured by how far the ink strays from it, so that neighbouring lines, slack around the crop,
skew and curved baselines matter little. Unlike it, every step here is integer arithmetic or an OpenCV
operation that is exact by construction, so x86-64 and aarch64 give the same line to the last bit.

The NumPy code below is the definition; ``native/geometry.cpp`` is the same, five times as fast.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

try:
    from zeile.native import _native as native
except ImportError:  # not built for this Python
    native = None  # type: ignore[assignment]

__all__ = ["MIN_CONTRAST", "MIN_WIDTH", "Grey", "native", "normalise", "normalise_reference", "normalise_with_extent"]

Grey = npt.NDArray[np.uint8]

cv2.setNumThreads(1)  # a line is small: threads cost more than they give, and the service has its own

MIN_CONTRAST = 24
"""Grey levels between paper and ink below which a line counts as blank."""

MIN_WIDTH = 4
"""Columns of the narrowest line that is returned."""

_FULL = 255
_EXTENT = 4  # half the line's height, in mean deviations of ink from the centre
_STRONG = 76  # ink above this is no paper grain
_FAR = 14  # quarters of the median distance beyond which ink is no part of the line
_SUB = 16  # sub-pixel steps of the centre curve


def normalise(grey: Grey, height_px: int, stretch_percent: int = 100) -> Grey:
    """Scale and straighten a line of text to a fixed height, ink bright on black.

    Args:
        grey: (h, w) uint8, dark on light or light on dark, 0 black and 255 white.
        height_px: H, the model's line height, pixels.
        stretch_percent: width of the line, percent of what its height asks for: more columns for narrow marks.

    Returns:
        (H, T) uint8, paper 0 and ink up to 255; T follows from the line's own proportions.
        A line without ink gives (H, 0).
    """
    return normalise_with_extent(grey, height_px, stretch_percent)[0]


def normalise_with_extent(grey: Grey, height_px: int, stretch_percent: int = 100) -> tuple[Grey, int, int]:
    """As ``normalise``, and where in the image the line lies.

    Returns:
        (H, T) uint8, and the left and right edge of the part that it shows, pixels of ``grey``: column x lies
        around left + (x + 1/2) * (right - left) / T.
    """
    if native is None:
        return normalise_reference(grey, height_px, stretch_percent)
    return native.normalise(np.ascontiguousarray(grey), height_px, stretch_percent)


def normalise_reference(grey: Grey, height_px: int, stretch_percent: int = 100) -> tuple[Grey, int, int]:
    """``normalise_with_extent`` in NumPy and OpenCV: the definition."""
    ink = _ink(grey)
    if ink is None:
        return np.zeros((height_px, 0), np.uint8), 0, grey.shape[1]
    ink, left, right = _crop(ink)
    ink = _halve(ink, 4 * height_px)
    centre, radius = _centre(ink)  # (w,) in 1/_SUB px, and half the line's extent in 1/_SUB px
    line = _scale(ink, centre, radius, height_px, stretch_percent)
    if (band := _own_band(line)) is not None:  # neighbours pulled at the centre and made the writing look large
        shift, extent = _measure(line, *band)
        centre = centre + shift * 2 * radius // (height_px * _SUB)
        radius = max(3 * _SUB, 2 * extent * radius // (height_px * _SUB))
        line = _scale(ink, centre, radius, height_px, stretch_percent)
        top, bottom = _own_band(line) or (0, height_px)
        line[:top], line[bottom:] = 0, 0
    return line, left, right


def _scale(ink: Grey, centre: npt.NDArray[np.int64], radius: int, height_px: int, stretch_percent: int) -> Grey:
    """Scale by height_px / (2 * radius) and stretch, then lift each column onto its centre."""
    h, w = ink.shape
    width = max(MIN_WIDTH, (w * height_px * _SUB * stretch_percent + 100 * radius) // (200 * radius))
    tall = max(1, (h * height_px * _SUB + radius) // (2 * radius))
    scaled = _resize(_soften(ink, tall), width, tall)
    at = (np.arange(width, dtype=np.int64) * 2 + 1) * w // (2 * width)
    middle = (2 * centre[at] + _SUB) * tall // (2 * h)  # 1/_SUB px of the scaled line
    return _straighten(scaled, middle - height_px * _SUB // 2, height_px)


def _own_band(line: Grey) -> tuple[int, int] | None:
    """Rows of the line itself, if others reach into the crop from above or below; None if it is alone.

    Neighbours are bands of rows that an empty gap parts from the main band. The dots of i and the accents of a line
    without any ascender look like that too, so the gap must be an eighth of the band, and in a short line a quarter.

    Returns:
        First row and the row behind the last.
    """
    height, width = line.shape
    mass = np.where(line > _STRONG, line, 0).sum(axis=1, dtype=np.int64)
    low, high = int(mass.min()), int(mass.max())
    written = np.concatenate(([False], mass > low + (high - low) // 12, [False]))
    edges = np.flatnonzero(written[1:] != written[:-1])
    starts, ends = edges[::2], edges[1::2]
    if len(starts) < 2:
        return None
    central = mass * (height - np.abs(2 * np.arange(height, dtype=np.int64) + 1 - height))
    sums = np.concatenate(([0], np.cumsum(central)))
    main = int(np.argmax(sums[ends] - sums[starts]))
    wanted = (int(ends[main]) - int(starts[main])) * (1 if width >= 4 * height else 2)  # eighths of a row
    first, last = main, main
    while first > 0 and (starts[first] - ends[first - 1]) * 8 < wanted:
        first -= 1
    while last + 1 < len(starts) and (starts[last + 1] - ends[last]) * 8 < wanted:
        last += 1
    top, bottom = 0, height  # cut where the gap is emptiest, so that the few ascenders of a line are kept
    if first > 0:
        top = int(ends[first - 1]) + int(mass[ends[first - 1] : starts[first]].argmin())
    if last + 1 < len(starts):
        bottom = int(starts[last + 1]) - int(mass[ends[last] : starts[last + 1]][::-1].argmin())
    return None if (top, bottom) == (0, height) else (top, bottom)


def _measure(line: Grey, top: int, bottom: int) -> tuple[int, int]:
    """How far the middle of rows ``top`` to ``bottom`` lies below the line's, and half their extent, 1/_SUB px."""
    mass = np.where(line > _STRONG, line, 0)[top:bottom].sum(axis=1, dtype=np.int64)
    total = int(mass.sum())
    rows = (2 * np.arange(top, bottom, dtype=np.int64) + 1) * _SUB // 2
    middle = int((rows * mass).sum()) // total
    spread = int((np.abs(rows - middle) * mass).sum()) // total
    return middle - len(line) * _SUB // 2, _SUB + _EXTENT * spread


def _ink(grey: Grey) -> Grey | None:
    """Ink positive, paper 0 and ink 255, from a line of either polarity; None if it is blank."""
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
    below = np.cumsum(counts.astype(np.int64))
    total = int(below[-1])

    def quantile(per_mille: int) -> int:
        return int(np.searchsorted(below, (total * per_mille + 999) // 1000))

    dark, bright, median = quantile(10), quantile(990), quantile(500)
    if bright - dark < MIN_CONTRAST:  # thin strokes on much paper: look again at the very ends
        dark, bright = quantile(1), quantile(999)
        if bright - dark < MIN_CONTRAST:
            return None
    level = np.arange(256)
    if 2 * median >= dark + bright:  # most of a line is paper
        paper = quantile(800)
        table = (paper - level) * _FULL // max(paper - dark, MIN_CONTRAST)
    else:
        paper = quantile(200)
        table = (level - paper) * _FULL // max(bright - paper, MIN_CONTRAST)
    return np.asarray(cv2.LUT(grey, np.clip(table, 0, _FULL).astype(np.uint8)), np.uint8)


def _crop(ink: Grey) -> tuple[Grey, int, int]:
    """Cut off paper at all four sides, but for a rim of an eighth of the height beside the ink.

    Returns:
        The part and its left and right edge in ``ink``.
    """
    h, w = ink.shape
    across, down = np.flatnonzero(ink.max(axis=0) > 127), np.flatnonzero(ink.max(axis=1) > 127)
    if across.size == 0:
        return ink, 0, w
    top, bottom = int(down[0]), int(down[-1]) + 1
    rim = max(1, (bottom - top) // 8)
    left, right = max(0, int(across[0]) - rim), min(w, int(across[-1]) + 1 + rim)
    return np.ascontiguousarray(ink[max(0, top - 1) : min(h, bottom + 1), left:right]), left, right


def _halve(ink: Grey, limit: int) -> Grey:
    """Halve a large scan (mean of 2 x 2, exact) until it is at most ``limit`` pixels high."""
    while ink.shape[0] > limit and ink.shape[1] > 1:
        h, w = ink.shape
        ink = _resize(ink, w // 2, h // 2)
    return ink


def _resize(ink: Grey, width: int, height: int) -> Grey:
    """Bilinear in fixed point, exact by OpenCV's promise; halving is the rounded mean of 2 x 2."""
    return np.asarray(cv2.resize(ink, (width, height), interpolation=cv2.INTER_LINEAR_EXACT), np.uint8)


def _soften(ink: Grey, tall: int) -> Grey:
    """Bilinear scaling to under 0.8 skips ink: blur first, [1 2 1]/4 both ways, rounding half up."""
    if tall * 5 >= ink.shape[0] * 4:
        return ink
    wide = cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0).astype(np.uint16)
    rows = wide[:-2] + wide[2:]
    rows += wide[1:-1] << 1
    both = rows[:, :-2] + rows[:, 2:]
    both += (rows[:, 1:-1] << 1) + 8
    softened: Grey = (both >> 4).astype(np.uint8)
    return softened


def _box(values: npt.NDArray[np.int32], width: int, border: int) -> npt.NDArray[np.int32]:
    """Sum over ``width`` neighbours along the line, twice: a triangle, all in int32."""
    for _ in range(2):
        summed = cv2.boxFilter(values, cv2.CV_32S, (width, 1), normalize=False, borderType=border)
        values = np.asarray(summed, np.int32)
    return values


def _centre(ink: Grey) -> tuple[npt.NDArray[np.int64], int]:
    """Follow the middle of the writing.

    Returns:
        The centre of each column, (w,) int64 in 1/_SUB px, and half the line's extent in 1/_SUB px.
    """
    w = ink.shape[1]
    small, step = ink, 1
    while small.shape[0] > 16 and small.shape[1] > 3:
        small = _resize(small, small.shape[1] // 2, small.shape[0] // 2)
        step *= 2
    sh, sw = small.shape
    # Where, in each column, is most ink, seen through a wide window? Along the line a triangle, down the
    # line a quartic bell, (r^2 - d^2)^2, which is close to a Gaussian of half the height.
    rows = np.arange(sh, dtype=np.int64)
    reach = 4 * sh // 3 + 1
    bell = np.maximum(reach * reach - (rows[:, None] - rows[None, :]) ** 2, 0) ** 2
    spread = min(2 * (5 * sh // 4) + 1, 63)
    along = _box(small.astype(np.int32), spread, cv2.BORDER_CONSTANT)
    weight = bell @ along.astype(np.int64)
    weight += bell @ along.sum(axis=1, dtype=np.int64)[:, None] // (64 * sw)  # empty stretches follow the line
    best = weight.argmax(axis=0)
    smooth = 2 * (sh // 3) + 1
    curve = _box((best * _SUB).astype(np.int32)[None, :], smooth, cv2.BORDER_REPLICATE)[0].astype(np.int64)
    curve //= smooth * smooth  # (sw,) in 1/_SUB small px
    radius = max(3 * _SUB, _SUB + _EXTENT * _spread(small, np.abs(rows[:, None] * _SUB - curve[None, :])) * step)
    # Back to the full width: column x of the line lies at (2x + 1) / (2 * step) - 1/2 small columns.
    position = ((2 * np.arange(w, dtype=np.int64) + 1) * sw * 8) // w - 8
    position = np.minimum(np.maximum(position, 0), 16 * (sw - 1))
    left, part = position >> 4, position & 15
    right = np.minimum(left + 1, sw - 1)
    fine = (curve[left] * (16 - part) + curve[right] * part + 8) >> 4
    return fine * step + (step - 1) * _SUB // 2, radius


def _spread(small: Grey, distance: npt.NDArray[np.int64]) -> int:
    """Mean distance of strong ink from the centre, which measures the size of the writing.

    Ink far beyond the median distance belongs to neighbouring lines (what reaches into a crop that was cut from a
    page with slack) and does not count.

    Args:
        small: (h, w) uint8.
        distance: (h, w) int64, of each pixel from the centre of its column, 1/_SUB px.

    Returns:
        1/_SUB px.
    """
    strong = np.where(small > _STRONG, small, 0)
    # float64 sums of integers far below 2**53 are exact
    mass = np.bincount(distance.ravel(), strong.ravel()).astype(np.int64)
    below = np.cumsum(mass)
    if below[-1] == 0:
        return len(small) * _SUB // 4
    median = int(np.searchsorted(below, (below[-1] + 1) // 2))
    near = mass[: median * _FAR // 4 + 1]
    return int((near * np.arange(len(near))).sum() // near.sum())


def _straighten(scaled: Grey, top: npt.NDArray[np.int64], height_px: int) -> Grey:
    """Cut ``height_px`` rows out of each column from ``top`` (1/_SUB px), linear between rows.

    Args:
        scaled: (h, T) uint8.
        top: (T,) int64, the upper edge of the cut in 1/_SUB px; beyond the image lies paper.
        height_px: H.
    """
    h, width = scaled.shape
    rim = height_px + 1
    low = np.minimum(np.maximum(top >> 4, -rim), h)  # first row
    padded = cv2.copyMakeBorder(scaled, rim, rim + 1, 0, 0, cv2.BORDER_CONSTANT, value=0)
    part = (top & 15).astype(np.uint16)
    index = ((low + rim) * width + np.arange(width))[None, :] + (np.arange(height_px + 1, dtype=np.int64) * width)[
        :, None
    ]
    rows = padded.ravel().take(index).astype(np.uint16)  # (H + 1, T)
    straight: Grey = ((rows[:-1] * (_SUB - part) + rows[1:] * part + _SUB // 2) >> 4).astype(np.uint8)
    return straight
