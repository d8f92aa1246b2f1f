# SPDX-License-Identifier: Apache-2.0
"""How many errors a reading of a line has.

The primary character error rate (CER) is micro-averaged: errors of all lines over units of all ground truth.
Text is put in NFC; a unit is an extended grapheme cluster; whitespace counts; nothing is folded (case, long
s, quotes). Empty ground truth counts insertions, a missing reading counts as empty, and a rate is never
clipped. Beside it stand the CER in code points and the word error rate. A word is a segment between the word
boundaries of UAX #29 that holds a letter or a digit; punctuation is not a word.

Others divide by another length, which no insertion can bring above 1: OCR-D by that of the alignment, errors and
matches (its *normalised* CER), some tools by the longer of the two texts, of which OCR-D says that it is biased. OCR-D
gives rates of pages, so the mean of the lines' rates stands beside the total.

Source: OCR-D, "Quality assurance in OCR-D", https://ocr-d.de/en/spec/ocrd_eval, "Character Error Rate" (graphemes,
    micro average, S/I/D, normalised CER, granularity).
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import editdistance
import regex

Edit = tuple[str, str]
"""(unit of the ground truth, unit read instead of it); the empty string is epsilon."""

_GRAPHEME = regex.compile(r"\X")
_BOUNDARY = regex.compile(r"(?V1w)\b")
_WORDLIKE = regex.compile(r"[\p{L}\p{N}]")
_LENIENT = str.maketrans(
    {
        **dict.fromkeys("“”„‟″", '"'),
        **dict.fromkeys("‘’‚‛′", "'"),
        **dict.fromkeys("‐‑‒–—―−¬⸗", "-"),
        **{
            "ſ": "s",
            "…": "...",
            "ꝛ": "r",
            "ﬀ": "ff",
            "ﬁ": "fi",
            "ﬂ": "fl",
            "ﬃ": "ffi",
            "ﬄ": "ffl",
            "ﬅ": "st",
            "ﬆ": "st",
        },
    }
)


def graphemes(text: str) -> list[str]:
    """Extended grapheme clusters of the text in NFC."""
    return list(_GRAPHEME.findall(unicodedata.normalize("NFC", text)))


def words(text: str) -> list[str]:
    """Words of the text in NFC, by UAX #29, without punctuation."""
    return [str(w) for w in _BOUNDARY.split(unicodedata.normalize("NFC", text)) if _WORDLIKE.search(w)]


def lenient(text: str) -> str:
    """The text with forms of quotes, dashes, s and ligatures folded and blanks collapsed.

    Only for figures that are labelled lenient.
    """
    return " ".join(unicodedata.normalize("NFC", text).translate(_LENIENT).split())


def distance(truth: Sequence[str], text: Sequence[str]) -> int:
    """Levenshtein distance of two sequences of units."""
    return int(editdistance.eval(truth, text))


def align(truth: Sequence[str], text: Sequence[str]) -> list[Edit]:
    """The edits of one shortest alignment, left to right, without the units that agree.

    Of several shortest alignments it is the one that, seen from the end, substitutes before it deletes and
    deletes before it inserts.
    """
    limit = distance(truth, text)
    n, m = len(truth), len(text)
    far = n + m + 1
    # Only cells with |i - j| <= distance can lie on a shortest path: a band of the table is enough.
    rows: list[list[int]] = []
    for i in range(n + 1):
        low = i - limit
        row = [far] * (2 * limit + 3)  # cell j stands at j - low + 1; a far cell at either end
        for j in range(max(0, low), min(m, i + limit) + 1):
            at = j - low + 1
            if i == 0 or j == 0:
                row[at] = i + j
                continue
            above = rows[i - 1]  # its cell j stands one further right
            row[at] = min(above[at] + (truth[i - 1] != text[j - 1]), above[at + 1] + 1, row[at - 1] + 1)
        rows.append(row)
    return _trace(truth, text, rows, limit)


