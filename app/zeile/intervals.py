# SPDX-License-Identifier: Apache-2.0
"""How sure an error rate is: a percentile bootstrap over documents.

Lines of one book share its print and its paper. Drawing lines one by one treats them as independent and makes
intervals several times too narrow, so whole documents are drawn; where they are not known, lines are, with a
warning.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", chapter 13 (percentile interval).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zeile.errors import BadData
from zeile.metrics import Errors

Counts = npt.NDArray[np.int64]

REPLICATES = 2000
"""Bootstrap replicates, B."""

SEED = 1
"""Seed of the random numbers."""

_FEW = 10  # documents below which a bootstrap over them is called unreliable
_DRAWS = 1_000_000  # random numbers held at a time


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval.

    Attributes:
        low: lower end.
        high: upper end.
        over: what was drawn, "documents" or "lines".
        units: how many of them there are.
        replicates: B.
        seed: of the random numbers.
        warning: why the interval should not be trusted, or None.
    """

    low: float
    high: float
    over: str
    units: int
    replicates: int
    seed: int
    warning: str | None


def bootstrap(
    errors: Sequence[Errors],
    documents: Sequence[str | None],
    *,
    seed: int = SEED,
    replicates: int = REPLICATES,
) -> Interval:
    """95 % interval of the micro-averaged rate.

    Args:
        errors: of each line.
        documents: the document of each line, or None where it is not known.
        seed: of the random numbers.
        replicates: B.

    Raises:
        BadData: no lines, no ground truth, or not as many documents as lines.
    """
    units, over, warning = _units(documents, len(errors))
    sums = np.stack([_grouped([e.count for e in errors], units), _grouped([e.length for e in errors], units)])
    count, length = _resampled(sums, seed, replicates)
    low, high = np.percentile(count / np.maximum(length, 1), (2.5, 97.5))
    return Interval(float(low), float(high), over, sums.shape[1], replicates, seed, warning)


@dataclass(frozen=True, slots=True)
class Difference:
    """Rate of A less the rate of B on the same lines; below 0, A is better.

    Attributes:
        value: the difference.
        interval: its 95 % interval, from draws common to A and B.
        share_better: share of the draws in which A makes fewer errors than B.
    """

    value: float
    interval: Interval
    share_better: float


def paired_bootstrap(
    a: Sequence[Errors],
    b: Sequence[Errors],
    documents: Sequence[str | None],
    *,
    seed: int = SEED,
    replicates: int = REPLICATES,
) -> Difference:
    """Compare two readings of the same lines, drawing the same documents for both.

    Args:
        a: errors of A, of each line.
        b: errors of B, of the same lines in the same order.
        documents: as for ``bootstrap``.
        seed: of the random numbers.
        replicates: B.

    Raises:
        BadData: the lines of A and B are not the same, or as for ``bootstrap``.
    """
    if [e.length for e in a] != [e.length for e in b]:
        raise BadData(f"A has {len(a)} lines and B {len(b)}, or their ground truth differs; compare the same lines")
    units, over, warning = _units(documents, len(a))
    groups = [_grouped(values, units) for values in ([e.count for e in a], [e.count for e in b], [e.length for e in a])]
    errors_a, errors_b, length = _resampled(np.stack(groups), seed, replicates)
    difference = (errors_a - errors_b) / np.maximum(length, 1)
    low, high = np.percentile(difference, (2.5, 97.5))
    interval = Interval(float(low), float(high), over, len(groups[0]), replicates, seed, warning)
    value = int(groups[0].sum() - groups[1].sum()) / max(1, int(groups[2].sum()))
    return Difference(value, interval, float((errors_a < errors_b).mean()))


def _units(documents: Sequence[str | None], lines: int) -> tuple[Counts, str, str | None]:
    """What to draw: (lines,) the unit of each line, its name, and a warning."""
    if lines == 0 or len(documents) != lines:
        raise BadData(f"{lines} lines and {len(documents)} documents of lines; an interval needs one for each line")
    names = sorted({d for d in documents if d is not None})
    each = np.arange(lines)
    narrow = "so lines were drawn one by one and the interval is too narrow"
    if None in documents:
        return each, "lines", f"some lines name no document, {narrow}"
    if len(names) == 1:
        return (
            each,
            "lines",
            f"all lines are of one document, {narrow} and says nothing about other documents",
        )
    index = {name: i for i, name in enumerate(names)}
    few = f"only {len(names)} documents: the interval is rough, {_FEW} or more are wanted"
    units = np.array([index[d] for d in documents if d is not None])
    return units, "documents", few if len(names) < _FEW else None


def _grouped(values: Sequence[int], units: Counts) -> Counts:
    """Sum of the values of each unit."""
    sums = np.zeros(int(units.max()) + 1, np.int64)
    np.add.at(sums, units, np.array(values, np.int64))
    return sums


def _resampled(sums: Counts, seed: int, replicates: int) -> Counts:
    """(k, B) sums over units drawn with replacement, from (k, units); the same draws for all k."""
    rng, units = np.random.default_rng(seed), sums.shape[1]
    parts, left, most = [], replicates, max(1, _DRAWS // units)
    while left:
        drawn = rng.integers(0, units, (min(left, most), units))
        parts.append(sums[:, drawn].sum(2))
        left -= len(drawn)
    return np.concatenate(parts, axis=1)
