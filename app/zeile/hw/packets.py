# SPDX-License-Identifier: Apache-2.0
"""Packets between the host and the core, little-endian 64-bit words, TLAST on the last one.

    word 0   [7:0] magic 0x5A, [15:8] ABI, [23:16] kind, [31:24] emits or target, [47:32] tag, [63:48] 0
    word 1   [31:0] count, and [63:32] address (LOAD, READ), detail (ERROR), or [47:32] classes (answer to INFER)
    payload
    trailer  [31:0] CRC-32 of all words before it, [63:32] cycles the packet took (answers only)

Every packet to the core is answered by exactly one, in order, with its tag. Answers all have a trailer; to the core
INFER and LOAD have one. A code never straddles two words: of ``bits`` bits there are ``64 // bits`` in a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from zeile.errors import DeviceError, PacketError
from zeile.hw.words import WORD
from zeile.hw.words import Words as Words
from zeile.hw.words import codes_per_word as codes_per_word
from zeile.hw.words import crc as crc
from zeile.hw.words import pack as pack
from zeile.hw.words import unpack as unpack

Frames = npt.NDArray[np.uint8]

MAGIC, ABI = 0x5A, 2
ANSWER = 0x80  # is set in the kind of an answer
HEADER_WORDS, TRAILER_WORDS, STATUS_WORDS = 2, 1, 16
MAX_COUNT = (1 << 32) - 1

_LOW = (1 << 32) - 1


class Kind(IntEnum):
    """What a packet asks for; an answer has ANSWER added, or is an ERROR."""

    INFER = 1
    LOAD = 2
    COMMIT = 3
    READ = 4
    ECHO = 5
    STATUS = 6
    ERROR = 0xFF


class Emits(IntEnum):
    """What comes back for a line."""

    SCORES = 0  # K scores a step
    BEST = 1  # the best label and its score


class Fault(IntEnum):
    """Why the core refused a packet."""

    BAD_MAGIC = 1
    UNKNOWN_KIND = 2
    TOO_LONG = 3
    SHORT_PACKET = 4
    LONG_PACKET = 5
    CRC_MISMATCH = 6
    NO_MODEL = 7
    BAD_ADDRESS = 8
    BAD_CLASSES = 9


SCORES, BEST = Emits.SCORES, Emits.BEST

_SENTENCES = {
    Fault.BAD_MAGIC: f"it is no packet of ABI {ABI} (it begins with 0x{{detail:08x}}): overlay and Zeile differ",
    Fault.UNKNOWN_KIND: "its kind {detail} is unknown, or what it is to emit",
    Fault.TOO_LONG: "it is too long, the overlay takes {detail} frames of a line, or words to echo",
    Fault.SHORT_PACKET: "it ended early",
    Fault.LONG_PACKET: "it went on after its end",
    Fault.CRC_MISMATCH: "its checksum is not 0x{detail:08x}, that of its words; send it again",
    Fault.NO_MODEL: "no model is loaded",
    Fault.BAD_ADDRESS: "the overlay has nothing at address 0x{detail:08x} of that target",
    Fault.BAD_CLASSES: "the model has fewer than 2 classes, or more than the {detail} that the overlay was built for",
}


@dataclass(frozen=True)
class Answer:
    """What the core sent back, its checksum verified.

    Attributes:
        kind: of the question, or ERROR.
        tag: of the question, 0 ... 65535.
        emits: of the question, or its target.
        count: steps (INFER), payload words (READ, ECHO, STATUS), else 0.
        classes: K, for INFER; else 0.
        payload: (n,) uint64.
        cycles: from the first word of the question to the last of the answer, saturating at 2**32 - 1.
        error: why the core refused the packet, for ERROR; else None.
        detail: a number that belongs to the error.
    """

    kind: Kind
    tag: int
    emits: int
    count: int
    classes: int
    payload: Words
    cycles: int
    error: Fault | None = None
    detail: int = 0

    @property
    def sentence(self) -> str:
        """Why the core refused the packet; empty for other answers."""
        return "" if self.error is None else _SENTENCES[self.error].format(detail=self.detail)


@dataclass(frozen=True)
class Status:
    """The core's account of itself; counters count since the last reset.

    Attributes:
        design_id: of the design that the core was built from, 64 bits.
        abi: version of these packets.
        max_classes: largest K of a model.
        max_columns: longest line.
        cycles: clock cycles.
        model_id: given with COMMIT; 0 if no model is valid.
        issued: cycles in which the LSTM's multipliers worked, forward and backward.
        starved: cycles in which no line was ready, forward and backward.
        stalled: cycles in which the next unit was not ready, forward and backward.
        lines: lines done.
        packets: packets received.
        errors: packets refused.
        in_flight: lines between input and output.
        ring_steps: steps that the rings hold.
        model_valid: whether a model is loaded.
    """

    design_id: int
    abi: int
    max_classes: int
    max_columns: int
    cycles: int
    model_id: int
    issued: tuple[int, int]
    starved: tuple[int, int]
    stalled: tuple[int, int]
    lines: int
    packets: int
    errors: int
    in_flight: int
    ring_steps: int
    model_valid: bool


def infer(tag: int, frames: Frames, bits: int, emits: Emits = SCORES) -> Words:
    """Ask for the scores of a line.

    Args:
        tag: 0 ... 65535, comes back with the answer.
        frames: (T, F) uint8 pixel codes; T may be 0.
        bits: P, width of a pixel code.
        emits: scores of all classes, or the best label of each step.

    Raises:
        DeviceError: a pixel code is wider than P bits, or the tag out of range.
    """
    if bits < 8 and frames.size and (largest := int(frames.max())) >> bits:
        raise DeviceError(f"a pixel code is {largest}, the overlay's pixels have {bits} bits")
    return _checked(_packet(Kind.INFER, tag, emits, len(frames), 0, pack(frames, bits).reshape(-1)))


def load(tag: int, target: int, address: int, words: Words) -> Words:
    """Store words at an address of a layer; the model is no longer valid until ``commit``."""
    return _checked(_packet(Kind.LOAD, tag, target, len(words), address, words))


def commit(tag: int, classes: int, model_id: int) -> Words:
    """Declare what was loaded a model with ``classes`` classes, and name it (64 bits)."""
    return _packet(Kind.COMMIT, tag, 0, 2, 0, np.array([classes, model_id], np.uint64))


def read(tag: int, target: int, address: int, count: int) -> Words:
    """Ask for ``count`` words from an address of a layer."""
    return _packet(Kind.READ, tag, target, count, address)


def echo(tag: int, words: Words) -> Words:
    """Ask for these very words: a test of the path to the core and back."""
    return _packet(Kind.ECHO, tag, 0, len(words), 0, words)


def status(tag: int) -> Words:
    """Ask for the core's Status."""
    return _packet(Kind.STATUS, tag, 0, 0, 0)


