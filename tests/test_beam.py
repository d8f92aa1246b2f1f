# SPDX-License-Identifier: Apache-2.0
"""The beam search against all paths of small lines, and the native one against the reference."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zeile.beam import BeamOptions, BeamSearch, Hypothesis, beam_search
from zeile.beam_reference import log_probabilities
from zeile.ctc import Scores, best_path, native
from zeile.errors import BadSettings
from zeile.fixed_log import UNIT
from zeile.language_model import LanguageModel, load_language_model, train_language_model

BLANK = 0
CHARACTERS = ("", "a", "b", "c", " ", "e\u0301", "ß")
TEXTS = ["ab ca", "abc abc", "cab", "a b c", "bb a", "abba", "a ca", "ba ba cab", "abc"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    path = tmp_path_factory.mktemp("lm") / "abc.arpa"
    train_language_model(TEXTS, 3, path)
    return load_language_model(path)


@st.composite
def lines(draw: st.DrawFn, steps: int, classes: int) -> tuple[Scores, tuple[int, ...]]:
    k = draw(st.integers(1, classes))
    values = draw(st.sampled_from([st.integers(-128, 127), st.integers(-16, 16), st.integers(-1, 1)]))
    scores = draw(arrays(np.int8, (draw(st.integers(0, steps)), k), elements=values))
    merged = draw(st.lists(st.integers(0, k - 1), min_size=k, max_size=k))
    return scores, (BLANK, *merged[1:])


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(label for label, _ in itertools.groupby(path) if label != BLANK)


def all_readings(scores: Scores, merged: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    """Probability of every reading: the sum over all paths, in floating point."""
    weights = np.exp(scores / 8.0)
    weights /= weights.sum(axis=1, keepdims=True)
    found: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(scores.shape[1]), repeat=len(scores)):
        found[collapsed(tuple(merged[c] for c in path))] += math.prod(weights[t, c] for t, c in enumerate(path))
    return found


def tolerance(scores: Scores) -> float:
    """Units: 2 for each addition of logarithms that a path can meet."""
    units: float = 2 * (len(scores) * (2 * scores.shape[1] + 2) + 1)
    return units


@settings(max_examples=60, deadline=None)
@given(lines(5, 4))
def test_a_wide_beam_sums_all_paths(line: tuple[Scores, tuple[int, ...]]) -> None:
    scores, merged = line
    exact = all_readings(scores, merged)
    found = beam_search(scores, merged, BLANK, width=1000, reach=1000)
    assert {h.labels for h in found} == set(exact)
    assert len(found) == len(exact)
    for h in found:
        assert h.score == pytest.approx(UNIT * math.log(exact[h.labels]), abs=tolerance(scores))
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


@settings(max_examples=40, deadline=None)
@given(lines(4, 4), st.sampled_from([0.25, 1.0, 2.5]), st.sampled_from([-1.0, 0.0, 0.75]))
def test_a_wide_beam_weighs_in_the_language_model(
    model: LanguageModel, line: tuple[Scores, tuple[int, ...]], weight: float, bonus: float
) -> None:
    scores, merged = line
    exact = all_readings(scores, merged)
    characters = CHARACTERS[: len(merged)]
    options = {"language_model": model, "weight": weight, "bonus": bonus}
    found = beam_search(scores, merged, BLANK, width=1000, reach=1000, characters=characters, **options)  # type: ignore[arg-type]
    assert {h.labels for h in found} == set(exact)
    for h in found:
        language = model.score("".join(characters[label] for label in h.labels)) / UNIT
        rank = math.log(exact[h.labels]) + weight * language + bonus * len(h.labels)
        assert h.score == pytest.approx(UNIT * rank, abs=tolerance(scores) + len(h.labels) + 1)


@settings(max_examples=40, deadline=None)
@given(lines(5, 4))
def test_spans_are_the_most_probable_alignment(line: tuple[Scores, tuple[int, ...]]) -> None:
    scores, merged = line
    logs = log_probabilities(scores, np.array(merged)).tolist()
    best: dict[tuple[int, ...], int] = {}
    for path in itertools.product(sorted(set(merged)), repeat=len(scores)):
        log = sum(logs[t][label] for t, label in enumerate(path))
        best[collapsed(path)] = max(log, best.get(collapsed(path), log))
    for h in beam_search(scores, merged, BLANK, width=1000, reach=1000):
        aligned = [BLANK] * len(scores)
        for span in h.spans:
            aligned[span.start : span.end] = [span.label] * (span.end - span.start)
        assert collapsed(tuple(aligned)) == h.labels
        assert sum(logs[t][label] for t, label in enumerate(aligned)) == best[h.labels]


@settings(max_examples=150, deadline=None)
@given(
    lines(25, len(CHARACTERS)),
    st.integers(1, 12),
    st.booleans(),
    st.sampled_from([0.0, 0.5, 3.0]),
    st.sampled_from([-2.0, 0.0, 2.0]),
    st.sampled_from([0.5, 4.0, 1000.0]),
)
def test_native_is_the_reference(
    model: LanguageModel,
    line: tuple[Scores, tuple[int, ...]],
    width: int,
    with_model: bool,
    weight: float,
    bonus: float,
    reach: float,
) -> None:
    if native is None:
        pytest.skip("the native module is not built")
    scores, merged = line
    language = model if with_model else None
    options = BeamOptions(width=width, language_model=language, weight=weight, bonus=bonus, reach=reach)
    search = BeamSearch(merged, BLANK, options, CHARACTERS[: len(merged)])
    found = search.read(scores)
    assert found == search.read_reference(scores)
    assert 1 <= len(found) <= width
    assert search.read(scores, most=2) == found[:2]
    for h in found:
        assert_spans(h, len(scores))


def test_a_faulty_model_cannot_part_native_and_reference(tmp_path: Path) -> None:
    if native is None:
        pytest.skip("the native module is not built")
    path = tmp_path / "faulty.arpa"  # after "a", probabilities come to more than 1
    path.write_text("\\data\\\nngram 1=2\nngram 2=1\n\\1-grams:\n-1\ta\t3\n-1\tb\n\\2-grams:\n-2\ta a\n\\end\\\n")
    options = BeamOptions(width=3, language_model=load_language_model(path), weight=2)
    search = BeamSearch(range(3), BLANK, options, CHARACTERS[:3])
    rng = np.random.default_rng(0)
    for _ in range(100):
        scores = rng.integers(-12, 12, (12, 3)).astype(np.int8)
        assert search.read(scores) == search.read_reference(scores)


def assert_spans(h: Hypothesis, steps: int) -> None:
    assert h.labels == tuple(span.label for span in h.spans)
    at = 0
    for span in h.spans:
        assert at <= span.start < span.end <= steps
        assert 0 <= span.confidence <= 10_000
        at = span.end


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), max_size=40))
def test_a_sure_network_reads_as_by_the_best_path(labels: list[int]) -> None:
    scores = np.full((len(labels), 6), -100, np.int8)
    scores[np.arange(len(labels)), labels] = 100
    first = beam_search(scores, range(6), BLANK)[0]
    assert list(first.spans) == best_path(scores, range(6), BLANK)


def test_a_line_without_steps_is_read_as_nothing() -> None:
    assert beam_search(np.zeros((0, 3), np.int8), range(3), BLANK) == [Hypothesis((), (), 0)]


def test_sums_beat_the_best_path() -> None:
    # Graves 2006, figure 2: the best path is blank, but "a" has more paths.
    weights = np.log([[0.6, 0.4], [0.6, 0.4]]) * 8
    scores = np.round(weights).astype(np.int8)
    assert best_path(scores, range(2), BLANK) == []
    assert beam_search(scores, range(2), BLANK)[0].labels == (1,)


def test_a_glyph_that_wavers_between_merged_labels_is_one_character() -> None:
    scores = np.array([[-99, 60, 0], [-99, 0, 60], [-99, 60, 0]], np.int8)
    assert beam_search(scores, range(3), BLANK)[0].labels == (1, 2, 1)
    merged = beam_search(scores, [0, 1, 1], BLANK)[0]
    assert merged.labels == (1,)
    assert (merged.spans[0].start, merged.spans[0].end, merged.spans[0].confidence) == (0, 3, 10_000)


def test_a_prefix_that_returns_to_the_beam_meets_its_offspring() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        scores = rng.integers(-12, 12, (30, 3)).astype(np.int8)
        labels = [h.labels for h in beam_search(scores, range(3), BLANK, width=4)]
        assert len(set(labels)) == len(labels)


def test_a_language_model_settles_what_the_image_leaves_open(model: LanguageModel) -> None:
    scores = np.full((5, 4), -100, np.int8)
    scores[[1, 3], BLANK] = 60
    scores[0, 1] = scores[4, 3] = 60  # a . c, and in between c a little rather than b
    scores[2, 2], scores[2, 3] = 50, 54
    without = beam_search(scores, range(4), BLANK)[0]
    with_model = beam_search(scores, range(4), BLANK, language_model=model, characters=CHARACTERS[:4], weight=1)[0]
    assert "".join(CHARACTERS[label] for label in without.labels) == "acc"
    assert "".join(CHARACTERS[label] for label in with_model.labels) == "abc"


def test_a_bonus_makes_lines_longer() -> None:
    scores = np.array([[10, 0], [0, 10], [10, 0]], np.int8)
    lengths = [len(beam_search(scores, range(2), BLANK, bonus=bonus)[0].labels) for bonus in (-8, 8)]
    assert lengths == [0, 2]


def test_without_a_bonus_given_only_a_language_model_brings_one(model: LanguageModel) -> None:
    scores = np.array([[10, 0, 0, 0], [0, 10, 3, 0], [10, 0, 0, 5]], np.int8)
    assert beam_search(scores, range(4), BLANK) == beam_search(scores, range(4), BLANK, bonus=0)
    weighed = {"language_model": model, "characters": CHARACTERS[:4]}
    assert beam_search(scores, range(4), BLANK, **weighed) == beam_search(scores, range(4), BLANK, bonus=1.5, **weighed)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"width": 0}, {"width": 1001}, {"weight": -1}, {"bonus": 99}, {"reach": math.nan}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadSettings, match=next(iter(wrong))):
        BeamOptions(**wrong)  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused(model: LanguageModel) -> None:
    with pytest.raises(ValueError, match="scores are"):
        beam_search(np.zeros((2, 4), np.int8), range(3), BLANK)
    with pytest.raises(ValueError, match="characters"):
        beam_search(np.zeros((2, 3), np.int8), range(3), BLANK, language_model=model)
