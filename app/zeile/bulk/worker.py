# SPDX-License-Identifier: Apache-2.0
"""A worker: leases shards, reads them, publishes them, until none is left."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zeile.bulk import rows
from zeile.bulk.export import sound_rows
from zeile.bulk.images import Images, Missing
from zeile.bulk.job import Shard
from zeile.bulk.ledger import Ledger
from zeile.bulk.presence import Presence
from zeile.bulk.publish import differing, path_of, publish, remove_drafts, set_aside, sync_folder
from zeile.bulk.readers import Reader, Reading
from zeile.errors import BadData, BadJob, ReadingsDiffer, ZeileError

_LOOK_S = 0.2  # between two looks whether a shard has become free


@dataclass(frozen=True)
class Patience:
    """How long a worker is believed in.

    Attributes:
        lease_s: seconds without progress after which another one reads its shard.
        attempts: workers that a shard may end before it is given up.
    """

    lease_s: float = 120.0
    attempts: int = 10


def work(
    folder: Path,
    ledger: Ledger,
    presence: Presence,
    reader: Reader,
    images: Images,
    patience: Patience,
    progress: Callable[[int], object] = lambda lines: None,
) -> None:
    """Read shards until all of the job are done or given up; waits for those that other workers have.

    Args:
        folder: of the job.
        ledger: of it.
        presence: this worker among the others.
        reader: reads.
        images: of the job.
        patience: with other workers.
        progress: called with a number of lines when so many more have been read here.

    Raises:
        ReadingsDiffer: two readings of a shard do.
        ZeileError: nothing can be read or written now; what is published stays.
    """
    try:
        (folder / "shards").mkdir(exist_ok=True)
        sync_folder(folder)
    except OSError as error:
        raise BadJob(f"{folder}: cannot be written: {error.strerror}; make room, or mend the disk") from None
    presence.bury()
    ledger.remove_drafts()
    settle(folder, ledger)
    while True:
        shard = ledger.claim(presence.worker, patience.lease_s, patience.attempts, presence.dead)
        if shard is not None:
            with _given_back(ledger, shard, presence.worker):
                _Shard(folder, ledger, shard, presence.worker, patience.lease_s, progress).read(reader, images)
        elif ledger.busy():
            time.sleep(_LOOK_S)
        else:
            remove_drafts(folder)  # whoever took away those of a shard may have been ended before
            return


def settle(folder: Path, ledger: Ledger) -> None:
    """Take up shards whose readings differed, once one of them has been taken away."""
    for shard in ledger.shards():
        if shard.state == "differs" and not differing(folder, shard.number):
            ledger.reopen(shard.number)


def again(folder: Path, ledger: Ledger) -> int:
    """Have shards read that were given up, or whose files are not what was published; returns how many."""
    reopened = 0
    for shard in ledger.shards():
        if shard.state == "done":
            try:
                sound_rows(folder, ledger, shard)
                continue
            except BadJob:
                with contextlib.suppress(FileNotFoundError):
                    set_aside(path_of(folder, shard.number))
        if shard.state in ("done", "failed"):
            ledger.reopen(shard.number)
            reopened += 1
    return reopened


@contextmanager
def _given_back(ledger: Ledger, shard: Shard, worker: str) -> Iterator[None]:
    """Whatever ends the reading without ending this process is not the shard's fault."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(BadJob):
            ledger.release(shard.number, worker)
        raise


class _Shard:
    """A shard that this worker has leased."""

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        shard: Shard,
        worker: str,
        lease_s: float,
        progress: Callable[[int], object],
    ) -> None:
        self._folder, self._ledger, self._shard, self._worker = folder, ledger, shard, worker
        self._lease_s, self._progress = lease_s, progress
        self._renewed = time.monotonic()
        self._names = ledger.names(shard.number)
        self._began = time.perf_counter()

    def read(self, reader: Reader, images: Images) -> None:
        """Read, publish, and tell the ledger; or only the last if the file is there and sound."""
        facts = self._ledger.job.facts
        if (data := self._published(images, facts)) is not None:
            self._finish(data, {"adopted": True}, again=False)
            self._progress(len(self._names))
            return
        readings = reader.read(images, self._names, self._alive)
        self._check_presence(images, readings)
        data = b"".join(
            rows.encoded(self._shard.first + place, name, sha256, facts.key(sha256), said)
            for place, (name, (sha256, said)) in enumerate(zip(self._names, readings, strict=True))
        )
        try:
            first = publish(self._folder, self._shard.number, data, self._worker)
        except ReadingsDiffer as error:
            self._ledger.differs(self._shard.number, str(error))
            raise
        origin = {"worker": self._worker, "seconds": round(time.perf_counter() - self._began, 3), **reader.origin()}
        self._finish(data if first else path_of(self._folder, self._shard.number).read_bytes(), origin, again=not first)

    def _finish(self, data: bytes, origin: dict[str, object], *, again: bool) -> None:
        bad = sum(row["text"] is None for row in rows.parsed(data, self._shard.first, self._names))
        self._ledger.finish(self._shard.number, hashlib.sha256(data).hexdigest(), bad, origin, again)
        remove_drafts(self._folder, self._shard.number)

    def _published(self, images: Images, facts: rows.Facts) -> bytes | None:
        """The shard's file, if a worker ended between publishing and telling; a damaged one is put aside."""
        path = path_of(self._folder, self._shard.number)
        try:
            data = path.read_bytes()
            found = rows.parsed(data, self._shard.first, self._names)
            for place, (row, name) in enumerate(zip(found, self._names, strict=True)):
                sha256 = images.fetch(name).sha256
                if (row["sha256"], row["key"]) != (sha256, facts.key(sha256)):
                    raise BadJob(f"row {place + 1} is of another image or model")
                self._alive(0)
            return data
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadJob(f"{path}: cannot be read: {error.strerror}; mend the disk, and start again") from None
        except BadJob:
            set_aside(path)
            return None

    def _alive(self, lines: int) -> None:
        self._progress(lines)
        if time.monotonic() - self._renewed > self._lease_s / 4:
            self._ledger.renew(self._shard.number, self._worker, self._lease_s)
            self._renewed = time.monotonic()

    def _check_presence(self, images: Images, readings: Sequence[Reading]) -> None:
        """A shard of which no image is there is no bad luck, but a wrong folder."""
        if all(sha256 is None for sha256, _ in readings) and all(
            isinstance(images.fetch(name).data, Missing) for name in self._names
        ):
            raise BadData(
                f"none of the {len(self._names)} images of shard {self._shard.number} is there, as {self._names[0]!r}; "
                "name the folder or zip file that the job was begun with"
            )


def complaint(ledger: Ledger) -> ZeileError | None:
    """What is to be said of shards that were given up."""
    failed = [shard for shard in ledger.shards() if shard.state == "failed"]
    if not failed:
        return None
    first = failed[0]
    return BadJob(
        f"{len(failed)} shards were given up, first {first.number} (lines {first.first} to "
        f"{first.first + first.lines - 1}): {first.note}. Find the image that does that (zeile read), take it out of "
        "the folder, and start again with --again"
    )