def _packet(kind: Kind, tag: int, field: int, count: int, address: int, payload: Words | None = None) -> Words:
    for name, value, bits in (("tag", tag, 16), ("target", field, 8), ("count", count, 32), ("address", address, 32)):
        if not 0 <= value < 1 << bits:
            raise DeviceError(f"{kind.name} packet: {name} is {value}, it must be from 0 to {(1 << bits) - 1}")
    header = [MAGIC | ABI << 8 | kind << 16 | field << 24 | tag << 32, count | address << 32]
    start = np.array(header, np.uint64)
    return start if payload is None else np.concatenate([start, np.asarray(payload, np.uint64)])


def _checked(packet: Words) -> Words:
    """A packet with its checksum behind it."""
    return np.append(packet, np.uint64(crc(packet)))


def answer_words(kind: int, emits: int, count: int, classes: int) -> int:
    """Words of the answer to a packet, header and trailer included.

    Args:
        kind: of the question, or ERROR.
        emits: of an INFER packet.
        count: steps for INFER; payload words for READ and ECHO.
        classes: K.
    """
    payload = {
        Kind.INFER: -(-count // 4) if emits == BEST else count * -(-classes // 8),
        Kind.READ: count,
        Kind.ECHO: count,
        Kind.STATUS: STATUS_WORDS,
    }
    return HEADER_WORDS + payload.get(Kind(kind), 0) + TRAILER_WORDS


def parse(words: Words) -> Answer:
    """Check one packet from the core and take it apart.

    Args:
        words: (n,) uint64, all words of the packet.

    Raises:
        PacketError: it is damaged, cut off, or no answer of this ABI.
    """
    if len(words) < HEADER_WORDS + TRAILER_WORDS:
        raise PacketError(f"the answer has {len(words)} words, fewer than the 3 of the shortest; read it again")
    head, second, trailer = int(words[0]), int(words[1]), int(words[-1])
    if trailer & _LOW != crc(words[:-1]):
        raise PacketError(
            f"the answer's checksum is 0x{trailer & _LOW:08x}, its {len(words) - 1} words give "
            f"0x{crc(words[:-1]):08x}: it was damaged or cut off on its way"
        )
    if head & 0xFFFF != MAGIC | ABI << 8 or head >> 48:
        raise PacketError(f"the answer begins with 0x{head:016x}, which is not of ABI {ABI}; build the overlay again")
    kind, emits, tag = head >> 16 & 0xFF, head >> 24 & 0xFF, head >> 32 & 0xFFFF
    count, upper = second & _LOW, second >> 32
    payload, cycles = words[HEADER_WORDS:-1], trailer >> 32
    if kind == Kind.ERROR:
        if count not in list(Fault) or len(payload):
            raise PacketError(f"the core reports the unknown error {count}; build the overlay again")
        return Answer(Kind.ERROR, tag, emits, 0, 0, payload, cycles, Fault(count), upper)
    if not kind & ANSWER or kind ^ ANSWER not in list(Kind):
        raise PacketError(f"the answer is of the unknown kind 0x{kind:02x}; build the overlay again")
    asked = Kind(kind ^ ANSWER)
    if len(words) != answer_words(asked, emits, count, upper):
        raise PacketError(f"the answer to {asked.name} has {len(words)} words, which is not what its header says")
    return Answer(asked, tag, emits, count, upper if asked == Kind.INFER else 0, payload, cycles)


def scores(answer: Answer) -> npt.NDArray[np.int8]:
    """(S, K) int8 of an answer to INFER with SCORES.

    Raises:
        PacketError: it is an answer to something else, or an error of the core.
    """
    _expect_line(answer, SCORES)
    rows = np.ascontiguousarray(answer.payload, dtype=WORD).view(np.int8)
    return rows.reshape(answer.count, -1 if answer.count else answer.classes)[:, : answer.classes]


def best(answer: Answer) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8]]:
    """Labels (S,) uint8 and their scores (S,) int8 of an answer to INFER with BEST.

    Raises:
        PacketError: it is an answer to something else, or an error of the core.
    """
    _expect_line(answer, BEST)
    pairs = np.ascontiguousarray(answer.payload, dtype=WORD).view(np.uint8).reshape(-1, 2)[: answer.count]
    return pairs[:, 0].copy(), pairs[:, 1].view(np.int8).copy()


