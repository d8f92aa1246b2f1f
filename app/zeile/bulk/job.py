# SPDX-License-Identifier: Apache-2.0
"""What the ledger of a job says: of the job, and of each of its shards."""

from __future__ import annotations

from dataclasses import dataclass

from zeile.bulk.rows import Facts


@dataclass(frozen=True)
class Job:
    """What a job is.

    Attributes:
        images: where they were listed, an absolute path.
        asked: model as it is to be asked for again, a name with its version or a folder.
        facts: what decides its rows.
        shard_lines: lines of a shard; the last one may have fewer.
    """

    images: str
    asked: str
    facts: Facts
    shard_lines: int


@dataclass(frozen=True)
class Shard:
    """A shard as the ledger has it.

    Attributes:
        number: from 1.
        first: index of its first line, from 1 over the job.
        lines: how many.
        state: open, leased, done, failed (its workers ended too often), differs (two readings of it do).
        worker: who leased it last.
        expires: seconds since 1970; when the lease ends.
        attempts: leases that were not given back.
        sha256: of its file, once it is done.
        bad: its lines that could not be read.
        again: readings of it that found its file published.
        finished: seconds since 1970.
        origin: what read it, JSON.
        note: what is wrong with it.
    """

    number: int
    first: int
    lines: int
    state: str
    worker: str | None
    expires: float | None
    attempts: int
    sha256: str | None
    bad: int | None
    again: int
    finished: float | None
    origin: str | None
    note: str | None
