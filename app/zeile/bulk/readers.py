# SPDX-License-Identifier: Apache-2.0
"""What reads the images of a shard: an engine in this process, or services. Their rows are the same bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, Protocol

from zeile import __version__
from zeile.beam import BeamOptions
from zeile.bulk.images import Images
from zeile.bulk.rows import Answer, Facts, answer
from zeile.device import open_device
from zeile.errors import BadImage, bare
from zeile.image import decode
from zeile.manifest import Model
from zeile.pipeline import Decoder, Line, Prepared, prepare
from zeile.settings import Settings

BATCH_LINES = 32
"""Lines given to an engine, or sent to a service, at a time."""

_AHEAD = 2  # batches that are decoded or on their way while one is read


class Reading(NamedTuple):
    """A line as it was read: SHA-256 of the image, or None, and what it says."""

    sha256: str | None
    answer: Answer


class Reader(Protocol):
    """Reads images."""

    @property
    def facts(self) -> Facts:
        """What decides the rows."""

    def origin(self) -> Mapping[str, Any]:
        """What has read since this was asked last, for the ledger."""

    def read(self, images: Images, names: Sequence[str], progress: Callable[[int], None]) -> list[Reading]:
        """Read images, in their order.

        Args:
            images: where they are.
            names: of those that are wanted.
            progress: called with a number of lines when so many more have been read.

        Raises:
            ZeileError: the engine or the services cannot read now; no image is to blame.
        """

    def close(self) -> None:
        """Let go of the engine or the connections."""


class Local:
    """Reads with an engine of this process; images are decoded by as many threads as the engine has.

    Args:
        model: from ``load_model``.
        settings: engine, threads and limits on images.
        reading: of the model; None takes its default.
        beam: width of the beam search; 0 takes the best path.

    Raises:
        ZeileError: the engine cannot be opened, or the model has no such reading.
    """

    def __init__(self, model: Model, settings: Settings, reading: str | None, beam: int) -> None:
        options = BeamOptions(width=beam) if beam else None
        self._decoder = Decoder(model, reading=reading, beam=options)
        self._network, self._limits = model.network, settings.image_limits()
        chosen = reading or model.alphabet.default_reading
        self.facts = Facts(f"{model.name}/{model.version}", model.sha256, chosen, beam)
        self._device = open_device(settings.engine, model.network, settings.threads, settings)
        self._engine = settings.engine
        self._pool = ThreadPoolExecutor(settings.threads, "zeile-decode")

    def read(self, images: Images, names: Sequence[str], progress: Callable[[int], None]) -> list[Reading]:
        rest = iter(names)
        waiting: deque[list[Future[_Ready]]] = deque()
        readings: list[Reading] = []
        try:
            while True:
                while len(waiting) < _AHEAD and (part := list(islice(rest, BATCH_LINES))):
                    waiting.append([self._pool.submit(self._ready, images, name) for name in part])
                if not waiting:
                    return readings
                readings += self._read([future.result() for future in waiting[0]])
                progress(len(waiting.popleft()))
        finally:
            for future in (each for part in waiting for each in part):
                future.cancel()

    def origin(self) -> Mapping[str, Any]:
        return {"engine": [self._engine], "software": [__version__]}

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._device.close()

    def _ready(self, images: Images, name: str) -> _Ready:
        fetched = images.fetch(name)
        if isinstance(fetched.data, BadImage):
            return _Ready(fetched.sha256, fetched.data)
        try:
            return _Ready(fetched.sha256, prepare(decode(fetched.data, self._limits), self._network))
        except BadImage as error:
            return _Ready(fetched.sha256, bare(error))

    def _read(self, batch: Sequence[_Ready]) -> Iterator[Reading]:
        lines = iter(self._lines([each.image for each in batch if isinstance(each.image, Prepared)]))
        for sha256, image in batch:
            yield Reading(sha256, answer(next(lines) if isinstance(image, Prepared) else image))

    def _lines(self, prepared: Sequence[Prepared]) -> list[Line | BadImage]:
        try:
            scores = self._device.run_batch([each.frames for each in prepared])
        except BadImage as error:  # one is too long for the overlay: alone, only that one fails
            return [bare(error)] if len(prepared) == 1 else [line for each in prepared for line in self._lines([each])]
        return [self._decoder.line(*each) for each in zip(scores, prepared, strict=True)]


class _Ready(NamedTuple):
    """An image before it is read: its SHA-256, and its frames or what is wrong with it."""

    sha256: str | None
    image: Prepared | BadImage
