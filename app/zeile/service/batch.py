# SPDX-License-Identifier: Apache-2.0
"""A batch of encoded images becomes lines; what cannot be read becomes an error in its place."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zeile.errors import BadImage
from zeile.image import Limits, decode
from zeile.pipeline import Line, Recognizer
from zeile.service.engines import Stopwatch

Grey = npt.NDArray[np.uint8]

BATCH_LINES = 32
"""Lines read at a time."""

BATCH_PIXELS = 1 << 24
"""Decoded pixels held at a time, unless a single image has more."""


@dataclass(frozen=True)
class Stages:
    """Seconds by stage, of the batches that a request's lines were in; lines of other requests may share them."""

    decode: float = 0.0
    preprocess: float = 0.0
    network: float = 0.0
    ctc: float = 0.0

    def __add__(self, other: Stages) -> Stages:
        return Stages(
            self.decode + other.decode,
            self.preprocess + other.preprocess,
            self.network + other.network,
            self.ctc + other.ctc,
        )


class Batch:
    """Reads images with one recognizer.

    Args:
        recognizer: of the model, on ``clock``.
        clock: the recognizer's device.
        limits: on each image.

    Attributes:
        stages: where the time went so far.
    """

    def __init__(self, recognizer: Recognizer, clock: Stopwatch, limits: Limits) -> None:
        self._recognizer, self._clock, self._limits = recognizer, clock, limits
        self.stages = Stages()

    def read(self, images: Sequence[bytes]) -> Iterator[Line | BadImage]:
        """Yield a line or an error for each image, in order."""
        greys: list[Grey | BadImage] = []
        pixels = 0
        for data in images:
            began = time.perf_counter()
            grey = self._decode(data)
            self.stages += Stages(decode=time.perf_counter() - began)
            size = grey.size if isinstance(grey, np.ndarray) else 0
            if greys and (pixels + size > BATCH_PIXELS or len(greys) == BATCH_LINES):
                yield from self._lines(greys)
                greys, pixels = [], 0
            greys.append(grey)
            pixels += size
        yield from self._lines(greys)

    def _decode(self, data: bytes) -> Grey | BadImage:
        try:
            return decode(data, self._limits)
        except BadImage as error:
            return error

    def _lines(self, greys: Sequence[Grey | BadImage]) -> Iterator[Line | BadImage]:
        lines = iter(self._read([grey for grey in greys if isinstance(grey, np.ndarray)]))
        for grey in greys:
            yield grey if isinstance(grey, BadImage) else next(lines)

    def _read(self, greys: Sequence[Grey]) -> Sequence[Line | BadImage]:
        if not greys:
            return []
        began = time.perf_counter()
        try:
            lines = self._recognizer.read_batch(greys)
        except BadImage as error:
            # One picture spoils the batch: read them one by one, and only that one fails.
            return [error] if len(greys) == 1 else [line for grey in greys for line in self._read([grey])]
        ended = time.perf_counter()
        self.stages += Stages(
            preprocess=self._clock.began - began,
            network=self._clock.ended - self._clock.began,
            ctc=ended - self._clock.ended,
        )
        return lines
