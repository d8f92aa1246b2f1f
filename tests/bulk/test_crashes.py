# SPDX-License-Identifier: Apache-2.0
"""Workers that end at any moment, power that goes, disks that fill: every line is read, once, and as before."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.bulk.jobs import LINES, SHARD, bulk, digests, environment, prepare, python, rows, shards, write_images

from zeile.bulk import publish
from zeile.bulk.ledger import Ledger
from zeile.bulk.readers import Local

SHARDS = LINES // SHARD
RUN = """
from zeile.cli import main
sys.exit(main(["bulk", *sys.argv[1:]]))
"""
DYING = """
import os, signal
from zeile.bulk import ledger, publish
def dying(owner, name, calls):
    real, left = getattr(owner, name), [calls]
    def called(*given, **named):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)
    setattr(owner, name, called)
def half(draft, data):
    draft.write_bytes(data[:len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
"""
STEPS = {
    "beginning the job": "dying(os, 'link', 1)",
    "leasing a shard": "dying(ledger.Ledger, '_set', 3)",
    "writing half of a file": "publish._write = half",
    "written, and not synchronised": "dying(publish.os, 'fsync', 6)",
    "synchronised, and without its name": "dying(os, 'link', 4)",
    "named, and the folder not synchronised": "dying(publish, 'sync_folder', 3)",
    "published, and not in the ledger": "dying(ledger.Ledger, 'finish', 3)",
    "in the ledger's transaction": "dying(ledger.Ledger, '_set', 6)",
}


def nothing_is_left(job: Path) -> None:
    """No drafts, no locks of workers; only whole shards beside the ledger."""
    assert sorted(path.name for path in job.iterdir()) == ["ledger.sqlite", "shards", "workers"]
    assert list((job / "workers").iterdir()) == []
    assert [path.name for path in (job / "shards").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_worker_killed_at_any_step_costs_at_most_its_shard(step: str, folder: Path, job: Path) -> None:
    worker = python(folder, f"{DYING}\n{step}\n{RUN}", "run", job, "images", "--shard", SHARD)
    worker.communicate()
    assert worker.returncode == -signal.SIGKILL
    published = digests(job) if (job / "shards").exists() else {}
    whole = digests(folder / "quiet")
    assert {name: found for name, found in published.items() if not name.startswith(".")}.items() <= whole.items()
    assert bulk(folder, "run", job, "images", "--shard", SHARD)[0] == 0
    assert digests(job) == whole
    assert SHARDS <= sum(shard.attempts for shard in shards(job)) <= SHARDS + 1
    nothing_is_left(job)


def test_what_two_dead_workers_left_of_a_shard_that_is_done_is_taken_away(folder: Path, job: Path) -> None:
    assert bulk(folder, "run", job, "images", "--shard", SHARD)[0] == 0
    (job / "shards" / ".shard-000002.ndjson.gone-1-0.tmp").write_text("half")
    assert bulk(folder, "run", job)[0] == 0
    nothing_is_left(job)


def test_workers_killed_again_and_again_read_every_line_once(tmp_path: Path) -> None:
    folder, lines, shard, workers, lives = prepare(tmp_path), 1500, 10, 3, 6
    shutil.rmtree(folder / "images")
    write_images(folder / "images", lines)
    assert bulk(folder, "run", "quiet", "images", "--shard", shard)[0] == 0
    job, kills = folder / "job", []
    # A worker tells when it has leased a shard: from then on it may die at any moment.
    telling = "from zeile.bulk.worker import _Shard\nreal = _Shard.read\n"
    telling += "def told(*given):\n print('at work', flush=True)\n return real(*given)\n_Shard.read = told\n"

    def live_and_die(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(lives):
            worker = python(folder, telling + RUN, "run", job, "images", "--shard", shard, "--attempts", 100)
            assert worker.stdout is not None
            if worker.stdout.readline() == "at work\n":
                threading.Event().wait(chance.uniform(0, 0.06))
                worker.kill()
            worker.communicate()
            kills.append(worker.returncode)

    threads = [threading.Thread(target=live_and_die, args=(seed,)) for seed in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    died = kills.count(-signal.SIGKILL)
    assert died >= 15, kills
    assert bulk(folder, "run", job, "--attempts", 100)[0] == 0
    assert len({row["file"] for row in rows(job)}) == len(rows(job)) == lines
    assert digests(job) == digests(folder / "quiet")
    assert sum(s.attempts for s in shards(job)) <= lines // shard + died
    assert bulk(folder, "verify", job, "--images")[0] == 0
    nothing_is_left(job)


def lapsed(job: Path, number: int) -> None:
    """Make the ledger say that a worker of another host had the shard and was not heard of again."""
    ledger = Ledger(job)
    ledger.reopen(number)
    shard = ledger.claim("elsewhere-1-1", -1.0, 1, lambda worker: False)
    assert shard is not None
    assert shard.number == number
    ledger.close()


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: bytes(len(data))])
def test_a_file_that_the_power_took_is_put_aside_and_read_anew(damage: object, folder: Path, job: Path) -> None:
    assert callable(damage)
    shutil.copytree(folder / "quiet", job)
    lapsed(job, 3)
    path = publish.path_of(job, 3)
    path.write_bytes(damage(path.read_bytes()))
    path.with_name(f".{path.name}.elsewhere-1-1.tmp").write_bytes(b"hal")
    assert bulk(folder, "run", job)[0] == 0
    path.with_name(f"{path.name}.damaged-1").unlink()
    assert digests(job) == digests(folder / "quiet")
    nothing_is_left(job)


def test_a_file_without_its_entry_in_the_ledger_is_taken_over_unread(
    folder: Path, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder / "quiet", job)
    lapsed(job, 3)

    def read(*given: object) -> None:
        raise AssertionError("a shard was read that is published")

    monkeypatch.setattr(Local, "read", read)
    assert bulk(folder, "run", job)[0] == 0
    assert digests(job) == digests(folder / "quiet")
    assert {shard.state for shard in shards(job)} == {"done"}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_disk_that_cannot_be_written_stops_the_worker_and_nothing_is_lost(
    code: int, folder: Path, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = publish._write, [5]

    def write(draft: Path, data: bytes) -> None:
        left[0] -= 1
        if not left[0]:
            draft.write_bytes(data[:100])
            raise OSError(code, os.strerror(code))
        real(draft, data)

    monkeypatch.setattr(publish, "_write", write)
    status, _, complaint = bulk(folder, "run", job, "images", "--shard", SHARD)
    assert (status, f"shard-000005.ndjson: cannot be written: {os.strerror(code)}" in complaint) == (1, True)
    assert len(digests(job)) == 4
    nothing_is_left(job)
    assert bulk(folder, "run", job)[0] == 0
    assert digests(job) == digests(folder / "quiet")
    assert sum(shard.attempts for shard in shards(job)) == SHARDS, "the shard was not to blame"


def test_a_full_disk_is_said_and_the_job_goes_on_when_there_is_room(folder: Path, job: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0:
        pytest.skip("mounting needs root")
    job.mkdir()
    run = f"'{sys.executable}' -m zeile bulk run '{job}' images --shard {SHARD}"
    script = f"""
    mount -t tmpfs -o size=12k tmpfs '{job}' && {run}; echo "began: $?"
    mount -o remount,size=128k '{job}' && {run}; echo "full: $?"
    find '{job}/shards' -name '.*'
    mount -o remount,size=8m '{job}' && {run}; echo "room: $?"
    cp -r '{job}' '{job}-kept'
    """
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout.split("\n")[:2] == ["began: 1", "full: 1"], done
    assert "room: 0" in done.stdout
    complaints = done.stderr.splitlines()
    assert "the ledger cannot be used: database or disk is full" in complaints[0], complaints
    # The ledger's journal may be what does not fit any more; then the file is published, and taken over later.
    wanted = ("cannot be written: No space left on device", "the ledger cannot be used: database or disk is full")
    assert any(sentence in complaints[1] for sentence in wanted), complaints
    kept = job.with_name("job-kept")
    assert digests(kept) == digests(folder / "quiet")
    nothing_is_left(kept)


def test_a_shard_that_was_given_up_fails_the_job_until_it_is_tried_again(folder: Path, job: Path) -> None:
    shutil.copytree(folder / "quiet", job)
    publish.path_of(job, 3).unlink()
    lapsed(job, 3)
    status, _, complaint = bulk(folder, "run", job, "--attempts", 1)
    assert (status, "1 shards were given up, first 3 (lines 21 to 30)" in complaint) == (1, True), complaint
    assert bulk(folder, "run", job)[0] == 1
    assert bulk(folder, "run", job, "--again")[0] == 0
    assert digests(job) == digests(folder / "quiet")


def test_an_interrupted_worker_gives_its_shard_back(folder: Path, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:

        def read(*given: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(Local, "read", read)
        assert bulk(folder, "run", job, "images", "--shard", SHARD)[0] == 130
    assert {(shard.state, shard.attempts) for shard in shards(job)} == {("open", 0)}
    nothing_is_left(job)
    assert bulk(folder, "run", job)[0] == 0
    assert digests(job) == digests(folder / "quiet")
