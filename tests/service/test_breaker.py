# SPDX-License-Identifier: Apache-2.0
"""A board that fails costs time, not answers: the CPU reads on, says so, and the board is tested before it is back."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from tests.models import tiny_network
from tests.service.flaky import LINES, Board, flipped, golden

from zeile.device import Device, Scores, open_device
from zeile.device.reference import Reference
from zeile.errors import (
    DeviceBusy,
    DeviceError,
    DeviceFault,
    DeviceTimeout,
    OverlayMismatch,
    OverlayMissing,
    PacketError,
)
from zeile.service.breaker import Breaker, in_background
from zeile.service.circuit import FIRST_PAUSE_S, LONGEST_PAUSE_S, Circuit
from zeile.service.crosscheck import chosen
from zeile.service.metrics import Metrics

RIGHT = Reference(tiny_network()).run_batch(LINES)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A board, its breaker, and time."""

    def __init__(self, **options: Any) -> None:
        self.board, self.clock, self.metrics = Board(), Clock(), Metrics()
        self.circuit = Circuit(self.metrics, self.clock)
        for name in ("fault", "retries"):
            setattr(self.board, name, options.pop(name, None))
        self._options = {"start": lambda work: work()} | options
        self.breaker = self.another()

    def another(self) -> Breaker:
        network = tiny_network()
        spare = self._options.get("spare", lambda: open_device("reference", network))
        options = {name: value for name, value in self._options.items() if name != "spare"}
        return Breaker("fpga", lambda: self.board.open(network), spare, golden, self.circuit, self.metrics, **options)

    def reads(self) -> str:
        """Read the lines, which must be right; the name of the engine that did."""
        assert same(self.breaker.run_batch(LINES), RIGHT)
        return str(self.breaker.info["engine"])

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"zeile_{name}", labels) or 0.0


def same(got: list[Scores], wanted: list[Scores]) -> bool:
    return len(got) == len(wanted) and all(map(np.array_equal, got, wanted))


def test_the_cpu_reads_while_the_board_rests_and_says_why() -> None:
    bench = Bench()
    assert bench.reads() == "fpga"
    bench.board.fault = DeviceTimeout("nothing moved")
    assert bench.reads() == "reference"
    facts = bench.breaker.info
    assert (facts["instead_of"], facts["because"]) == ("fpga", "nothing moved")
    opened = bench.board.opened
    bench.clock.now = FIRST_PAUSE_S - 0.1
    assert bench.reads() == "reference"
    assert (bench.board.opened, bench.circuit.facts()["state"]) == (opened, "open")
    bench.board.fault, bench.clock.now = None, FIRST_PAUSE_S
    assert bench.reads() == "fpga"
    assert (bench.board.opened, bench.circuit.facts()["state"]) == (opened + 1, "closed")
    assert bench.breaker.info == {"engine": "fpga", "path": "flaky"}
    bench.breaker.close()
    assert bench.board.closed == bench.board.opened
    with pytest.raises(DeviceError, match="closed"):
        bench.breaker.run(LINES[0])


def test_faults_and_lines_are_counted() -> None:
    bench = Bench()
    bench.board.fault = DeviceTimeout("nothing moved")
    bench.reads()
    bench.reads()
    assert bench.count("accelerator_timeouts_total") == 2
    assert bench.count("accelerator_faults_total", kind="timeout") == 2
    assert bench.count("accelerator_retries_total") == 1
    assert bench.count("fallback_lines_total") == 2 * len(LINES)
    assert bench.count("circuit_open") == 1
    assert bench.circuit.facts()["faults"] == {"timeout": 2}
    bench.board.fault, bench.clock.now = None, FIRST_PAUSE_S
    assert bench.reads() == "fpga"
    assert bench.count("circuit_open") == 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (DeviceFault("slave error"), "fault"),
        (PacketError("bad checksum"), "packet"),
        (DeviceBusy("process 7 has it"), "busy"),
        (DeviceError("gone"), "error"),
        (RuntimeError("whatever pynq raises"), "fault"),
        (OSError(5, "Input/output error"), "fault"),
        (AssertionError(), "fault"),
    ],
)
def test_one_fault_is_mended_by_a_second_try(fault: Exception, kind: str) -> None:
    bench = Bench()
    faults: list[Exception] = [fault]

    def once() -> None:
        if faults:
            raise faults.pop()

    bench.board.next = once
    assert bench.reads() == "fpga"
    assert bench.count("accelerator_faults_total", kind=kind) == 1
    assert bench.count("accelerator_retries_total") == 1
    assert bench.count("fallback_lines_total") == 0
    assert bench.circuit.closed


