# SPDX-License-Identifier: Apache-2.0
"""What images have taken is given back when they are gone, also where something small was kept meanwhile."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import httpx
import pytest
from tests.models import line_png
from tests.service.raw import until

import zeile
from zeile.service.memory import GARBAGE

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


def test_circles_are_looked_for_when_nothing_is_worked_on(service: httpx.Client) -> None:
    class Circle:
        def __init__(self) -> None:
            self.itself = self

    def ask() -> None:
        service.post("/v1/recognize", content=line_png(1), headers={"content-type": "image/png"})

    gc.collect()
    gc.disable()
    try:
        few = weakref.ref(Circle())
        ask()
        assert few() is not None, "that would cost every request"
        for _ in range(GARBAGE):
            Circle()
        ask()
        until(lambda: few() is None)  # not the last of the others: it may be made after the first request has ended
    finally:
        gc.enable()
