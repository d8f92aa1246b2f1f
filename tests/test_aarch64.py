# SPDX-License-Identifier: Apache-2.0
"""An emulated aarch64 gives the same bits at every stage: deploy/aarch64.sh must succeed."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import zeile

ROOT = Path(__file__).resolve().parent.parent
MISSING = 77


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="compares x86-64 with aarch64")
@pytest.mark.skipif(
    Path(zeile.__file__).is_relative_to(ROOT / "app"), reason="needs an installed zeile: deploy/test.sh installs it"
)
def test_aarch64_gives_the_same_bits(tmp_path: Path) -> None:
    environment = os.environ | {"ZEILE_VENV": sys.prefix}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [ROOT / "deploy" / "aarch64.sh", tmp_path], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode == MISSING:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal: " in done.stdout
