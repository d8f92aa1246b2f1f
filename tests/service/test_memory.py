# SPDX-License-Identifier: Apache-2.0
"""What images have taken is given back when they are gone, also where something small was kept meanwhile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import zeile

IMAGES = """
import re, sys, threading
from pathlib import Path
from zeile.service.memory import give_back

def resident_mib():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

def read():
    for _ in range(10):
        images = [bytearray(b"x") * (3 << 20) for _ in range(8)]
        kept.append(b"x" * 4096)
        images.clear()

kept = []
if sys.argv[1] == "yes" and not give_back():
    sys.exit("no such switch")
before = resident_mib()
threads = [threading.Thread(target=read) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(resident_mib() - before)
"""


def grown_mib(given_back: str) -> float:
    """What a process has more after images have come and gone."""
    done = subprocess.run(
        [sys.executable, "-c", IMAGES, given_back],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(zeile.__file__).parents[1])},
    )
    if "no such switch" in done.stderr:
        pytest.skip("the C library is not glibc")
    return float(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_of_images_that_are_gone_is_given_back() -> None:
    assert grown_mib("yes") < 3
