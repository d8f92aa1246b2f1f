# SPDX-License-Identifier: Apache-2.0
"""The few pynq objects that the driver uses, scripted: for tests without pynq, and for what boards do rarely."""

from __future__ import annotations

import importlib
import sys
import types
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

import zeile.device
from zeile.device.reference import Reference
from zeile.hw import packets
from zeile.hw.design import Design
from zeile.hw.link import HALTED, IDLE, MM2S_CONTROL, MM2S_STATUS, RESET, S2MM_CONTROL, S2MM_LENGTH, S2MM_STATUS
from zeile.hw.packets import Answer, Kind, Words
from zeile.network import Network

DRIVER = "zeile.device.fpga"


class Core:
    """Answers packets at once; INFER with the reference engine, whatever was loaded.

    Attributes:
        answered: changes each answer on its way; None stays unanswered.
    """

    def __init__(self, design: Design, network: Network) -> None:
        self.design, self.network = design, network
        self.memory: dict[tuple[int, int], int] = {}
        self.model = 0
        self.kinds: list[Kind] = []
        self.answered: Callable[[Words], Words | None] = lambda words: words

    def answer(self, words: Words) -> Words | None:
        head, second, body = int(words[0]), int(words[1]), words[2:]
        kind, field, tag = Kind(head >> 16 & 0xFF), head >> 24 & 0xFF, head >> 32
        count, address = second & 0xFFFFFFFF, second >> 32
        self.kinds.append(kind)
        steps = classes = 0
        payload: Words = np.zeros(0, np.uint64)
        if kind == Kind.INFER:
            scores = Reference(self.network).run(self._line(body[:-1], count))
            steps, classes = scores.shape
            rows = np.zeros((steps, -(-classes // 8) * 8), np.int8)
            rows[:, :classes] = scores
            payload = rows.reshape(-1).view(np.uint64)
        elif kind == Kind.LOAD:
            self.memory |= {(field, address + index): int(word) for index, word in enumerate(body[:-1])}
        elif kind == Kind.COMMIT:
            self.model = int(body[1])
        elif kind == Kind.READ:
            steps = count
            payload = np.array([self.memory.get((field, address + i), 0) for i in range(count)], np.uint64)
        elif kind == Kind.ECHO:
            steps, payload = count, body
        elif kind == Kind.STATUS:
            steps, payload = 16, self._status()
        return self.answered(packets.answer(Answer(kind, tag, field, steps, classes, payload, 1)))

    def _line(self, body: Words, count: int) -> packets.Frames:
        width = self.network.input_codes.size
        if count == 0:
            return np.zeros((0, width), np.uint8)
        return packets.unpack(body.reshape(count, -1), self.design.pixel_bits, width)

    def _status(self) -> Words:
        words = [0] * 16
        words[0] = self.design.design_id
        words[1] = packets.ABI | self.design.classes << 16 | self.design.max_columns << 32
        words[3], words[14], words[15] = self.model, self.design.ring_steps, int(self.model != 0)
        return np.array(words, np.uint64)


class Buffer(np.ndarray[Any, Any]):
    """A buffer whose other view is the DMA's."""

    shadow: Any

    def flush(self) -> None:
        self.shadow[:] = self

    def invalidate(self) -> None:
        self[:] = self.shadow


def allocate(shape: tuple[int, ...], dtype: Any) -> Buffer:
    buffer = np.zeros(shape, dtype).view(Buffer)
    buffer.shadow = np.full(shape, 0xDEAD, dtype)
    return buffer


class Dma:
    """Registers and both channels of a DMA in front of a core.

    Attributes:
        latency: how often the status is read before an answer is there.
        halts: DMASR bits with which the next transfers to memory end, in turn; 0 is none.
    """

    buffer_max_size = (1 << 26) - 1

    def __init__(self, core: Core) -> None:
        self.core = core
        self.halts: deque[int] = deque()
        self.resets = self.latency = self._polls = 0
        self.running = True  # after a reset
        self._status = {MM2S_STATUS: HALTED, S2MM_STATUS: HALTED}
        self._answers: deque[Words] = deque()
        self._armed: tuple[Buffer, int] | None = None
        self._length = 0
        self.sendchannel, self.recvchannel = Channel(self._send), Channel(self._receive)

    def read(self, offset: int) -> int:
        if offset == S2MM_STATUS and self._armed:
            self._polls += 1
            self._move()
        return {S2MM_LENGTH: self._length, **self._status}.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if value & RESET:
            self.resets += 1
            self._status = {MM2S_STATUS: HALTED, S2MM_STATUS: HALTED}
            self._answers.clear()
            self._armed = None
        elif offset in (MM2S_CONTROL, S2MM_CONTROL) and self.running:
            self._status[offset + 4] &= ~HALTED

    def _send(self, buffer: Buffer, nbytes: int) -> None:
        assert self._status[MM2S_STATUS] & HALTED == 0
        assert self._armed is not None, "sent before the receiver was armed"
        buffer.flush()
        self._status[MM2S_STATUS] |= IDLE
        if (answer := self.core.answer(buffer.shadow[: nbytes // 8].copy())) is not None:
            self._answers.append(answer)
            self._move()

    def _receive(self, buffer: Buffer, nbytes: int) -> None:
        if self._status[S2MM_STATUS] & HALTED:
            raise RuntimeError("DMA channel not started")
        assert self._armed is None
        self._status[S2MM_STATUS] &= ~IDLE
        self._armed = buffer, nbytes
        self._move()

    def _move(self) -> None:
        if self._armed and self._answers and self._polls >= self.latency:
            self._polls = 0
            words = self._answers.popleft()
            buffer, _ = self._armed
            buffer.shadow[: len(words)] = words
            self._length, self._armed = 8 * len(words), None
            bits = self.halts.popleft() if self.halts else 0
            self._status[S2MM_STATUS] |= bits | HALTED if bits else IDLE


class Channel:
    """A channel, as ``pynq.lib.dma`` has them."""

    def __init__(self, begin: Callable[[Buffer, int], None]) -> None:
        self._begin = begin

    def start(self) -> None:
        pass

    def transfer(self, array: Buffer, start: int = 0, nbytes: int = 0) -> None:
        self._begin(array, nbytes)


class Pynq:
    """Scripted pynq; its attributes decide what a driver meets.

    Attributes:
        dma: behind which the core is.
        overlays: names of the .bit files that were loaded.
        fault: raised by the next loads, in turn.
    """

    def __init__(self, core: Core) -> None:
        self.dma = Dma(core)
        self.overlays: list[str] = []
        self.faults: deque[Exception | None] = deque()
        self.version, self.clock_mhz = "4.0.0", core.design.clock_mhz
        self.ip_dict: dict[str, Any] = {
            "axi_dma_0": {
                "type": "xilinx.com:ip:axi_dma:7.1",
                "phys_addr": 0xA0000000,
                "addr_range": 0x10000,
                "parameters": {"c_sg_length_width": "26"},
            }
        }
        self.rails: dict[str, Any] = {}
        self.cleared = 0

    def _overlay(self, name: str) -> Any:
        assert self.cleared > len(self.overlays), "pynq's cache was not cleared before"
        self.overlays.append(name)
        if self.faults and (fault := self.faults.popleft()) is not None:
            raise fault
        return types.SimpleNamespace(ip_dict=self.ip_dict, axi_dma_0=self.dma)

    def _clear(self) -> None:
        self.cleared += 1

    def modules(self) -> dict[str, Any]:
        """For ``sys.modules``."""
        pynq: Any = types.ModuleType("pynq")
        state: Any = types.ModuleType("pynq.pl_server.global_state")
        pynq.__version__ = self.version
        pynq.Overlay, pynq.allocate, pynq.MMIO = self._overlay, allocate, lambda address, length: self.dma
        pynq.Clocks = type("Clocks", (), {"fclk0_mhz": self.clock_mhz})
        pynq.get_rails = lambda: self.rails
        state.clear_global_state = self._clear
        return {
            "pynq": pynq,
            "pynq.pl_server": types.ModuleType("pynq.pl_server"),
            "pynq.pl_server.global_state": state,
        }


def install(fake: Pynq, monkeypatch: Any) -> Any:
    """Import the driver anew, on this pynq; returns its module."""
    for name, module in fake.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, DRIVER, None)  # so that both are put back as they were
    monkeypatch.setattr(zeile.device, "fpga", None, raising=False)
    del sys.modules[DRIVER]
    return importlib.import_module(DRIVER)
