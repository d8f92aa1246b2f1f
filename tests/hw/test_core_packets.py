# SPDX-License-Identifier: Apache-2.0
"""Broken packets: each is answered by one error with its tag, and the core goes on as if it had not been."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from tests.hw import cores
from tests.hw.cores import design, library, lines, network

from zeile.device.reference import Reference
from zeile.hw import packets
from zeile.hw.csim import Core, CoreDevice
from zeile.hw.packets import Answer, Fault, Kind, Words

pytestmark = cores.needs_compiler

TAG = 0xBEEF
MODEL = network("tiny", 3)
LINES = lines(MODEL, [9, 1, 30])


@pytest.fixture(params=["lockstep", "shuffled"])
def core(request: pytest.FixtureRequest) -> Iterator[Core]:
    with Core(library("tiny"), seed=1, in_stall=200, out_stall=200, mode=request.param) as opened:
        yield opened


def line(frames: int = 5) -> Words:
    return packets.infer(TAG, lines(MODEL, [frames])[0], 4)


def changed(packet: Words, word: int, value: int) -> Words:
    packet = packet.copy()
    packet[word] = value
    return packet


def longer(packet: Words) -> Words:
    return np.append(packet, packet[:3])


WEIGHTS = np.arange(12, dtype=np.uint64)
LOAD = packets.load(TAG, 0, 0, WEIGHTS)
ECHO = packets.echo(TAG, WEIGHTS)
COMMIT = packets.commit(TAG, 16, 1)

ABI = packets.ABI
BEST = 0x5A | ABI << 8 | 1 << 16 | 1 << 24 | TAG << 32  # word 0 of a line that asks for best labels

BROKEN: dict[str, tuple[Words, Fault, int]] = {
    "magic": (changed(line(), 0, 0x1234), Fault.BAD_MAGIC, 0x1234),
    "abi": (changed(line(), 0, 0x5A | 1 << 8 | 1 << 16), Fault.BAD_MAGIC, 0x5A | 1 << 8 | 1 << 16),
    "a word of nothing": (np.zeros(1, np.uint64), Fault.BAD_MAGIC, 0),
    "kind 0": (changed(line(), 0, 0x5A | ABI << 8 | TAG << 32), Fault.UNKNOWN_KIND, 0),
    "kind 7": (changed(line(), 0, 0x5A | ABI << 8 | 7 << 16 | TAG << 32), Fault.UNKNOWN_KIND, 7),
    "kind of an answer": (changed(line(), 0, 0x5A | ABI << 8 | 0x81 << 16 | TAG << 32), Fault.UNKNOWN_KIND, 0x81),
    "emits": (changed(line(), 0, 0x5A | ABI << 8 | 1 << 16 | 2 << 24 | TAG << 32), Fault.UNKNOWN_KIND, 1),
    "line too long": (line(129), Fault.TOO_LONG, 128),
    "line of 2**32 - 1 frames": (changed(line(), 1, 0xFFFFFFFF), Fault.TOO_LONG, 128),
    "echo too long": (packets.echo(TAG, np.zeros(513, np.uint64)), Fault.TOO_LONG, 512),
    "half a header": (line()[:1], Fault.SHORT_PACKET, 1),
    "line without frames": (line()[:2], Fault.SHORT_PACKET, 2),
    "line ends early": (line()[:4], Fault.SHORT_PACKET, 4),
    "line ends a word early": (line()[:-2], Fault.SHORT_PACKET, 6),
    "line without checksum": (line()[:-1], Fault.SHORT_PACKET, 7),
    "empty line without checksum": (line(0)[:-1], Fault.SHORT_PACKET, 2),
    "load ends early": (LOAD[:7], Fault.SHORT_PACKET, 7),
    "load without checksum": (LOAD[:-1], Fault.SHORT_PACKET, 14),
    "commit ends early": (COMMIT[:3], Fault.SHORT_PACKET, 3),
    "commit of one word": (changed(COMMIT[:3], 1, 1), Fault.SHORT_PACKET, 2),
    "echo ends early": (ECHO[:5], Fault.SHORT_PACKET, 5),
    "line goes on": (longer(line()), Fault.LONG_PACKET, 8),
    "empty line goes on": (longer(line(0)), Fault.LONG_PACKET, 3),
    "load goes on": (longer(LOAD), Fault.LONG_PACKET, 15),
    "commit goes on": (longer(COMMIT), Fault.LONG_PACKET, 4),
    "commit of three words": (changed(longer(COMMIT), 1, 3), Fault.LONG_PACKET, 2),
    "echo goes on": (longer(ECHO), Fault.LONG_PACKET, 14),
    "status goes on": (longer(packets.status(TAG)), Fault.LONG_PACKET, 2),
    "read goes on": (longer(packets.read(TAG, 0, 0, 4)), Fault.LONG_PACKET, 2),
    "line damaged": (changed(line(), 5, 99), Fault.CRC_MISMATCH, packets.crc(changed(line(), 5, 99)[:-1])),
    "emits damaged": (changed(line(), 0, BEST), Fault.CRC_MISMATCH, packets.crc(changed(line(), 0, BEST)[:-1])),
    "line's checksum damaged": (changed(line(), 7, 0), Fault.CRC_MISMATCH, packets.crc(line()[:-1])),
    "empty line's checksum damaged": (changed(line(0), 2, 0), Fault.CRC_MISMATCH, packets.crc(line(0)[:-1])),
    "load damaged": (changed(LOAD, 5, 99), Fault.CRC_MISMATCH, packets.crc(changed(LOAD, 5, 99)[:-1])),
    "checksum damaged": (changed(LOAD, 14, 0), Fault.CRC_MISMATCH, packets.crc(LOAD[:-1])),
    "load of a pool": (packets.load(TAG, 2, 0, WEIGHTS), Fault.BAD_ADDRESS, 0),
    "load of no layer": (packets.load(TAG, 5, 0, WEIGHTS), Fault.BAD_ADDRESS, 0),
    "load of no section": (packets.load(TAG, 0, 2 << 24, WEIGHTS), Fault.BAD_ADDRESS, 2 << 24),
    "load beyond the end": (packets.load(TAG, 0, 4, WEIGHTS), Fault.BAD_ADDRESS, 4),
    "read beyond the end": (packets.read(TAG, 3, 0x01000000, 99), Fault.BAD_ADDRESS, 0x01000000),
    "read of 2**32 - 1 words": (packets.read(TAG, 0, 0xFFFFFF, 0xFFFFFFFF), Fault.BAD_ADDRESS, 0xFFFFFF),
    "no class": (packets.commit(TAG, 0, 1), Fault.BAD_CLASSES, 0),
    "one class": (packets.commit(TAG, 1, 1), Fault.BAD_CLASSES, 1),
    "too many classes": (packets.commit(TAG, 17, 1), Fault.BAD_CLASSES, 17),
}


def right_lines(core: Core, before: Words, loaded: bool) -> Answer:
    """The answer to a packet; the lines around it in the queue are read as if it were not there."""
    around = [packets.infer(index, frames, 4) for index, frames in enumerate(LINES)]
    answers = [packets.parse(words) for words in core.ask(*around, before, *around)]
    broken = answers.pop(len(LINES))
    for index, answer in enumerate(answers):
        assert answer.tag == index % len(LINES)
        if index >= len(LINES) and not loaded:
            assert answer.error == Fault.NO_MODEL
        else:
            np.testing.assert_array_equal(packets.scores(answer), Reference(MODEL).run(LINES[answer.tag]))
    return broken


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_packet_gets_its_error_and_lines_around_it_are_right(core: Core, what: str) -> None:
    packet, fault, detail = BROKEN[what]
    device = CoreDevice(core, design("tiny"), MODEL)
    started = packet[0] >> np.uint64(16) & np.uint64(255) == Kind.LOAD and fault not in (Fault.BAD_ADDRESS,)
    answer = right_lines(core, packet, loaded=not started)  # a load that has begun takes the model away
    assert (answer.kind, answer.error, answer.detail) == (Kind.ERROR, fault, detail)
    assert answer.tag == int(packet[0]) >> 32 & 0xFFFF
    device.load(MODEL)
    np.testing.assert_array_equal(device.run(LINES[0]), Reference(MODEL).run(LINES[0]))


def test_without_a_model_a_line_is_refused(core: Core) -> None:
    for question in (line(), line(0)):
        answer = packets.parse(core.ask(question)[0])
        assert (answer.error, answer.detail, answer.tag) == (Fault.NO_MODEL, 0, TAG)
    CoreDevice(core, design("tiny"), MODEL)
    core.ask(packets.load(0, 0, 0, WEIGHTS[:0]))  # even of nothing
    assert packets.parse(core.ask(line())[0]).error == Fault.NO_MODEL


def mutations(rng: random.Random) -> Words:
    """A packet with random damage: words changed, cut, put in."""
    make: list[Callable[[], Words]] = [
        line,
        lambda: line(0),
        lambda: LOAD,
        lambda: COMMIT,
        lambda: ECHO,
        lambda: packets.status(TAG),
        lambda: packets.read(TAG, rng.randrange(6), rng.randrange(4) << 24, rng.randrange(20)),
        lambda: np.array([rng.getrandbits(64) for _ in range(rng.randrange(1, 9))], np.uint64),
    ]
    packet: Words = rng.choice(make)().copy()
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(packet))
        match rng.randrange(4):
            case 0:
                packet[at] ^= np.uint64(1 << rng.randrange(64))
            case 1:
                packet = packet[: max(at, 1)]
            case 2:
                packet = np.insert(packet, at, np.uint64(rng.getrandbits(64)))
            case _:
                packet = np.append(packet, np.uint64(rng.getrandbits(64)))
    return packet


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_every_packet_has_one_answer_and_the_core_goes_on(core: Core, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(10):
        asked = [mutations(rng) for _ in range(20)]
        for question, words in zip(asked, core.ask(*asked), strict=True):
            assert packets.parse(words).tag == int(question[0]) >> 32 & 0xFFFF
    device = CoreDevice(core, design("tiny"), MODEL)
    for got, want in zip(device.run_batch(LINES), Reference(MODEL).run_batch(LINES), strict=True):
        np.testing.assert_array_equal(got, want)


def test_a_packet_without_end_takes_the_next_with_it(core: Core) -> None:
    CoreDevice(core, design("tiny"), MODEL)
    core.send(line()[:4], last=False)  # as after a reset of the DMA
    core.run(1000)
    assert len(core.receive()[0]) == 0
    answer = packets.parse(core.ask(packets.status(1))[0])
    assert (answer.tag, answer.error) == (TAG, Fault.SHORT_PACKET)
    assert right_lines(core, packets.status(2), loaded=True).tag == 2
