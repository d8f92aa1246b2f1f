# SPDX-License-Identifier: Apache-2.0
"""The core behind the DMA: a model with two calls, send and receive, and the thread in which it runs.

``hls`` is the compiled HLS source (``zeile.hw.csim``), ``rtl`` its Verilated twin (``zeile.hw.rtlsim``); ``reference``
answers the same packets in NumPy and needs no compiler. The thread lets the host work while the core does, as on the
board: what the driver overlaps, overlaps here.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np

from zeile.device.emulated.faults import Faults
from zeile.device.emulated.reference_core import ReferenceCore
from zeile.errors import DeviceError, DeviceFault
from zeile.hw.design import Design, hw_source
from zeile.hw.packets import ANSWER, HEADER_WORDS, Kind, Words, crc

CYCLES = 20_000
"""Cycles that a model runs at a time; between two runs the thread looks for new packets."""
ANSWERS_WAITING = 2
"""Answers that nobody has taken before the core stands still: the back-pressure of its output stream."""


class CoreModel(Protocol):
    """A core; one thread uses it."""

    def send(self, words: Words, last: bool = True) -> None:
        """Offer words of a packet, ``last`` with TLAST on the final one; takes them all."""

    def run(self, cycles: int) -> int:
        """Run at most so many cycles, fewer if there is nothing to do or an answer is complete; the cycles run."""

    def receive(self) -> tuple[Words, bool]:
        """The words of the oldest answer that are there, and whether its TLAST is among them."""

    def close(self) -> None:
        """Release what the model holds."""


def _hls(design: Design) -> CoreModel:
    from zeile.hw import csim  # compiles; the reference core does without

    return csim.Core(csim.build(design, hw_source().resolve()))


def _rtl(design: Design) -> CoreModel:
    from zeile.hw import csim, rtlsim

    return csim.Core(rtlsim.build(design, hw_source().resolve()))


_MODELS: dict[str, Callable[[Design], CoreModel]] = {
    "hls": _hls,
    "1": _hls,
    "reference": ReferenceCore,
    "rtl": _rtl,
}

MODELS = tuple(_MODELS)
"""Values of ZEILE_EMULATE."""


def open_model(kind: str, design: Design) -> CoreModel:
    """A model of the core of a design.

    Raises:
        DeviceError: there is no such kind, or its sources cannot be compiled.
    """
    if kind not in _MODELS:
        raise DeviceError(f"ZEILE_EMULATE is {kind!r}; it must be one of {', '.join(MODELS)}")
    return _MODELS[kind](design)


class RunningCore:
    """A core model in a thread, between two streams.

    Args:
        model: the core.
        faults: what goes wrong with its packets.
        lock: is held when ``on_taken`` and ``on_answer`` are called, and by whoever calls the methods.

    Attributes:
        on_taken: called when the core has taken the packet offered.
        on_answer: called when there is something to take.
    """

    def __init__(self, model: CoreModel, faults: Faults, lock: threading.RLock) -> None:
        self.on_taken: Callable[[], None] = lambda: None
        self.on_answer: Callable[[], None] = lambda: None
        self._model, self._faults = model, faults
        self._changed = threading.Condition(lock)
        self._offered: Words | None = None
        self._answers: deque[tuple[Words, bool]] = deque()
        self._late: list[tuple[Words, bool]] = []
        self._parts: list[Words] = []  # of the answer that the model is giving; the thread's own
        self._stalled = self._closed = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="emulated core", daemon=True)
        self._thread.start()

    def offer(self, words: Words) -> None:
        """Put a packet on the input stream, where there is none."""
        self._offered = words
        self._changed.notify_all()

    def take(self, room: int) -> tuple[Words, bool] | None:
        """At most ``room`` words of the oldest answer, and whether they end with TLAST; None if there is none."""
        if not self._answers:
            return None
        words, last = self._answers.popleft()
        if len(words) > room:
            self._answers.appendleft((words[room:], last))
            return words[:room], False
        self._changed.notify_all()  # the core may go on
        return words, last

    def dma_reset(self) -> None:
        """The DMA has been reset, which the core does not see; a stall ends, and answers held back come first."""
        self._offered, self._stalled = None, False
        self._answers.extendleft(reversed(self._late))
        self._late.clear()
        self._changed.notify_all()

    def check(self) -> None:
        """Raise what went wrong in the thread, if anything.

        Raises:
            DeviceFault: the model has failed, as by a deadlock.
        """
        if self._failure is not None:
            raise DeviceFault(f"the model of the core has failed: {self._failure}") from self._failure

    def close(self) -> None:
        """Stop the thread and release the model; a second time does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=60)

    def _work(self) -> None:
        idle = True
        try:
            while (packet := self._next_packet(idle)) is not None:
                if len(packet):
                    self._model.send(packet, True)
                ran = self._model.run(CYCLES)
                got = self._collect()
                idle = not (len(packet) or ran or got)
        except Exception as error:  # whatever a model raises is told to the thread that reads a register next
            with self._changed:
                self._failure = error
        finally:
            self._model.close()

    def _next_packet(self, idle: bool) -> Words | None:
        """The packet offered; without one no words, once there is something to do; None at the end."""
        with self._changed:
            while not self._closed:
                if self._offered is not None and not self._stalled:
                    if not self._faults.strike("stall"):
                        packet, self._offered = self._offered, None
                        self.on_taken()
                        return self._damaged(packet) if self._faults.strike("damaged") else packet
                    self._stalled = True
                if not idle and not self._stalled and len(self._answers) < ANSWERS_WAITING:
                    return np.zeros(0, np.uint64)
                self._changed.wait()
            return None

    def _damaged(self, packet: Words) -> Words:
        packet, dice = packet.copy(), self._faults.random
        packet[dice.randrange(len(packet))] ^= np.uint64(1 << dice.randrange(64))
        return packet

    def _collect(self) -> bool:
        """Put a whole answer of the model on the output stream; whether the model said anything."""
        words, last = self._model.receive()
        self._parts.append(words)
        if last:
            with self._changed:
                self._answer(np.concatenate(self._parts))
            self._parts.clear()
        return len(words) > 0

    def _answer(self, words: Words) -> None:
        """Put an answer on the output stream, if nothing goes wrong with it."""
        strike, kind = self._faults.strike, int(words[0]) >> 16 & 0xFF
        if kind == Kind.STATUS | ANSWER and strike("wrong_design"):
            words[HEADER_WORDS] ^= np.uint64(0xBAD)
            words[-1] = words[-1] >> np.uint64(32) << np.uint64(32) | np.uint64(crc(words[:-1]))
        if kind == Kind.INFER | ANSWER and len(words) > HEADER_WORDS + 1 and strike("corrupt"):
            at = self._faults.random.randrange(HEADER_WORDS, len(words) - 1)
            words[at] ^= np.uint64(1 << self._faults.random.randrange(64))
        if strike("lost"):
            return
        last = not strike("missing_tlast")
        if strike("late"):
            self._late.append((words, last))
        else:
            self._answers.append((words, last))
            self.on_answer()
