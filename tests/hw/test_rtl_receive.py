# SPDX-License-Identifier: Apache-2.0
"""The front end in SystemVerilog: verdicts, frames and messages of right and of broken packets, in the right order."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tests.hw import cores, rtl_unit
from tests.hw.rtl_receive import DELAY, Model, Packet, bench, verdict
from tests.hw.rtl_unit import RTL, broken
from tests.hw.test_core_packets import BROKEN, COMMIT

from zeile.hw import packets
from zeile.hw.design import Design
from zeile.hw.layout import sections
from zeile.hw.packets import Fault, Words

pytestmark = rtl_unit.needs_verilator

STALLS = [(0, 0), (400, 0), (0, 400), (300, 900), (900, 300)]
DESIGNS = ["tiny", "tiny-uni", *cores.DESIGNS]


def check(design: Design, asked: Sequence[Words], folder: Path, sources: Path = RTL, seed: int = 0) -> list[Packet]:
    """Sends packets with all kinds of stalls; returns what the model says of them."""
    model, unit = Model(design), bench(design, folder, sources)
    wanted = [model.take(words) for words in asked]
    given = [int(word) | (i == len(words) - 1) << 64 for words in asked for i, word in enumerate(words)]
    for stalls in STALLS:
        got, report = unit.run({"in": given}, stalls=stalls, seed=seed)
        verdicts = [verdict(element) for element in got["packets"]]
        assert [fields for fields, _ in verdicts] == [packet.verdict for packet in wanted]
        assert got["frames"] == [beat for packet in wanted for beat in packet.beats]
        messages = [message for packet in wanted for message in packet.messages]
        assert len(got["config_out"]) == len(messages)
        for found, message in zip(got["config_out"], messages, strict=True):
            assert found & (1 << 42) - 1 == 2 if message is None else found == message
        check_order(asked, wanted, report["at"])
        check_clock([begun for _, begun in verdicts], asked, got["config_out"], wanted, report["at"])
    return wanted


def firsts(sizes: Sequence[int]) -> list[int]:
    """Places of the first elements."""
    return [int(n) for n in np.cumsum([0, *sizes[:-1]])]


def check_order(asked: Sequence[Words], wanted: list[Packet], at: dict[str, list[int]]) -> None:
    """Messages only when all answers before have left; no packet before the last one's messages are answered."""
    words = firsts([len(packet) for packet in asked])
    messages = firsts([len(packet.messages) for packet in wanted])
    for index, packet in enumerate(wanted):
        if packet.messages and index > 0:
            assert at["config_out"][messages[index]] > at["packets"][index - 1] + DELAY
        if packet.quiet and packet.verdict[0] != 0xFF and index + 1 < len(asked):
            assert at["in"][words[index + 1]] > at["packets"][index] + DELAY


def check_clock(
    begun: list[int], asked: Sequence[Words], told: list[int], wanted: list[Packet], at: dict[str, list[int]]
) -> None:
    """The clock runs with the cycles: of a packet's first word, and in a status."""
    first = [at["in"][place] for place in firsts([len(packet) for packet in asked])]
    assert len({cycle - taken for cycle, taken in zip(begun, first, strict=True)}) == 1
    place = 0
    for index, packet in enumerate(wanted):
        for message in packet.messages:
            if message is None:
                assert 0 < (told[place] >> 42) - begun[index] <= at["config_out"][place] - first[index]
            place += 1


def frames(design: Design, rng: np.random.Generator, count: int) -> Words:
    codes = rng.integers(0, 1 << design.pixel_bits, (count, design.codes[0].size), np.uint8)
    return packets.infer(int(rng.integers(1 << 16)), codes, design.pixel_bits, packets.Emits(int(rng.integers(2))))


def right(design: Design, rng: np.random.Generator, dice: random.Random) -> Words:
    """A packet of any kind."""
    target = dice.choice([i for i in range(len(design.layers)) if sections(design, i)])
    address, words = dice.choice([*sections(design, target).items()])
    part = dice.randrange(min(words, 12) + 1)
    address += dice.choice([0, words - part])
    payload = np.array([dice.getrandbits(64) for _ in range(part)], np.uint64)
    make: list[Callable[[], Words]] = [
        lambda: frames(design, rng, dice.choice([0, 1, 2, 7])),
        lambda: frames(design, rng, dice.choice([1, 3])),
        lambda: packets.load(2, target, address, payload),
        lambda: packets.read(3, target, address, part),
        lambda: packets.echo(4, payload),
        lambda: packets.status(5),
        lambda: packets.commit(6, dice.randrange(2, design.classes + 1), dice.getrandbits(64)),
        lambda: packets.commit(7, design.classes, 1),
    ]
    return dice.choice(make)()


