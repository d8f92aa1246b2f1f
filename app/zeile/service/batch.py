# SPDX-License-Identifier: Apache-2.0
"""What is done to a line on its way: decoded and prepared, read by the engine beside others, written out.

Each step works on pieces, which are one image each, and is pure but for them: which thread does it, when and beside
which other lines changes nothing of the result.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zeile.device import Scores
from zeile.errors import BadImage
from zeile.image import Limits, decode
from zeile.manifest import Model
from zeile.pipeline import Decoder, Line, Prepared, prepare
from zeile.service.engines import Options
from zeile.service.ticket import Ticket

Grey = npt.NDArray[np.uint8]

BATCH_LINES = 32
"""Lines that the engine reads together, at most."""

PIXELS_PER_COLUMN = 256
"""Decoding so many pixels costs about what the engine needs for a column."""


@dataclass(frozen=True)
class Stages:
    """Seconds by stage.

    Attributes:
        queue: the longest wait of a line of the request.
        decode: image files to grey pixels, of the request's lines.
        preprocess: grey pixels to lines of the model's height, likewise.
        network: the engine, of the batches that the lines were in; lines of other requests may have shared them.
        ctc: scores to text, of the request's lines.
    """

    queue: float = 0.0
    decode: float = 0.0
    preprocess: float = 0.0
    network: float = 0.0
    ctc: float = 0.0

    def __add__(self, other: Stages) -> Stages:
        return Stages(
            self.queue + other.queue,
            self.decode + other.decode,
            self.preprocess + other.preprocess,
            self.network + other.network,
            self.ctc + other.ctc,
        )


@dataclass(frozen=True, eq=False, slots=True)
class Run:
    """What the engine did with a batch.

    Attributes:
        seconds: that it took.
        facts: of the engine.
    """

    seconds: float
    facts: dict[str, Any]


@dataclass(eq=False)
class Job:
    """Images that belong together, as the threads see them.

    Attributes:
        ticket: of their request.
        options: how they are read.
        over: why nobody wants the rest any more; empty as long as somebody does.
        model: that reads them; set by whichever thread begins the first of them.
        decoder: writes them out; likewise.
    """

    ticket: Ticket
    options: Options
    over: str = ""
    model: Model | None = None
    decoder: Decoder | None = None


@dataclass(eq=False, slots=True)
class Piece:
    """An image of a job.

    Attributes:
        job: that it belongs to.
        place: among the job's images.
        image: encoded or grey; None once it is prepared.
        bytes: of the image.
        queued: when it came, seconds of ``time.monotonic``.
        begun: when it was taken from the queue.
        digest: SHA-256 of the image, hexadecimal.
        frames: likewise of what the engine reads; empty if there is none.
        size: width and height in pixels; zeros if it could not be decoded.
        prepared: what the engine reads.
        result: the line, or why there is none.
        decode_s: seconds of decoding.
        prepare_s: of preparing.
        write_s: of writing out.
        run: of the engine, with the batch that it was in.
    """

    job: Job
    place: int
    image: bytes | Grey | None
    bytes: int
    queued: float
    begun: float = 0.0
    digest: str = ""
    frames: str = ""
    size: tuple[int, int] = (0, 0)
    prepared: Prepared | None = None
    result: Line | BadImage | None = None
    decode_s: float = 0.0
    prepare_s: float = 0.0
    write_s: float = 0.0
    run: Run | None = None

    @property
    def columns(self) -> int:
        """What it costs the engine."""
        return self.prepared.columns if self.prepared is not None else 0

    @property
    def cost(self) -> int:
        """What it costs all in all, in columns."""
        return self.columns + self.size[0] * self.size[1] // PIXELS_PER_COLUMN


@dataclass(frozen=True)
class Answer:
    """What became of images, in their order.

    Attributes:
        lines: for each image its line, or why there is none.
        sizes: for each its width and height in pixels; zeros if it could not be decoded.
        inputs: for each the SHA-256 of what was given, hexadecimal, see ``digest``.
        stages: where the time went.
        model: that read them.
        engine: facts of the engine that read the last of them; empty if it read none.
        engines: of all that did, in order.
        frames: for each image the SHA-256 of what the engine read of it; empty if it could not be prepared.
    """

    lines: Sequence[Line | BadImage]
    sizes: Sequence[tuple[int, int]]
    inputs: Sequence[str]
    stages: Stages
    model: Model
    engine: dict[str, Any]
    engines: tuple[dict[str, Any], ...]
    frames: Sequence[str] = ()


def pieces_of(job: Job, images: Sequence[bytes | Grey], first: int) -> list[Piece]:
    """Pieces of images that come now, the first of them at place ``first`` of the job."""
    now = time.monotonic()
    sizes = [len(image) if isinstance(image, bytes) else image.nbytes for image in images]
    return [Piece(job, first + i, image, size, now) for i, (image, size) in enumerate(zip(images, sizes, strict=True))]


def digest(image: bytes | Grey) -> str:
    """SHA-256, hexadecimal, of an encoded image's bytes; of an array's shape, a newline, and its bytes."""
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    height, width = image.shape
    sha256 = hashlib.sha256(b"%d %d\n" % (height, width))
    sha256.update(np.ascontiguousarray(image).data)
    return sha256.hexdigest()


def begin(piece: Piece, limits: Limits) -> None:
    """Decode and prepare an image.

    Raises:
        BadImage: it cannot be read as a line.
    """
    assert piece.image is not None
    assert piece.job.model is not None
    began = decoded = time.perf_counter()
    try:
        if not piece.digest:
            piece.digest = digest(piece.image)
        grey = decode(piece.image, limits) if isinstance(piece.image, bytes) else piece.image
        piece.size = (grey.shape[1], grey.shape[0])
        decoded = time.perf_counter()
        piece.prepared = prepare(grey, piece.job.model.network)
        piece.frames = digest(piece.prepared.frames)
    finally:
        piece.decode_s, piece.prepare_s = decoded - began, time.perf_counter() - decoded


def finish(piece: Piece, scores: Scores) -> None:
    """Write out what the engine saw."""
    assert piece.prepared is not None
    assert piece.job.decoder is not None
    began = time.perf_counter()
    piece.result = piece.job.decoder.line(scores, piece.prepared)
    piece.prepared = None
    piece.write_s = time.perf_counter() - began


def total(pieces: Sequence[Piece]) -> Stages:
    """Where the time of a request's lines went."""
    return Stages(
        queue=max(piece.begun - piece.queued for piece in pieces),
        decode=sum(piece.decode_s for piece in pieces),
        preprocess=sum(piece.prepare_s for piece in pieces),
        network=sum(run.seconds for run in {piece.run for piece in pieces if piece.run is not None}),
        ctc=sum(piece.write_s for piece in pieces),
    )
