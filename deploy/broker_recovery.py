# SPDX-License-Identifier: Apache-2.0
"""Kill the process that owns the device, under load, and see how long it is missed.

    python deploy/broker_recovery.py                       five kills, four clients, the native engine behind the broker
    ZEILE_EMULATE=reference python deploy/broker_recovery.py --engine fpga

Starts `zeile broker` and `zeile serve --engine broker`, and the broker anew 0.2 s after each kill -9, as its unit
does. For each kill it prints the seconds until the first line that the CPU read in the device's place, until the first
one that the device read again, and the longest that any request took meanwhile. Ends with status 1 if a request
failed, or if a text was not the one that was read before the first kill.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

LINES = Path(__file__).resolve().parents[1] / "tests" / "lines"
RESTART_S = 0.2  # RestartSec of deploy/systemd/zeile-broker.service
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Answer:
    """One request.

    Attributes:
        asked: when, seconds of ``time.monotonic``.
        answered: likewise.
        by_device: whether the broker's device read it.
        right: status 200, and the text that was read at first.
    """

    asked: float
    answered: float
    by_device: bool
    right: bool


class Load:
    """Clients that ask without a pause.

    Attributes:
        answers: to what was asked so far.
    """

    def __init__(self, port: int, count: int) -> None:
        self._port, self._stop = port, threading.Event()
        self._files = [path.read_bytes() for path in sorted(LINES.glob("*/*.png"))]
        self._texts: dict[int, str] = {}
        self.answers: list[Answer] = []
        self._threads = [threading.Thread(target=self._ask, args=(number, count)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def first_after(self, moment: float, by_device: bool) -> float | None:
        """Seconds from a moment to the first answer to a question that was asked after it, by who read it."""
        found = [a.answered for a in self.answers[:] if a.asked > moment and a.right and a.by_device == by_device]
        return min(found) - moment if found else None

    def _ask(self, number: int, count: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        while not self._stop.is_set():
            file = number % len(self._files)
            number += count
            asked, facts, text = time.monotonic(), {}, None
            try:
                connection.request("POST", "/v1/recognize", self._files[file], {"content-type": "image/png"})
                answer = connection.getresponse()
                body = json.loads(answer.read())
                if answer.status == http.client.OK:
                    facts, text = body["engine"], body["lines"][0]["text"]
            except (OSError, http.client.HTTPException):
                connection.close()
            right = text is not None and self._texts.setdefault(file, text) == text
            self.answers.append(Answer(asked, time.monotonic(), "through" in facts, right))
        connection.close()


def started(command: list[str], environment: dict[str, str]) -> tuple[subprocess.Popen[str], str]:
    """A process, and the line with which it says that it serves."""
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.readline()
    if not said:
        sys.exit(f"{' '.join(command)} did not start")
    return process, said


def waited(load: Load, moment: float, by_device: bool) -> float:
    """As ``Load.first_after``, once there is one."""
    while (seconds := load.first_after(moment, by_device)) is None:
        if time.monotonic() - moment > PATIENCE_S:
            sys.exit(f"no line {'on the device' if by_device else 'on the CPU'} within {PATIENCE_S:.0f} s")
        time.sleep(0.005)
    return seconds


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--kills", type=int, default=5, metavar="N")
    parser.add_argument("--clients", type=int, default=4, metavar="N")
    parser.add_argument("--engine", default="cpu", help="of the broker (default cpu)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {"ZEILE_BROKER": f"{folder}/broker.sock", "ZEILE_LOG": "off"}
        own = [sys.executable, "-m", "zeile"]
        broker, _ = started([*own, "broker", "--engine", given.engine], environment)
        service, where = started([*own, "serve", "--engine", "broker", "--port", "0"], environment)
        found = re.search(r":(\d+) ", where)
        assert found is not None
        load, back, instead = Load(int(found[1]), given.clients), [], []
        try:
            waited(load, time.monotonic(), by_device=True)
            for kill in range(1, given.kills + 1):
                time.sleep(2)  # some load between two kills
                broker.send_signal(signal.SIGKILL)
                killed = time.monotonic()
                broker.wait()
                time.sleep(RESTART_S)
                broker, _ = started([*own, "broker", "--engine", given.engine], environment)
                up = time.monotonic() - killed
                instead.append(waited(load, killed, by_device=False))
                back.append(waited(load, killed, by_device=True))
                slow = max(a.answered - a.asked for a in load.answers[:] if a.answered > killed)
                print(
                    f"kill {kill}: broker up after {up:.2f} s; first line on the CPU after {instead[-1]:.3f} s, on the "
                    f"device again after {back[-1]:.2f} s; longest request {slow:.3f} s",
                    flush=True,
                )
        finally:
            load.stop()
            for process in (service, broker):
                process.terminate()
                process.wait()
    failed = sum(not answer.right for answer in load.answers)
    print(
        f"{len(load.answers)} requests, {failed} failed or wrong; on the CPU after {statistics.median(instead):.3f} s, "
        f"on the device again after {statistics.median(back):.2f} s (medians)"
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