def _trace(truth: Sequence[str], text: Sequence[str], rows: list[list[int]], limit: int) -> list[Edit]:
    """Walk back from the last cell of the band."""
    i, j, edits = len(truth), len(text), []
    while i or j:
        at = j - i + limit + 1
        here = rows[i][at]
        if i and j and here == rows[i - 1][at] + (truth[i - 1] != text[j - 1]):
            i, j = i - 1, j - 1
            if truth[i] != text[j]:
                edits.append((truth[i], text[j]))
        elif i and here == rows[i - 1][at + 1] + 1:
            i -= 1
            edits.append((truth[i], ""))
        else:
            j -= 1
            edits.append(("", text[j]))
    return edits[::-1]


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors and the units of ground truth that they were made on; adds up over lines."""

    count: int = 0
    length: int = 0

    def __add__(self, other: Errors) -> Errors:
        return Errors(self.count + other.count, self.length + other.length)

    @property
    def rate(self) -> float:
        """Errors per unit; infinite where there is no ground truth but something was read."""
        if self.length == 0:
            return math.inf if self.count else 0.0
        return self.count / self.length


@dataclass(frozen=True, slots=True)
class BoundedRate:
    """A rate between 0 and 1, of all lines.

    Attributes:
        total: errors of all lines over the lengths of all lines.
        line_mean: mean of the lines' rates; a line without text on either side has 0.
    """

    total: float
    line_mean: float

    @classmethod
    def of(cls, errors: Sequence[Errors]) -> BoundedRate:
        """From each line's errors and length, at least as many."""
        total = sum(errors, Errors()).rate
        return cls(total, sum(e.rate for e in errors) / len(errors) if errors else 0.0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line's reading against its ground truth.

    Attributes:
        characters: grapheme errors, the primary figure.
        codepoints: code point errors.
        words: word errors.
        lenient: grapheme errors after ``lenient`` on both sides.
        exact: whether the two are the same in NFC.
        edits: grapheme edits; as many as ``characters.count``.
    """

    characters: Errors
    codepoints: Errors
    words: Errors
    lenient: Errors
    exact: bool
    edits: tuple[Edit, ...]

    @property
    def aligned(self) -> Errors:
        """Grapheme errors on the length of the alignment: errors and matches."""
        return Errors(self.characters.count, self.characters.length + self._insertions)

    @property
    def longer(self) -> Errors:
        """Grapheme errors on the longer of the two texts."""
        deletions = sum(not text for _, text in self.edits)
        return Errors(self.characters.count, self.characters.length + max(0, self._insertions - deletions))

    @property
    def _insertions(self) -> int:
        return sum(not truth for truth, _ in self.edits)


def compare(truth: str, text: str) -> Comparison:
    """Count the errors of a line."""
    a, b = graphemes(truth), graphemes(text)
    points, tokens, folded = unicodedata.normalize("NFC", truth), words(truth), graphemes(lenient(truth))
    if a == b:
        return Comparison(
            Errors(0, len(a)),
            Errors(0, len(points)),
            Errors(0, len(tokens)),
            Errors(0, len(folded)),
            True,
            (),
        )
    edits = tuple(align(a, b))
    return Comparison(
        Errors(len(edits), len(a)),
        Errors(distance(points, unicodedata.normalize("NFC", text)), len(points)),
        Errors(distance(tokens, words(text)), len(tokens)),
        Errors(distance(folded, graphemes(lenient(text))), len(folded)),
        False,
        edits,
    )


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over lines; ``substitutions + insertions + deletions == characters.count``."""

    lines: int
    exact_lines: int
    characters: Errors
    codepoints: Errors
    words: Errors
    lenient: Errors
    substitutions: int
    insertions: int
    deletions: int


def totals(comparisons: Sequence[Comparison]) -> Totals:
    """Add up lines."""
    edits = [edit for c in comparisons for edit in c.edits]
    return Totals(
        lines=len(comparisons),
        exact_lines=sum(c.exact for c in comparisons),
        characters=sum((c.characters for c in comparisons), Errors()),
        codepoints=sum((c.codepoints for c in comparisons), Errors()),
        words=sum((c.words for c in comparisons), Errors()),
        lenient=sum((c.lenient for c in comparisons), Errors()),
        substitutions=sum(bool(truth and text) for truth, text in edits),
        insertions=sum(not truth for truth, _ in edits),
        deletions=sum(not text for _, text in edits),
    )


def confusions(comparisons: Iterable[Comparison], top: int | None = None) -> list[tuple[Edit, int]]:
    """Edits with how often they occur, most frequent first, ties by code point."""
    counted = Counter(edit for c in comparisons for edit in c.edits)
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:top]
