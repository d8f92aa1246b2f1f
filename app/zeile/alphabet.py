# SPDX-License-Identifier: Apache-2.0
"""Labels and text. The blank is explicit data, and so is each reading of the text.

A *reading* says which labels count as the same character: a model may know curly quotes or the long s apart and
still be asked for the plain reading. Labels are merged before the best path is collapsed, so that a glyph on
which the network wavers between two merged labels still gives one character.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from zeile.errors import BadManifest, BadSettings

DIPLOMATIC = "diplomatic"
"""The reading in which every label stands for itself."""


@dataclass(frozen=True)
class Alphabet:
    """Characters of a model.

    Attributes:
        characters: K entries, NFC strings of one grapheme; the entry of the blank is the empty string.
        blank: label of the CTC blank.
        readings: name to {character: character it is read as}; the first one is the default.
    """

    characters: tuple[str, ...]
    blank: int
    readings: Mapping[str, Mapping[str, str]]

    def __post_init__(self) -> None:
        if not 0 <= self.blank < len(self.characters) or self.characters[self.blank] != "":
            raise BadManifest(f"alphabet: label {self.blank} is named as blank but is not the empty string")
        if len(set(self.characters)) != len(self.characters):
            raise BadManifest("alphabet: a character occurs twice")
        if any(unicodedata.normalize("NFC", c) != c for c in self.characters):
            raise BadManifest("alphabet: a character is not in NFC")
        for name, folds in self.readings.items():
            if strange := sorted((set(folds) | set(folds.values())) - set(self.characters)):
                raise BadManifest(f"alphabet: reading {name!r} names characters {strange} that are not in it")

    def __len__(self) -> int:
        return len(self.characters)

    @property
    def default_reading(self) -> str:
        """Name of the reading used when none is asked for."""
        return next(iter(self.readings), DIPLOMATIC)

    def merged(self, reading: str | None = None) -> tuple[int, ...]:
        """Label to the label it is read as, (K,).

        Raises:
            BadSettings: the model has no such reading.
        """
        name = reading or self.default_reading
        if name != DIPLOMATIC and name not in self.readings:
            known = ", ".join([*self.readings, DIPLOMATIC])
            raise BadSettings(f"reading {name!r} is unknown to this model; it has {known}")
        folds = self.readings.get(name, {})
        index = {c: i for i, c in enumerate(self.characters)}
        return tuple(index[folds.get(c, c)] for c in self.characters)

    def text(self, labels: Iterable[int]) -> str:
        """Text of labels without blanks."""
        return "".join(self.characters[label] for label in labels)

    def labels(self, text: str) -> list[int]:
        """Labels of a text, NFC; characters that the alphabet lacks are left out."""
        index = {c: i for i, c in enumerate(self.characters) if i != self.blank}
        return [index[c] for c in unicodedata.normalize("NFC", text) if c in index]


def alphabet_of(characters: Sequence[str], readings: Mapping[str, Mapping[str, str]]) -> Alphabet:
    """An alphabet with the blank at label 0 and the given characters behind it, sorted by code point."""
    return Alphabet(("", *sorted(set(characters))), 0, readings)