def test_a_driver_that_tries_twice_itself_is_not_asked_again() -> None:
    bench = Bench(retries=0)
    batches = bench.board.batches

    def failing() -> None:
        bench.board.retries = (bench.board.retries or 0) + 1
        raise DeviceFault("slave error")

    bench.board.next = failing
    assert bench.reads() == "reference"
    assert bench.board.batches == batches + 1
    assert bench.count("accelerator_retries_total") == 1  # its own


def test_too_few_answers_are_a_fault() -> None:
    bench = Bench()
    bench.board.next = lambda: lambda scores: scores[1:]
    assert bench.reads() == "reference"
    assert "3 answers to 4 lines" in bench.breaker.info["because"]


def test_a_board_that_cannot_be_opened_is_replaced_from_the_start_and_comes_back() -> None:
    bench = Bench(fault=DeviceBusy("process 7 has it"))
    assert (bench.breaker.info["engine"], bench.breaker.info["because"]) == ("reference", "process 7 has it")
    assert bench.reads() == "reference"
    bench.board.fault, bench.clock.now = None, FIRST_PAUSE_S
    assert bench.reads() == "fpga"


@pytest.mark.parametrize("fault", [OverlayMissing("no bitstream"), OverlayMismatch("84 classes, the overlay has 76")])
def test_a_model_that_does_not_fit_is_not_the_boards_fault(fault: Exception) -> None:
    bench = Bench(fault=fault)
    assert bench.reads() == "reference"
    assert bench.breaker.info["because"] == str(fault)
    assert bench.circuit.closed
    bench.board.fault = None
    fits = bench.another()
    assert same(fits.run_batch(LINES), RIGHT)
    assert fits.info["engine"] == "fpga"


def test_lines_that_are_too_wide_for_the_board_are_read_by_the_cpu() -> None:
    bench = Bench()
    bench.board.widest = 10
    assert same(bench.breaker.run_batch(LINES), RIGHT)
    assert "20 columns" in bench.breaker.info["because"]
    assert bench.count("fallback_lines_total") == 1
    assert bench.circuit.closed
    assert same(bench.breaker.run_batch(LINES[:3]), RIGHT[:3])
    assert bench.breaker.info["engine"] == "fpga"


def test_when_neither_works_the_error_says_both() -> None:
    def broken() -> Device:
        raise DeviceError("no native module")

    with pytest.raises(DeviceError, match="slave error; nor does its spare work: no native module"):
        Bench(fault=DeviceFault("slave error"), spare=broken)


def test_a_board_that_answers_wrongly_when_it_is_tested_stays_away() -> None:
    bench = Bench()
    bench.board.fault = DeviceFault("slave error")
    bench.reads()
    bench.board.fault, bench.board.next = None, lambda: flipped
    for pause in (1, 2, 4, 8, 16, 32, 60, 60):
        assert bench.circuit.facts()["next_try_s"] == pause
        bench.clock.now += pause
        assert bench.reads() == "reference"
    bench.board.next = None
    bench.clock.now += LONGEST_PAUSE_S
    assert bench.reads() == "fpga"


def test_pauses_are_short_again_after_the_board_has_worked_for_a_while() -> None:
    bench = Bench()

    def fail_and_heal() -> float:
        bench.board.fault = DeviceFault("slave error")
        bench.reads()
        pause: float = bench.circuit.facts()["next_try_s"]
        bench.board.fault = None
        bench.clock.now += pause
        assert bench.reads() == "fpga"
        return pause

    assert [fail_and_heal() for _ in range(4)] == [1, 2, 4, 8]
    bench.clock.now += 100
    assert bench.reads() == "fpga"
    assert fail_and_heal() == FIRST_PAUSE_S