def damaged(packet: Words, dice: random.Random) -> Words:
    """The same packet cut off, longer, or with another word or bit."""
    place, noise = dice.randrange(len(packet)), np.uint64(dice.getrandbits(64))
    change = dice.randrange(5)
    if change == 0:
        return packet[: max(place, 1)]
    if change == 1:
        return np.append(packet, noise)
    if change == 2:
        return np.insert(packet, place, noise)
    packet = packet.copy()
    packet[place] ^= noise if change == 3 else np.uint64(1 << dice.randrange(64))
    return packet


def some(design: Design, seed: int, count: int, damage: float) -> list[Words]:
    """Packets of every kind, some of them damaged, behind one that makes a model valid."""
    rng, dice = np.random.default_rng(seed), random.Random(seed)
    asked = [packets.commit(1, design.classes, seed)]
    for _ in range(count):
        packet = right(design, rng, dice)
        asked.append(damaged(packet, dice) if dice.random() < damage else packet)
        if int(packet[0]) >> 16 & 0xFF == packets.Kind.LOAD and dice.random() < 0.8:  # else few lines have a model
            asked.append(packets.commit(8, design.classes, seed))
    return asked


@pytest.mark.parametrize("name", DESIGNS)
def test_packets_of_every_kind_right_and_broken(name: str, tmp_path: Path) -> None:
    design = cores.design(name)
    whole = check(design, some(design, 1, 60, 0), tmp_path)
    assert {packet.verdict[0] for packet in whole} - {0xFF} == {1, 2, 3, 4, 5, 6}
    refused = [packet for packet in check(design, some(design, 2, 300, 0.4), tmp_path) if packet.verdict[0] == 0xFF]
    assert len({packet.verdict[3] for packet in refused}) >= 6
    assert any(packet.verdict[3] == Fault.SHORT_PACKET and packet.beats for packet in refused)  # filled with paper


def around(what: str) -> list[Words]:
    """A broken packet between lines, behind a model."""
    design, rng = cores.design("tiny"), np.random.default_rng(0)
    return [COMMIT, frames(design, rng, 3), BROKEN[what][0], frames(design, rng, 2), frames(design, rng, 0)]


def test_each_broken_packet_gets_its_error(tmp_path: Path) -> None:
    wanted = check(cores.design("tiny"), [packet for what in BROKEN for packet in around(what)], tmp_path)
    for index, (_, fault, detail) in enumerate(BROKEN.values()):
        told = wanted[5 * index + 2].verdict
        assert (told[0], told[3], told[4]) == (0xFF, fault, detail & 0xFFFFFFFF)


def test_lines_a_beat_a_cycle(tmp_path: Path) -> None:
    """A beat a cycle, and few cycles between lines."""
    for name in ("tiny", "test-lanes"):
        design, rng = cores.design(name), np.random.default_rng(0)
        asked = [packets.commit(0, design.classes, 1), *(frames(design, rng, 20) for _ in range(3))]
        given = [int(word) | (i == len(words) - 1) << 64 for words in asked for i, word in enumerate(words)]
        _, report = bench(design, tmp_path / name).run({"in": given})
        at = report["at"]["frames"]
        each = len(at) // 3
        assert [b - a for a, b in pairwise(at) if b - a > 1] == [at[each] - at[each - 1]] * 2
        assert at[each] - at[each - 1] <= 8


SLIPS = [
    ("zeile_receive.sv", "in_flight + 6'(verdict) - 6'(retired_valid)", "6'd0"),
    ("zeile_receive.sv", "S_PAYLOAD: in_ready = room;", "S_PAYLOAD: in_ready = 1'b1;"),
    ("zeile_receive.sv", "if (take) ended <= last;", "if (take) ended <= last || ended;"),
    ("zeile_receive_control.sv", "next = ended_now ? S_VERDICT : S_DROP;", "next = S_DROP;"),
    ("zeile_receive_control.sv", "S_FRAMES: spoil = take && last;", "S_FRAMES: spoil = 1'b0;"),
    ("zeile_receive_control.sv", "S_QUIET: if (quiet)", "S_QUIET: if (1'b1)"),
    ("zeile_judge.sv", "stop_later <= {1'b0, limit}", "stop_later < {1'b0, limit}"),
    ("zeile_frames.sv", "paper ? 64'd0 : word", "word"),
    ("zeile_frames.sv", "active && (!needs_word || paper || word_valid)", "active"),
    ("zeile_status.sv", "valid ? model : 64'd0", "model"),
    ("zeile_messages.sv", "if (room) begin\n      held <=", "begin\n      held <="),
]


@pytest.mark.parametrize(("file", "right", "wrong"), SLIPS, ids=lambda value: str(value)[:24])
def test_slips_are_found(file: str, right: str, wrong: str, tmp_path: Path) -> None:
    sources, design = broken(tmp_path, file, right, wrong), cores.design("tiny")
    with pytest.raises(AssertionError):
        check(design, some(design, 2, 300, 0.4), tmp_path / "build", sources)
