# SPDX-License-Identifier: Apache-2.0
"""Packets to the core and answers back, through an AXI DMA in direct mode that pynq's classes drive.

A packet is one transfer out, an answer one transfer in. Two buffers each way: while the DMA empties one, the next
packet is laid into the other; while it fills one, the answer in the other is decoded. Nothing waits without a deadline,
and the DMA's own words (DMASR) stand in every error.

Registers: Xilinx PG021 (AXI DMA v7.1), direct register mode.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from zeile.errors import DeviceError, DeviceFault, DeviceTimeout
from zeile.hw.design import Design
from zeile.hw.packets import ANSWER, HEADER_WORDS, SCORES, Answer, Kind, Words, answer_words, parse

MM2S_CONTROL, MM2S_STATUS = 0x00, 0x04
S2MM_CONTROL, S2MM_STATUS, S2MM_LENGTH = 0x30, 0x34, 0x58
RUN, RESET = 1, 4
HALTED, IDLE, ERRORS = 1, 2, 0x770

_BITS = {
    0x001: "halted",
    0x002: "idle",
    0x008: "scatter-gather",
    0x010: "internal error: receive overran, no TLAST, or length 0",
    0x020: "slave error",
    0x040: "decode error: no memory at that address",
    0x100: "scatter-gather internal error",
    0x200: "scatter-gather slave error",
    0x400: "scatter-gather decode error",
    0x1000: "transfer complete",
    0x4000: "error interrupt",
}

SMALLEST_WORDS = 1024
"""8 KB: smaller buffers of pynq had addresses that a 32-bit master cannot reach (Xilinx/PYNQ#1500)."""

_PYNQ = (DeviceError, RuntimeError, OSError, ValueError)  # what pynq, and the emulated board below it, raise
_RESET_S = 0.5
_NAP_S = 20e-6


class Registers(Protocol):
    """What is used of ``pynq.MMIO``."""

    def read(self, offset: int) -> int: ...

    def write(self, offset: int, value: int) -> None: ...


class Channel(Protocol):
    """What is used of a channel of ``pynq.lib.dma.DMA``."""

    def start(self) -> None: ...

    def transfer(self, array: Any, start: int = 0, nbytes: int = 0) -> None: ...


class Buffer(Protocol):
    """What is used of a ``pynq.buffer.PynqBuffer`` of uint64; also that it is a NumPy array."""

    def invalidate(self) -> None: ...

    def __len__(self) -> int: ...


def buffer_words(design: Design) -> tuple[int, int]:
    """Words of a buffer for packets, and of one for answers: those of the longest line."""
    line = HEADER_WORDS + design.max_frames * design.words_per_frame
    scores = answer_words(Kind.INFER, SCORES, design.ring_steps, design.classes)
    return max(line, SMALLEST_WORDS), max(scores, SMALLEST_WORDS)


def decoded(status: int) -> str:
    """A DMASR as words."""
    names = [name for bit, name in _BITS.items() if status & bit] or ["running"]
    return f"0x{status:08x} ({', '.join(names)})"


def reset_dma(registers: Registers) -> None:
    """Stop both channels, forget their transfers and errors, and set them running.

    pynq's ``start`` spins until the channel runs; after this it does so at once.

    Raises:
        DeviceFault: the DMA does not come out of its reset, or does not run.
    """
    try:
        registers.write(MM2S_CONTROL, RESET)  # of both channels
        _until(registers, MM2S_CONTROL, RESET, "come out of its reset")
        for control, status in ((MM2S_CONTROL, MM2S_STATUS), (S2MM_CONTROL, S2MM_STATUS)):
            registers.write(control, RUN)
            _until(registers, status, HALTED, "run")
    except _PYNQ as error:
        raise error if isinstance(error, DeviceFault) else DeviceFault(f"the DMA cannot be reset: {error}") from None


def _until(registers: Registers, offset: int, bit: int, what: str) -> None:
    end = time.monotonic() + _RESET_S
    while (value := registers.read(offset)) & bit:
        if time.monotonic() > end:
            raise DeviceFault(
                f"the DMA does not {what} within {_RESET_S} s (register 0x{offset:02x} is 0x{value:08x}); "
                "is the overlay's clock running? Restart the board"
            )
        time.sleep(_NAP_S)


class Link:
    """The way to the core and back.

    Args:
        registers: of the DMA.
        send: its channel from memory to the core.
        receive: its channel from the core to memory.
        outgoing: two buffers of uint64 words for packets.
        incoming: two for answers.
        patience_s: how long nothing may move while answers are awaited.
    """

    def __init__(
        self,
        registers: Registers,
        send: Channel,
        receive: Channel,
        outgoing: Sequence[Buffer],
        incoming: Sequence[Buffer],
        patience_s: float,
    ) -> None:
        self._registers, self._send, self._receive = registers, send, receive
        self._outgoing, self._incoming = outgoing, incoming
        # Plain views: a slice of pynq's buffer is one of its buffers again, with a destructor.
        self._out_words: list[Words] = [np.asarray(buffer).view(np.ndarray) for buffer in outgoing]
        self._in_words: list[Words] = [np.asarray(buffer).view(np.ndarray) for buffer in incoming]
        self._patience_s = patience_s
        self._tags = itertools.count()
        self._out_turn = self._in_turn = 0  # the buffer that is filled next, and the one that the DMA fills
        self._sending = self._armed = False

    @property
    def room(self) -> int:
        """Payload words that both a packet and an answer can carry."""
        return min(len(self._out_words[0]), len(self._in_words[0])) - 4

    def tag(self) -> int:
        """A tag that no packet in flight has."""
        return next(self._tags) & 0xFFFF

    def ask(self, packet: Words) -> Answer:
        """The answer to one packet; as ``exchange``."""
        (answer,) = self.exchange([packet], 1)
        return answer

    def exchange(self, packets: Iterable[Words], in_flight: int) -> Iterator[Answer]:
        """Send packets, made while others are on their way, and yield their answers in order.

        After an error, or if not all answers are taken, the link is of no more use: reset the DMA and make another.

        Args:
            packets: each (n,) uint64 with a tag of its own.
            in_flight: packets that may be unanswered at a time.

        Yields:
            Answers, checked: checksum, tag, kind and length. A payload lies in a buffer of the DMA: it is gone when the
            next answer is asked for.

        Raises:
            DeviceFault: the DMA reports an error, an answer is damaged or another's, or the core refused a packet.
            DeviceTimeout: nothing moved for ``patience_s``.
        """
        source, more = iter(packets), True
        staged = head = 0  # words of the packet that lies in its buffer, ready to go, and its first word
        heads: deque[int] = deque()  # of the packets that were sent and not answered
        deadline = time.monotonic() + self._patience_s
        while more or staged or heads:
            moved = False
            if self._sending and self._done(MM2S_STATUS):
                self._sending, moved = False, True
            if staged and not self._sending and len(heads) < in_flight:
                self._go(staged)
                heads.append(head)
                staged, moved = 0, True
            if heads and self._done(S2MM_STATUS):
                words = self._take(rearm=len(heads) > 1 or staged > 0 or more)
                yield _checked(words, heads.popleft())
                moved = True
            if more and not staged:
                packet = next(source, None)
                if packet is None:
                    more = False
                else:
                    staged, head = self._stage(packet), int(packet[0])
                moved = True
            if moved:
                deadline = time.monotonic() + self._patience_s
            elif time.monotonic() > deadline:
                raise DeviceTimeout(self._silence(len(heads)))
            else:
                time.sleep(_NAP_S)

    def _stage(self, packet: Words) -> int:
        """Lay a packet into the buffer that is not on its way; returns its words."""
        buffer = self._out_words[self._out_turn]
        if len(packet) > len(buffer):
            raise DeviceFault(f"a packet has {len(packet)} words, its buffer holds {len(buffer)}; report this")
        buffer[: len(packet)] = packet
        return len(packet)

    def _go(self, words: int) -> None:
        """Send what was staged; the receiver is armed first, or the answer could overrun."""
        if not self._armed:
            self._arm()
        self._transfer(self._send, self._outgoing[self._out_turn], 8 * words)
        self._out_turn ^= 1
        self._sending = True

    def _arm(self) -> None:
        self._transfer(self._receive, self._incoming[self._in_turn], 8 * len(self._in_words[self._in_turn]))
        self._armed = True

    def _take(self, *, rearm: bool) -> Words:
        """Words of the answer that came; the other buffer is armed at once."""
        turn = self._in_turn
        length = self._read(S2MM_LENGTH)
        self._in_turn ^= 1
        self._armed = False
        if rearm:
            self._arm()
        self._incoming[turn].invalidate()
        if length % 8 or length > 8 * len(self._in_words[turn]):
            raise DeviceFault(f"the DMA received {length} bytes, no whole number of words of its buffer")
        return self._in_words[turn][: length // 8]

    def _done(self, register: int) -> bool:
        """Whether a channel is idle again.

        Raises:
            DeviceFault: either channel has stopped with an error.
        """
        status = self._read(register)
        if status & (ERRORS | HALTED):
            raise DeviceFault(self._stopped())
        return bool(status & IDLE)

    def _read(self, offset: int) -> int:
        try:
            return int(self._registers.read(offset))
        except _PYNQ as error:
            raise DeviceFault(f"the DMA's register 0x{offset:02x} cannot be read: {error}") from error

    def _transfer(self, channel: Channel, buffer: Buffer, length: int) -> None:
        try:
            channel.transfer(buffer, nbytes=length)
        except _PYNQ as error:
            raise DeviceFault(f"a transfer of {length} bytes cannot start: {error}; {self._stopped()}") from error

    def _stopped(self) -> str:
        sent, received = self._read(MM2S_STATUS), self._read(S2MM_STATUS)
        return f"the DMA stopped: send {decoded(sent)}, receive {decoded(received)}"

    def _silence(self, waiting: int) -> str:
        sent, received = self._read(MM2S_STATUS), self._read(S2MM_STATUS)
        return (
            f"nothing moved for {self._patience_s} s with {waiting} packets unanswered: the core stands still, or an "
            f"answer's TLAST is missing; send {decoded(sent)}, receive {decoded(received)}"
        )


def _checked(words: Words, head: int) -> Answer:
    """The answer to the packet with this first word.

    Raises:
        DeviceFault: it is damaged, an answer to another packet, or an error of the core.
    """
    answer = parse(words)
    if answer.kind == Kind.ERROR:
        raise DeviceFault(f"the core refused packet {head >> 32}: {answer.sentence}")
    if (got := int(words[0])) != head | ANSWER << 16:
        raise DeviceFault(
            f"an answer begins with 0x{got:016x}, but 0x{head | ANSWER << 16:016x} was due: it is another's"
        )
    return answer
