# SPDX-License-Identifier: Apache-2.0
"""A recognizer reads labelled lines, and the errors are counted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from zeile import metrics
from zeile.errors import BadData, BadImage
from zeile.image import decode
from zeile.intervals import Interval, bootstrap
from zeile.metrics import BoundedRate, Comparison, Edit, Totals
from zeile.samples import Sample

TOP_CONFUSIONS = 30
WORST_LINES = 20


class Read(Protocol):
    """What is wanted of a line that was read."""

    @property
    def text(self) -> str:
        """What it says."""
        ...


class Reader(Protocol):
    """What is wanted of a recognizer; ``zeile.pipeline.Recognizer`` is one."""

    def read_batch(self, greys: Sequence[npt.NDArray[np.uint8]]) -> Sequence[Read]:
        """Read several lines."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """A line as it was read.

    Attributes:
        id: of the sample.
        doc: document of the sample, or None.
        truth: ground truth.
        text: what was read; empty where nothing was.
        comparison: the errors.
    """

    id: str
    doc: str | None
    truth: str
    text: str
    comparison: Comparison


@dataclass(frozen=True)
class Evaluation:
    """All lines of a set, as they were read.

    Attributes:
        readings: in the order of the samples.
    """

    readings: tuple[Reading, ...]

    @classmethod
    def of(cls, samples: Sequence[Sample], texts: Sequence[str]) -> Evaluation:
        """Compare texts from any source with the ground truth of the samples.

        Raises:
            BadData: not as many texts as samples.
        """
        if len(samples) != len(texts):
            raise BadData(f"{len(texts)} texts were given for {len(samples)} lines; a line that was not read is ''")
        pairs = zip(samples, texts, strict=True)
        return cls(tuple(Reading(s.id, s.doc, s.text, t, metrics.compare(s.text, t)) for s, t in pairs))

    @property
    def comparisons(self) -> list[Comparison]:
        """Errors of each line."""
        return [reading.comparison for reading in self.readings]

    @property
    def documents(self) -> list[str | None]:
        """Document of each line."""
        return [reading.doc for reading in self.readings]

    @cached_property
    def totals(self) -> Totals:
        """Sums over the lines."""
        return metrics.totals(self.comparisons)

    @property
    def cer(self) -> float:
        """The primary figure: micro-averaged grapheme error rate."""
        return self.totals.characters.rate

    @cached_property
    def interval(self) -> Interval:
        """95 % interval of the CER."""
        return bootstrap([c.characters for c in self.comparisons], self.documents)

    def confusions(self, top: int | None = TOP_CONFUSIONS) -> list[tuple[Edit, int]]:
        """Most frequent edits."""
        return metrics.confusions(self.comparisons, top)

    def worst(self, top: int = WORST_LINES) -> list[Reading]:
        """Lines with the most errors, of equally many the highest rate first; none without an error."""
        wrong = [reading for reading in self.readings if reading.comparison.characters.count]
        key = {id(r): (-r.comparison.characters.count, -r.comparison.characters.rate, r.id) for r in wrong}
        return sorted(wrong, key=lambda reading: key[id(reading)])[:top]

    def to_json(self) -> dict[str, Any]:
        """All figures, rates rounded to 6 decimals; a rate without ground truth is None."""
        t, interval = self.totals, self.interval
        return {
            "lines": t.lines,
            "documents": len({d for d in self.documents if d is not None}),
            "characters": t.characters.length,
            "cer": _number(t.characters.rate),
            "cer_interval": {
                "low": _number(interval.low),
                "high": _number(interval.high),
                "level": 0.95,
                "over": interval.over,
                "units": interval.units,
                "replicates": interval.replicates,
                "seed": interval.seed,
                "warning": interval.warning,
            },
            "cer_codepoints": _number(t.codepoints.rate),
            "cer_lenient": _number(t.lenient.rate),
            "cer_aligned": _bounded(BoundedRate.of([c.aligned for c in self.comparisons])),
            "cer_longer": _bounded(BoundedRate.of([c.longer for c in self.comparisons])),
            "wer": _number(t.words.rate),
            "exact_lines": _number(t.exact_lines / t.lines),
            "errors": t.characters.count,
            "substitutions": t.substitutions,
            "insertions": t.insertions,
            "deletions": t.deletions,
            "words": t.words.length,
            "confusions": [[truth, text, count] for (truth, text), count in self.confusions()],
            "worst_lines": [
                {"id": r.id, "errors": r.comparison.characters.count, "truth": r.truth, "text": r.text}
                for r in self.worst()
            ],
        }


def evaluate(recognizer: Reader, samples: Iterable[Sample], batch: int = 16) -> Evaluation:
    """Read labelled lines and count the errors.

    Args:
        recognizer: reads grey images.
        samples: labelled lines.
        batch: lines read at a time; the texts do not depend on it.

    Raises:
        BadData: no samples, or an image that cannot be decoded, named by its id.
    """
    texts: list[str] = []
    taken: list[Sample] = []
    for group in _groups(samples, batch):
        texts.extend(line.text for line in recognizer.read_batch([_grey(sample) for sample in group]))
        taken.extend(group)
    if not taken:
        raise BadData("there are no lines to measure on")
    return Evaluation.of(taken, texts)


def _groups(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    remaining = iter(samples)
    while group := list(islice(remaining, size)):
        yield group


def _grey(sample: Sample) -> npt.NDArray[np.uint8]:
    try:
        return decode(sample.data)
    except BadImage as error:
        raise BadData(f"line {sample.id}: {error}") from None


def _bounded(rate: BoundedRate) -> dict[str, float]:
    return {"total": round(rate.total, 6), "line_mean": round(rate.line_mean, 6)}


def _number(rate: float) -> float | None:
    return round(rate, 6) if math.isfinite(rate) else None
