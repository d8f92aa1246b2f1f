# SPDX-License-Identifier: Apache-2.0
"""The back end in SystemVerilog: answers to all kinds of packets, word by word as packets.py reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.hw.rtl_streams import CONFIG_BITS, DATA, WRITE, message
from tests.hw.rtl_unit import RTL, RtlUnit, broken, needs_verilator
from tests.hw.unit_checks import STALLS, Stalls
from tests.hw.units import Ints

from zeile.errors import PacketError
from zeile.hw import packets
from zeile.hw.packets import BEST, SCORES, Emits, Fault, Kind

pytestmark = needs_verilator

PACKET_BITS, LONG_AGO = 177, (1 << 64) - (1 << 33)


@dataclass
class Traffic:
    """What Send is given, and what must come of it."""

    lanes: int
    per_step: int
    rng: np.random.Generator
    packets: list[int] = field(default_factory=list)
    scores: list[int] = field(default_factory=list)
    config: list[int] = field(default_factory=list)
    wanted: list[tuple[Any, ...]] = field(default_factory=list)

    def packet(
        self, kind: Kind, emits: int, count: int, detail: int = 0, classes: int = 0, line: bool = False, begun: int = 0
    ) -> int:
        """A verdict; returns its tag."""
        tag = int(self.rng.integers(1 << 16))
        fields = [(kind, 8), (emits, 8), (tag, 16), (count, 32), (detail, 32), (classes, 16), (line, 1), (begun, 64)]
        word, at = 0, 0
        for value, bits in fields:
            word, at = word | int(value) << at, at + bits
        self.packets.append(word)
        return tag

    def line_scores(self, steps: int, classes: int) -> Ints:
        """Random scores (steps, classes), many of them equal, as elements; lanes without a score hold anything."""
        span = int(self.rng.choice([1, 3, 128]))
        rows = self.rng.integers(-span, span, (steps, classes))
        for step, row in enumerate(rows):
            for at in range(0, classes, self.lanes):
                part = row[at : at + self.lanes].tolist()
                count, end = len(part), at + self.lanes >= classes
                part += self.rng.integers(0, 256, self.lanes - count).tolist()
                codes = sum((code & 255) << 8 * k for k, code in enumerate(part))
                last = end and step == steps - 1
                self.scores.append(codes | (count | end << 9 | int(last) << 10) << 8 * self.lanes)
        return rows

    def infer(self, frames: int, classes: int, emits: Emits, begun: int = 0) -> None:
        steps = -(-frames // self.per_step)
        tag = self.packet(Kind.INFER, emits, frames, classes=classes, line=frames > 0, begun=begun)
        self.wanted.append((Kind.INFER, tag, emits, steps, classes, self.line_scores(steps, classes)))

    def refuse(self, fault: Fault, frames: int = 0, classes: int = 5) -> None:
        """An error; with frames that of a line whose scores come all the same."""
        detail = int(self.rng.integers(1 << 32))
        tag = self.packet(Kind.ERROR, 1, fault, detail, classes, frames > 0)
        self.line_scores(-(-frames // self.per_step), classes)
        self.wanted.append((Kind.ERROR, tag, fault, detail))

    def fenced(self, kind: Kind) -> None:
        tag = self.packet(kind, 3, int(self.rng.integers(1 << 20)))
        self.config.append(message(WRITE, 255, 9, 1))
        self.wanted.append((kind, tag))

    def words(self, kind: Kind, count: int) -> None:
        tag = self.packet(kind, 2, count)
        data = [int(word) for word in self.rng.integers(0, 1 << 63, count)]
        self.config += [message(DATA, 2, n, word) for n, word in enumerate(data)]
        self.wanted.append((kind, tag, data))


def everything(lanes: int, per_step: int, seed: int) -> Traffic:
    """All kinds in a mixed order."""
    rng = np.random.default_rng(seed)
    traffic = Traffic(lanes, per_step, rng)
    limit = min(256, 40 * lanes)
    tasks = [
        lambda: traffic.infer(int(rng.integers(0, 12)), int(rng.integers(2, limit + 1)), BEST),
        lambda: traffic.infer(int(rng.integers(1, 9)), int(rng.integers(2, limit + 1)), SCORES),
        lambda: traffic.infer(int(rng.integers(1, 9)), int(rng.integers(2, 18)), SCORES),
        lambda: traffic.infer(0, 7, Emits(int(rng.integers(2)))),
        lambda: traffic.refuse(Fault.NO_MODEL),
        lambda: traffic.refuse(Fault.CRC_MISMATCH, int(rng.integers(1, 8)), int(rng.integers(2, 30))),
        lambda: traffic.fenced(Kind.LOAD),
        lambda: traffic.fenced(Kind.COMMIT),
        lambda: traffic.words(Kind.READ, int(rng.integers(0, 6))),
        lambda: traffic.words(Kind.ECHO, int(rng.integers(0, 6))),
        lambda: traffic.words(Kind.STATUS, packets.STATUS_WORDS),
    ]
    for _ in range(4):
        for task in rng.permutation(len(tasks)):
            tasks[task]()
    traffic.infer(5, 256, BEST)
    traffic.infer(3, 24, SCORES, LONG_AGO)
    return traffic


def unit_of(lanes: int, per_step: int, sources: Path = RTL) -> RtlUnit:
    parameters = {"SCORE_LANES": lanes, "COLUMNS_PER_STEP": 2 * per_step, "COLUMNS_PER_FRAME": 2, "MAX_FRAMES": 1000}
    inputs = {"packets": PACKET_BITS, "scores": 8 * lanes + 11, "config_in": CONFIG_BITS}
    return RtlUnit("zeile_send", parameters, inputs, {"out": 65, "retired": 1}, sources=sources)


def check(lanes: int, per_step: int, stalled: Sequence[Stalls] = STALLS, sources: Path = RTL) -> None:
    """Answers everything and compares."""
    unit = unit_of(lanes, per_step, sources)
    for seed, stalls in enumerate(stalled):
        traffic = everything(lanes, per_step, seed)
        given = {"packets": traffic.packets, "scores": traffic.scores, "config_in": traffic.config}
        got, report = unit.run(given, stalls=stalls, seed=seed, patience=2000)
        assert got["retired"] == [1] * len(traffic.packets)
        ends = [n for n, beat in enumerate(got["out"]) if beat >> 64]
        assert len(ends) == len(traffic.packets)
        assert ends[-1] == len(got["out"]) - 1
        words = np.array([beat & (1 << 64) - 1 for beat in got["out"]], np.uint64)
        late = set()
        for n, (end, wanted) in enumerate(zip(ends, traffic.wanted, strict=True)):
            answer = packets.parse(words[ends[n - 1] + 1 if n else 0 : end + 1])
            compare(answer, wanted)
            if n < len(ends) - 1:
                late.add(report["at"]["out"][end] - answer.cycles)
        assert answer.cycles == 0xFFFFFFFF  # begun LONG_AGO
        assert stalls[1] or len(late) == 1, "cycles go by from the first word to the last, always"


def compare(answer: packets.Answer, wanted: tuple[Any, ...]) -> None:
    kind, tag, *rest = wanted
    assert (answer.kind, answer.tag) == (kind, tag)
    if kind == Kind.ERROR:
        assert [answer.error, answer.detail] == rest
    elif kind in (Kind.LOAD, Kind.COMMIT):
        assert (answer.count, answer.emits) == (0, 3)
    elif kind != Kind.INFER:
        assert answer.payload.tolist() == rest[0]
    else:
        emits, steps, classes, rows = rest
        assert (answer.emits, answer.count, answer.classes) == (emits, steps, classes)
        if emits == SCORES:
            np.testing.assert_array_equal(packets.scores(answer), rows)
            payload = np.ascontiguousarray(answer.payload).view(np.uint8)
            assert not steps or not payload.reshape(steps, -1)[:, classes:].any()
        elif steps:
            labels, scores = packets.best(answer)
            np.testing.assert_array_equal(labels, rows.argmax(axis=1))
            np.testing.assert_array_equal(scores, rows.max(axis=1))
            assert not np.ascontiguousarray(answer.payload).view(np.uint8)[2 * steps :].any()


SHAPES = [(1, 2), (2, 3), (3, 1), (4, 1), (5, 5), (6, 8), (8, 1), (9, 1), (20, 3)]
"""Lanes of an element, frames of a step."""


@pytest.mark.parametrize(("lanes", "per_step"), SHAPES)
def test_answers(lanes: int, per_step: int) -> None:
    check(lanes, per_step)


@pytest.mark.parametrize("lanes", [2, 3])
@pytest.mark.parametrize("emits", [SCORES, BEST])
def test_cycles(lanes: int, emits: Emits) -> None:
    """An element a cycle, but for a step whose last scores fill one word and begin another."""
    traffic = Traffic(lanes, 1, np.random.default_rng(0))
    traffic.infer(50, 33, emits)
    _, report = unit_of(lanes, 1).run({"packets": traffic.packets, "scores": traffic.scores})
    took = report["last"]["scores"] - report["first"]["scores"]
    assert took <= len(traffic.scores) + (50 if emits == SCORES else 0)


def test_longest_line() -> None:
    """The number of steps of every length up to the longest line."""
    traffic = Traffic(2, 3, np.random.default_rng(0))
    for frames in [*range(1, 32), 511, 512, 998, 999, 1000]:
        traffic.infer(frames, 2, BEST)
    unit = unit_of(2, 3)
    got, _ = unit.run({"packets": traffic.packets, "scores": traffic.scores})
    words = [beat & (1 << 64) - 1 for beat in got["out"]]
    begins = [0, *(n + 1 for n, beat in enumerate(got["out"]) if beat >> 64)][:-1]
    assert [words[n + 1] & 0xFFFFFFFF for n in begins] == [wanted[3] for wanted in traffic.wanted]


SLIPS = [
    ("zeile_send_best.sv", "fresh || score > $signed(out_score)", "fresh || score >= $signed(out_score)"),
    ("zeile_send_best.sv", "$signed(scores[31:24]) > $signed(scores[23:16])", "scores[31:24] > scores[23:16]"),
    ("zeile_send_best.sv", "fresh <= ends;", "fresh <= 1'b0;"),
    ("zeile_send_gather.sv", "spill <= in_flush && ends > 4'd8;", "spill <= 1'b0;"),
    ("zeile_send_gather.sv", "out_ready && !spill", "out_ready"),
    ("zeile_send_gather.sv", "in_count > 4'(i) ? in_bytes[8*i+:8] : 8'd0", "in_bytes[8*i+:8]"),
    ("zeile_send.sv", "refused && line ? SKIP", "1'b0 ? SKIP"),
    ("zeile_send.sv", "state == SCORES && !ended;", "state == SCORES;"),
    ("zeile_send.sv", "trailer ? '1 : next_remainder", "next_remainder"),
    ("zeile_send.sv", "age[32] ? '1 : age[31:0]", "age[31:0]"),
    ("zeile_send_steps.sv", "FRAMES_PER_STEP - 1);", "FRAMES_PER_STEP);"),
    ("zeile_crc_word.sv", "int i = 63", "int i = 62"),
]


@pytest.mark.parametrize(("file", "right", "wrong"), SLIPS, ids=lambda value: str(value)[:32])
def test_slips_are_found(file: str, right: str, wrong: str, tmp_path: Path) -> None:
    sources = broken(tmp_path, file, right, wrong)
    with pytest.raises((AssertionError, PacketError)):
        check(5, 3, sources=sources)
