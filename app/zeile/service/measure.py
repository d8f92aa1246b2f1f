# SPDX-License-Identifier: Apache-2.0
"""Lines with ground truth, sent by a client, become an evaluation.

The files go through a folder of their own on disk and are read from there a few at a time, so that a set may be
larger than the memory. Lines are read by the worker, a chunk at a time, beside those of other requests.
"""

from __future__ import annotations

import hashlib
import shutil
import time
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from zeile.errors import BadData, BadImage
from zeile.evaluate import Evaluation
from zeile.samples import Sample, count_lines, open_lines
from zeile.service import answers
from zeile.service.acknowledge import Acknowledged
from zeile.service.archives import Archive, ArchiveLimits
from zeile.service.batch import Answer, Stages
from zeile.service.engines import Options
from zeile.service.images import CHUNK_BYTES, CHUNK_LINES, Chunk, Part, read_chunks
from zeile.service.problems import BadForm, Overloaded
from zeile.service.provenance import canonical
from zeile.service.ticket import Ticket
from zeile.service.uploads import Upload
from zeile.service.worker import Worker
from zeile.zips import DAMAGE

MAX_MANIFEST_BYTES = 16 << 20

Acknowledge = Callable[[Answer], Awaitable[Acknowledged]]
"""Logs an answer and gives its provenance."""


async def saved(files: Sequence[Upload], folder: Path, limits: ArchiveLimits) -> Path:
    """Write the files of a request; returns the zip file if there is one alone, else the folder.

    Raises:
        BadForm: a file has no name or one that cannot be used.
        BadArchive: the zip file cannot be used.
        ArchiveTooLarge: it has more in it than the limits allow.
        Overloaded: the disk is full.
    """
    single_zip = len(files) == 1 and (files[0].is_zip or not files[0].field or files[0].name.lower().endswith(".zip"))
    if single_zip:
        await run_in_threadpool(Archive, files[0].file, limits)
    for file in files:
        name = file.name or ("lines.zip" if single_zip else "")
        if name in ("", ".", "..") or not name.isprintable() or len(name.encode()) > 200:
            raise BadForm(f"a file is named {name[:40]!r}; name images and texts alike, as 001.png and 001.gt.txt")
        if (folder / name).exists():
            raise BadForm(f"the name {name!r} occurs twice; pairs of image and text go by their names")
        try:
            await run_in_threadpool(_copy, file, folder / name)
        except OSError as error:
            raise Overloaded(
                f"the set cannot be kept on disk: {error.strerror}; have room made in ZEILE_SPOOL, or send fewer lines"
            ) from None
        if single_zip:
            return folder / name
    return folder


def _copy(file: Upload, to: Path) -> None:
    file.file.seek(0)
    with to.open("xb") as copy:
        shutil.copyfileobj(file.file, copy)


