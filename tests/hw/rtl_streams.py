# SPDX-License-Identifier: Apache-2.0
"""Elements of streams as the SystemVerilog units carry them: flat vectors, fields from bit 0 up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.hw.units import Ints, Writes

CONFIG_BITS = 106
WRITE, READ, DATA = range(3)


def element_bits(codes: int, bits: int) -> int:
    """Bits of an element of ``codes`` codes: {last, codes}."""
    return codes * bits + 1


def packed(lines: Sequence[Ints], codes: int, bits: int) -> list[int]:
    """Lines as elements of ``codes`` codes of ``bits`` bits."""
    elements = []
    for line in lines:
        rows = (line.reshape(-1, codes) & (1 << bits) - 1).tolist()
        elements += [sum(code << bits * c for c, code in enumerate(row)) for row in rows]
        elements[-1] |= 1 << codes * bits
    return elements


def unpacked(elements: Sequence[int], codes: int, bits: int) -> tuple[Ints, Ints]:
    """The codes (elements, codes) of such elements, not negative, and their last flags."""
    values = [[element >> bits * c & (1 << bits) - 1 for c in range(codes)] for element in elements]
    lasts = [element >> codes * bits for element in elements]
    return np.array(values, np.int64).reshape(-1, codes), np.array(lasts, np.int64)


def message(op: int, target: int, address: int, data: int) -> int:
    """A message of the configuration chain."""
    return op | target << 2 | address << 10 | data << 42


def written_and_read(writes: Writes, stranger: int = 250) -> tuple[list[int], list[int]]:
    """Messages that write words and read them back, and what comes out; one for another target among them."""
    passing = message(WRITE, stranger, 7, 1 << 63 | 5)
    given = [passing, *(message(WRITE, *write) for write in writes)]
    given += [message(READ, target, address, 0) for target, address, _ in writes]
    return given, [passing, *(message(DATA, *write) for write in writes)]
