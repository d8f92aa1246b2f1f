# SPDX-License-Identifier: Apache-2.0
"""The definition of the prefix beam search, in plain Python; the native one gives the same integers.

A prefix is what has been read so far. For each one the search knows the probability of all its alignments that
end in the blank and of all that end in its last character, since only the former may be followed by the same
character again. Beside the sums it follows the single most probable alignment, which tells where characters lie.

Order decides between equals: prefixes stay in the order of the beam, prefixes that stay come before those that
grow, and growing ones come by prefix, then by label. An alignment is replaced only by a more probable one.

Source: Graves, Fernández, Gomez, Schmidhuber, "Connectionist temporal classification", ICML 2006, section 3.2
    (prefix search); Graves, Jaitly, "Towards end-to-end speech recognition with recurrent neural networks",
    ICML 2014, section 4 (beam search); Hannun, Maas, Jurafsky, Ng, "First-pass large vocabulary continuous speech
    recognition using bi-directional recurrent DNNs", 2014, algorithm 1 (language model, insertion bonus).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zeile.fixed_log import IMPOSSIBLE, SCORE_UNIT, Ints, log_add
from zeile.language_model import LanguageModel

Trace = tuple[int, int, "Trace"] | None
"""Spans of an alignment from right to left: (start, end, the spans before)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A search, in the units that it computes with.

    Attributes:
        blank: label of the blank.
        width: prefixes kept after each step.
        reach: a prefix grows only by labels of at least minus this many units.
        language: language model, or None.
        spelling: for each label its symbols in the language model.
        weight: of the language model's logarithms, in 1/256.
        bonus: for each character, units.
    """

    blank: int
    width: int
    reach: int
    language: LanguageModel | None = None
    spelling: tuple[tuple[int, ...], ...] = ()
    weight: int = 0
    bonus: int = 0

    def character(self, state: int, label: int) -> tuple[int, int]:
        """What the language model adds for a label: units, with the bonus, and the next state.

        A logarithm above 0, which only a faulty model has, counts as 0: a label never gains by the model.
        """
        if self.language is None:
            return self.bonus, 0
        total = 0
        for symbol in self.spelling[label]:
            log, state = self.language.step(state, symbol)
            total += log
        return (min(total, 0) * self.weight >> 8) + self.bonus, state

    def ending(self, state: int) -> int:
        """What the language model adds for the end of the line, units."""
        if self.language is None or self.language.end < 0:
            return 0
        return min(self.language.step(state, self.language.end)[0], 0) * self.weight >> 8


@dataclass(frozen=True, slots=True)
class Prefix:
    """A reading of the line's first steps; all logarithms in units.

    Attributes:
        labels: merged labels without blanks.
        in_blank: log-probability of its alignments that end in the blank.
        in_label: ... that end in its last label.
        language: sum of what the language model added.
        state: of the language model.
        blank_path: its most probable alignment that ends in the blank: log-probability, spans.
        label_path: ... in its last label: log-probability, start of that label, spans before it.
    """

    labels: tuple[int, ...]
    in_blank: int
    in_label: int
    language: int
    state: int
    blank_path: tuple[int, Trace]
    label_path: tuple[int, int, Trace]

    @property
    def total(self) -> int:
        return _add(self.in_blank, self.in_label)

    @property
    def rank(self) -> int:
        return self.total + self.language

    def path(self, end: int) -> tuple[int, Trace]:
        """The most probable alignment of all, its last label closed at ``end``."""
        log, start, before = self.label_path
        return (log, (start, end, before)) if log > self.blank_path[0] else self.blank_path


def search(logs: Ints, rules: Rules) -> list[tuple[tuple[int, ...], list[tuple[int, int]], int]]:
    """Search all steps.

    Args:
        logs: (S, K) log-probabilities of merged labels in units, from ``log_probabilities``.
        rules: the search.

    Returns:
        Labels, spans (start, end) and rank of at most ``width`` prefixes, best first.
    """
    state = rules.language.start if rules.language else 0
    beam = [Prefix((), 0, IMPOSSIBLE, 0, state, (0, None), (IMPOSSIBLE, 0, None))]
    for at, row in enumerate(logs.tolist()):
        beam = _advance(beam, row, at, rules)
    ranked = [(prefix.rank + rules.ending(prefix.state), prefix) for prefix in beam]
    ranked.sort(key=lambda pair: -pair[0])
    return [(prefix.labels, _spans(prefix.path(len(logs))[1]), rank) for rank, prefix in ranked]


def log_probabilities(scores: np.ndarray[tuple[int, int], np.dtype[np.int8]], table: Ints) -> Ints:
    """Log-probability of each merged label at each step.

    A merged label's probability is the sum over the labels merged into it. Sums run from the lowest label to the
    highest, each addition rounding by at most 2 units.

    Args:
        scores: (S, K) int8.
        table: (K,) label to merged label.

    Returns:
        (S, K) int64 units; ``IMPOSSIBLE`` for labels that are merged into another.
    """
    units = scores.astype(np.int64) * SCORE_UNIT
    logs = np.full(scores.shape, IMPOSSIBLE, np.int64)
    everything = units[:, 0]
    for label, target in enumerate(table.tolist()):
        logs[:, target] = log_add(logs[:, target], units[:, label])
        everything = log_add(everything, units[:, label]) if label else everything
    logs[:, np.unique(table)] -= everything[:, None]
    return logs


def _advance(beam: list[Prefix], row: list[int], at: int, rules: Rules) -> list[Prefix]:
    """One step: every prefix stays as it is or grows by a label; the best are kept."""
    near = [c for c, log in enumerate(row) if c != rules.blank and log >= -rules.reach]
    found = {prefix.labels: _stay(prefix, row, at, rules.blank) for prefix in beam}
    for prefix in beam:
        for label in near:
            again = prefix.labels[-1:] == (label,)
            mass = prefix.in_blank if again else prefix.total
            if mass < IMPOSSIBLE // 2:  # twice the same character needs a blank between
                continue
            mass += row[label]
            log, spans = prefix.blank_path if again else prefix.path(at)
            path = (log + row[label], at, spans)
            longer = (*prefix.labels, label)
            if longer in found:
                found[longer] = _join(found[longer], mass, path)
            else:
                added, state = rules.character(prefix.state, label)
                language = prefix.language + added
                found[longer] = Prefix(longer, IMPOSSIBLE, mass, language, state, (IMPOSSIBLE, None), path)
    return sorted(found.values(), key=lambda prefix: -prefix.rank)[: rules.width]  # stable


def _stay(prefix: Prefix, row: list[int], at: int, blank: int) -> Prefix:
    """The prefix after a step that gives the blank or its last label once more."""
    in_label, (log, start, before) = IMPOSSIBLE, prefix.label_path
    if prefix.labels:
        in_label, log = prefix.in_label + row[prefix.labels[-1]], log + row[prefix.labels[-1]]
    best, spans = prefix.path(at)
    blank_path, label_path = (best + row[blank], spans), (log, start, before)
    in_blank = prefix.total + row[blank]
    return Prefix(prefix.labels, in_blank, in_label, prefix.language, prefix.state, blank_path, label_path)


def _join(prefix: Prefix, mass: int, path: tuple[int, int, Trace]) -> Prefix:
    """A prefix that stays and that a shorter one has grown into as well."""
    in_label = _add(prefix.in_label, mass)
    label_path = path if path[0] > prefix.label_path[0] else prefix.label_path
    common = (prefix.language, prefix.state, prefix.blank_path)
    return Prefix(prefix.labels, prefix.in_blank, in_label, *common, label_path)


def _spans(trace: Trace) -> list[tuple[int, int]]:
    """From left to right."""
    spans = []
    while trace is not None:
        start, end, trace = trace
        spans.append((start, end))
    return spans[::-1]


def _add(a: int, b: int) -> int:
    return int(log_add(np.int64(a), np.int64(b)))
