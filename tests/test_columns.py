# SPDX-License-Identifier: Apache-2.0
"""Pixel codes and frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeile.columns import frames_of


@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_are_the_nearest_and_span_the_range(bits: int) -> None:
    line = np.arange(256, dtype=np.uint8)[None, :]
    codes = frames_of(line, bits, 1)[:, 0].astype(int)
    top = 2**bits - 1
    exact = np.arange(256) * top / 255
    assert codes[0] == 0
    assert codes[-1] == top
    assert np.abs(codes - exact).max() <= 0.5


@given(st.integers(0, 40), st.integers(1, 5), st.integers(1, 9))
def test_neighbouring_columns_are_joined_and_the_last_frame_is_filled_with_paper(
    width: int, joined: int, height: int
) -> None:
    line = (np.arange(height * width).reshape(height, width) % 255 + 1).astype(np.uint8)
    frames = frames_of(line, 8, joined)
    assert frames.shape == (-(-width // joined), joined * height)
    flat = frames.reshape(-1, height)
    np.testing.assert_array_equal(flat[:width], line.T)
    assert not flat[width:].any()
