# SPDX-License-Identifier: Apache-2.0
"""The best path against a plain definition, and what a reader relies on: spans, confidences, readings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zeile.ctc import Scores, Span, best_path, best_path_reference, line_confidence, merged_table, native
from zeile.fixed_log import UNIT, exp_table, log_add, log_add_table

BLANK = 0


@st.composite
def lines(draw: st.DrawFn, steps: int = 40, classes: int = 12) -> tuple[Scores, tuple[int, ...], int]:
    """Scores, often with ties, a map of a reading, and a blank anywhere."""
    k = draw(st.integers(1, classes))
    values = draw(st.sampled_from([st.integers(-128, 127), st.integers(-2, 2), st.sampled_from([-128, 0, 127])]))
    scores = draw(arrays(np.int8, (draw(st.integers(0, steps)), k), elements=values))
    blank = draw(st.integers(0, k - 1))
    merged = draw(st.lists(st.integers(0, k - 1), min_size=k, max_size=k))
    merged[blank] = blank
    return scores, tuple(merged), blank


def steps(labels: Sequence[int], classes: int) -> Scores:
    """Scores of a network that is rather sure of one label at each step."""
    scores = np.full((len(labels), classes), -40, np.int8)
    scores[np.arange(len(labels)), labels] = 40
    return scores


def read(scores: Scores, merged: Sequence[int] | None = None) -> list[int]:
    merged = range(scores.shape[1]) if merged is None else merged
    return [span.label for span in best_path(scores, merged, BLANK)]


def plain(scores: Scores, merged: Sequence[int], blank: int) -> list[tuple[int, int, int]]:
    """Graves' definition, word by word: best labels, merged, equal neighbours collapsed, blanks removed."""
    labels = [merged[row.index(max(row))] for row in scores.tolist()]
    runs, at = [], 0
    for label, run in itertools.groupby(labels):
        end = at + len(list(run))
        if label != blank:
            runs.append((label, at, end))
        at = end
    return runs


@settings(deadline=None)
@given(lines())
def test_best_path_is_the_plain_definition(line: tuple[Scores, tuple[int, ...], int]) -> None:
    spans = best_path(*line)
    assert [(span.label, span.start, span.end) for span in spans] == plain(*line)


@settings(deadline=None)
@given(lines())
def test_spans_lie_in_the_line_and_in_order(line: tuple[Scores, tuple[int, ...], int]) -> None:
    scores, merged, blank = line
    at = 0
    for span in best_path(scores, merged, blank):
        assert at <= span.start < span.end <= len(scores)
        assert 0 <= span.confidence <= 10_000
        assert span.label != blank
        at = span.end


@settings(deadline=None)
@given(lines())
def test_native_is_the_reference(line: tuple[Scores, tuple[int, ...], int]) -> None:
    if native is None:
        pytest.skip("the native module is not built")
    scores, merged, blank = line
    assert best_path(scores, merged, blank) == best_path_reference(scores, merged_table(merged, blank), blank)


@settings(deadline=None)
@given(lines())
def test_confidence_is_the_largest_probability(line: tuple[Scores, tuple[int, ...], int]) -> None:
    scores, merged, blank = line
    weights = np.exp(scores / 8.0)
    for span in best_path(scores, merged, blank):
        inside = weights[span.start : span.end]
        group = np.array(merged) == span.label
        largest = (inside[:, group].sum(axis=1) / inside.sum(axis=1)).max()
        assert span.confidence == pytest.approx(10_000 * largest, abs=2)  # rounded down, from 16-bit exponentials


def test_strided_scores_are_read_as_they_are() -> None:
    scores = steps([1, 0, 2, 2, 0, 3], 5)
    assert best_path(np.asfortranarray(scores), range(5), BLANK) == best_path(scores, range(5), BLANK)
    assert read(scores[::2]) == [1, 2]


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([], []),
        ([0, 0, 0], []),
        ([1, 1, 1], [1]),
        ([1, 0, 1], [1, 1]),
        ([1, 1, 0, 0, 1], [1, 1]),
        ([1, 2, 1], [1, 2, 1]),
        ([0, 3, 3, 2, 0, 2, 0], [3, 2, 2]),
    ],
)
def test_collapse(labels: list[int], text: list[int]) -> None:
    assert read(steps(labels, 4)) == text


def test_a_glyph_that_wavers_between_merged_labels_is_one_character() -> None:
    scores = steps([1, 2, 1, 0, 2], 4)
    assert read(scores) == [1, 2, 1, 2]
    assert read(scores, [0, 1, 1, 3]) == [1, 1]
    assert [(s.start, s.end) for s in best_path(scores, [0, 1, 1, 3], BLANK)] == [(0, 3), (4, 5)]


def test_merged_labels_share_their_confidence() -> None:
    scores = np.array([[-128, 50, 50, -128]], np.int8)
    assert best_path(scores, range(4), BLANK) == [Span(1, 0, 1, 5000)]
    assert best_path(scores, [0, 1, 1, 3], BLANK) == [Span(1, 0, 1, 10_000)]


def test_a_label_read_as_the_blank_vanishes_and_parts_its_neighbours() -> None:
    assert read(steps([1, 3, 1], 4), [0, 1, 2, 0]) == [1, 1]


def test_ties_go_to_the_lowest_label() -> None:
    assert read(np.array([[3, 7, 7]], np.int8)) == [1]


def test_confidence_of_a_line() -> None:
    assert line_confidence([]) is None
    assert line_confidence([10_000, 9_999]) == 9_999


@pytest.mark.parametrize(
    ("scores", "merged", "blank"),
    [
        (np.zeros((2, 3), np.int16), (0, 1, 2), 0),
        (np.zeros((2, 4), np.int8), (0, 1, 2), 0),
        (np.zeros(3, np.int8), (0, 1, 2), 0),
        (np.zeros((2, 3), np.int8), (0, 1, 3), 0),
        (np.zeros((2, 3), np.int8), (0, 1, -1), 0),
        (np.zeros((2, 3), np.int8), (0, 1, 2), 3),
        (np.zeros((2, 3), np.int8), (1, 1, 2), 0),
        (np.zeros((2, 0), np.int8), (), 0),
    ],
)
def test_what_does_not_fit_is_refused(scores: npt.NDArray[np.int8], merged: tuple[int, ...], blank: int) -> None:
    with pytest.raises(ValueError, match=r"scores are|blank"):
        best_path(scores, merged, blank)


def test_exponentials_are_the_rounded_ones() -> None:
    assert exp_table().tolist() == [round(2**16 * math.exp(-d / 8)) for d in range(256)]


def test_logarithms_are_the_rounded_ones() -> None:
    assert log_add_table().tolist() == [round(2**16 * math.log1p(math.exp(-i / 64))) for i in range(769)]


def test_log_add_errs_by_at_most_two_units() -> None:
    distance = np.arange(13 * UNIT)
    exact = UNIT * np.log1p(np.exp(-distance / UNIT))
    assert np.abs(log_add(np.zeros_like(distance), -distance) - exact).max() < 2
    np.testing.assert_array_equal(log_add(-distance, np.zeros_like(distance)), log_add(0 * distance, -distance))
