# SPDX-License-Identifier: Apache-2.0
"""From scores to labels: the best path of connectionist temporal classification (CTC).

Every step of the network votes for a label or for the blank. Equal neighbours are one character, the blank is
none and keeps equal characters apart. Labels that a reading does not tell apart are merged before that.

Source: Graves, Fernández, Gomez, Schmidhuber, "Connectionist temporal classification", ICML 2006, section 3.2
    (best path decoding).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zeile.fixed_log import exp_table

try:  # the native module gives the same integers, twice as fast
    from zeile.native import _native as native
except ImportError:  # not built: decoding still works
    native = None  # type: ignore[assignment]

__all__ = [
    "CERTAIN",
    "Scores",
    "Span",
    "best_path",
    "best_path_reference",
    "check_scores",
    "line_confidence",
    "merged_table",
    "native",
    "step_confidences",
]

Scores = npt.NDArray[np.int8]
Ints = npt.NDArray[np.int64]

CERTAIN = 10_000
"""Confidence of 1.0."""


class Span(NamedTuple):  # a line has dozens: tuples are made three times as fast as frozen dataclasses
    """A character and where it was seen.

    Attributes:
        label: merged label, never the blank.
        start: first step.
        end: the step behind the last one.
        confidence: 0 ... 10000, the largest probability of the label in one of the steps.
    """

    label: int
    start: int
    end: int
    confidence: int


def best_path(scores: Scores, merged: Sequence[int], blank: int) -> list[Span]:
    """Decode a line by its best label at every step.

    Args:
        scores: (S, K) int8, unit 1/8 nat; ties go to the lowest label.
        merged: (K,) label to the label it is read as, applied before equal neighbours are collapsed.
        blank: label of the blank, 0 ... K - 1.

    Returns:
        The characters from left to right; their spans do not overlap.

    Raises:
        ValueError: arguments do not fit together.
    """
    table = merged_table(tuple(merged), blank)
    check_scores(scores, len(table))
    if native is None:
        return best_path_reference(scores, table, blank)
    return native.best_path(np.ascontiguousarray(scores), table, blank, exp_table(), Span)


def best_path_reference(scores: Scores, table: Ints, blank: int) -> list[Span]:
    """The definition of ``best_path``, in NumPy; ``table`` is ``merged`` as an array."""
    if len(scores) == 0:
        return []
    labels = table[scores.argmax(axis=1)]  # (S,)
    starts = np.flatnonzero(np.concatenate(([True], labels[1:] != labels[:-1])))
    ends = np.append(starts[1:], len(labels))
    kept = labels[starts] != blank
    starts, ends = starts[kept], ends[kept]
    inside = np.flatnonzero(labels != blank)
    sure = step_confidences(scores[inside], labels[inside], table)
    first = np.concatenate(([0], np.cumsum(ends - starts)[:-1])).astype(np.int64)  # of each run, in `sure`
    best = np.maximum.reduceat(sure, first) if len(starts) else sure
    columns = (labels[starts].tolist(), starts.tolist(), ends.tolist(), best.tolist())
    return [Span(*values) for values in zip(*columns, strict=True)]


def step_confidences(scores: Scores, labels: Ints, table: Ints) -> Ints:
    """Probability of a merged label at each step, rounded down, in integers.

    With EXP[d] = round(2**16 * exp(-d / 8)): the sum of EXP[max - s] over the labels merged into it, times 10000,
    divided by the same sum over all labels.

    Args:
        scores: (n, K) int8.
        labels: (n,) merged label of each step.
        table: (K,) label to merged label.

    Returns:
        (n,) int64, 0 ... 10000.
    """
    distance = scores.max(axis=1, keepdims=True).astype(np.int16) - scores
    mass = exp_table()[distance]  # (n, K)
    part: Ints = np.where(table == labels[:, None], mass, 0).sum(axis=1)
    sure: Ints = part * CERTAIN // mass.sum(axis=1)
    return sure


def line_confidence(confidences: Sequence[int]) -> int | None:
    """Confidence of a line, 0 ... 10000: the mean of its characters', rounded down; None if it has none."""
    return sum(confidences) // len(confidences) if confidences else None


def check_scores(scores: Scores, classes: int) -> None:
    """Refuse with a ValueError what is not int8 (S, ``classes``)."""
    if scores.dtype != np.int8 or scores.ndim != 2 or scores.shape[1] != classes:
        raise ValueError(f"scores are {scores.dtype} {scores.shape}, the alphabet needs int8 (S, {classes})")


@functools.lru_cache(maxsize=64)
def merged_table(merged: tuple[int, ...], blank: int) -> Ints:
    """The map of a reading as (K,) int64, read-only; checked and made once for each map.

    Raises:
        ValueError: a label is outside 0 ... K - 1, or the blank does not stay the blank.
    """
    classes = len(merged)
    table = np.asarray(merged, np.int64)
    table.flags.writeable = False
    if not 0 <= blank < classes or table.min() < 0 or table.max() >= classes:
        raise ValueError(f"the blank ({blank}) or a merged label is outside 0 ... {classes - 1}")
    if table[blank] != blank:
        raise ValueError(f"the blank ({blank}) is merged into label {table[blank]}; it must stay the blank")
    return table
