# SPDX-License-Identifier: Apache-2.0
"""The images of a request, whether they came one by one or in zip files, and their way through the worker.

Images are taken from where they lie a chunk at a time, and no more than ``AHEAD`` chunks are on their way: a zip of ten
thousand lines takes no more memory than one of a hundred.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from zeile.errors import BadImage, bare
from zeile.pipeline import Line
from zeile.service.archives import Archive, ArchiveLimits, Member
from zeile.service.batch import Answer, Grey, Stages
from zeile.service.engines import Options
from zeile.service.problems import ArchiveTooLarge
from zeile.service.ticket import Ticket
from zeile.service.uploads import ZIP_TYPES, Upload, uploads
from zeile.service.worker import Worker
from zeile.settings import Settings

CHUNK_LINES = 32
"""Images given to the worker at a time."""

CHUNK_BYTES = 4 << 20
"""Bytes of them, unless a single one is longer."""

AHEAD = 3
"""Chunks of a request that are on their way: one is read, one waits, one is unpacked."""

NOTHING = hashlib.sha256(b"").hexdigest()
"""Hash of what could be had of a file that cannot be unpacked."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that can be fetched.

    Attributes:
        name: as the client calls it; of a member of a zip file with its folders.
        bytes: its size, as far as the zip file's directory tells.
        source: where it lies.
    """

    name: str
    bytes: int
    source: Upload | tuple[Archive, Member]


@dataclass(frozen=True)
class Chunk:
    """Some images of a request, in its order: files, cut lines of a page, or why there is none.

    Attributes:
        names: of the files.
        data: for each what it holds.
        last: known to be the last one.
    """

    names: Sequence[str]
    data: Sequence[bytes | Grey | BadImage]
    last: bool = False


@dataclass(frozen=True)
class Part:
    """Some images of a request, in its order, and what became of them."""

    names: Sequence[str]
    answer: Answer


@asynccontextmanager
async def sent_images(request: Request) -> AsyncIterator[list[Image]]:
    """All images of a request; they can be fetched until the block ends.

    Raises:
        BadArchive: a zip file cannot be used.
        ArchiveTooLarge: the zip files hold more than the limits allow.
        ZeileError: see ``uploads``.
    """
    settings: Settings = request.app.state.settings
    async with uploads(request, ["image/*", *ZIP_TYPES, "application/octet-stream"]) as files:
        found: list[Image] = []
        zipped = unpacked = 0
        for upload in files:
            if not upload.is_zip:
                found.append(Image(upload.name, upload.size, upload))
                continue
            archive = await run_in_threadpool(Archive, upload.file, limits_of(settings))
            found += [Image(member.name, member.size, (archive, member)) for member in archive.members]
            zipped, unpacked = zipped + len(archive.members), unpacked + sum(m.size for m in archive.members)
            if zipped > settings.archive_files or unpacked > settings.archive_bytes:
                raise ArchiveTooLarge(
                    f"the zip files of the form hold {zipped} files of {unpacked} bytes, at most "
                    f"{settings.archive_files} files and {settings.archive_bytes} bytes are read; send them singly"
                )
        yield found


def limits_of(settings: Settings) -> ArchiveLimits:
    """What is accepted as a zip file."""
    return ArchiveLimits(files=settings.archive_files, bytes=settings.archive_bytes, member_bytes=settings.image_bytes)


async def fetched(images: Sequence[Image]) -> AsyncIterator[Chunk]:
    """The images with their bytes, a chunk at a time; zip files are unpacked in a thread."""
    left = len(images)
    for chunk in _chunks(images):
        left -= len(chunk)
        zipped = [image.source for image in chunk if isinstance(image.source, tuple)]
        unpacked = iter(await run_in_threadpool(_unpacked, zipped) if zipped else ())
        data = [next(unpacked) if isinstance(i.source, tuple) else await i.source.read() for i in chunk]
        yield Chunk([image.name for image in chunk], data, not left)


async def read_chunks(
    chunks: AsyncIterator[Chunk], worker: Worker, asked: Options, ticket: Ticket
) -> AsyncGenerator[Part, None]:
    """Have chunks read; close the generator to give the rest up.

    Yields:
        A part for each chunk, in their order, as soon as it is read.

    Raises:
        ZeileError: see ``Worker.read``.
    """
    waiting: deque[asyncio.Task[Part]] = deque()

    async def read(chunk: Chunk) -> Part:
        return Part(chunk.names, await _answer(chunk.data, worker, asked, ticket))

    try:
        async for chunk in chunks:
            if chunk.last and not waiting:  # the only one: nothing goes on beside it
                yield await read(chunk)
                continue
            waiting.append(asyncio.create_task(read(chunk)))
            if len(waiting) == AHEAD:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def joined(parts: Sequence[Part]) -> Part:
    """Parts as one; there is at least one."""
    if len(parts) == 1:
        return parts[0]
    answers = [part.answer for part in parts]
    engines = [engine for answer in answers for engine in answer.engines]
    whole = replace(
        answers[-1],
        lines=[line for answer in answers for line in answer.lines],
        sizes=[size for answer in answers for size in answer.sizes],
        inputs=[sha256 for answer in answers for sha256 in answer.inputs],
        frames=[sha256 for answer in answers for sha256 in answer.frames],
        stages=sum((answer.stages for answer in answers), Stages()),
        engines=tuple(engine for place, engine in enumerate(engines) if engine not in engines[:place]),
    )
    return Part([name for part in parts for name in part.names], whole)


def _chunks(images: Sequence[Image]) -> Iterator[Sequence[Image]]:
    """All images, a few at a time."""
    first = size = 0
    for place, image in enumerate(images):
        if place > first and (place - first == CHUNK_LINES or size + image.bytes > CHUNK_BYTES):
            yield images[first:place]
            first, size = place, 0
        size += image.bytes
    yield images[first:]


def _unpacked(sources: Sequence[tuple[Archive, Member]]) -> list[bytes | BadImage]:
    found: list[bytes | BadImage] = []
    for archive, member in sources:
        try:
            found.append(archive.read(member))
        except BadImage as error:
            found.append(bare(error))
    return found


async def _answer(data: Sequence[bytes | Grey | BadImage], worker: Worker, asked: Options, ticket: Ticket) -> Answer:
    """The worker's answer, with what could not even be fetched in its place."""
    answer = await worker.read([image for image in data if not isinstance(image, BadImage)], asked, ticket)
    if len(answer.lines) == len(data):
        return answer
    lines: list[Line | BadImage] = []
    sizes: list[tuple[int, int]] = []
    inputs: list[str] = []
    frames: list[str] = []
    read = zip(answer.lines, answer.sizes, answer.inputs, answer.frames, strict=True)
    for image in data:
        line, size, sha256, seen = (image, (0, 0), NOTHING, "") if isinstance(image, BadImage) else next(read)
        lines.append(line)
        sizes.append(size)
        inputs.append(sha256)
        frames.append(seen)
    return replace(answer, lines=lines, sizes=sizes, inputs=inputs, frames=frames)
