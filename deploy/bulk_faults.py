# SPDX-License-Identifier: Apache-2.0
"""Kill the workers of a bulk job again and again, and see whether anything is lost, read twice or read differently.

    python deploy/bulk_faults.py                         60,000 small lines, 3 workers, 24 times kill -9
    python deploy/bulk_faults.py --lines 6000 --kills 9

Run from a checkout, with the packages that the tests need. The job is done once undisturbed. Then again, with workers
that are killed at random moments and started anew; one is stopped (SIGSTOP) until its lease has lapsed and others have
read its shard, and goes on. Ends with status 1 if a line is missing, a file differs, or the killed workers cost more
than a shard each. Linux only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.models import line_png, write_tiny_model

import zeile
from zeile.bulk.job import Shard
from zeile.bulk.ledger import Ledger

DIFFERENT = 997  # images; each stands there as often as it takes
LEASE_S = 2.0


class Bulk:
    """Workers of one job."""

    def __init__(self, folder: Path, job: str, shard: int) -> None:
        self.job = folder / job
        self._folder = folder
        self._command = [sys.executable, "-m", "zeile", "bulk", "run", str(self.job), str(folder / "images")]
        self._command += ["--shard", str(shard), "--lease", str(LEASE_S), "--attempts", "1000"]

    def start(self) -> subprocess.Popen[bytes]:
        """Start a worker."""
        path = str(Path(zeile.__file__).parents[1])
        settings = {"PYTHONPATH": path, "ZEILE_MODELS": str(self._folder / "models"), "ZEILE_MODEL": "tiny"}
        return subprocess.Popen(self._command, env=os.environ | settings, stdout=subprocess.DEVNULL)

    def shards(self) -> list[Shard]:
        """As the ledger has them; none before there is one."""
        if not (self.job / "ledger.sqlite").exists():
            return []
        with closing(Ledger(self.job)) as ledger:
            return list(ledger.shards())

    def done(self) -> int:
        """Shards that are."""
        return sum(shard.state == "done" for shard in self.shards())

    def digest(self) -> str:
        """Of all files with their names."""
        whole = hashlib.sha256()
        for path in sorted((self.job / "shards").iterdir()):
            whole.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
        return whole.hexdigest()

    def unique(self) -> int:
        """Lines with a result of their own."""
        files = sorted((self.job / "shards").glob("shard-*.ndjson"))
        return len({json.loads(line)["file"] for path in files for line in path.open(encoding="utf-8")})


@contextmanager
def ready(folder: Path | None, lines: int) -> Iterator[Path]:
    """A folder with a model and images."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        here = Path(made)
        write_tiny_model(here / "models")
        pictures = [line_png(seed, 24, 40 + seed % 30) if seed % 50 else b"no picture" for seed in range(DIFFERENT)]
        for number in range(lines):
            below = here / "images" / f"{number // 1000:03}"
            below.mkdir(parents=True, exist_ok=True)
            (below / f"{number:06}.png").write_bytes(pictures[number % DIFFERENT])
        yield here


def disturbed(bulk: Bulk, workers: int, kills: int, seed: int) -> tuple[int, int]:
    """Do the job while workers are killed; returns how many were, and how often one was stopped in time."""
    chance = random.Random(seed)
    alive = [bulk.start() for _ in range(workers)]
    killed = 0
    while bulk.done() < workers:
        time.sleep(0.02)
    stopped = stop(bulk, alive[0])
    while killed < kills and any(worker.poll() is None for worker in alive):
        time.sleep(chance.uniform(0.05, 0.5))
        busy = [place for place, worker in enumerate(alive) if leased(bulk, worker)]
        if busy:  # one that starts has nothing to lose
            victim = chance.choice(busy)
            alive[victim].kill()
            killed += alive[victim].wait() == -signal.SIGKILL
            alive[victim] = bulk.start()
    for worker in alive:
        worker.wait()
    return killed, stopped


def leased(bulk: Bulk, worker: subprocess.Popen[bytes]) -> list[Shard]:
    """The shard that a worker has."""
    return [shard for shard in bulk.shards() if shard.state == "leased" and f"-{worker.pid}-" in (shard.worker or "")]


def stop(bulk: Bulk, worker: subprocess.Popen[bytes]) -> int:
    """Stop a worker that has a shard until others have read it, and let it go on; 1 if that came about."""
    worker.send_signal(signal.SIGSTOP)
    mine = leased(bulk, worker)
    end = time.monotonic() + 20 * LEASE_S
    while mine and time.monotonic() < end and bulk.shards()[mine[0].number - 1].state != "done":
        time.sleep(0.05)
    again = sum(shard.again for shard in bulk.shards())
    worker.send_signal(signal.SIGCONT)
    while mine and time.monotonic() < end and sum(shard.again for shard in bulk.shards()) == again:
        time.sleep(0.05)
    return sum(shard.again for shard in bulk.shards()) - again


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--lines", type=int, default=60_000, metavar="N")
    parser.add_argument("--shard", type=int, default=1000, metavar="N")
    parser.add_argument("--workers", type=int, default=3, metavar="N")
    parser.add_argument("--kills", type=int, default=24, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="on the disk that is wanted (default: temporary)")
    given = parser.parse_args()
    with ready(given.folder, given.lines) as folder:
        quiet, job = Bulk(folder, "quiet", given.shard), Bulk(folder, "job", given.shard)
        began = time.perf_counter()
        quiet.start().wait()
        seconds = time.perf_counter() - began
        print(f"undisturbed, one worker: {given.lines / seconds:.0f} lines/s with its start", flush=True)
        began = time.perf_counter()
        killed, stopped = disturbed(job, given.workers, given.kills, given.seed)
        seconds = time.perf_counter() - began
        shards, unique, same = job.shards(), job.unique(), job.digest() == quiet.digest()
        cost = sum(shard.attempts for shard in shards) - len(shards)
        left = [path.name for path in job.job.rglob("*") if path.name.startswith(".") or path.suffix == ".lock"]
        print(f"{given.workers} workers, {killed} x kill -9, {stopped} stopped beyond its lease: {seconds:.0f} s")
        print(
            f"{unique} of {given.lines} lines, files {'equal' if same else 'DIFFERENT'}, left over: {left or 'nothing'}"
        )
        twice = sum(shard.again for shard in shards)
        print(f"shards begun again {cost} (at most {killed + stopped}), equal second readings {twice}", flush=True)
    sound = unique == given.lines and same and not left and cost <= killed + stopped
    return int(not sound or killed < given.kills)


if __name__ == "__main__":
    sys.exit(main())
