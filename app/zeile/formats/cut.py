# SPDX-License-Identifier: Apache-2.0
"""Regions of a page become images of lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import numpy.typing as npt

from zeile.errors import BadImage
from zeile.formats.page import Region

Grey = npt.NDArray[np.uint8]

MIN_SIDE = 3
"""Width and height, pixels, below which nothing is written in a region."""


def cut_lines(grey: Grey, regions: Iterable[Region]) -> Iterator[Grey | BadImage]:
    """Cut lines out of a page, without any slack: the model's normalisation ignores what reaches in from neighbours.

    What lies in a region's box but outside its polygon is painted in the paper's grey, the median of the line's
    brighter half (or darker half, where the writing is bright), so that a neighbour's ascenders do not stay.

    Args:
        grey: (h, w) uint8, the page.
        regions: inside the page, as ``read_regions`` and ``segment`` give them.

    Yields:
        (box height, box width) uint8 for each region, a view of the page where nothing was painted; BadImage for a
        region that lies outside the page or is too small.
    """
    for region in regions:
        box = region.box
        if box.width < MIN_SIDE or box.height < MIN_SIDE:
            yield BadImage(
                f"the line's region has {box.width} x {box.height} pixels inside the page, at least "
                f"{MIN_SIDE} x {MIN_SIDE} are needed"
            )
            continue
        part = grey[box.top : box.bottom, box.left : box.right]
        yield _masked(part, region) if len(region.polygon) > 2 else part


def _masked(part: Grey, region: Region) -> Grey:
    corners = np.array(region.polygon, np.int32) - np.array(region.box[:2], np.int32)
    inside = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(inside, [corners], 1)
    if not inside.any():
        return part
    written = np.sort(part[inside > 0], kind="stable")
    middle, low, high = (int(written[len(written) * share // 100]) for share in (50, 2, 98))
    bright = 2 * middle >= low + high  # most of a line is paper
    paper = written[len(written) * (75 if bright else 25) // 100]
    return np.where(inside > 0, part, paper).astype(np.uint8)
