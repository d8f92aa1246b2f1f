# SPDX-License-Identifier: Apache-2.0
"""Whether a worker lives: it holds a lock on a file as long as it does, and the kernel lets go of it at any death.

That is asked only of workers on this host, where it is certain; of others, leases tell.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import socket
from pathlib import Path

from zeile.errors import BadJob

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SUFFIX = ".lock"


class Presence:
    """This worker among those of a job.

    Args:
        folder: of the job.

    Attributes:
        worker: its name: host, process and a few random characters.

    Raises:
        BadJob: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "workers"
        self._host = f"{_host()}-"
        self.worker = f"{self._host}{os.getpid()}-{secrets.token_hex(3)}"
        self._path = self._folder / f"{self.worker}{_SUFFIX}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()
        except OSError as error:
            raise BadJob(f"{self._folder}: cannot be written: {error.strerror}; choose another folder") from None

    def close(self) -> None:
        """Say goodbye."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        os.close(self._lock)

    def dead(self, worker: str) -> bool:
        """Whether a worker of this host has ended; what is left of it is taken away."""
        if not worker.startswith(self._host) or worker == self.worker:
            return False
        path = self._folder / f"{worker}{_SUFFIX}"
        try:
            lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
            return True
        except OSError:
            return False
        finally:
            os.close(lock)

    def bury(self) -> None:
        """Take away what the dead of this host left."""
        for path in self._folder.glob(f"{self._host}*{_SUFFIX}"):
            self.dead(path.name.removesuffix(_SUFFIX))

    def _locked(self) -> int:
        while True:
            lock = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(lock, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), os.stat(self._path)):
                    return lock
            os.close(lock)  # taken for a dead one's and removed in the moment before it was locked


def _host() -> str:
    """This boot of this host, in characters that a file may be called by."""
    try:
        boot = _BOOT.read_text()[:8]
    except OSError:
        boot = "0"
    return f"{re.sub(r'[^A-Za-z0-9.]', '_', socket.gethostname())}-{boot}"
