# SPDX-License-Identifier: Apache-2.0
"""Results of a job in one file or as texts beside each other; and whether its files are what was published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from zeile.bulk import rows
from zeile.bulk.images import Images
from zeile.bulk.job import Shard
from zeile.bulk.ledger import Ledger
from zeile.bulk.publish import differing, path_of
from zeile.ctc import CERTAIN
from zeile.errors import BadJob
from zeile.formats.page import fraction
from zeile.formats.plain import ESCAPES

Row = dict[str, Any]


def results(folder: Path, ledger: Ledger, partial: bool) -> Iterator[list[Row]]:
    """The rows of each shard, in order, checked against the ledger.

    Args:
        folder: of the job.
        ledger: of it.
        partial: leave out what is not read yet, instead of refusing.

    Raises:
        BadJob: shards are not done; a file is missing or not what was published.
    """
    shards = list(ledger.shards())
    left = [shard for shard in shards if shard.state != "done"]
    if left and not partial:
        raise BadJob(
            f"{folder}: {len(left)} of {len(shards)} shards are not read, first {left[0].number} ({left[0].state}); "
            "zeile bulk run reads on, --partial exports what there is"
        )
    for shard in shards:
        if shard.state == "done":
            yield sound_rows(folder, ledger, shard)


def sound_rows(folder: Path, ledger: Ledger, shard: Shard) -> list[Row]:
    """The rows of a shard that is done.

    Raises:
        BadJob: its file is missing, or not the one that was published.
    """
    path = path_of(folder, shard.number)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadJob(f"{path}: cannot be read: {error.strerror}; restore it, or {_ANEW}") from None
    if (found := hashlib.sha256(data).hexdigest()) != shard.sha256:
        raise BadJob(f"{path}: is not what was published, its SHA-256 is {found} and not {shard.sha256}; {_ANEW}")
    try:
        return rows.parsed(data, shard.first, ledger.names(shard.number))
    except BadJob as error:
        raise BadJob(f"{path}: {error}; {_ANEW}") from None


_ANEW = "have it read anew: zeile bulk run JOB --again"


def verify(folder: Path, ledger: Ledger, images: Images | None) -> Iterator[str]:
    """What is wrong with the shards that are done, a sentence each.

    Args:
        folder: of the job.
        ledger: of it.
        images: to hash again; None leaves them.
    """
    for shard in ledger.shards():
        for path in differing(folder, shard.number):
            yield f"{path}: another reading of shard {shard.number}, which differs"
        if shard.state != "done":
            continue
        try:
            found = sound_rows(folder, ledger, shard)
        except BadJob as error:
            yield str(error)
            continue
        for row, name in zip(found, ledger.names(shard.number), strict=True):
            if row["key"] != ledger.job.facts.key(row["sha256"]):
                yield f"shard {shard.number}, {rows.shown(name)}: the key is not that of its image, model and options"
            elif images is not None and images.fetch(name).sha256 != row["sha256"]:
                yield f"shard {shard.number}, {rows.shown(name)}: the image is another one now, or cannot be read"


def ndjson(found: Iterable[list[Row]], stream: IO[str]) -> None:
    """The rows as they are in the shards."""
    for shard in found:
        stream.write("".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in shard))


def tsv(found: Iterable[list[Row]], stream: IO[str]) -> None:
    """File, confidence, text and error, as ``zeile read --format tsv`` writes them."""
    stream.write("file\tconfidence\ttext\terror\n")
    for shard in found:
        for row in shard:
            sure = row["confidence"]
            cells = [row["file"], "" if sure is None else fraction(round(sure * CERTAIN)), row["text"] or ""]
            cells.append(row["error"]["detail"] if "error" in row else "")
            stream.write("\t".join(cell.translate(ESCAPES) for cell in cells) + "\n")


def text(found: Iterable[list[Row]], stream: IO[str]) -> None:
    """A row for each line; an empty one for a line that could not be read."""
    for shard in found:
        stream.write("".join((row["text"] or "") + "\n" for row in shard))


FORMATS: dict[str, Callable[[Iterable[list[Row]], IO[str]], None]] = {"ndjson": ndjson, "tsv": tsv, "txt": text}
"""Kinds of a single file, by the end of its name."""


def text_files(found: Iterable[list[Row]], folder: Path) -> int:
    """A file ``NAME.txt`` for each image ``NAME.png``, in the same folders; returns how many.

    Raises:
        BadJob: two images would share a file, or a name leads out of the folder.
    """
    written: set[PurePosixPath] = set()
    for row in (row for shard in found for row in shard):
        name = PurePosixPath(row["file"]).with_suffix(".txt")
        if name.is_absolute() or ".." in name.parts:
            raise BadJob(f"{row['file']!r} leads out of the folder; export .tsv or .ndjson")
        if name in written:
            raise BadJob(f"two images would be {name}, the second is {row['file']!r}; export .tsv or .ndjson")
        written.add(name)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text((row["text"] or "") + "\n", encoding="utf-8")
    return len(written)