def test_models_of_a_board_share_its_circuit() -> None:
    bench = Bench()
    second = bench.another()
    bench.board.fault = DeviceFault("slave error")
    assert bench.reads() == "reference"
    batches = bench.board.batches
    assert same(second.run_batch(LINES), RIGHT)
    assert bench.board.batches == batches  # it was not tried
    assert second.info["because"] == "slave error"
    bench.board.fault, bench.clock.now = None, FIRST_PAUSE_S
    assert bench.reads() == "fpga"
    assert same(second.run_batch(LINES), RIGHT)
    assert second.info["engine"] == "fpga"


def test_wrong_scores_are_not_sent_and_the_board_is_held() -> None:
    bench = Bench(checked=1000)
    assert bench.reads() == "fpga"
    assert bench.count("cross_checked_lines_total") == len(LINES)
    bench.board.next = lambda: flipped
    assert bench.reads() == "reference"
    assert bench.count("backend_mismatch_total") == 1
    assert bench.circuit.facts()["state"] == "held"
    assert "1 differed" in bench.breaker.info["because"]
    bench.board.next = None
    bench.clock.now = 1e6
    assert bench.reads() == "reference"  # until an operator says otherwise
    bench.circuit.release()
    assert bench.reads() == "fpga"


def test_a_board_that_is_still_wrong_is_not_back_when_an_operator_says_so() -> None:
    bench = Bench(checked=1000)
    bench.board.next = lambda: flipped
    bench.reads()
    bench.circuit.release()
    assert bench.reads() == "reference"
    assert bench.circuit.facts()["state"] == "open"
    assert "self-test" in bench.circuit.because


def test_a_board_that_was_wrong_while_it_was_tested_is_held_all_the_same() -> None:
    bench = Bench()
    bench.circuit.failed(DeviceFault("slave error"))
    bench.clock.now = FIRST_PAUSE_S
    assert bench.circuit.due()
    assert not bench.circuit.due()  # one test at a time
    bench.circuit.hold("its integers were wrong")
    bench.circuit.passed()
    bench.circuit.failed(DeviceFault("slave error"))
    assert bench.circuit.facts()["state"] == "held"
    assert bench.circuit.because == "its integers were wrong"


def test_faults_while_lines_are_checked_change_nothing() -> None:
    bench = Bench(checked=1000)
    bench.board.fault = DeviceFault("slave error")
    assert bench.reads() == "reference"
    assert bench.count("backend_mismatch_total") == 0
    bench.board.fault, bench.clock.now = None, FIRST_PAUSE_S
    assert bench.reads() == "fpga"
    bench.board.widest = 10
    bench.reads()
    assert bench.count("backend_mismatch_total") == 0


def test_which_lines_are_checked_depends_on_their_pixels_alone() -> None:
    rng = np.random.default_rng(0)
    lines = [rng.integers(0, 16, (12, 16), np.uint8) for _ in range(4000)]
    picked = [chosen(frames, 100) for frames in lines]
    assert picked == [chosen(frames.copy(), 100) for frames in lines]
    assert 300 < sum(picked) < 500
    assert not any(chosen(frames, 0) for frames in lines)
    assert all(chosen(frames, 1000) for frames in lines)


def test_a_test_in_the_background_keeps_nobody_waiting() -> None:
    bench, may_go_on = Bench(start=in_background), threading.Event()
    bench.board.fault = DeviceFault("slave error")
    bench.reads()

    def slow() -> None:
        assert may_go_on.wait(60)

    bench.board.fault, bench.board.next, bench.clock.now = None, slow, FIRST_PAUSE_S
    assert [bench.reads() for _ in range(5)] == ["reference"] * 5
    assert bench.circuit.facts()["state"] == "half-open"
    may_go_on.set()
    end = time.monotonic() + 60
    while bench.reads() != "fpga":
        assert time.monotonic() < end
    bench.breaker.close()
    assert bench.board.closed == bench.board.opened