class Measuring:
    """A set of lines on its way through the worker.

    Args:
        source: the zip file or folder, see ``saved``.
        split: of a manifest.tsv; None takes all lines.
        worker: reads the lines.
        asked: how.
        ticket: of the request.
        acknowledge: logs a part of the answer.

    Attributes:
        done: lines that were read so far.
        total: lines of the set; None until they are counted.
    """

    def __init__(
        self,
        source: Path,
        split: str | None,
        worker: Worker,
        asked: Options,
        ticket: Ticket,
        acknowledge: Acknowledge,
    ) -> None:
        self._source, self._split = source, split
        self._worker, self._asked, self._ticket, self._acknowledge = worker, asked, ticket, acknowledge
        self._samples: list[Sample] = []
        self._texts: list[str] = []
        self._stages = Stages()
        self._origin = _Origin()
        self.done = 0
        self.total: int | None = None

    async def measured(self) -> dict[str, Any]:
        """Read the lines and count the errors.

        Returns:
            A ``job_schemas.Measurement``.

        Raises:
            BadData: no lines, a damaged zip file, or an image that cannot be read.
            ZeileError: as ``Worker.read``.
        """
        began = time.perf_counter()
        try:
            self.total = await run_in_threadpool(_counted, self._source, self._split)
            reading = time.perf_counter()
            async with aclosing(read_chunks(self._chunks(), self._worker, self._asked, self._ticket)) as parts:
                async for part in parts:
                    await self._take(part)
            reading = time.perf_counter() - reading
        except BadData as error:
            raise BadData(_without(self._source, str(error))) from None
        evaluation = await run_in_threadpool(lambda: Evaluation.of(self._samples, self._texts).to_json())
        return {
            "evaluation": evaluation,
            "lines_per_second": round(self.done / reading, 1),
            "characters_per_second": round(sum(map(len, self._texts)) / reading, 1),
            "time_ms": answers.times(self._stages, time.perf_counter() - began),
            **self._origin.facts(),
        }

    async def _chunks(self) -> AsyncIterator[Chunk]:
        samples = await run_in_threadpool(open_lines, self._source, self._split)
        while chunk := await run_in_threadpool(_some, samples):
            # Without its image: that is the worker's from here on.
            self._samples += [replace(sample, data=b"") for sample in chunk]
            yield Chunk([sample.id for sample in chunk], [sample.data for sample in chunk])

    async def _take(self, part: Part) -> None:
        for name, line in zip(part.names, part.answer.lines, strict=True):
            if isinstance(line, BadImage):
                raise BadData(f"line {name}: {line}")
            self._texts.append(line.text)
        self._origin.add(part.answer, await self._acknowledge(part.answer))
        self._stages += part.answer.stages
        self.done += len(part.names)


class _Origin:
    """Where an answer comes from whose parts were logged one by one."""

    def __init__(self) -> None:
        self._output = hashlib.sha256()
        self._provenance: dict[str, Any] = {}
        self._answer: Answer | None = None
        self._known: Acknowledged | None = None

    def add(self, answer: Answer, known: Acknowledged) -> None:
        """A further part; all are read with the same model and options."""
        self._answer, self._known, provenance = answer, known, known.origin
        for line in answer.lines:
            self._output.update(canonical(line) + b"\n")
        before, self._provenance = self._provenance, dict(provenance)
        if before:
            for each in ("inputs", "frames", "outputs"):
                self._provenance[each] = before[each] + provenance[each]
            more = [engine for engine in provenance["engines"] if engine not in before["engines"]]
            self._provenance["engines"] = before["engines"] + more
            self._provenance["overlay"] = before["overlay"] or provenance["overlay"]

    def facts(self) -> dict[str, Any]:
        """Model, engine and provenance of the whole."""
        assert self._answer is not None
        assert self._known is not None
        whole = self._provenance | {"output": {"sha256": self._output.hexdigest()}}
        return {
            "model": answers.model(self._answer.model),
            "engine": self._answer.engine,
            **self._known.facts(),  # the last record's hash stands for those before it
            "provenance": whole,
        }


def _counted(source: Path, split: str | None) -> int:
    if source.is_file():
        try:
            with zipfile.ZipFile(source) as file:
                manifest = max((m.file_size for m in file.infolist() if m.filename.endswith("manifest.tsv")), default=0)
        except DAMAGE as error:
            raise BadData(f"the zip file is damaged: {error}; pack it again") from None
        if manifest > MAX_MANIFEST_BYTES:
            raise BadData(
                f"manifest.tsv has {manifest} bytes unpacked, at most {MAX_MANIFEST_BYTES} are read; split the set"
            )
    return count_lines(source, split)


def _some(samples: Iterator[Sample]) -> list[Sample]:
    """The next lines, as many as the worker is given at a time; none at the end."""
    chunk: list[Sample] = []
    size = 0
    for sample in samples:
        chunk.append(sample)
        size += len(sample.data)
        if len(chunk) == CHUNK_LINES or size >= CHUNK_BYTES:
            break
    return chunk


def _without(source: Path, message: str) -> str:
    """The message without the path of our temporary folder."""
    folder = source if source.is_dir() else source.parent
    return message.replace(f"{folder}/", "").replace(str(folder), "the files")
