# SPDX-License-Identifier: Apache-2.0
"""Logarithms in integers, so that a decoded text and its confidence are the same on every machine.

A logarithm of a probability is an integer in units of 2**-16 of a natural logarithm (``UNIT`` units are 1 nat,
a score of the network's 1/8 nat is ``SCORE_UNIT`` units). Tables are made with ``decimal``, whose ``exp`` and ``ln``
are correctly rounded by specification, unlike those of a C library; the native code is handed the same tables.
"""

from __future__ import annotations

import functools
from decimal import ROUND_HALF_UP, Context, Decimal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

UNIT = 2**16
"""Units of 1 nat."""

SCORE_UNIT = UNIT // 8
"""Units of a network's score."""

IMPOSSIBLE = -(2**60)
"""Stands for the logarithm of 0: far below every sum that a line can reach, far above an overflow."""

STEP_BITS = 10
"""``log_add_table`` has an entry every 2**STEP_BITS units (1/64 nat); between entries it is linear."""

_REACH = 12 * UNIT  # log(1 + exp(-12)) is under half a unit
_CONTEXT = Context(prec=24)


def _rounded(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_HALF_UP))


@functools.cache
def exp_table() -> Ints:
    """(256,) int64: round(2**16 * exp(-d / 8)) of a distance d of two scores; 0 from d = 95 on."""
    table = [_rounded(UNIT * _CONTEXT.exp(Decimal(-d) / 8)) for d in range(128)]
    return np.array(table + [0] * 128, np.int64)


@functools.cache
def log_add_table() -> Ints:
    """(769,) int64: log(1 + exp(-d)) in units, for d = 0, 1/64, ... 12 nats."""
    nats = [Decimal(i << STEP_BITS) / UNIT for i in range((_REACH >> STEP_BITS) + 1)]
    return np.array([_rounded(UNIT * _CONTEXT.ln(1 + _CONTEXT.exp(-d))) for d in nats], np.int64)


def log_add(a: Ints, b: Ints) -> Ints:
    """Logarithm of the sum of two probabilities, element by element, within 2 units of the true one.

    Args:
        a: int64 logarithms in units, any shape.
        b: likewise, of a shape that goes with it.
    """
    table = log_add_table()
    distance = np.minimum(np.abs(a - b), _REACH)
    index = distance >> STEP_BITS
    low, high = table[index], table[np.minimum(index + 1, len(table) - 1)]
    between = ((high - low) * (distance & (2**STEP_BITS - 1)) + 2 ** (STEP_BITS - 1)) >> STEP_BITS
    total: Ints = np.maximum(a, b) + low + between
    return total
