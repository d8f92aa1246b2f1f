# SPDX-License-Identifier: Apache-2.0
"""Small codes in 64-bit words, as they cross the stream: from bit 0 up, none of them in two words."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

WORD = np.dtype("<u8")
"""A word in memory, whatever the host's order of bytes."""

_PAIR = np.dtype("<u2")


def codes_per_word(bits: int) -> int:
    """Codes of ``bits`` bits in a 64-bit word."""
    return 64 // bits


def pack(codes: npt.NDArray[np.uint8], bits: int) -> Words:
    """Pack rows of codes into words, from bit 0 up.

    Args:
        codes: (N, M) uint8, each below 2**bits.
        bits: 1 ... 8.

    Returns:
        (N, ceil(M / (64 // bits))) uint64.
    """
    rows, count = codes.shape
    each = codes_per_word(bits)
    words = -(-count // each)
    if count != words * each:
        codes = np.concatenate([codes, np.zeros((rows, words * each - count), np.uint8)], axis=1)
    if 64 % bits:
        shifts = np.arange(each, dtype=np.uint64) * np.uint64(bits)
        wide = codes.reshape(rows, words, each).astype(np.uint64) << shifts
        return np.asarray(np.bitwise_or.reduce(wide, axis=2), np.uint64)
    flat = np.ascontiguousarray(codes).reshape(-1)
    while bits < 8:  # two neighbours become one code of twice the width
        pairs = flat.view(_PAIR)
        flat = (pairs | pairs >> (8 - bits)).astype(np.uint8)
        bits *= 2
    return np.asarray(flat.view(WORD).reshape(rows, words), np.uint64)


def unpack(words: Words, bits: int, count: int) -> npt.NDArray[np.uint8]:
    """The first ``count`` codes of each row of words, (N, count) uint8: what ``pack`` packed."""
    shifts = np.arange(codes_per_word(bits), dtype=np.uint64) * np.uint64(bits)
    codes = (words[:, :, None] >> shifts) & np.uint64((1 << bits) - 1)
    return np.asarray(codes.reshape(len(words), codes.shape[1] * codes.shape[2])[:, :count], np.uint8)


def crc(words: Words) -> int:
    """CRC-32 (zlib's) of the words' little-endian bytes."""
    return zlib.crc32(np.ascontiguousarray(words, dtype=WORD).data.cast("B")) if len(words) else 0
