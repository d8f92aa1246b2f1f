# SPDX-License-Identifier: Apache-2.0
"""Error rates against tools that others measure with, by the convention of each, on a thousand random pairs."""

from __future__ import annotations

import random
import unicodedata

import pytest

from zeile.metrics import Comparison, Errors, compare, graphemes, totals, words

PAIRS = 1000
UNITS = [*"aäbcdeſstzAÄẞ1  ", "a\u0364", "o\u0364", "e\u0301", "n\u0303", "\u0301", "ﬁ", "\ue5dc", "⸗", ",", "’"]


def drawn(count: int = PAIRS, units: list[str] = UNITS) -> list[tuple[str, str]]:
    """Ground truth and what was read: mistakes at random, now and then an empty text or another one altogether."""
    rng, pairs = random.Random(11), []
    for _ in range(count):
        truth = rng.choices(units, k=rng.randint(0, 40))
        text = [rng.choice(units) if rng.random() < 0.1 else unit for unit in truth if rng.random() > 0.05]
        if rng.random() < 0.05:
            text = rng.choices(units, k=rng.randint(0, 40))
        pairs.append(("".join(truth), "".join(text)))
    return pairs


def compared(pairs: list[tuple[str, str]]) -> list[Comparison]:
    return [compare(*pair) for pair in pairs]


def test_edits_are_those_of_rapidfuzz() -> None:
    levenshtein = pytest.importorskip("rapidfuzz.distance.Levenshtein", reason="comes with jiwer: pip install jiwer")
    for truth, text in drawn():
        found = compare(truth, text)
        truth, text = (unicodedata.normalize("NFC", each) for each in (truth, text))
        assert found.codepoints == Errors(levenshtein.distance(truth, text), len(truth))
        units = graphemes(truth), graphemes(text)
        assert found.characters == Errors(levenshtein.distance(*units), len(units[0]))
        assert found.words == Errors(levenshtein.distance(words(truth), words(text)), len(words(truth)))


def test_rates_are_those_of_jiwer() -> None:
    """It counts code points, strips, and has no use for an empty ground truth; words stand between blanks."""
    jiwer = pytest.importorskip("jiwer", reason="another tool: pip install jiwer")
    stripped = [(t, r) for t, r in ((" ".join(t.split()), " ".join(r.split())) for t, r in drawn()) if t]
    pairs = [(unicodedata.normalize("NFC", truth), unicodedata.normalize("NFC", text)) for truth, text in stripped]
    truths, texts = map(list, zip(*pairs, strict=True))
    assert totals(compared(pairs)).codepoints.rate == pytest.approx(jiwer.cer(truths, texts), abs=1e-12)
    letters = [(truth.strip(), text.strip()) for truth, text in drawn(units=[*"abcdefgstzAÄẞ1  "])]
    letters = [(" ".join(truth.split()), " ".join(text.split())) for truth, text in letters if truth]
    truths, texts = map(list, zip(*letters, strict=True))
    assert totals(compared(letters)).words.rate == pytest.approx(jiwer.wer(truths, texts), abs=1e-12)


@pytest.mark.filterwarnings("ignore")  # of its dependencies
def test_rates_are_those_of_dinglehopper() -> None:
    """Graphemes in NFC, and infinite where ours is counted against an empty ground truth."""
    dinglehopper = pytest.importorskip(
        "dinglehopper", reason="another tool: pip install dinglehopper", exc_type=ImportError
    )
    for truth, text in drawn(200):
        rate, length = dinglehopper.character_error_rate_n(truth, text)
        assert compare(truth, text).characters.length == length
        if length:
            assert compare(truth, text).characters.rate == pytest.approx(rate, abs=1e-12)
