# SPDX-License-Identifier: Apache-2.0
"""Shards that two workers read: equal readings are one result, others an alarm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.bulk.jobs import SHARD, bulk, digests, shards

from zeile.bulk.images import Images
from zeile.bulk.readers import Local, Reading
from zeile.bulk.rows import first_difference

LATE = "0.000001"  # seconds of a lease that has lapsed before the shard is read


@pytest.fixture
def read_twice(folder: Path, job: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Reading]], None]:
    """Has another worker do the whole job while the first shard is being read, and then changes that reading."""
    real = Local.read

    def twice(change: Callable[[int, Reading], Reading]) -> None:
        def read(self: Local, images: Images, names: Sequence[str], progress: Callable[[int], None]) -> list[Reading]:
            readings = real(self, images, names, progress)
            monkeypatch.setattr(Local, "read", real)
            assert bulk(folder, "run", job)[0] == 0
            return [change(place, reading) for place, reading in enumerate(readings)]

        monkeypatch.setattr(Local, "read", read)

    return twice


Twice = Callable[[Callable[[int, Reading], Reading]], None]


def changed(place: int, reading: Reading) -> Reading:
    return Reading(reading.sha256, {**reading.answer, "text": "Zelle"}) if place == 4 else reading


def test_a_slow_worker_finds_its_shard_published_and_agrees(folder: Path, job: Path, read_twice: Twice) -> None:
    read_twice(lambda place, reading: reading)
    assert bulk(folder, "run", job, "images", "--shard", SHARD, "--lease", LATE)[0] == 0
    assert digests(job) == digests(folder / "quiet")
    assert [shard.again for shard in shards(job)] == [1] + [0] * (len(shards(job)) - 1)


def test_readings_that_differ_are_an_alarm_and_both_are_kept(folder: Path, job: Path, read_twice: Twice) -> None:
    read_twice(changed)
    status, _, complaint = bulk(folder, "run", job, "images", "--shard", SHARD, "--lease", LATE)
    assert status == 3
    assert "shard-000001.ndjson was read again, and not alike: row 5: " in complaint
    assert '"text": "Zelle"' in complaint
    (other,) = (job / "shards").glob("*.differs-*")
    assert '"text":"Zelle"' in other.read_text("utf-8")
    assert {n: d for n, d in digests(job).items() if n != other.name} == digests(folder / "quiet")
    status, said, _ = bulk(folder, "verify", job)
    assert (status, "another reading of shard 1, which differs" in said) == (1, True)
    assert "was read again" in bulk(folder, "status", job)[1]


def test_nobody_reads_on_before_a_difference_is_settled(folder: Path, job: Path, read_twice: Twice) -> None:
    read_twice(changed)
    assert bulk(folder, "run", job, "images", "--shard", SHARD, "--lease", LATE)[0] == 3
    assert bulk(folder, "run", job)[0] == 3
    (other,) = (job / "shards").glob("*.differs-*")
    other.unlink()
    assert bulk(folder, "run", job)[0] == 0
    assert digests(job) == digests(folder / "quiet")


def test_what_a_decoder_says_of_a_bad_image_is_no_difference() -> None:
    one = b'{"index":1,"text":null,"error":{"type":"urn:zeile:problem:bad-image","detail":"one"}}\n'
    assert first_difference(one, one.replace(b'"one"', b'"two"')) == ""
    assert first_difference(one, one.replace(b"bad-image", b"image-too-large")).startswith("row 1: ")
    assert first_difference(one, one + one) == "1 rows here, 2 there"
    assert first_difference(one, b"\0\0\n").startswith("row 1: ")
