# SPDX-License-Identifier: Apache-2.0
"""A service in a process of its own, to be loaded and watched. Linux only: figures come from /proc."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from zeile.errors import DeviceError

STOP_S = 60


class Child:
    """A running ``zeile serve``.

    Attributes:
        url: where it serves.
        pid: of its process.
    """

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.url, self.pid = url, process.pid

    @property
    def pids(self) -> list[int]:
        """Of its process and of those that it has started, while they run."""
        found = [self.pid]
        for pid in found:
            for task in _children(pid):
                found += task
        return found

    @property
    def cpu_s(self) -> float:
        """CPU seconds that its processes have taken."""
        ticks = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    @property
    def resident_mib(self) -> float:
        """Their resident memory, MiB; what they share counts for each."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids)
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    @property
    def open_files(self) -> int:
        """Their file descriptors."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.pids)

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def ended(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()


def _children(pid: int) -> Iterator[list[int]]:
    """Of each of a process's threads the processes that it has started."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            yield [int(child) for child in (thread / "children").read_text().split()]
        except OSError:
            continue  # it has just ended


@contextmanager
def serving(environment: Mapping[str, str] | None = None) -> Iterator[Child]:
    """A service on a free port, configured by the environment; its log goes nowhere.

    Args:
        environment: variables beside those of this process.

    Raises:
        DeviceError: it does not start.
    """
    command = [sys.executable, "-m", "zeile", "serve", "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen(
        command,
        env=os.environ | dict(environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()  # once it serves; nothing if it ends before
        url = re.search(r"http://\S+", said)
        if url is None:
            raise DeviceError("the service does not start; zeile serve says why")
        yield Child(process, url[0])
    finally:
        _stopped(process)


def _stopped(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
