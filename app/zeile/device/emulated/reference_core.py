# SPDX-License-Identifier: Apache-2.0
"""The core's packets answered in NumPy: what is loaded is taken apart into tensors, and ``Reference`` computes.

A second reading of ``hw_src/hls``'s contract (``zeile.hw.packets``, ``zeile.hw.layout``), independent of the HLS
sources. It has no clock: the cycles it reports are the words that went in and out.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from zeile.device.emulated.model_memory import ModelMemory
from zeile.device.reference import Reference
from zeile.hw.design import Design
from zeile.hw.packets import (
    ABI,
    HEADER_WORDS,
    MAGIC,
    STATUS_WORDS,
    Answer,
    Emits,
    Fault,
    Frames,
    Kind,
    Words,
    answer,
    crc,
    unpack,
)

ECHO_WORDS = 512  # as kEchoWords in hw_src/hls/packet.h
_EMPTY = np.zeros(0, np.uint64)


class Refusal(Exception):
    """The core answers with an error: ``args`` are the fault and its detail."""


class ReferenceCore:
    """A core of a design.

    Args:
        design: its shape.
    """

    def __init__(self, design: Design) -> None:
        self._design = design
        self._memory = ModelMemory(design)
        self._engine: Reference | None = None
        self._model_id = 0
        self._parts: list[Words] = []
        self._packets: deque[Words] = deque()
        self._answers: deque[Words] = deque()
        self._words = self._lines = self._received = self._errors = 0

    def send(self, words: Words, last: bool = True) -> None:
        self._parts.append(words)
        if last:
            self._packets.append(np.concatenate(self._parts))
            self._parts = []

    def run(self, cycles: int) -> int:
        """Answer one packet, if there is one."""
        if not self._packets:
            return 0
        packet = self._packets.popleft()
        self._received += 1
        head = int(packet[0])
        field, tag = head >> 24 & 0xFF, head >> 32 & 0xFFFF
        try:
            reply = self._reply(packet, head >> 16 & 0xFF, field, tag)
        except Refusal as refusal:
            self._errors += 1
            fault, detail = refusal.args
            reply = Answer(Kind.ERROR, tag, field, 0, 0, _EMPTY, 0, fault, detail)
        words = answer(reply)
        self._words += len(packet) + len(words)
        words[-1] |= np.uint64((len(packet) + len(words)) << 32)
        self._answers.append(words)
        return len(packet) + len(words)

    def receive(self) -> tuple[Words, bool]:
        return (self._answers.popleft(), True) if self._answers else (_EMPTY, False)

    def close(self) -> None:
        """Nothing to release."""

    def _reply(self, packet: Words, kind: int, field: int, tag: int) -> Answer:
        count, address = self._judge(packet, kind, field)
        payload = packet[HEADER_WORDS:]
        expected = HEADER_WORDS + {
            Kind.INFER: count * self._design.words_per_frame + 1,
            Kind.LOAD: count + 1,
            Kind.COMMIT: 2,
            Kind.ECHO: count,
        }.get(Kind(kind), 0)
        if kind == Kind.LOAD and len(payload):  # stored as it comes; whether it was whole is known at its end
            self._engine = None
            self._memory.write(field, address, payload[:count])
        if len(packet) < expected:
            raise Refusal(Fault.SHORT_PACKET, len(packet))
        if len(packet) > expected:
            raise Refusal(Fault.LONG_PACKET, expected)
        if kind in (Kind.INFER, Kind.LOAD) and crc(packet[:-1]) != int(packet[-1]) & 0xFFFF_FFFF:
            raise Refusal(Fault.CRC_MISMATCH, crc(packet[:-1]))
        if kind == Kind.INFER:
            return self._infer(tag, field, count, payload[:-1])
        words: Words = _EMPTY
        if kind == Kind.COMMIT:
            self._commit(int(payload[0]) & 0xFFFF, int(payload[1]))
        elif kind == Kind.READ:
            words = self._memory.read(field, address, count)
        elif kind == Kind.ECHO:
            words = payload
        elif kind == Kind.STATUS:
            words = self._status()
        return Answer(Kind(kind), tag, field, len(words), 0, words, 0)

    def _judge(self, packet: Words, kind: int, field: int) -> tuple[int, int]:
        """What the two words of the header say, count and address, in the order in which the core finds faults."""
        head = int(packet[0])
        if head & 0xFFFF != MAGIC | ABI << 8:
            raise Refusal(Fault.BAD_MAGIC, head & 0xFFFF_FFFF)
        if kind not in list(Kind) or kind == Kind.ERROR or (kind == Kind.INFER and field not in list(Emits)):
            raise Refusal(Fault.UNKNOWN_KIND, kind)
        if len(packet) < HEADER_WORDS:
            raise Refusal(Fault.SHORT_PACKET, len(packet))
        count, address = int(packet[1]) & 0xFFFF_FFFF, int(packet[1]) >> 32
        if kind == Kind.INFER and self._engine is None:
            raise Refusal(Fault.NO_MODEL, 0)
        if kind == Kind.INFER and count > self._design.max_frames:
            raise Refusal(Fault.TOO_LONG, self._design.max_frames)
        if kind == Kind.ECHO and count > ECHO_WORDS:
            raise Refusal(Fault.TOO_LONG, ECHO_WORDS)
        if kind in (Kind.LOAD, Kind.READ) and not self._memory.has(field, address, count):
            raise Refusal(Fault.BAD_ADDRESS, address)
        if kind == Kind.COMMIT and count != 2:
            raise Refusal(Fault.SHORT_PACKET if count < 2 else Fault.LONG_PACKET, HEADER_WORDS)
        return count, address

    def _infer(self, tag: int, emits: int, count: int, payload: Words) -> Answer:
        assert self._engine is not None
        frames: Frames = np.zeros((0, self._design.codes[0].size), np.uint8)
        if count:
            frames = unpack(payload.reshape(count, -1), self._design.pixel_bits, frames.shape[1])
        scores = self._engine.run(frames)  # (S, K)
        self._lines += 1
        steps, classes = scores.shape
        if emits == Emits.BEST:
            best = scores.argmax(1)  # the lowest index among the highest
            pairs = np.stack([best.astype(np.uint8), scores[np.arange(steps), best].view(np.uint8)], axis=1)
            words = _words(pairs.reshape(1, -1))
        else:
            words = _words(scores.view(np.uint8))
        return Answer(Kind.INFER, tag, emits, steps, classes, words, 0)

    def _commit(self, classes: int, model_id: int) -> None:
        if not 2 <= classes <= self._design.classes:
            raise Refusal(Fault.BAD_CLASSES, classes)
        self._engine, self._model_id = Reference(self._memory.network(classes)), model_id

    def _status(self) -> Words:
        design, valid = self._design, self._engine is not None
        words = np.zeros(STATUS_WORDS, np.uint64)
        values: dict[int, Any] = {
            0: design.design_id,
            1: ABI | design.classes << 16 | design.max_columns << 32,
            2: self._words,
            3: self._model_id if valid else 0,
            10: self._lines,
            11: self._received,
            12: self._errors,
            14: design.ring_steps,
            15: int(valid),
        }
        for index, value in values.items():
            words[index] = value
        return words


def _words(rows: npt.NDArray[np.uint8]) -> Words:
    """Rows of bytes, each filled with 0 to whole words."""
    filled = np.zeros((len(rows), -(-rows.shape[1] // 8) * 8), np.uint8)
    filled[:, : rows.shape[1]] = rows
    return filled.view("<u8").astype(np.uint64).reshape(-1)
