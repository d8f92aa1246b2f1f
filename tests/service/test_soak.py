# SPDX-License-Identifier: Apache-2.0
"""Memory of the service as it is started for users; deploy/soak.py does the same with 10,000 lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "deploy" / "soak.py"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc, which is Linux's")
def test_memory_stays_flat(models: Path) -> None:
    environment = os.environ | {"ZEILE_MODELS": str(models), "ZEILE_MODEL": "tiny/1"}
    command = [sys.executable, str(SOAK), "--lines", "500"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 wrong answers" in done.stdout
