# SPDX-License-Identifier: Apache-2.0
"""Prefix beam search over the scores of a line, with or without a character language model.

The best path takes one alignment; the beam search adds up all alignments of a reading, and can weigh it with what
a language model knows:

    rank = log P(reading | scores) + weight * log P_lm(reading) + bonus * characters

All in integers (``zeile.fixed_log``), native where that is built. What it computes is ``zeile.beam_reference``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zeile import beam_reference
from zeile.ctc import Scores, Span, check_scores, merged_table, native, step_confidences
from zeile.errors import BadSettings
from zeile.fixed_log import UNIT, exp_table, log_add_table
from zeile.language_model import LanguageModel

MAX_WIDTH = 1000

_BONUS = 1.5  # nats; see BeamOptions


@dataclass(frozen=True, kw_only=True)
class BeamOptions:
    """Settings of a beam search; the defaults were chosen on validation lines (models/README.md).

    Attributes:
        width: prefixes kept after each step, 1 ... 1000.
        language_model: or None.
        weight: of the language model's logarithm beside the network's, 0 ... 16, kept in 1/256.
        bonus: for each character, nats, -16 ... 16; outweighs that a language model likes short lines. None is 1.5
            with a language model and 0 without.
        reach: at each step a reading grows only by labels whose probability is at least exp(-reach), 0 ... 1000
            nats. Sums lose what is left out; 1000 leaves out nothing.

    Raises:
        BadSettings: a value is outside its range.
    """

    width: int = 8
    language_model: LanguageModel | None = None
    weight: float = 0.25
    bonus: float | None = None
    reach: float = 8.0

    def __post_init__(self) -> None:
        ranges = {"width": (1, MAX_WIDTH), "weight": (0, 16), "bonus": (-16, 16), "reach": (0, 1000)}
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise BadSettings(f"beam search: {name} is {value}, not within {low} ... {high}")

    @property
    def units_per_character(self) -> int:
        """The bonus in units of 2**-16 nat."""
        default = 0.0 if self.language_model is None else _BONUS
        return _units(default if self.bonus is None else self.bonus)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A reading of a line.

    Attributes:
        labels: merged labels, no blanks.
        spans: the same characters, where the most probable alignment that the search saw has them.
        score: rank in units of 2**-16 nat; without a language model and bonus the reading's log-probability.
    """

    labels: tuple[int, ...]
    spans: tuple[Span, ...]
    score: int


class BeamSearch:
    """A search made ready for the lines of one model.

    Args:
        merged: (K,) label to the label it is read as; the probabilities of labels read alike are added.
        blank: label of the blank.
        options: settings.
        characters: (K,) what each label stands for; needed with a language model.

    Raises:
        ValueError: arguments do not fit together.
    """

    def __init__(self, merged: Sequence[int], blank: int, options: BeamOptions, characters: Sequence[str] = ()) -> None:
        model = options.language_model
        if model is not None and len(characters) != len(merged):
            raise ValueError(f"{len(characters)} characters for {len(merged)} labels; a language model needs them all")
        self._table = merged_table(tuple(merged), blank)
        self._rules = beam_reference.Rules(
            blank=blank,
            width=options.width,
            reach=_units(options.reach),
            language=model,
            spelling=tuple(model.spell(c) for c in characters) if model else (),
            weight=int(options.weight * 256 + 0.5),
            bonus=options.units_per_character,
        )
        self._native = None if native is None else self._prepared()

    def read(self, scores: Scores, most: int = MAX_WIDTH) -> list[Hypothesis]:
        """Readings of a line.

        Args:
            scores: (S, K) int8, unit 1/8 nat.
            most: hypotheses wanted, at least 1; the search is the same.

        Returns:
            1 ... min(width, most) hypotheses, best first; equal ones in the order that ``beam_reference`` defines.

        Raises:
            ValueError: the scores do not fit the labels.
        """
        if self._native is None:
            return self.read_reference(scores, most)
        check_scores(scores, len(self._table))
        found = self._native.run(np.ascontiguousarray(scores), most)
        return [_hypothesis(tuple(Span(*c) for c in characters), score) for characters, score in found]

    def read_reference(self, scores: Scores, most: int = MAX_WIDTH) -> list[Hypothesis]:
        """The same by the definition: some hundreds of times slower."""
        check_scores(scores, len(self._table))
        logs = beam_reference.log_probabilities(scores, self._table)
        found = beam_reference.search(logs, self._rules)
        return [
            _hypothesis(tuple(self._span(scores, *span) for span in zip(labels, places, strict=True)), score)
            for labels, places, score in found[:most]
        ]

    def _span(self, scores: Scores, label: int, place: tuple[int, int]) -> Span:
        inside = scores[slice(*place)]
        sure = step_confidences(inside, np.full(len(inside), label, np.int64), self._table)
        return Span(label, *place, int(sure.max()))

    def _prepared(self) -> native.BeamSearch:
        rules, language = self._rules, self._rules.language
        tables = (exp_table(), log_add_table())
        limits = (rules.width, rules.reach)
        held = None if language is None else language.native()
        return native.BeamSearch(
            self._table, rules.blank, *tables, *limits, held, rules.spelling, rules.weight, rules.bonus
        )


def beam_search(
    scores: Scores,
    merged: Sequence[int],
    blank: int,
    *,
    characters: Sequence[str] = (),
    width: int = 8,
    language_model: LanguageModel | None = None,
    weight: float = 0.25,
    bonus: float | None = None,
    reach: float = 8.0,
) -> list[Hypothesis]:
    """Search one line; for many lines of a model make one ``BeamSearch``.

    Args:
        scores: (S, K) int8, unit 1/8 nat.
        merged: (K,) label to the label it is read as.
        blank: label of the blank.
        characters: (K,) what each label stands for; needed with a language model.
        width: as the rest, see ``BeamOptions``.
        language_model: or None.
        weight: of the language model.
        bonus: for each character.
        reach: of a step.

    Returns:
        1 ... width hypotheses, best first.

    Raises:
        BadSettings: an option is outside its range.
        ValueError: arguments do not fit together.
    """
    options = BeamOptions(width=width, language_model=language_model, weight=weight, bonus=bonus, reach=reach)
    return BeamSearch(merged, blank, options, characters).read(scores)


def _hypothesis(spans: tuple[Span, ...], score: int) -> Hypothesis:
    return Hypothesis(tuple(span.label for span in spans), spans, score)


def _units(nats: float) -> int:
    """Nats in units, rounded; IEEE arithmetic only, so the same everywhere."""
    return round(nats * UNIT)
