# SPDX-License-Identifier: Apache-2.0
"""``zeile read``: files of line images become text, JSON or a table, in the order given."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from zeile.beam import BeamOptions
from zeile.ctc import CERTAIN
from zeile.device import open_device
from zeile.errors import BadImage, BadSettings
from zeile.image import Limits, decode
from zeile.language_model import load_language_model
from zeile.manifest import find_model, load_model
from zeile.pipeline import Line, Recognizer
from zeile.settings import Settings

Grey = npt.NDArray[np.uint8]
Answer = tuple[str, Line | BadImage]

_BATCH_LINES = 16
_BATCH_PIXELS = 1 << 24  # decoded pixels held at a time, unless a single image has more
_BAR_FROM = 50  # files that are worth a progress bar
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Read the files; returns 0, or 1 if one of them could not be read."""
    if args.language_model and args.beam is None:
        raise BadSettings("--language-model needs --beam: only the beam search weighs a language model")
    warnings.filterwarnings("ignore", module="PIL")  # on oddities of files: we read them or say why not
    beam = None
    if args.beam is not None:
        language_model = load_language_model(args.language_model) if args.language_model else None
        beam = BeamOptions(width=args.beam, language_model=language_model)
    model = load_model(find_model(settings.model, settings.models))
    failures = 0
    with open_device(settings.engine, model.network, settings.threads, settings) as device:
        recognizer = Recognizer(model, device, reading=args.reading, beam=beam)
        bar = len(args.files) >= _BAR_FROM and sys.stderr.isatty()
        with tqdm(args.files, unit=" lines", disable=not bar, smoothing=0.05) as files:
            for piece, failed in _FORMATS[args.format](_read(recognizer, files, settings.image_limits())):
                failures += failed
                sys.stdout.write(piece)
                sys.stdout.flush()
    return 1 if failures else 0


def _read(recognizer: Recognizer, files: Iterable[str], limits: Limits) -> Iterator[Answer]:
    """Each file with its line or what is wrong with it, in order; read in batches."""
    batch: list[tuple[str, Grey | BadImage]] = []
    pixels = 0
    for file in files:
        grey = _decoded(file, limits)
        size = grey.size if isinstance(grey, np.ndarray) else 0
        if len(batch) == _BATCH_LINES or (batch and pixels + size > _BATCH_PIXELS):
            yield from _answers(recognizer, batch)
            batch, pixels = [], 0
        batch.append((file, grey))
        pixels += size
    yield from _answers(recognizer, batch)


def _decoded(file: str, limits: Limits) -> Grey | BadImage:
    try:
        if file == "-":
            return decode(sys.stdin.buffer.read(limits.bytes + 1), limits)
        with Path(file).open("rb") as stream:
            return decode(stream.read(limits.bytes + 1), limits)
    except BadImage as error:
        return error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        return BadImage(f"the file cannot be read: {getattr(error, 'strerror', None) or error}")


def _answers(recognizer: Recognizer, batch: Sequence[tuple[str, Grey | BadImage]]) -> Iterator[Answer]:
    lines = iter(_lines(recognizer, [grey for _, grey in batch if isinstance(grey, np.ndarray)]))
    for file, grey in batch:
        yield file, grey if isinstance(grey, BadImage) else next(lines)


def _lines(recognizer: Recognizer, greys: Sequence[Grey]) -> Sequence[Line | BadImage]:
    try:
        return recognizer.read_batch(greys)
    except BadImage as error:  # one spoils the batch: alone, only that one fails
        return [error] if len(greys) == 1 else [line for grey in greys for line in _lines(recognizer, [grey])]


def _as_text(answers: Iterator[Answer]) -> Iterator[tuple[str, bool]]:
    """A line of text for each file; an empty one for a file that cannot be read, so that line n is file n."""
    for file, answer in answers:
        failed = isinstance(answer, BadImage)
        if isinstance(answer, BadImage):
            _complain(file, answer)
        yield ("" if isinstance(answer, BadImage) else answer.text) + "\n", failed


def _as_tsv(answers: Iterator[Answer]) -> Iterator[tuple[str, bool]]:
    """File, confidence, text and error; tabs and line ends in file names are written as in C."""
    yield "file\tconfidence\ttext\terror\n", False
    for file, answer in answers:
        cells = [_name(file), "", "", ""]
        if isinstance(answer, BadImage):
            _complain(file, answer)
            cells[3] = str(answer)
        else:
            cells[1] = "" if answer.confidence is None else f"{answer.confidence / CERTAIN:.4f}"
            cells[2] = answer.text
        yield "\t".join(cell.translate(_ESCAPES) for cell in cells) + "\n", isinstance(answer, BadImage)


def _as_json(answers: Iterator[Answer]) -> Iterator[tuple[str, bool]]:
    """One array, an object on a line for each file."""
    separator = "[\n"
    for file, answer in answers:
        if isinstance(answer, BadImage):
            _complain(file, answer)
        entry = {"file": _name(file)} | _facts(answer)
        yield separator + json.dumps(entry, ensure_ascii=False, allow_nan=False), isinstance(answer, BadImage)
        separator = ",\n"
    yield "\n]\n", False


_FORMATS = {"text": _as_text, "tsv": _as_tsv, "json": _as_json}


def _facts(answer: Line | BadImage) -> dict[str, Any]:
    if isinstance(answer, BadImage):
        return {"error": str(answer)}
    return {
        "text": answer.text,
        "confidence": None if answer.confidence is None else answer.confidence / CERTAIN,
        "characters": [
            {"text": c.text, "left": c.left_px, "right": c.right_px, "confidence": c.confidence / CERTAIN}
            for c in answer.characters
        ],
    }


def _name(file: str) -> str:
    """A file's name as text that can be written; bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(file).decode(errors="replace")


def _complain(file: str, error: BadImage) -> None:
    tqdm.write(f"zeile: {_name(file)}: {error}", file=sys.stderr)
