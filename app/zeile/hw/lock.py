# SPDX-License-Identifier: Apache-2.0
"""One owner of the programmable logic.

pynq has no lock: two processes that program it under each other end in an error at best and in a board that hangs at
worst. Whoever opens the engine "fpga" holds this lock until it closes it, or ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from zeile.errors import DeviceBusy, DeviceError

LOCK = Path("/run/lock/zeile-fpga.lock")


class Ownership:
    """The lock, held from construction to ``close``, or to the end of the process.

    Args:
        path: of the lock file, which stays there.

    Raises:
        DeviceBusy: another process holds it.
        DeviceError: the file cannot be written.
    """

    def __init__(self, path: Path = LOCK) -> None:
        self._path = path
        try:
            self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DeviceError(f"lock file {path}: {error.strerror}; the engine 'fpga' needs root (sudo)") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._file, 64).decode("ascii", "replace").strip()
            os.close(self._file)
            self._file = None
            raise DeviceBusy(
                f"the programmable logic belongs to process {owner or '(unknown)'} (lock file {path}); "
                "stop it, or read through its HTTP service"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Give the logic free; a second time does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Ownership:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
