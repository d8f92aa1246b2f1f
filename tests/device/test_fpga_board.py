# SPDX-License-Identifier: Apache-2.0
"""The driver, through the unmodified pynq classes, on the emulated board: the same integers, whatever goes wrong."""

from __future__ import annotations

import gc
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pynq", reason="pynq is not installed (the extra board)")

from tests.device.networks import random_line
from tests.device.overlays import design_of, network_of, write_overlay

from zeile.device.emulated import Board, Fault, fresh_board
from zeile.device.emulated.faults import KINDS
from zeile.device.fpga import Fpga
from zeile.device.reference import Reference
from zeile.errors import DeviceError, DeviceFault, DeviceTimeout, OverlayMismatch
from zeile.hw.csim import COMPILERS
from zeile.hw.verilate import find_verilator

INJECTIONS = 100
RARE = ("wrong_design", "clock_high")  # have a chance only when an overlay is loaded
HANG_S = 60.0
"""No call may take longer, with any fault, on a busy machine."""

Scores = list[Any]


class Setup:
    """An overlay with two models, and lines with the scores that are right."""

    def __init__(self, folder: Path, name: str) -> None:
        self.design = design_of(name)
        self.overlay = write_overlay(folder, name, built=False)
        self.networks = [network_of(self.design, seed) for seed in range(2)]
        rng = np.random.default_rng(1)
        longest = self.design.max_frames
        sizes = [0, 1, 2, longest, *rng.integers(1, longest // 2, 8)]
        self.lines = [random_line(rng, self.networks[0], int(frames)) for frames in sizes]
        self.scores = [Reference(network).run_batch(self.lines) for network in self.networks]

    def open(self, model: int = 0, patience_s: float | None = None) -> Fpga:
        return Fpga(self.networks[model], self.overlay, emulate=True, patience_s=patience_s)


@pytest.fixture(scope="module", params=["tiny", "tiny-uni"])
def setup(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Setup:
    return Setup(tmp_path_factory.mktemp("overlays"), request.param)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    return Setup(tmp_path_factory.mktemp("overlays"), "tiny")


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Board]]:
    boards: list[Board] = []
    monkeypatch.delenv("BOARD", raising=False)

    def make(*faults: Fault, core: str = "reference", seed: int = 0) -> Board:
        boards.append(fresh_board(core, faults, seed))
        return boards[-1]

    yield make
    for each in boards:
        each.close()


def equal(got: Scores, wanted: Scores) -> bool:
    return all(map(np.array_equal, got, wanted))


def test_scores_to_the_last_bit_and_models_in_turn(setup: Setup, board: Callable[..., Board]) -> None:
    made = board()
    with setup.open(0) as first, setup.open(1) as second:
        for _ in range(2):
            assert equal(first.run_batch(setup.lines), setup.scores[0])
            assert equal(second.run_batch(setup.lines), setup.scores[1])
        assert equal([first.run(line) for line in setup.lines], setup.scores[0])
        assert first.info["retries"] == second.info["retries"] == 0
        assert first.info["path"] == f"{setup.design.name}, emulated"
        assert first.status().lines == 5 * len(setup.lines)
    assert made.downloads == 1


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="no C++ compiler")
@pytest.mark.parametrize("core", ["hls", "rtl"])
def test_the_compiled_cores_behind_the_driver(setup: Setup, board: Callable[..., Board], core: str) -> None:
    if core == "rtl":
        try:
            find_verilator()
        except DeviceError as error:
            pytest.skip(str(error))
    board(core=core)
    with setup.open(0) as device:
        assert equal(device.run_batch(setup.lines), setup.scores[0])


def test_a_board_is_let_go_with_all_its_memory(tiny: Setup, board: Callable[..., Board]) -> None:
    made = board()
    for _ in range(3):
        with tiny.open() as device:
            device.run_batch(tiny.lines)
            assert made.memory.buffers == 4
        gc.collect()
        assert made.memory.buffers == 0


@pytest.mark.parametrize(
    ("kind", "error"), [("wrong_design", OverlayMismatch), ("clock_high", OverlayMismatch), ("disappear", DeviceFault)]
)
def test_faults_that_stay_are_typed_errors(
    tiny: Setup, board: Callable[..., Board], kind: str, error: type[DeviceError]
) -> None:
    board(Fault(kind, 0, None))
    with pytest.raises(error):
        tiny.open(patience_s=0.2)
    board()
    tiny.open().close()


@pytest.mark.parametrize(
    "kind", ["stall", "lost", "missing_tlast", "overrun", "slave_error", "decode_error", "damaged", "corrupt"]
)
def test_one_fault_costs_a_retry_and_no_answer(tiny: Setup, board: Callable[..., Board], kind: str) -> None:
    made = board()
    with tiny.open(patience_s=0.3) as device:
        made.faults.add(Fault(kind, 5))
        assert equal(device.run_batch(tiny.lines), tiny.scores[0])
        assert made.faults.done[kind] == 1
        assert device.info["retries"] == 1
        assert made.downloads == 2


def attempts(tiny: Setup, made: Board, kind: str, dice: random.Random) -> Iterator[str]:
    """Read until the fault has struck often enough; for each call what came of it."""
    device: Fpga | None = None
    when = [0.3, 0.6, 0.9] if kind in RARE else [0.02, 0.1, 0.5]
    for _ in range(40 * INJECTIONS):
        if made.faults.done[kind] >= INJECTIONS:
            break
        made.faults.clear()
        made.faults.add(Fault(kind, dice.choice(when), dice.choice([1, 2, None])))
        began = time.monotonic()
        try:
            if device is None:
                device = tiny.open(patience_s=0.1)
            if kind == "wrong_design":
                device.status()
            first = dice.randrange(len(tiny.lines))
            chosen = slice(first, first + dice.randrange(1, 6))
            assert equal(device.run_batch(tiny.lines[chosen]), tiny.scores[0][chosen]), f"wrong scores after {kind}"
            yield "right"
        except (DeviceFault, DeviceTimeout, OverlayMismatch) as error:
            yield type(error).__name__
        finally:
            assert time.monotonic() - began < HANG_S, f"{kind}: a call took too long"
        if device is not None and (kind in RARE or dice.random() < 0.05):
            device.close()
            device = None
    else:
        pytest.fail(f"{kind} struck only {made.faults.done[kind]} times: it has no chance here")
    made.faults.clear()
    with device or tiny.open() as last:
        assert equal(last.run_batch(tiny.lines), tiny.scores[0]), f"wrong scores once {kind} was over"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_right_scores_or_a_typed_error_whatever_goes_wrong_and_when(
    tiny: Setup, board: Callable[..., Board], kind: str
) -> None:
    made = board(seed=KINDS.index(kind))
    outcomes = Counter(attempts(tiny, made, kind, random.Random(kind)))
    print(f"{kind}: struck {made.faults.done[kind]} times, {made.downloads} downloads, {dict(outcomes)}")
    assert outcomes["right"]
