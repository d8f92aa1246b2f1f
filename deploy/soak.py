# SPDX-License-Identifier: Apache-2.0
"""Read many lines through the service, watch its memory, and compare what it counted with what was answered.

    python deploy/soak.py                    10,000 lines through a service of its own
    python deploy/soak.py --minutes 30 --clients 8

One file in fifty is damaged. The service is configured by the environment (ZEILE_MODELS, ZEILE_MODEL, ...).
Ends with status 1 if the resident memory grew by more than --growth-mib after the first tenth, if it was above
--idle-mib before the first line, if an answer was wrong or another than before for the same image, if a counter of
/metrics differs from the tally of the answers, or if a file or descriptor is left. Linux only: memory is read from
/proc.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zeile.http import Host, NoAnswer
from zeile.load import bodies, scrape
from zeile.load.child import Child, serving
from zeile.load.drive import Closed
from zeile.load.windows import NO_ANSWER, Outcome, Recorder

BAD_EVERY = 50
TENTHS = 10
FILES_SLACK = 4  # descriptors that a thread or a connection may hold at the moment of a look


class Reader:
    """Sends images in turn, one in ``BAD_EVERY`` damaged, and judges the answers."""

    def __init__(self, host: Host) -> None:
        pictures = bodies.drawn(BAD_EVERY - 1)
        cut = [bodies.Picture(picture.name, picture.data[:60]) for picture in pictures]
        self._good = bodies.requests(host.name, bodies.PATH, pictures, 1, ())
        self._bad = bodies.requests(host.name, bodies.PATH, cut, 1, ())
        self._host = host
        self._first: dict[int, Any] = {}
        self.wrong = 0

    async def send(self, number: int) -> Outcome:
        """Send request ``number``."""
        bad, index = number % BAD_EVERY == BAD_EVERY - 1, number % len(self._good)
        try:
            reply = await self._host.ask((self._bad if bad else self._good)[index])
        except NoAnswer as error:
            self.wrong += 1
            return Outcome(NO_ANSWER, problem=str(error))
        right = reply.status == (422 if bad else 200)
        if right and not bad:
            lines = json.loads(reply.body)["lines"]
            right = self._first.setdefault(index, lines) == lines
        self.wrong += not right
        return Outcome(reply.status, lines=int(reply.status == 200))


async def soak(child: Child, given: argparse.Namespace) -> tuple[list[float], Recorder, int]:
    """Ten tenths; returns the memory after each, the tally, and how many answers were wrong."""
    host = Host(child.url, timeout_s=120)
    reader = Reader(host)
    recorder = Recorder(time.monotonic, time.process_time)
    memory: list[float] = []
    for tenth in range(TENTHS):
        stop = asyncio.Event()
        if given.minutes:
            asyncio.get_running_loop().call_later(60 * given.minutes / TENTHS, stop.set)
            drive = Closed(given.clients)
        else:
            drive = Closed(given.clients, given.lines * (tenth + 1) // TENTHS - given.lines * tenth // TENTHS)
        await drive.run(reader.send, recorder, stop)
        recorder.cut()  # its latencies are not wanted
        memory.append(child.resident_mib)
        sent = sum(recorder.statuses.values())
        print(f"{sent} lines: {memory[-1]:.1f} MiB, {child.open_files} descriptors", flush=True)
    host.close()
    return memory, recorder, reader.wrong


def counted(samples: Mapping[str, float], recorder: Recorder) -> list[str]:
    """Counters of the service that differ from the tally of its answers."""
    good, bad = recorder.statuses[200], recorder.statuses[422]
    wanted = {
        "zeile_lines_total": good,
        "zeile_bad_images_total": bad,
        'zeile_requests_total{endpoint="/v1/recognize",outcome="ok"}': good,
        'zeile_requests_total{endpoint="/v1/recognize",outcome="refused"}': bad,
        "zeile_rejected_total": bad,
        "zeile_dropped_lines_total": 0,
        "zeile_queue_lines": 0,
        "zeile_queue_bytes": 0,
    }
    found = {name: samples.get(name, 0.0) if "{" in name else scrape.total(samples, name) for name in wanted}
    return [
        f"{name} is {found[name]:.0f}, the tally says {wanted[name]}" for name in wanted if found[name] != wanted[name]
    ]


async def metrics(url: str) -> scrape.Samples:
    """What /metrics says."""
    host = Host(url)
    reply = await host.ask(bodies.get(host.name, "/metrics"))
    host.close()
    return scrape.parse(reply.body.decode())


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--lines", type=int, default=10_000, metavar="N")
    parser.add_argument("--minutes", type=float, default=0, metavar="M", help="so long instead of a number of lines")
    parser.add_argument("--clients", type=int, default=4, metavar="N")
    parser.add_argument("--idle-mib", type=float, default=300, metavar="MIB")
    parser.add_argument("--growth-mib", type=float, default=16, metavar="MIB")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as spool, serving({"ZEILE_SPOOL": spool}) as child:
        asyncio.run(metrics(child.url))  # whoever asks once has all that is loaded on demand loaded
        idle, files = child.resident_mib, child.open_files
        print(f"idle: {idle:.1f} MiB, {files} descriptors", flush=True)
        began = time.perf_counter()
        memory, recorder, wrong = asyncio.run(soak(child, given))
        rate = sum(recorder.statuses.values()) / (time.perf_counter() - began)
        faults = counted(asyncio.run(metrics(child.url)), recorder)
        if (left := child.open_files) > files + FILES_SLACK:
            faults.append(f"{left} descriptors are open, {files} were before")
        faults += [f"{path.name} is left in the spool" for path in Path(spool).iterdir()]
    growth = memory[-1] - memory[0]
    for fault in [*faults, *(f"{count} x {problem}" for problem, count in recorder.problems.items())]:
        print(fault)
    print(f"{rate:.1f} lines/s, {wrong} wrong answers, growth after the first tenth {growth:+.1f} MiB")
    if not faults:
        print("counters of /metrics equal the tally; nothing is left open or on disk")
    return int(wrong > 0 or bool(faults) or idle > given.idle_mib or growth > given.growth_mib)


if __name__ == "__main__":
    sys.exit(main())
