# SPDX-License-Identifier: Apache-2.0
"""Lines as words of glyphs, in text that every format can hold."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

from zeile.formats.page import ReadLine
from zeile.pipeline import Line

_BREAKS = re.compile("[\t-\r\x1c-\x1f\x85\u2028\u2029]")
_FOREIGN = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 cannot hold
_JOINING = "\u00a0\u2007\u202f"  # blanks at which no line may break; words do not end there either


def clean(text: str) -> str:
    """Text as every format can hold it: NFC, line breaks and tabs as blanks, what XML cannot hold as U+FFFD.

    Private-use characters stay: alphabets of old print need them.
    """
    return unicodedata.normalize("NFC", _FOREIGN.sub("\ufffd", _BREAKS.sub(" ", text)))


class Glyph(NamedTuple):
    """A character: text, columns of the page from ``left`` to before ``right``, confidence 0 ... 10000."""

    text: str
    left: int
    right: int
    confidence: int


@dataclass(frozen=True, slots=True)
class Word:
    """Glyphs between two blanks, at least one."""

    glyphs: tuple[Glyph, ...]

    @property
    def text(self) -> str:
        return "".join(glyph.text for glyph in self.glyphs)

    @property
    def left(self) -> int:
        return min(glyph.left for glyph in self.glyphs)

    @property
    def right(self) -> int:
        return max(glyph.right for glyph in self.glyphs)

    @property
    def confidence(self) -> int:
        """Mean of the glyphs', rounded down, as a line's."""
        return sum(glyph.confidence for glyph in self.glyphs) // len(self.glyphs)


def words_of(read: ReadLine) -> list[Word]:
    """Words of a line from left to right, in columns of the page; none of a line without text or that failed.

    Blanks at the ends and runs of them are lost, as no format has a place for them. Characters that only together are
    NFC, a letter and the accent that was read after it, become one glyph with the smaller confidence.
    """
    if not isinstance(read.answer, Line):
        return []
    words: list[list[Glyph]] = [[]]
    for character in read.answer.characters:
        offset = read.region.box.left
        glyph = Glyph(
            clean(character.text), offset + character.left_px, offset + character.right_px, character.confidence
        )
        if glyph.text.isspace() and glyph.text not in _JOINING:
            words.append([])
        elif glyph.text:
            _append(words[-1], glyph)
    return [Word(tuple(glyphs)) for glyphs in words if glyphs]


def _append(glyphs: list[Glyph], glyph: Glyph) -> None:
    while glyphs:
        last = glyphs[-1]
        both = unicodedata.normalize("NFC", last.text + glyph.text)
        if both == last.text + glyph.text and not unicodedata.combining(glyph.text[0]):
            break
        left, right = min(last.left, glyph.left), max(last.right, glyph.right)
        glyph = Glyph(both, left, right, min(last.confidence, glyph.confidence))
        glyphs.pop()
    glyphs.append(glyph)
