# SPDX-License-Identifier: Apache-2.0
"""``zeile read``: images of lines, or of pages, become text, JSON, TSV, hOCR, ALTO or PAGE, in the order given."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from zeile import __version__
from zeile.beam import BeamOptions
from zeile.device import open_device
from zeile.errors import BadDocument, BadImage, BadSettings, ZeileError
from zeile.formats import (
    DEFAULT_LIMITS,
    Page,
    Provenance,
    ReadLine,
    Region,
    cut_lines,
    fill,
    line_page,
    plain,
    read_regions,
    segment,
    write,
)
from zeile.image import Limits, decode
from zeile.language_model import load_language_model
from zeile.manifest import find_model, load_model
from zeile.pipeline import Line, Recognizer
from zeile.settings import Settings

Grey = npt.NDArray[np.uint8]
Decoded = tuple[str, Grey | BadImage, str | None]
"""A file, its pixels or what is wrong with it, and its SHA-256."""

_BATCH_LINES = 16
_BATCH_PIXELS = 1 << 24  # decoded pixels held at a time, unless a single image has more
_BAR_FROM = 50  # files that are worth a progress bar
_STREAMED = {"text": plain.text, "json": plain.json_array, "tsv": plain.tsv}


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Read the files; returns 0, or 1 if one of them could not be read."""
    _check(args)
    warnings.filterwarnings("ignore", module="PIL")  # on oddities of files: we read them or say why not
    beam = None
    if args.beam is not None:
        language_model = load_language_model(args.language_model) if args.language_model else None
        beam = BeamOptions(width=args.beam, language_model=language_model)
    document = _document(args.regions) if args.regions else None
    model = load_model(find_model(settings.model, settings.models))
    failures: list[str] = []
    with open_device(settings.engine, model.network, settings.threads, settings) as device:
        recognizer = Recognizer(model, device, reading=args.reading, beam=beam)
        whole = args.page or document is not None
        bar = len(args.files) >= _BAR_FROM and sys.stderr.isatty()
        with tqdm(args.files, unit=" pages" if whole else " lines", disable=not bar, smoothing=0.05) as files:
            if whole:
                pages = _pages(recognizer, files, settings.image_limits(), document)
            else:
                pages = _read(recognizer, files, settings.image_limits())
            watched = _watched(pages, failures)
            if args.format in _STREAMED:
                for piece in _STREAMED[args.format](watched):
                    sys.stdout.write(piece)
                    sys.stdout.flush()
            else:
                _write_document(args, list(watched), _provenance(args, recognizer, settings), document)
    return 1 if failures else 0


