# SPDX-License-Identifier: Apache-2.0
"""A board that fails costs time, not answers: the CPU reads on, says so, and the board is tried again later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.models import line_png, tiny_network
from tests.service.serving import files, refused, serving

from zeile.device import Device, Frames, Scores, open_device
from zeile.errors import DeviceError, DeviceFault, DeviceTimeout, LineTooWide, OverlayMissing
from zeile.network import Network
from zeile.service import engines
from zeile.service.spare import PAUSE_S, Spare
from zeile.settings import Settings

FRAMES = [np.ones((6, 16), np.uint8)]


class Flaky:
    """A stand-in for a board; ``fault`` is raised while it is set, at opening too."""

    fault: Exception | None = None
    opened = closed = 0

    def __init__(self, network: Network) -> None:
        type(self).opened += 1
        self._engine = open_device("reference", network)
        self.info = {"engine": "fpga", "path": "flaky"}
        if self.fault is not None:
            raise self.fault

    def run(self, frames: Frames) -> Scores:
        return self.run_batch([frames])[0]

    def run_batch(self, lines: Sequence[Frames]) -> list[Scores]:
        if self.fault is not None:
            raise self.fault
        return self._engine.run_batch(lines)

    def close(self) -> None:
        type(self).closed += 1

    def __enter__(self) -> Flaky:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture(autouse=True)
def flaky() -> type[Flaky]:
    Flaky.fault, Flaky.opened, Flaky.closed = None, 0, 0
    return Flaky


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def spare(clock: Clock, opens: Any = None) -> Spare:
    network = tiny_network()
    return Spare("fpga", lambda: Flaky(network), opens or (lambda: open_device("reference", network)), clock)


def test_the_spare_reads_while_the_board_rests_and_says_why(flaky: type[Flaky]) -> None:
    wanted = open_device("reference", tiny_network()).run_batch(FRAMES)
    clock = Clock()
    with spare(clock) as device:
        assert device.info == {"engine": "fpga", "path": "flaky"}
        flaky.fault = DeviceTimeout("nothing moved")
        for now, opened in ((0.0, 1), (PAUSE_S - 1, 1), (PAUSE_S, 2), (PAUSE_S + 1, 2)):
            clock.now = now
            assert np.array_equal(device.run(FRAMES[0]), wanted[0])
            assert flaky.opened == opened
            assert device.info["engine"] == "reference"
            assert (device.info["instead_of"], device.info["because"]) == ("fpga", "nothing moved")
        flaky.fault, clock.now = None, 2 * PAUSE_S
        assert np.array_equal(device.run_batch(FRAMES), wanted)
        assert device.info == {"engine": "fpga", "path": "flaky"}
    assert flaky.closed == 2
    with pytest.raises(DeviceError):
        device.run_batch(FRAMES)


def test_a_board_that_cannot_be_opened_is_replaced_from_the_start(flaky: type[Flaky]) -> None:
    flaky.fault = OverlayMissing("no bitstream")
    with spare(Clock()) as device:
        assert (device.info["engine"], device.info["because"]) == ("reference", "no bitstream")
        assert len(device.run_batch(FRAMES)) == 1


def test_what_is_the_line_s_fault_is_not_the_board_s(flaky: type[Flaky]) -> None:
    with spare(Clock()) as device:
        flaky.fault = LineTooWide("9000 columns")
        with pytest.raises(LineTooWide):
            device.run_batch(FRAMES)
        assert device.info["engine"] == "fpga"


def test_neither_works(flaky: type[Flaky]) -> None:
    def broken() -> Device:
        raise DeviceError("no native module")

    flaky.fault = DeviceFault("slave error")
    with pytest.raises(DeviceError, match="slave error; nor does its spare work: no native module"):
        spare(Clock(), broken)


@pytest.fixture
def board(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    def opened(name: str, network: Network, threads: int = 1, settings: Settings | None = None) -> Any:
        return Flaky(network) if name == "fpga" else open_device("reference", network)

    monkeypatch.setattr(engines, "open_device", opened)
    with serving(Settings(models=models, model="tiny/1", engine="fpga")) as client:
        yield client


def test_the_service_answers_the_same_and_names_the_engine(board: httpx.Client, flaky: type[Flaky]) -> None:
    def ask() -> Any:
        answer = board.post("/v1/recognize", files=files(a_png=line_png(1), b_png=line_png(2)))
        answer.raise_for_status()
        return answer.json()

    before = ask()
    assert before["engine"]["engine"] == "fpga"
    flaky.fault = DeviceFault("the DMA stopped")
    after = ask()
    assert after["lines"] == before["lines"]
    assert after["engine"]["engine"] == "reference"
    assert after["engine"]["instead_of"] == "fpga"
    assert after["engine"]["because"] == "the DMA stopped"
    flaky.fault = None
    assert board.get("/healthz").status_code == 200


def test_a_line_too_wide_for_the_board_is_told_to_the_client(board: httpx.Client, flaky: type[Flaky]) -> None:
    flaky.fault = LineTooWide("the line is 9000 columns long")
    answer = board.post("/v1/recognize", files=files(a_png=line_png(1)))
    assert "9000 columns" in refused(answer, 413, "image-too-large")
