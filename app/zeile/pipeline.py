# SPDX-License-Identifier: Apache-2.0
"""The whole flow, from grey pixels to a line of text.

    grey -> normalise -> frames -> device -> scores -> CTC -> characters

Each stage is a pure function in integers; the only state is the model, which is frozen, and the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zeile.alphabet import Alphabet
from zeile.beam import BeamOptions, BeamSearch
from zeile.columns import Frames, frames_of
from zeile.ctc import Scores, Span, best_path, line_confidence, native
from zeile.device import Device
from zeile.errors import BadSettings, ImageTooLarge
from zeile.manifest import Model
from zeile.network import Network
from zeile.normalise import normalise_with_extent

__all__ = ["Alternative", "BeamOptions", "Character", "Decoder", "Line", "Recognizer"]

Grey = npt.NDArray[np.uint8]

MAX_COLUMNS = 1 << 16
"""Columns of the longest line that is read: a thousand times its height, so no line of text."""


class Character(NamedTuple):
    """A character and where the network saw it.

    Attributes:
        text: one grapheme.
        left_px: first column of the image, pixels.
        right_px: the column behind the last one; neighbours may share a column.
        confidence: 0 ... 10000.
    """

    text: str
    left_px: int
    right_px: int
    confidence: int


class Alternative(NamedTuple):
    """A reading of a line among others.

    Attributes:
        text: all characters.
        score: of the beam search, units of 2**-16 nat; the logarithm of its probability without a language model.
    """

    text: str
    score: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it was read.

    Attributes:
        text: all characters.
        confidence: mean of the characters', rounded down, 0 ... 10000; None if there are none.
        characters: from left to right.
        alternatives: the best readings, best first, the text itself among them; empty unless they were asked for.
    """

    text: str
    confidence: int | None
    characters: tuple[Character, ...]
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the device reads: frames of ``columns`` columns, which show the image from ``left`` to ``right``."""

    frames: Frames
    columns: int
    left: int
    right: int


class Decoder:
    """Makes lines of a device's scores; may be used by several threads at a time.

    Args:
        model: from ``load_model``.
        reading: one of the alphabet's; None is the model's default.
        beam: options of the beam search; None takes the best path.
        alternatives: readings of each line that are kept; needs the beam search.

    Raises:
        BadSettings: the model has no such reading; alternatives of the best path.
    """

    def __init__(
        self, model: Model, *, reading: str | None = None, beam: BeamOptions | None = None, alternatives: int = 0
    ) -> None:
        if alternatives and beam is None:
            raise BadSettings(f"{alternatives} alternatives were asked for without a beam; the best path is only one")
        self._alphabet, self._per_step = model.alphabet, model.network.columns_per_step
        self._most = alternatives
        self._merged = model.alphabet.merged(reading)
        self._search: BeamSearch | None = None
        if beam is not None:
            self._search = BeamSearch(self._merged, model.alphabet.blank, beam, model.alphabet.characters)

    def line(self, scores: Scores, prepared: Prepared) -> Line:
        """What the device's scores of a prepared line say."""
        per_step, alphabet = self._per_step, self._alphabet
        if self._search is None:
            return compose(best_path(scores, self._merged, alphabet.blank), prepared, per_step, alphabet)
        found = self._search.read(scores, most=max(1, self._most))
        line = compose(found[0].spans, prepared, per_step, alphabet)
        if not self._most:
            return line
        names = alphabet.characters
        readings = [Alternative("".join([names[label] for label in each.labels]), each.score) for each in found]
        return replace(line, alternatives=tuple(readings))


class Recognizer:
    """Reads lines with one model on one device.

    Args:
        model: from ``load_model``.
        device: from ``open_device`` with the model's network.
        reading: one of the alphabet's; None is the model's default.
        beam: options of the beam search; None takes the best path.
        alternatives: readings of each line that are kept; needs the beam search.

    Raises:
        BadSettings: the model has no such reading; alternatives of the best path.
    """

    def __init__(
        self,
        model: Model,
        device: Device,
        *,
        reading: str | None = None,
        beam: BeamOptions | None = None,
        alternatives: int = 0,
    ) -> None:
        self.model, self.device = model, device
        self._decoder = Decoder(model, reading=reading, beam=beam, alternatives=alternatives)

    def read(self, grey: Grey) -> Line:
        """Read one image of a line, (h, w) uint8, of either polarity; a blank one gives a line without text.

        Raises:
            ImageTooLarge: the line is more than MAX_COLUMNS columns long at the model's height.
        """
        return self.read_batch([grey])[0]

    def read_batch(self, greys: Sequence[Grey]) -> list[Line]:
        """Read several images; each line is what ``read`` gives, to the last bit."""
        prepared = [prepare(grey, self.model.network) for grey in greys]
        scores = self.device.run_batch([line.frames for line in prepared])
        return [self._decoder.line(s, p) for s, p in zip(scores, prepared, strict=True)]


def prepare(grey: Grey, network: Network) -> Prepared:
    """Normalise an image and cut it into frames."""
    line, left, right = normalise_with_extent(grey, network.height_px, network.stretch_percent)
    columns = line.shape[1]
    if columns > MAX_COLUMNS:
        raise ImageTooLarge(
            f"the line is {columns} columns long at the model's height of {network.height_px}, "
            f"at most {MAX_COLUMNS} are allowed; cut it into lines of text"
        )
    return Prepared(frames_of(line, network.pixel_bits, network.columns_per_frame), columns, left, right)


def compose(spans: Sequence[Span], line: Prepared, columns_per_step: int, alphabet: Alphabet) -> Line:
    """Put the characters back into the image's pixels."""
    place = characters_reference if native is None else native.characters
    width = line.right - line.left
    found = place(spans, alphabet.characters, line.left, width, line.columns, columns_per_step, Character)
    text = "".join([character[0] for character in found])
    return Line(text, line_confidence([character[3] for character in found]), found)


def characters_reference(
    spans: Sequence[Span],
    names: Sequence[str],
    left: int,
    width: int,
    columns: int,
    per_step: int,
    character: type[Character],
) -> tuple[Character, ...]:
    """Characters of a line of ``columns`` columns that shows ``width`` pixels of the image from ``left``.

    A step's left edge is column min(step * per_step, columns). A character's left edge is rounded down to a pixel, its
    right edge up.
    """
    return tuple(
        character(
            names[label],
            left + min(start * per_step, columns) * width // columns,
            left - -min(end * per_step, columns) * width // columns,
            confidence,
        )
        for label, start, end, confidence in spans
    )
