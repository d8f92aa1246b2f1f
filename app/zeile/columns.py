# SPDX-License-Identifier: Apache-2.0
"""A line becomes what a device reads: pixel codes of the model's width, column by column."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]


@functools.cache
def _codes(pixel_bits: int) -> npt.NDArray[np.uint8]:
    """Pixel 0 ... 255 to code 0 ... 2**pixel_bits - 1, to the nearest (DATAPATH.md)."""
    return np.asarray((np.arange(256) * (2**pixel_bits - 1) + 127) // 255, np.uint8)


def frames_of(line: npt.NDArray[np.uint8], pixel_bits: int, columns_per_frame: int) -> Frames:
    """Quantise a normalised line and join neighbouring columns.

    Args:
        line: (H, T) uint8, ink bright on black.
        pixel_bits: P, width of a code.
        columns_per_frame: n; the last frame is filled up with paper.

    Returns:
        (ceil(T / n), n * H) uint8 codes, index ``column * H + row``.
    """
    height, width = line.shape
    if width == 0:
        return np.zeros((0, height * columns_per_frame), np.uint8)
    codes = np.ascontiguousarray(cv2.LUT(np.ascontiguousarray(line), _codes(pixel_bits)).T)  # (T, H)
    if missing := -width % columns_per_frame:
        codes = np.concatenate([codes, np.zeros((missing, height), np.uint8)])
    return codes.reshape(-1, columns_per_frame * height)