def _check(args: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if args.language_model and args.beam is None:
        raise BadSettings("--language-model needs --beam: only the beam search weighs a language model")
    if args.page and args.regions:
        raise BadSettings("--page finds the lines itself, --regions takes them from a document: give one of them")
    count = len(args.files)
    if args.regions and count != 1:
        raise BadSettings(f"--regions describes one image, {count} were given; read each page with its own document")
    if args.format == "page" and count != 1:
        raise BadSettings(f"a PAGE document describes one image, {count} were given; read each alone, or write alto")


def _document(path: Path) -> bytes:
    """The document of line regions, no more of it than is allowed."""
    try:
        with path.open("rb") as stream:
            return stream.read(DEFAULT_LIMITS.bytes + 1)
    except OSError as error:
        raise BadDocument(f"{_name(str(path))}: the document cannot be read: {error.strerror}") from None


def _provenance(args: argparse.Namespace, recognizer: Recognizer, settings: Settings) -> Provenance:
    model = recognizer.model
    facts = {"reading": args.reading or model.alphabet.default_reading or "", "beam": str(args.beam or "")}
    if args.language_model:
        facts["language_model"] = args.language_model.name
    return Provenance.of(model, settings.engine, __version__, {name: fact for name, fact in facts.items() if fact})


def _write_document(
    args: argparse.Namespace, pages: Sequence[Page], provenance: Provenance, document: bytes | None
) -> None:
    """One document of all pages; the one that the regions came from, with texts, if it is of the format asked for."""
    if args.format == "page" and pages[0].error:
        return  # complained of already; PAGE cannot describe an image without a size
    page = pages[0]
    if document is not None and not page.error:
        kind, _ = read_regions(document, (page.width, page.height))
        if kind == args.format:
            sys.stdout.write(fill(document, page, provenance).decode())
            return
    sys.stdout.write(write(args.format, pages, provenance).decode())


def _watched(pages: Iterable[Page], failures: list[str]) -> Iterator[Page]:
    """The pages; what is wrong with them goes to standard error, and names into ``failures``."""
    for page in pages:
        errors = [(page.file, page.error)] if page.error else []
        if page.whole:
            errors += [(f"{page.file}: {read.region.id}", read.answer) for read in page.lines]  # type: ignore[misc]
        for name, error in errors:
            if isinstance(error, ZeileError):
                failures.append(name)
                tqdm.write(f"zeile: {name}: {error}", file=sys.stderr)
        yield page


def _read(recognizer: Recognizer, files: Iterable[str], limits: Limits) -> Iterator[Page]:
    """Each file, an image of a line, with what it says or what is wrong with it, in order; read in batches."""
    batch: list[Decoded] = []
    pixels = 0
    for file in files:
        decoded = _decoded(file, limits)
        size = decoded[1].size if isinstance(decoded[1], np.ndarray) else 0
        if len(batch) == _BATCH_LINES or (batch and pixels + size > _BATCH_PIXELS):
            yield from _answers(recognizer, batch)
            batch, pixels = [], 0
        batch.append(decoded)
        pixels += size
    yield from _answers(recognizer, batch)


def _pages(recognizer: Recognizer, files: Iterable[str], limits: Limits, document: bytes | None) -> Iterator[Page]:
    """Each file, an image of a page, with what its lines say."""
    for file in files:
        name, grey, sha256 = _decoded(file, limits)
        if isinstance(grey, BadImage):
            yield Page(file=name, error=grey, sha256=sha256)
            continue
        height, width = grey.shape
        regions = segment(grey) if document is None else read_regions(document, (width, height))[1]
        lines: list[ReadLine] = []
        for first in range(0, len(regions), _BATCH_LINES):
            lines += _read_regions(recognizer, grey, regions[first : first + _BATCH_LINES])
        yield Page(file=name, width=width, height=height, lines=tuple(lines), sha256=sha256)


def _read_regions(recognizer: Recognizer, grey: Grey, regions: Sequence[Region]) -> Iterator[ReadLine]:
    cuts = list(cut_lines(grey, regions))
    answers = iter(_lines(recognizer, [cut for cut in cuts if isinstance(cut, np.ndarray)]))
    for region, cut in zip(regions, cuts, strict=True):
        yield ReadLine(region, cut if isinstance(cut, BadImage) else next(answers))


def _decoded(file: str, limits: Limits) -> Decoded:
    sha256 = None
    try:
        if file == "-":
            data = sys.stdin.buffer.read(limits.bytes + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(limits.bytes + 1)
        sha256 = hashlib.sha256(data).hexdigest() if len(data) <= limits.bytes else None  # else it is cut off
        return _name(file), decode(data, limits), sha256
    except BadImage as error:
        return _name(file), error, sha256
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        wrong = BadImage(f"the file cannot be read: {getattr(error, 'strerror', None) or error}")
        return _name(file), wrong, None


def _answers(recognizer: Recognizer, batch: Sequence[Decoded]) -> Iterator[Page]:
    lines = iter(_lines(recognizer, [grey for _, grey, _ in batch if isinstance(grey, np.ndarray)]))
    for file, grey, sha256 in batch:
        if isinstance(grey, BadImage):
            yield line_page(file, (0, 0), grey, sha256)
        else:
            yield line_page(file, (grey.shape[1], grey.shape[0]), next(lines), sha256)


def _lines(recognizer: Recognizer, greys: Sequence[Grey]) -> Sequence[Line | BadImage]:
    try:
        return recognizer.read_batch(greys)
    except BadImage as error:  # one spoils the batch: alone, only that one fails
        return [error] if len(greys) == 1 else [line for grey in greys for line in _lines(recognizer, [grey])]


def _name(file: str) -> str:
    """A file's name as text that can be written; bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(file).decode(errors="replace")
