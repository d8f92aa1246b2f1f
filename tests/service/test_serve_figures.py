# SPDX-License-Identifier: Apache-2.0
"""What deploy/serve_figures.py shows that is right or wrong, and not fast or slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "serve_figures.py"

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="figures are read from /proc")


def figure(name: str, models: Path, out: Path, *options: str) -> Any:
    environment = os.environ | {"ZEILE_MODELS": str(models), "ZEILE_MODEL": "tiny/1"}
    command = [sys.executable, str(SCRIPT), name, "--out", str(out), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())[name]


@pytest.mark.slow
def test_a_service_that_is_stopped_under_load_loses_nothing_that_it_acknowledged(models: Path, tmp_path: Path) -> None:
    found = figure("sigterm", models, tmp_path / "found.json")
    assert found["acknowledged_lines"] == found["lines_that_arrived"] > 0
    assert set(found["statuses"]) <= {"200", "503", "0"}


@pytest.mark.slow
def test_models_are_swapped_under_load_without_a_failed_request(models: Path, tmp_path: Path) -> None:
    found = figure("swaps", models, tmp_path / "found.json", "--swaps", "10")
    assert found["swap_statuses"] == {"200": 14}
    assert set(found["answers"]) == {"200"}
    assert found["models_that_answered"] == 2
    assert found["answers_of_no_model"] == 0


def test_a_figure_that_does_not_exist_is_wrong_usage() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "speed"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "there is no figure 'speed'" in done.stderr