def _expect_line(answer: Answer, emits: Emits) -> None:
    if answer.kind == Kind.ERROR:
        raise PacketError(f"the core refused packet {answer.tag}: {answer.sentence}")
    if answer.kind != Kind.INFER or answer.emits != emits:
        raise PacketError(f"packet {answer.tag} answers {answer.kind.name} {answer.emits}, not INFER {int(emits)}")


def parse_status(answer: Answer) -> Status:
    """The Status of an answer to STATUS.

    Raises:
        PacketError: it is an answer to something else.
    """
    if answer.kind != Kind.STATUS:
        raise PacketError(f"packet {answer.tag} answers {answer.kind.name}, not STATUS")
    word = [int(value) for value in answer.payload]
    return Status(
        design_id=word[0],
        abi=word[1] & 0xFFFF,
        max_classes=word[1] >> 16 & 0xFFFF,
        max_columns=word[1] >> 32,
        cycles=word[2],
        model_id=word[3],
        issued=(word[4], word[5]),
        starved=(word[6], word[7]),
        stalled=(word[8], word[9]),
        lines=word[10],
        packets=word[11],
        errors=word[12],
        in_flight=word[13] & _LOW,
        ring_steps=word[14],
        model_valid=bool(word[15] & 1),
    )


def answer(asked: Answer) -> Words:
    """The packet that ``parse`` takes apart: what a core, or a stand-in for one, sends."""
    second = asked.count | asked.classes << 32
    if asked.error is not None:
        second = asked.error | asked.detail << 32
    kind = Kind.ERROR if asked.kind == Kind.ERROR else asked.kind | ANSWER
    head = MAGIC | ABI << 8 | kind << 16 | asked.emits << 24 | asked.tag << 32
    packet = np.concatenate([np.array([head, second], np.uint64), asked.payload])
    return np.append(packet, np.uint64(crc(packet) | asked.cycles << 32))
