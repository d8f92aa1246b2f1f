# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from tests.models import tiny_network

from zeile.bench.energy import joules
from zeile.device import open_device

FRAMES = [np.ones((4, 16), np.uint8)] * 3


def test_a_device_without_rails_has_no_energy() -> None:
    with open_device("reference", tiny_network()) as device:
        assert joules(device, FRAMES) is None


@pytest.mark.parametrize("names", [("12V", "INT"), ("INT", "5V0")])
def test_joules_a_line_above_what_the_board_takes_at_rest(names: tuple[str, str]) -> None:
    class Board:
        """Takes 10 W at rest; 25 W once it has read."""

        watts = 10.0

        def rails(self) -> dict[str, float]:
            return {names[0]: self.watts, names[1]: 1.0}

        def run_batch(self, lines: Any) -> None:
            self.watts = 25.0

    def rest(seconds: float) -> None:
        assert seconds == 2.0

    board: Any = Board()
    clock = itertools.count(0.0, 0.5).__next__
    found = joules(board, FRAMES, seconds=2.0, sleep=rest, clock=clock)
    assert found is not None
    assert (found["rail"], found["lines"]) == (names[0], 3 * 3)
    assert found["watts_at_rest"][names[0]] == pytest.approx(10)
    assert 10 < found["watts_loaded"][names[0]] <= 25
    above = found["watts_loaded"][names[0]] - 10
    assert found["joules_per_line_above_rest"] == pytest.approx(above * found["seconds"] / found["lines"])
