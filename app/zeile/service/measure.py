# SPDX-License-Identifier: Apache-2.0
"""Lines with ground truth, sent by a client, become an evaluation.

The files go through a folder of their own on disk and are read from there a few at a time, so that a set may be
larger than the memory. Lines are read by the worker, a chunk at a time, beside those of other requests.
"""

from __future__ import annotations

import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from zeile.errors import BadData, BadImage
from zeile.evaluate import Evaluation
from zeile.samples import Sample, open_lines
from zeile.service import answers
from zeile.service.batch import BATCH_LINES, Stages
from zeile.service.engines import Options
from zeile.service.problems import BadForm
from zeile.service.uploads import Upload
from zeile.service.worker import Worker

MAX_UNPACKED_BYTES = 1 << 30
MAX_MANIFEST_BYTES = 16 << 20
CHUNK_BYTES = 8 << 20
"""Image files held at a time, unless a single one is longer."""


async def measure_files(files: Sequence[Upload], split: str | None, worker: Worker, asked: Options) -> dict[str, Any]:
    """Read the lines of a zip file, or of images with their .gt.txt.

    Args:
        files: one zip file, or images and texts.
        split: of a manifest.tsv; None takes all lines.
        worker: reads the lines.
        asked: how.

    Returns:
        A ``schemas.Measurement``.

    Raises:
        BadForm: a file has no name or one that cannot be used.
        BadData: no lines, a damaged zip file, or an image that cannot be read.
        ZeileError: as ``Worker.read``.
    """
    began = time.perf_counter()
    samples: list[Sample] = []
    texts: list[str] = []
    stages, reading = Stages(), 0.0
    with tempfile.TemporaryDirectory(prefix="zeile-") as folder:
        source = await _save(files, Path(folder))
        try:
            chunks = await run_in_threadpool(_opened, source, split)
            while chunk := await run_in_threadpool(next, chunks, None):
                asking = time.perf_counter()
                answer = await worker.read([sample.data for sample in chunk], asked)
                reading += time.perf_counter() - asking
                stages += answer.stages
                for sample, line in zip(chunk, answer.lines, strict=True):
                    if isinstance(line, BadImage):
                        raise BadData(f"line {sample.id}: {line}")
                    samples.append(replace(sample, data=b""))
                    texts.append(line.text)
        except BadData as error:
            raise BadData(_without(folder, str(error))) from None
    evaluation = await run_in_threadpool(lambda: Evaluation.of(samples, texts).to_json())
    return {
        "evaluation": evaluation,
        "lines_per_second": round(len(samples) / reading, 1),
        "model": answers.model(answer.model),
        "engine": answer.engine,
        "time_ms": answers.times(stages, time.perf_counter() - began),
    }


async def _save(files: Sequence[Upload], folder: Path) -> Path:
    """Write the files; returns the zip file if there is one alone, else the folder."""
    for file in files:
        data = await file.read()
        single_zip = len(files) == 1 and data[:2] == b"PK"
        name = file.name or ("lines.zip" if single_zip else "")
        if name in ("", ".", "..") or not name.isprintable() or len(name.encode()) > 200:
            raise BadForm(f"a file is named {name[:40]!r}; name images and texts alike, as 001.png and 001.gt.txt")
        if (folder / name).exists():
            raise BadForm(f"the name {name!r} occurs twice; pairs of image and text go by their names")
        await run_in_threadpool((folder / name).write_bytes, data)
        if single_zip:
            return folder / name
    return folder


def _opened(source: Path, split: str | None) -> Iterator[list[Sample]]:
    """Chunks of the lines, checked as far as that is possible before unpacking."""
    if source.is_file():
        try:
            with zipfile.ZipFile(source) as file:
                members = file.infolist()
        except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
            raise BadData(f"{source}: is not a zip file ({error})") from None
        unpacked = sum(member.file_size for member in members)
        manifest = max((m.file_size for m in members if m.filename.endswith("manifest.tsv")), default=0)
        for what, size, limit in (("it", unpacked, MAX_UNPACKED_BYTES), ("manifest.tsv", manifest, MAX_MANIFEST_BYTES)):
            if size > limit:
                raise BadData(f"{source}: unpacked, {what} has {size} bytes, at most {limit} are read; split the set")
    return _chunks(open_lines(source, split))


def _chunks(lines: Iterator[Sample]) -> Iterator[list[Sample]]:
    chunk: list[Sample] = []
    size = 0
    for sample in lines:
        if chunk and (len(chunk) == BATCH_LINES or size + len(sample.data) > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(sample)
        size += len(sample.data)
    yield chunk


def _without(folder: str, message: str) -> str:
    """The message without the path of our temporary folder."""
    return message.replace(f"{folder}/", "").replace(folder, "the files")
