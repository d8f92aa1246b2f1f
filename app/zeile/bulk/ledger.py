# SPDX-License-Identifier: Apache-2.0
"""The ledger of a job: which shards there are, who reads which until when, and what became of them.

One SQLite file. It is made whole before it gets its name, so a job exists or does not. Its journal is the classic one,
synchronised with its folder at each commit: a WAL is as durable but lives in memory that only one host's processes can
share, and a commit or two a shard gain nothing by it.

A lease is a promise to be heard from: it ends ``lease_s`` after the last sign of progress by the clock of whoever
looks, so the hosts' clocks should agree to a few seconds. One that ends too early costs a second reading, nothing else.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from zeile.bulk.job import Job, Shard
from zeile.bulk.publish import link_first, sync_folder
from zeile.bulk.rows import Facts
from zeile.errors import BadData, BadJob, ReadingsDiffer

FILE = "ledger.sqlite"
_FORMAT = 0x7A656231  # "zeb1", SQLite's application_id
_BUSY_S = 60

_SCHEMA = """
CREATE TABLE job (facts TEXT NOT NULL);
CREATE TABLE listing (shard INTEGER PRIMARY KEY, names TEXT NOT NULL);
CREATE TABLE shards (
    number INTEGER PRIMARY KEY, first INTEGER NOT NULL, lines INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'open', worker TEXT, expires REAL, attempts INTEGER NOT NULL DEFAULT 0,
    sha256 TEXT, bad INTEGER, again INTEGER NOT NULL DEFAULT 0, finished REAL, origin TEXT, note TEXT
);
"""
_COLUMNS = "number, first, lines, state, worker, expires, attempts, sha256, bad, again, finished, origin, note"


class Ledger:
    """An open ledger.

    Args:
        folder: of the job.

    Raises:
        BadJob: there is none, or it is no ledger.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        if not self._path.is_file():
            raise BadJob(f"{folder}: is no bulk job, there is no {FILE}; zeile bulk run JOB IMAGES begins one")
        self._database = _connected(self._path)
        try:
            (found,) = self._database.execute("PRAGMA application_id").fetchone()
            if found != _FORMAT:
                raise BadJob(f"{self._path}: is no ledger of this version of zeile bulk ({found:#x}); begin a new job")
            (facts,) = self._database.execute("SELECT facts FROM job").fetchone()
            entry = json.loads(facts)
            self.job = Job(**(entry | {"facts": Facts(**entry["facts"])}))
        except (sqlite3.Error, ValueError, TypeError, KeyError) as error:
            self._database.close()
            raise BadJob(f"{self._path}: cannot be read as a ledger: {error}; restore it, or begin a new job") from None
        except BadJob:
            self._database.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def remove_drafts(self) -> None:
        """Take away what beginners of the job left that were not the first, or ended too early."""
        for draft in self._path.parent.glob(f".{FILE}.*.tmp*"):
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    def names(self, number: int) -> list[str]:
        """Names of a shard's images."""
        with self._asked():
            (names,) = self._database.execute("SELECT names FROM listing WHERE shard = ?", (number,)).fetchone()
        return list(json.loads(names))

    def shards(self) -> Iterator[Shard]:
        """All of them, by number."""
        with self._asked():
            rows = self._database.execute(f"SELECT {_COLUMNS} FROM shards ORDER BY number").fetchall()
        return (Shard(*row) for row in rows)

    def claim(self, worker: str, lease_s: float, attempts: int, dead: Callable[[str], bool]) -> Shard | None:
        """Lease a shard: the first whose worker is gone, else the first that nobody has.

        Args:
            worker: who wants it.
            lease_s: for so long, unless ``renew`` is called.
            attempts: a shard that ended so many workers is given up.
            dead: whether a worker is known to be gone before its lease has ended.

        Returns:
            The shard; None if there is none now, see ``busy``.

        Raises:
            ReadingsDiffer: of some shard they do: nothing is read before that is settled.
        """
        with self._transaction():
            self._refuse_differing()
            now = time.time()
            rows = self._database.execute(f"SELECT {_COLUMNS} FROM shards WHERE state = 'leased' ORDER BY number")
            leased = [Shard(*row) for row in rows.fetchall()]
            left = [s for s in leased if (s.expires or 0) < now or dead(s.worker or "")]
            for shard in [s for s in left if s.attempts >= attempts]:
                note = f"{shard.attempts} workers ended while they read it; the last was {shard.worker}"
                self._set(shard.number, state="failed", note=note)
            found = next((s for s in left if s.attempts < attempts), None)
            if found is None:
                opened = f"SELECT {_COLUMNS} FROM shards WHERE state = 'open' ORDER BY number LIMIT 1"
                row = self._database.execute(opened).fetchone()
                found = Shard(*row) if row else None
            if found is not None:
                taken = {"state": "leased", "worker": worker, "expires": now + lease_s}
                self._set(found.number, attempts=found.attempts + 1, **taken)
        return found

    def busy(self) -> bool:
        """Whether other workers are reading shards still."""
        with self._asked():
            return bool(self._database.execute("SELECT 1 FROM shards WHERE state = 'leased'").fetchone())

    def renew(self, number: int, worker: str, lease_s: float) -> None:
        """Make a lease last longer; one that somebody else has by now stays theirs."""
        with self._transaction():
            mine = "UPDATE shards SET expires = ? WHERE number = ? AND worker = ? AND state = 'leased'"
            self._database.execute(mine, (time.time() + lease_s, number, worker))

    def release(self, number: int, worker: str) -> None:
        """Give a shard back that was not to blame."""
        with self._transaction():
            back = "UPDATE shards SET state = 'open', worker = NULL, expires = NULL, attempts = attempts - 1"
            self._database.execute(f"{back} WHERE number = ? AND worker = ? AND state = 'leased'", (number, worker))

    def finish(self, number: int, sha256: str, bad: int, origin: Mapping[str, Any], again: bool) -> None:
        """A shard's file is published.

        Args:
            number: of the shard.
            sha256: of the file.
            bad: its lines that could not be read.
            origin: what read it.
            again: it was there already, and says the same.
        """
        with self._transaction():
            if again:
                self._database.execute("UPDATE shards SET again = again + 1 WHERE number = ?", (number,))
            done = {"state": "done", "sha256": sha256, "bad": bad, "finished": time.time(), "note": None}
            rest = "SELECT 1 FROM shards WHERE number = ? AND state != 'done'"
            if self._database.execute(rest, (number,)).fetchone():
                self._set(number, origin=json.dumps(origin), expires=None, **done)

    def differs(self, number: int, note: str) -> None:
        """Two readings of a shard differ: nobody reads on."""
        with self._transaction():
            self._set(number, state="differs", note=note)

    def reopen(self, number: int) -> None:
        """Have a shard read, or its file looked at, once more."""
        with self._transaction():
            self._set(number, state="open", worker=None, expires=None, attempts=0, note=None)

    def _refuse_differing(self) -> None:
        row = self._database.execute("SELECT note FROM shards WHERE state = 'differs' ORDER BY number").fetchone()
        if row is not None:
            raise ReadingsDiffer(row[0])

    def _set(self, number: int, **values: Any) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        self._database.execute(f"UPDATE shards SET {columns} WHERE number = ?", (*values.values(), number))

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, and on the disk when the block ends."""
        with self._asked():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise


def create(folder: Path, job: Job, names: Iterable[str], worker: str) -> bool:
    """Make the ledger of a new job, all or nothing.

    Args:
        folder: of the job; it is there.
        job: what it is.
        names: of its images, in order; they are not held.
        worker: who makes it.

    Returns:
        Whether it is this one; False if another worker was first.

    Raises:
        BadData: there are no images.
        BadJob: it cannot be written.
    """
    draft = folder / f".{FILE}.{worker}.tmp"
    try:
        with closing(_connected(draft)) as database:
            database.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {_FORMAT}")
            database.execute("INSERT INTO job VALUES (?)", (json.dumps(asdict(job)),))
            count, rest = 0, iter(names)
            for number, part in enumerate(iter(lambda: list(islice(rest, job.shard_lines)), []), 1):
                database.execute("INSERT INTO listing VALUES (?, ?)", (number, json.dumps(part)))
                new = "INSERT INTO shards (number, first, lines) VALUES (?, ?, ?)"
                database.execute(new, (number, count + 1, len(part)))
                count += len(part)
            if not count:
                raise BadData(
                    f"{job.images}: holds no images; wanted are .png, .jpg, .tif, .webp or .bmp files of lines"
                )
            database.execute("COMMIT")
        first = link_first(draft, folder / FILE)
        for each in (folder, folder.parent):
            sync_folder(each)
        return first
    except (sqlite3.Error, FileNotFoundError) as error:
        if (folder / FILE).exists():  # whoever was first takes the drafts of others away
            return False
        raise _unusable(draft, error) from None
    finally:
        for name in (draft, draft.with_name(f"{draft.name}-journal")):
            name.unlink(missing_ok=True)


def _connected(path: Path) -> sqlite3.Connection:
    try:
        database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        database.execute("PRAGMA synchronous = EXTRA")
        return database
    except sqlite3.Error as error:
        raise _unusable(path, error) from None


def _unusable(path: Path, error: Exception) -> BadJob:
    return BadJob(
        f"{path}: the ledger cannot be used: {error}; what is published is safe, so make room or mend the disk, and "
        "start again"
    )
