# SPDX-License-Identifier: Apache-2.0
"""Intervals: they repeat, they warn, and they hold what they promise in a simulation."""

from __future__ import annotations

import numpy as np
import pytest

from zeile.errors import BadData
from zeile.intervals import bootstrap, paired_bootstrap
from zeile.metrics import Errors


def _books(seed: int, books: int, lines: int) -> tuple[list[Errors], list[str | None]]:
    """Lines of 50 characters; each book has an error rate of its own around 2 %."""
    rng = np.random.default_rng(seed)
    rates = 0.02 * np.exp(rng.normal(0, 0.8, books) - 0.8**2 / 2)  # mean 2 %
    errors = [Errors(int(e), 50) for rate in rates for e in rng.binomial(50, rate, lines)]
    return errors, [f"book{i}" for i in range(books) for _ in range(lines)]


def test_same_seed_same_interval() -> None:
    errors, books = _books(1, 20, 10)
    assert bootstrap(errors, books) == bootstrap(errors, books)
    assert bootstrap(errors, books, seed=2) != bootstrap(errors, books)


def test_interval_over_documents_holds_the_true_rate() -> None:
    hits, draws = 0, 200
    for seed in range(draws):
        errors, books = _books(seed, 40, 20)
        interval = bootstrap(errors, books, replicates=400)
        hits += interval.low <= 0.02 <= interval.high
    assert 0.88 <= hits / draws <= 0.98  # 95 % of many documents; less of 40, whose rates differ as books' do


def test_documents_make_the_interval_wider_than_lines() -> None:
    errors, books = _books(3, 40, 30)
    by_book, by_line = bootstrap(errors, books), bootstrap(errors, [None] * len(errors))
    assert by_book.over == "documents"
    assert by_book.units == 40
    assert by_book.warning is None
    assert by_line.over == "lines"
    assert by_book.high - by_book.low > 1.5 * (by_line.high - by_line.low)


@pytest.mark.parametrize(
    ("documents", "word"),
    [
        ([None] * 4, "no document"),
        (["a", "a", "b", None], "no document"),
        (["a"] * 4, "one document"),
        (["a", "b", "c", "c"], "rough"),
    ],
)
def test_warns_when_documents_are_missing_or_few(documents: list[str | None], word: str) -> None:
    interval = bootstrap([Errors(1, 10)] * 4, documents)
    assert interval.warning is not None
    assert word in interval.warning


def test_states_how_it_was_drawn() -> None:
    interval = bootstrap([Errors(1, 10), Errors(0, 10)], ["a", "b"], seed=7, replicates=50)
    assert (interval.seed, interval.replicates, interval.units) == (7, 50, 2)


def test_paired_comparison_sees_what_single_intervals_hide() -> None:
    errors, books = _books(5, 30, 20)
    better = [Errors(max(0, e.count - (i % 5 == 0)), e.length) for i, e in enumerate(errors)]
    assert bootstrap(better, books).high > bootstrap(errors, books).low  # the two overlap
    difference = paired_bootstrap(better, errors, books)
    assert difference.value < 0
    assert difference.interval.high < 0
    assert difference.share_better > 0.99
    assert paired_bootstrap(errors, better, books).value == -difference.value


def test_a_reading_is_not_better_than_itself() -> None:
    errors, books = _books(6, 12, 5)
    difference = paired_bootstrap(errors, errors, books)
    assert (difference.value, difference.interval.low, difference.interval.high) == (0, 0, 0)
    assert difference.share_better == 0


def test_lines_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(BadData, match="same lines"):
        paired_bootstrap([Errors(0, 5)], [Errors(0, 6)], ["a"])
    with pytest.raises(BadData, match="2 documents"):
        bootstrap([Errors(0, 5)], ["a", "b"])
    with pytest.raises(BadData, match="0 lines"):
        bootstrap([], [])
