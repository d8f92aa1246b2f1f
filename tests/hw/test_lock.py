# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zeile.errors import DeviceBusy, DeviceError
from zeile.hw.lock import Ownership

HOLD = """
import sys
from pathlib import Path
from zeile.hw.lock import Ownership
with Ownership(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_owner_until_it_lets_go_or_dies(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    other = subprocess.Popen([sys.executable, "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(DeviceBusy, match=f"belongs to process {other.pid} "):
            Ownership(lock)
        other.kill()
    with Ownership(lock) as owner:
        assert lock.read_text() == f"{os.getpid()}\n"
        with pytest.raises(DeviceBusy, match=f"{os.getpid()}"):
            Ownership(lock)
        owner.close()
        Ownership(lock).close()


def test_a_lock_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="needs root"):
        Ownership(tmp_path / "missing" / "lock")
