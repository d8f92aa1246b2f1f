# SPDX-License-Identifier: Apache-2.0
"""The driver on a scripted pynq: what it checks, in which order, and how it recovers. Needs no pynq."""

from __future__ import annotations

import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.device.fake_pynq import Core, Pynq, install
from tests.device.networks import random_line
from tests.device.overlays import design_of, network_of, write_overlay

from zeile.device import open_device
from zeile.device.reference import Reference
from zeile.errors import (
    DeviceBusy,
    DeviceError,
    DeviceFault,
    DeviceTimeout,
    LineTooWide,
    OverlayMismatch,
    OverlayMissing,
)
from zeile.hw import packets
from zeile.hw.lock import Ownership
from zeile.hw.overlay import Overlay
from zeile.hw.packets import Kind, Words
from zeile.settings import Settings

DESIGN = design_of("tiny")
NETWORKS = [network_of(DESIGN, seed) for seed in range(2)]
RNG = np.random.default_rng(0)
LINES = [random_line(RNG, NETWORKS[0], frames) for frames in (7, 0, 31, 1, 12, 64, 3, 9)]


class Machine:
    """A board with an overlay, and the driver on it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._monkeypatch = folder, monkeypatch
        self.lock = folder / "lock"
        self.overlay: Overlay = write_overlay(folder / "overlays", "tiny", built=True)
        self.pynq = Pynq(Core(DESIGN, NETWORKS[0]))
        self.core = self.pynq.dma.core

    def fpga(self, **options: Any) -> Any:
        """A device; what was changed in ``pynq`` before the first one counts."""
        module = install(self.pynq, self._monkeypatch)
        self._monkeypatch.setattr(module, "Ownership", lambda: Ownership(self.lock))
        return module.Fpga(NETWORKS[0], self.overlay, patience_s=0.05, **options)

    def second(self, network: int = 1) -> Any:
        import zeile.device.fpga as module

        return module.Fpga(NETWORKS[network], self.overlay, patience_s=0.05)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.delenv("BOARD", raising=False)
    return Machine(tmp_path, monkeypatch)


def same(got: list[Any], network: int = 0) -> bool:
    return all(map(np.array_equal, got, Reference(NETWORKS[network]).run_batch(LINES)))


def test_the_design_is_asked_for_first_and_weights_are_read_back(machine: Machine) -> None:
    with machine.fpga() as device:
        kinds = machine.core.kinds
        loads = kinds.count(Kind.LOAD)
        order = [Kind.STATUS, *[Kind.LOAD] * loads, *[Kind.READ] * loads, Kind.COMMIT, Kind.STATUS]
        assert kinds == order
        assert same(device.run_batch(LINES))
        assert np.array_equal(device.run(LINES[0]), Reference(NETWORKS[0]).run(LINES[0]))
        assert kinds == [*order, *[Kind.INFER] * (len(LINES) + 1)]
        assert device.run_batch([]) == []
        facts = {
            "engine": "fpga",
            "path": "tiny",
            "retries": 0,
            "pynq": "4.0.0",
            "clock_mhz": round(DESIGN.clock_mhz, 3),
        }
        assert facts.items() <= device.info.items()
        assert device.status().model_valid
    assert machine.pynq.overlays == [str(machine.overlay.path("bit"))]


def test_scores_outlive_the_buffers(machine: Machine) -> None:
    with machine.fpga() as device:
        first = device.run_batch(LINES)
        device.run_batch(LINES[::-1])
        assert same(first)


def test_closed_devices_and_frames_that_do_not_fit(machine: Machine) -> None:
    device = machine.fpga()
    for frames in (LINES[0].astype(np.int8), LINES[0][:, :-1], LINES[0] + 200):
        with pytest.raises(DeviceError, match=r"frames are|a pixel code is"):
            device.run_batch([LINES[0], frames])
    device.close()
    device.close()
    with pytest.raises(DeviceError, match="closed"):
        device.run(LINES[0])
    assert Kind.INFER not in machine.core.kinds


def test_a_line_that_is_too_wide_is_refused_before_anything_is_sent(machine: Machine) -> None:
    with machine.fpga() as device:
        wide = np.zeros((DESIGN.max_columns + 1, DESIGN.height_px), np.uint8)
        with pytest.raises(LineTooWide, match=f"{len(wide)} columns long.*takes {DESIGN.max_columns}; cut it"):
            device.run_batch([LINES[0], wide])
        assert Kind.INFER not in machine.core.kinds
        assert len(device.run(wide[1:])) == DESIGN.max_columns // 2


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda p: setattr(p, "version", "3.0.1"), "is for PYNQ 3.1 and 4.0, here is 3.0.1"),
        (lambda p: setattr(p, "version", "4.01"), "here is 4.01"),
        (
            lambda p: setattr(p, "clock_mhz", 299.997),
            "the clock runs at 299.997 MHz, the timing was closed for 249.998",
        ),
        (lambda p: setattr(p, "clock_mhz", 0.0), "the clock runs at 0.000 MHz"),
        (lambda p: p.ip_dict.clear(), "axi_dma_0 is missing"),
        (lambda p: p.ip_dict["axi_dma_0"].update(type="a:b:c:1"), "axi_dma_0 is a:b:c:1"),
        (lambda p: p.ip_dict["axi_dma_0"]["parameters"].clear(), "length has 0 bits by its .hwh, 26 by its manifest"),
        (lambda p: setattr(p.dma, "buffer_max_size", 1000), "the DMA moves 1000 bytes"),
    ],
)
def test_what_does_not_belong_together_is_refused(machine: Machine, change: Any, complaint: str) -> None:
    change(machine.pynq)
    with pytest.raises(OverlayMismatch, match=complaint):
        machine.fpga()
    assert machine.core.kinds == []
    Ownership(machine.lock).close()  # it let go


def test_another_board(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BOARD", "Pynq-Z2")
    with pytest.raises(OverlayMismatch, match="for the board ZCU104, this is a Pynq-Z2"):
        machine.fpga()
    name = tmp_path / "pynq_board"
    name.write_bytes(b"ZCU104\0")
    monkeypatch.setattr("zeile.hw.fit.BOARD", name)
    machine.fpga().close()


def test_a_core_of_another_design_is_refused_at_once(machine: Machine) -> None:
    def other(words: Words) -> Words:
        answer = packets.parse(words)
        answer.payload[0] ^= np.uint64(1)
        return packets.answer(answer)

    machine.core.answered = other
    with pytest.raises(OverlayMismatch, match=f"its design id is .*, the manifest says {DESIGN.design_id:016x}"):
        machine.fpga()
    assert machine.core.kinds == [Kind.STATUS]


def test_weights_that_read_back_differently_twice(machine: Machine) -> None:
    def forgetful(words: Words) -> Words:
        answer = packets.parse(words)
        if answer.kind == Kind.READ:
            answer.payload[0] ^= np.uint64(4)
        return packets.answer(answer)

    machine.core.answered = forgetful
    with pytest.raises(DeviceFault, match="weights of layer 0 at 0x00000000 read back differ"):
        machine.fpga()
    assert len(machine.pynq.overlays) == 2


@pytest.mark.parametrize(
    "fault", [RuntimeError("No Devices Found"), PermissionError(13, "Permission denied"), KeyError("frequency")]
)
def test_what_pynq_raises_becomes_a_sentence(machine: Machine, fault: Exception) -> None:
    machine.pynq.faults.append(fault)
    with pytest.raises(DeviceError, match=f"overlay 'tiny' cannot be loaded: {type(fault).__name__}.*zeile doctor"):
        machine.fpga()


def test_a_fault_costs_one_retry_of_what_is_missing(machine: Machine) -> None:
    with machine.fpga() as device:
        answered = 0

        def once(words: Words) -> Words | None:
            nonlocal answered
            answered += packets.parse(words).kind == Kind.INFER
            return None if answered == 4 else words

        machine.core.answered = once
        resets = machine.pynq.dma.resets
        assert same(device.run_batch(LINES))
        assert device.info["retries"] == 1
        assert machine.pynq.dma.resets > resets
        assert len(machine.pynq.overlays) == 2
        assert machine.core.kinds.count(Kind.INFER) < 2 * len(LINES)


def test_what_fails_twice_is_an_error_and_then_it_works_again(machine: Machine) -> None:
    with machine.fpga() as device:
        machine.core.answered = lambda words: None
        with pytest.raises(DeviceTimeout, match="nothing moved"):
            device.run_batch(LINES)
        machine.core.answered = lambda words: words
        machine.pynq.dma.halts.extend([0, 0x10])
        assert same(device.run_batch(LINES))
        machine.pynq.dma.halts.extend([0x40] * 9)
        with pytest.raises(DeviceFault, match="decode error"):
            device.run_batch(LINES)
        machine.pynq.dma.halts.clear()
        assert same(device.run_batch(LINES))


def test_steps_and_classes_of_another_model_are_a_fault(machine: Machine) -> None:
    def short(words: Words) -> Words:
        answer = packets.parse(words)
        if answer.kind == Kind.INFER and answer.count > 1:
            half = len(answer.payload) // answer.count
            return packets.answer(
                packets.Answer(answer.kind, answer.tag, 0, 1, answer.classes, answer.payload[:half], 1)
            )
        return words

    with machine.fpga() as device:
        machine.core.answered = short
        with pytest.raises(DeviceFault, match="the core sent 1 steps of 15 classes, the line has 4 of 15"):
            device.run_batch(LINES)


def test_two_models_share_the_board(machine: Machine) -> None:
    with machine.fpga() as first, machine.second() as second:
        for _ in range(2):
            assert same(first.run_batch(LINES))
            machine.core.network = NETWORKS[1]
            assert same(second.run_batch(LINES), network=1)
            machine.core.network = NETWORKS[0]
        assert len(machine.pynq.overlays) == 1
        assert machine.core.kinds.count(Kind.COMMIT) == 6  # both when opened, and each time the other one reads
        first.close()
        with pytest.raises(DeviceBusy):
            Ownership(machine.lock)
    Ownership(machine.lock).close()


def test_threads_take_turns(machine: Machine) -> None:
    with machine.fpga() as device:
        good: list[bool] = []
        threads = [threading.Thread(target=lambda: good.append(same(device.run_batch(LINES)))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert good == [True] * 4


def test_another_process_owns_the_board(machine: Machine) -> None:
    with Ownership(machine.lock), pytest.raises(DeviceBusy, match="belongs to process"):
        machine.fpga()
    machine.fpga().close()


def test_an_interrupted_line_leaves_nothing_behind(machine: Machine) -> None:
    with machine.fpga() as device:
        calls = 0

        def interrupted(words: Words) -> Words:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise KeyboardInterrupt
            return words

        machine.core.answered = interrupted
        with pytest.raises(KeyboardInterrupt):
            device.run_batch(LINES)
        assert same(device.run_batch(LINES))


def test_rails(machine: Machine) -> None:
    def sensor(value: float) -> Any:
        return types.SimpleNamespace(value=value)

    with machine.fpga() as device:
        assert not device.rails
        rail = types.SimpleNamespace
        machine.pynq.rails.update(
            {
                "12V": rail(power=sensor(14.05), voltage=None, current=None),
                "INT": rail(power=None, voltage=sensor(0.85), current=sensor(2.0)),
                "FMC": rail(power=None, voltage=sensor(1.8), current=None),
            }
        )
        assert device.rails() == {"12V": 14.05, "INT": 1.7}


def test_opening_by_name(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    module = install(machine.pynq, monkeypatch)
    monkeypatch.setattr(module, "Ownership", lambda: Ownership(machine.lock))
    settings = Settings(engine="fpga", overlays=machine.folder / "overlays", overlay="tiny", emulate="0")
    with open_device("fpga", NETWORKS[0], settings=settings) as device:
        assert same(device.run_batch(LINES))
    machine.overlay.path("bit").unlink()
    with pytest.raises(OverlayMissing, match="make -C hw_src pack DESIGN=tiny"):
        open_device("fpga", NETWORKS[0], settings=settings)


def test_without_pynq_it_says_how_to_get_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    install(machine.pynq, monkeypatch)
    import sys

    monkeypatch.setitem(sys.modules, "pynq", None)
    monkeypatch.delitem(sys.modules, "zeile.device.fpga")
    settings = Settings(engine="fpga", overlays=machine.folder / "overlays", emulate="0")
    with pytest.raises(DeviceError, match=r"pynq cannot be imported.*zeile\[board\].*zeile doctor"):
        open_device("fpga", NETWORKS[0], settings=settings)
