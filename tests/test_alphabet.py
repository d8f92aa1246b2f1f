# SPDX-License-Identifier: Apache-2.0
"""Labels, text and readings."""

from __future__ import annotations

import pytest

from zeile.alphabet import Alphabet, alphabet_of
from zeile.errors import BadManifest, BadSettings

FRAKTUR = alphabet_of("abſs", {"s-folded": {"ſ": "s"}})


def test_the_blank_is_explicit_and_text_round_trips() -> None:
    assert FRAKTUR.characters[FRAKTUR.blank] == ""
    assert FRAKTUR.text(FRAKTUR.labels("aſbs")) == "aſbs"


def test_unknown_characters_are_left_out_and_decomposed_ones_composed() -> None:
    umlaut = alphabet_of("ä", {})
    assert umlaut.text(umlaut.labels("a\u0308x")) == "ä"


def test_a_reading_merges_labels() -> None:
    merged = FRAKTUR.merged("s-folded")
    assert FRAKTUR.text(merged[label] for label in FRAKTUR.labels("ſas")) == "sas"
    assert FRAKTUR.merged("diplomatic") == tuple(range(len(FRAKTUR)))
    assert FRAKTUR.default_reading == "s-folded"


def test_an_unknown_reading_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadSettings, match=r"'old'.*s-folded, diplomatic"):
        FRAKTUR.merged("old")


@pytest.mark.parametrize(
    ("characters", "blank", "readings", "message"),
    [
        (("a", ""), 0, {}, "blank"),
        (("", "a"), 5, {}, "blank"),
        (("", "a", "a"), 0, {}, "twice"),
        (("", "a\u0308"), 0, {}, "NFC"),
        (("", "a"), 0, {"x": {"b": "a"}}, "not in it"),
    ],
)
def test_inconsistent_alphabets_are_refused(
    characters: tuple[str, ...], blank: int, readings: dict[str, dict[str, str]], message: str
) -> None:
    with pytest.raises(BadManifest, match=message):
        Alphabet(characters, blank, readings)
