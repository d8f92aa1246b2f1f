# SPDX-License-Identifier: Apache-2.0
"""Who gets which shard, for how long, and how often."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from zeile.bulk.job import Job
from zeile.bulk.ledger import Ledger, create
from zeile.bulk.presence import Presence
from zeile.bulk.rows import Facts
from zeile.bulk.worker import complaint
from zeile.errors import BadData, BadJob

JOB = Job("/images", "tiny/1", Facts("tiny/1", "0" * 64, "plain", 0), 4)
NAMES = [f"{n}.png" for n in range(10)]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    assert create(tmp_path, JOB, NAMES, "w")
    with closing(Ledger(tmp_path)) as ledger:
        yield ledger


def claimed(ledger: Ledger, worker: str, lease_s: float = 60, attempts: int = 10, dead: str = "") -> int | None:
    shard = ledger.claim(worker, lease_s, attempts, lambda other: other == dead)
    return None if shard is None else shard.number


def test_images_are_shared_out_in_their_order(ledger: Ledger) -> None:
    assert ledger.job == JOB
    assert [(s.number, s.first, s.lines) for s in ledger.shards()] == [(1, 1, 4), (2, 5, 4), (3, 9, 2)]
    assert ledger.names(1) + ledger.names(2) + ledger.names(3) == NAMES


def test_the_first_of_two_beginners_wins_and_both_have_the_same_job(tmp_path: Path) -> None:
    assert create(tmp_path, JOB, NAMES, "one")
    assert not create(tmp_path, JOB, NAMES[:3], "two")
    with closing(Ledger(tmp_path)) as ledger:
        assert len(list(ledger.shards())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.sqlite"]


def test_a_job_without_images_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="holds no images"):
        create(tmp_path, JOB, [], "w")
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_not_unicode_are_found_again(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\n.png")
    create(tmp_path, JOB, [name], "w")
    with closing(Ledger(tmp_path)) as ledger:
        assert ledger.names(1) == [name]


def test_a_shard_is_leased_once(ledger: Ledger) -> None:
    assert [claimed(ledger, worker) for worker in "abcd"] == [1, 2, 3, None]
    assert ledger.busy()


def test_a_lapsed_lease_and_that_of_a_dead_worker_go_to_the_next(ledger: Ledger) -> None:
    assert claimed(ledger, "a", lease_s=-1) == 1
    assert claimed(ledger, "b") == 1
    assert claimed(ledger, "c", dead="b") == 1
    assert claimed(ledger, "d") == 2
    assert [shard.attempts for shard in ledger.shards()] == [3, 1, 0]


def test_a_sign_of_progress_makes_a_lease_last_but_gives_none_back(ledger: Ledger) -> None:
    assert claimed(ledger, "a", lease_s=-1) == 1
    ledger.renew(1, "a", 60)
    assert claimed(ledger, "b", lease_s=-1) == 2
    assert claimed(ledger, "c") == 2
    ledger.renew(2, "b", -1)
    ledger.release(2, "b")
    assert [shard.worker for shard in ledger.shards()] == ["a", "c", None]
    assert claimed(ledger, "d") == 3


def test_a_shard_given_back_was_not_to_blame(ledger: Ledger) -> None:
    assert claimed(ledger, "a") == 1
    ledger.release(1, "a")
    assert {(shard.state, shard.attempts) for shard in ledger.shards()} == {("open", 0)}


def test_a_shard_that_ends_its_workers_is_given_up_and_the_others_are_read(ledger: Ledger) -> None:
    for _ in range(3):
        assert claimed(ledger, "a", attempts=3, dead="a") == 1
    assert claimed(ledger, "b", attempts=3, dead="a") == 2
    error = complaint(ledger)
    assert isinstance(error, BadJob)
    assert "1 shards were given up, first 1 (lines 1 to 4): 3 workers ended while they read it" in str(error)


def test_many_workers_at_once_get_different_shards(tmp_path: Path) -> None:
    create(tmp_path, JOB, [f"{n}.png" for n in range(160)], "w")
    got: list[int] = []

    def take(worker: str) -> None:
        with closing(Ledger(tmp_path)) as ledger:
            while (number := claimed(ledger, worker)) is not None:
                got.append(number)
                ledger.finish(number, "0" * 64, 0, {}, again=False)

    threads = [Thread(target=take, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(1, 41))


def test_the_living_of_this_host_are_known_from_the_dead(tmp_path: Path) -> None:
    here, other = Presence(tmp_path), Presence(tmp_path)
    assert not here.dead(other.worker)
    assert not here.dead(here.worker)
    assert not here.dead("elsewhere-1-1"), "only leases tell of other hosts"
    other.close()
    assert here.dead(other.worker)
    here.close()
    assert list((tmp_path / "workers").iterdir()) == []
