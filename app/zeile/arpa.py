# SPDX-License-Identifier: Apache-2.0
r"""The ARPA format of n-gram models: reading and writing.

    \data\
    ngram 1=3
    \1-grams:
    -0.9  a  -0.3        log10 of the probability, tokens, log10 of the back-off weight if there is one
    ...
    \end\

In memory a token is a number and an n-gram the string of the characters with these numbers: short keys for
millions of n-grams.

Source: SRILM, ngram-format(5).
"""

from __future__ import annotations

import gzip
import itertools
import math
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from zeile.errors import BadData

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
"""Tokens for the begin and the end of a line, and for what is not in the model."""

SPACES = ("<space>", "\u2581")
"""Tokens that stand for the space; the first one is written."""

MAX_ORDER = 20

_GZIP = b"\x1f\x8b"
_COUNT = re.compile(r"ngram\s+(\d+)\s*=\s*(\d+)$")


@dataclass
class Arpa:
    """Contents of an ARPA file.

    Attributes:
        symbols: token to number, from 1.
        logs: n-gram to log10 of its probability.
        backoffs: n-gram to log10 of its back-off weight, where the file gives one.
        order: length of the longest n-gram.
    """

    symbols: dict[str, int] = field(default_factory=dict)
    logs: dict[str, float] = field(default_factory=dict)
    backoffs: dict[str, float] = field(default_factory=dict)
    order: int = 0


def read_arpa(path: Path) -> Arpa:
    """Read a file, plain or gzipped, UTF-8.

    Raises:
        BadData: it is missing, damaged or not an ARPA file; the message names the line.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == _GZIP
        with (
            gzip.open(path, "rt", encoding="utf-8", newline="\n")
            if zipped
            else path.open(encoding="utf-8", newline="\n") as text
        ):
            return _parsed(text, str(path))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BadData(f"language model {path}: cannot be read ({error}); give an ARPA file, plain or .gz") from None


def write_arpa(path: Path, sections: Iterable[tuple[int, Iterable[tuple[str, float, float | None]]]]) -> None:
    """Write a file, gzipped (and the same bytes every time) if the name ends in ``.gz``.

    Args:
        path: the file; replaced if it exists.
        sections: for n = 1, 2, ... the number of n-grams and, for each, its tokens joined by spaces, log10 of its
            probability, and log10 of its back-off weight or None.

    Raises:
        BadData: the file cannot be written.
    """
    sections = list(sections)
    try:
        with path.open("wb") as raw:
            file = gzip.GzipFile("", "wb", 6, raw, mtime=0) if path.suffix == ".gz" else raw
            head = ["\\data\\", *(f"ngram {n}={count}" for n, (count, _) in enumerate(sections, 1))]
            file.write(("\n".join(head) + "\n").encode())
            for n, (_, rows) in enumerate(sections, 1):
                file.write(f"\n\\{n}-grams:\n".encode())
                for tokens, log, backoff in rows:
                    weight = "" if backoff is None else f"\t{backoff:.7g}"
                    file.write(f"{log:.7g}\t{tokens}{weight}\n".encode())
            file.write(b"\n\\end\\\n")
            if file is not raw:
                file.close()
    except OSError as error:
        raise BadData(f"language model {path}: cannot be written ({error})") from None


def _parsed(text: TextIO, name: str) -> Arpa:
    lines = ((number, line.strip(" \t\r\n")) for number, line in enumerate(text, 1))
    lines = ((number, line) for number, line in lines if line)
    arpa = Arpa()
    counts = _counts(lines, name)
    arpa.order = len(counts)
    for n, count in counts.items():
        for number, line in itertools.islice(lines, count):
            _entry(arpa, n, line, f"language model {name}, line {number}")
        wanted = "\\end\\" if n == arpa.order else f"\\{n + 1}-grams:"
        number, line = next(lines, (0, "the end of the file"))
        if line != wanted:
            raise BadData(f"language model {name}, line {number}: {line!r:.80} where {wanted} should be")
    return arpa


def _counts(lines: Iterator[tuple[int, str]], name: str) -> Mapping[int, int]:
    """The header: n to number of n-grams; reads as far as the first section's title."""
    counts: dict[int, int] = {}
    begun = False
    for number, line in lines:
        where = f"language model {name}, line {number}"
        if line == "\\data\\":
            begun = True
        elif begun and (found := _COUNT.match(line)) and int(found[1]) == len(counts) + 1 <= MAX_ORDER:
            counts[int(found[1])] = int(found[2])
        elif counts and line == "\\1-grams:":
            return counts
        elif begun:
            raise BadData(f"{where}: {line!r:.80} is not the count of {len(counts) + 1}-grams (1 ... {MAX_ORDER})")
        elif number > 100:
            break  # comments may come before, a book may not
    raise BadData(f"language model {name} is not an ARPA file: it has no \\data\\ with counts of n-grams")


def _entry(arpa: Arpa, n: int, line: str, where: str) -> None:
    fields = line.split("\t")
    tokens = fields[1].split(" ") if len(fields) > 1 else []
    if not tokens:  # some programs put spaces everywhere
        fields = re.split(" +", line)
        fields, tokens = [fields[0], "", *fields[n + 1 :]], fields[1 : n + 1]
    try:
        log, backoff = float(fields[0]), float(fields[2]) if len(fields) > 2 else None
    except ValueError:
        log, backoff = math.nan, None
    if len(tokens) != n or len(fields) > 3 or not log <= 0 or (backoff is not None and not abs(backoff) < 1000):
        raise BadData(f"{where}: {line!r:.80} is not a logarithm, {n} tokens and at most one back-off")
    if n == 1:
        arpa.symbols.setdefault(tokens[0], len(arpa.symbols) + 1)
        if len(arpa.symbols) >= sys.maxunicode:
            raise BadData(f"{where}: more than {sys.maxunicode - 1} tokens; a model of characters is needed, not words")
    try:
        ngram = "".join(chr(arpa.symbols[token]) for token in tokens)
    except KeyError as error:
        raise BadData(f"{where}: the token {error} is not among the 1-grams") from None
    arpa.logs[ngram] = log
    if backoff is not None:
        arpa.backoffs[ngram] = backoff
