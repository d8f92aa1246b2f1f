# SPDX-License-Identifier: Apache-2.0
"""``zeile lm train``: text files become a character language model for the beam search, an ARPA file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from zeile.errors import BadData, BadSettings
from zeile.kneser_ney import train_language_model
from zeile.settings import Settings

_STDIN = Path("-")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Train and write the file; returns 0."""
    _check_output(args.output, args.texts)
    with tqdm(total=_size(args.texts), unit="B", unit_scale=True, desc="reading", disable=None) as bar:
        counts = train_language_model(
            _lines(args.texts, bar), args.order, args.output, minimum=args.minimum, stage=bar.set_description
        )
    ngrams = ", ".join(f"{count} {n}-grams" for n, count in enumerate(counts, 1))
    print(f"{args.output}: written, {ngrams}; zeile read --beam --language-model {args.output} FILE")
    return 0


def _check_output(output: Path, texts: Sequence[Path]) -> None:
    """What would otherwise fail after minutes of work, or destroy a text."""
    if not output.parent.is_dir() or output.is_dir():
        raise BadSettings(
            f"--output {output}: is a folder, or its folder does not exist; name a file, such as lm.arpa.gz"
        )
    if any(output.resolve() == text.resolve() for text in texts):
        raise BadSettings(f"--output {output}: is one of the texts too; name another file, such as lm.arpa.gz")


def _size(texts: Sequence[Path]) -> int | None:
    """Bytes to read, None if that is not known."""
    if _STDIN in texts:
        return None
    return sum(text.stat().st_size for text in texts if text.is_file())


def _lines(texts: Sequence[Path], bar: tqdm[Any]) -> Iterator[str]:
    """Lines of all files, in order.

    Raises:
        BadData: a file cannot be read, or is not UTF-8.
    """
    for text in texts:
        try:
            with sys.stdin.buffer if text == _STDIN else text.open("rb") as stream:
                for number, line in enumerate(stream, 1):
                    bar.update(len(line))
                    yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except OSError as error:
            raise BadData(f"{text}: cannot be read ({error.strerror or error}); give files of text") from None
        except UnicodeDecodeError as error:
            raise BadData(f"{text}, line {number}: is not UTF-8 ({error.reason}); save it as UTF-8") from None
