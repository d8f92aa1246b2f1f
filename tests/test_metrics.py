# SPDX-License-Identifier: Apache-2.0
"""Error rates: cases worked out by hand, and what holds for all texts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeile.metrics import (
    BoundedRate,
    Errors,
    align,
    compare,
    confusions,
    distance,
    graphemes,
    lenient,
    totals,
    words,
)

TEXTS = st.text(alphabet="aäbſs e\u0364\u0301\u0308-—’'1", max_size=25)


@pytest.mark.parametrize(
    ("truth", "text", "errors", "length"),
    [
        ("Haus", "Haus", 0, 4),
        ("Haus", "Maus", 1, 4),
        ("Haus", "aus", 1, 4),
        ("Haus", "Hauus", 1, 4),
        ("Haus", "", 4, 4),
        ("", "Haus", 4, 0),
        ("", "", 0, 0),
        ("ab", "abcdefgh", 6, 2),  # more than 100 %: not clipped
        ("a b", "ab", 1, 3),  # a blank is a character
        ("daſs", "dass", 1, 4),  # the long s is not folded
        ("A", "a", 1, 1),  # nor is the case
        ("a\u0364lter", "alter", 1, 5),  # a with an e above it is one character
        ("ae\u0301", "a\u00e9", 0, 2),  # NFC
        ("ﬁn", "fin", 2, 2),  # a ligature is one character, and another one than its letters
    ],
)
def test_characters_of_a_line_by_hand(truth: str, text: str, errors: int, length: int) -> None:
    assert compare(truth, text).characters == Errors(errors, length)


def test_code_points_and_graphemes_differ() -> None:
    line = compare("a\u0364lter", "alter")
    assert line.codepoints == Errors(1, 6)
    assert line.characters == Errors(1, 5)


def test_rates() -> None:
    assert Errors(6, 2).rate == 3
    assert Errors(0, 0).rate == 0
    assert math.isinf(Errors(1, 0).rate)


def test_words_are_those_of_uax_29_without_punctuation() -> None:
    assert words("Can't stop: 3.14 km/h — Haus-Tür, ſchon!") == [
        "Can't", "stop", "3.14", "km", "h", "Haus", "Tür", "ſchon"
    ]  # fmt: skip
    assert compare("one two three", "one too three,").words == Errors(1, 3)


def test_lenient_folds_forms_of_the_same_sign() -> None:
    assert lenient("„Daſs“  —  ﬁne…") == '"Dass" - fine...'
    line = compare("“daſs”", '"dass"')
    assert line.characters.count == 3
    assert line.lenient.count == 0


def test_alignment_names_what_was_read_instead() -> None:
    assert align("Haus am See", "Maus am Seee") == [("H", "M"), ("", "e")]
    assert align("abc", "c") == [("a", ""), ("b", "")]
    assert align("", "x") == [("", "x")]


def test_totals_are_micro_averaged() -> None:
    lines = [compare("abcdefghij", "abcdefghij"), compare("ab", "ax"), compare("", "zz"), compare("kl", "")]
    summed = totals(lines)
    assert summed.characters == Errors(5, 14)
    assert (summed.substitutions, summed.insertions, summed.deletions) == (1, 2, 2)
    assert (summed.lines, summed.exact_lines) == (4, 1)


def test_lengths_that_keep_a_rate_below_one() -> None:
    inserted, swapped = compare("ab", "xaybz"), compare("abc", "bcd")  # the latter: a deleted, d inserted
    assert (inserted.characters.rate, inserted.aligned.rate, inserted.longer.rate) == (3 / 2, 3 / 5, 3 / 5)
    assert (swapped.aligned, swapped.longer) == (Errors(2, 4), Errors(2, 3))
    lines = [inserted, swapped, compare("", ""), compare("", "x")]
    assert BoundedRate.of([line.aligned for line in lines]) == BoundedRate(6 / 10, (3 / 5 + 2 / 4 + 0 + 1) / 4)
    assert BoundedRate.of([line.longer for line in lines]) == BoundedRate(6 / 9, (3 / 5 + 2 / 3 + 0 + 1) / 4)


@given(st.text("abc ", max_size=8), st.text("abc ", max_size=8))
def test_other_lengths_are_those_of_alignment_and_longer_text(truth: str, text: str) -> None:
    line = compare(truth, text)
    substitutions, deletions = (sum(bool(t) == same for w, t in line.edits if w) for same in (True, False))
    matches = len(truth) - substitutions - deletions
    assert line.aligned == Errors(len(line.edits), len(line.edits) + matches)
    assert line.longer == Errors(len(line.edits), max(len(truth), len(text)))


def test_confusions_come_most_frequent_first() -> None:
    lines = [compare("ſie", "fie"), compare("ſo", "fo"), compare("in", "m")]
    assert confusions(lines)[0] == (("ſ", "f"), 2)
    assert len(confusions(lines, top=2)) == 2
    assert sum(count for _, count in confusions(lines)) == totals(lines).characters.count


def _plain(a: Sequence[str], b: Sequence[str]) -> int:
    """The textbook's table."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y)))
    return row[-1]


@given(TEXTS, TEXTS)
def test_distance_is_the_textbooks_and_symmetric(a: str, b: str) -> None:
    x, y = graphemes(a), graphemes(b)
    assert distance(x, y) == distance(y, x) == _plain(x, y)


@given(TEXTS)
def test_a_text_is_at_distance_0_from_itself_only(a: str) -> None:
    assert compare(a, a).characters.count == 0
    assert compare(a, a).exact
    assert compare(a, a + "x").characters.count == 1


@given(TEXTS, TEXTS, TEXTS)
def test_triangle_inequality(a: str, b: str, c: str) -> None:
    x, y, z = graphemes(a), graphemes(b), graphemes(c)
    assert distance(x, z) <= distance(x, y) + distance(y, z)


@given(TEXTS, TEXTS)
def test_edits_are_as_many_as_the_distance_and_turn_truth_into_text(a: str, b: str) -> None:
    line = compare(a, b)
    x, y = graphemes(a), graphemes(b)
    assert len(line.edits) == line.characters.count == distance(x, y)
    assert all(truth != text for truth, text in line.edits)
    # Taking the edits out of either side leaves the same number of units, the ones that agree.
    assert len(x) - sum(t != "" for t, _ in line.edits) == len(y) - sum(t != "" for _, t in line.edits)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=8))
def test_counts_sum(pairs: list[tuple[str, str]]) -> None:
    lines = [compare(truth, text) for truth, text in pairs]
    summed = totals(lines)
    kinds = summed.substitutions + summed.insertions + summed.deletions
    assert summed.characters.count == kinds == sum(line.characters.count for line in lines)
    assert summed.characters.length == sum(len(graphemes(truth)) for truth, _ in pairs)


@given(TEXTS, TEXTS)
def test_exact_means_no_errors_at_all(a: str, b: str) -> None:
    line = compare(a, b)
    assert line.exact == (line.codepoints.count == 0) == (line.characters.count == 0)
