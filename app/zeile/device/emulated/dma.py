# SPDX-License-Identifier: Apache-2.0
"""AXI DMA 7.1 in direct register mode: its registers and what they do (PG021).

A transfer from memory (MM2S) is one packet of the stream: the last word has TLAST. A transfer to memory (S2MM) ends
with the packet; if the packet is longer, or the buffer is full before TLAST, the channel halts with DMAIntErr.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeile.device.emulated.bus import BusError, Registers
from zeile.device.emulated.core_model import RunningCore
from zeile.device.emulated.faults import Faults
from zeile.device.emulated.memory import Memory

DMACR, DMASR, ADDRESS, ADDRESS_MSB, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
MM2S, S2MM = 0x00, 0x30

RUN, RESET = 0x1, 0x4  # DMACR
HALTED, IDLE = 0x1, 0x2  # DMASR
INTERNAL_ERROR, SLAVE_ERROR, DECODE_ERROR = 0x10, 0x20, 0x40
COMPLETE, ERROR_INTERRUPT, INTERRUPTS = 0x1000, 0x4000, 0x7000


@dataclass
class Channel:
    """One direction. ``busy``: a transfer is going on; ``done`` counts the bytes it has moved."""

    control: int = 0x1_0002
    status: int = HALTED
    address: int = 0
    length: int = 0
    busy: bool = False
    done: int = 0

    @property
    def interrupt(self) -> bool:
        """Level of the channel's interrupt output."""
        return bool(self.status & self.control & INTERRUPTS)


class AxiDma(Registers):
    """The DMA between memory and a core.

    Args:
        parameters: of the IP, as in the ``.hwh``; ``c_sg_length_width`` is used.
        core: the streams' other end; its ``on_taken`` and ``on_answer`` are set here.
        gone: called when the fault ``disappear`` strikes.
    """

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, Any],
        memory: Memory,
        core: RunningCore,
        faults: Faults,
        gone: Callable[[], None],
    ) -> None:
        super().__init__(name)
        self._mask = (1 << int(parameters.get("c_sg_length_width", 14))) - 1
        self._memory, self._core, self._faults, self._gone = memory, core, faults, gone
        self.changed: Callable[[], None] = lambda: None  # an interrupt output may have changed
        self.channels = {MM2S: Channel(), S2MM: Channel()}
        core.on_taken, core.on_answer = self._sent, self._receive

    def interrupt(self, pin: str) -> Callable[[], bool]:
        """The level of an interrupt output, ``mm2s_introut`` or ``s2mm_introut``."""
        base = MM2S if pin.startswith("mm2s") else S2MM
        return lambda: self.channels[base].interrupt

    def read(self, offset: int) -> int:
        self._core.check()
        base, register = _split(offset)
        channel = self.channels[base]
        if register == LENGTH:
            return channel.done if base == S2MM else channel.length
        fields = {DMACR: channel.control, DMASR: channel.status}
        halves = {ADDRESS: channel.address & 0xFFFF_FFFF, ADDRESS_MSB: channel.address >> 32}
        return (fields | halves).get(register, 0)

    def write(self, offset: int, value: int) -> None:
        base, register = _split(offset)
        channel = self.channels[base]
        if register == DMACR:
            self._control(channel, value)
        elif register == DMASR:
            channel.status &= ~(value & INTERRUPTS)  # write 1 to clear
        elif register == ADDRESS:
            channel.address = channel.address >> 32 << 32 | value
        elif register == ADDRESS_MSB:
            channel.address = value << 32 | channel.address & 0xFFFF_FFFF
        elif register == LENGTH:
            self._start(base, channel, value & self._mask)
        self.changed()

    def _control(self, channel: Channel, value: int) -> None:
        if value & RESET:  # of either channel resets both
            self.channels[MM2S], self.channels[S2MM] = Channel(), Channel()
            self._core.dma_reset()
            return
        channel.control = value
        channel.status = channel.status & ~HALTED if value & RUN else channel.status | HALTED

    def _start(self, base: int, channel: Channel, length: int) -> None:
        if channel.busy:
            raise BusError(
                f"{self.name}: LENGTH written while a transfer is going on, undefined on the board; wait first"
            )
        channel.length, channel.done = length, 0
        if self._faults.strike("disappear"):
            self._gone()
            raise BusError(f"{self.name}: the programmable logic no longer answers")
        if channel.status & HALTED:
            return
        channel.status &= ~IDLE
        if length == 0:
            self._halt(channel, INTERNAL_ERROR)
        elif self._faults.strike("slave_error"):
            self._halt(channel, SLAVE_ERROR)
        elif self._faults.strike("decode_error"):
            self._halt(channel, DECODE_ERROR)
        else:
            channel.busy = True
            try:
                data = self._memory.at(channel.address, length)
            except BusError:
                self._halt(channel, DECODE_ERROR)
                return
            if base == S2MM:
                self._receive()
                return
            padded = np.zeros(-(-length // 8) * 8, np.uint8)
            padded[:length] = data
            self._core.offer(padded.view("<u8").astype(np.uint64))

    def _sent(self) -> None:
        """The core has taken the packet."""
        channel = self.channels[MM2S]
        channel.done = channel.length
        self._complete(channel)

    def _receive(self) -> None:
        """Move what the core has for a waiting transfer."""
        channel = self.channels[S2MM]
        while channel.busy:
            room = (channel.length - channel.done) // 8
            piece = self._core.take(room)
            if piece is None:
                return
            words, last = piece
            data = words.astype("<u8").view(np.uint8)
            if last and self._faults.strike("overrun"):
                data, last = np.resize(data, 8 * room), False
            self._memory.at(channel.address + channel.done, len(data))[:] = data
            channel.done += len(data)
            if last:
                self._complete(channel)
            elif len(data) == 8 * room:
                self._halt(channel, INTERNAL_ERROR)

    def _complete(self, channel: Channel) -> None:
        channel.busy = False
        channel.status |= IDLE | COMPLETE
        self.changed()

    def _halt(self, channel: Channel, error: int) -> None:
        channel.busy = False
        channel.status |= error | HALTED | ERROR_INTERRUPT
        self.changed()


def _split(offset: int) -> tuple[int, int]:
    base = S2MM if offset >= S2MM else MM2S
    return base, offset - base
