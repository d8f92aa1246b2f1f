# SPDX-License-Identifier: Apache-2.0
"""The front end of the SystemVerilog core for tests: what it must say to packets, and a bench that answers for Send."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tests.hw.rtl_streams import DATA, READ, WRITE, message
from tests.hw.rtl_unit import RTL, RtlUnit

from zeile.hw import packets
from zeile.hw.design import Design
from zeile.hw.layout import sections
from zeile.hw.packets import Fault, Kind, Words
from zeile.hw.rtl import instances
from zeile.hw.words import crc

DELAY = 9
"""Cycles from a verdict to the end of its answer on the bench."""

_LOW = (1 << 32) - 1
_FIELDS = (("kind", 8), ("field", 8), ("tag", 16), ("count", 32), ("detail", 32), ("classes", 16), ("line", 1))


@dataclass
class Packet:
    """What must come of a packet.

    Attributes:
        verdict: kind, field, tag, count, detail, classes, line.
        beats: of its frames.
        messages: for the configuration chain; None for the clock, which the model does not have.
        quiet: it waits until all answers before it have left.
    """

    verdict: tuple[int, ...]
    beats: list[int] = field(default_factory=list)
    messages: list[int | None] = field(default_factory=list)
    quiet: bool = False


class Model:
    """Judges whole packets as receive.h says."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.memories = [(i, a, n) for i in range(len(design.layers)) for a, n in sections(design, i).items()]
        self.valid, self.classes, self.model = False, 0, 0
        self.seen = self.lines = self.errors = 0

    def take(self, words: Words) -> Packet:
        """The next packet."""
        given = [int(word) for word in words]
        kind, target, tag = given[0] >> 16 & 0xFF, given[0] >> 24 & 0xFF, given[0] >> 32 & 0xFFFF
        self.seen += 1
        packet = Packet((kind, target, tag, 0, 0, self.classes, 0))
        fault = self._begin(given, kind, target)
        if fault is None:
            fault = self._body(given, kind, target, packet)
        has_line = int(bool(packet.beats))
        if fault is not None:
            self.errors += 1
            packet.verdict = (0xFF, target, tag, fault[0], fault[1] & _LOW, self.classes, has_line)
            return packet
        count = packets.STATUS_WORDS if kind == Kind.STATUS else given[1] & _LOW
        packet.verdict = (kind, target, tag, count, 0, self.classes, has_line)
        self._answer(given, kind, target, packet)
        return packet

    def _begin(self, given: list[int], kind: int, target: int) -> tuple[Fault, int] | None:
        if given[0] & 0xFFFF != packets.MAGIC | packets.ABI << 8:
            return Fault.BAD_MAGIC, given[0]
        if kind not in (*range(1, 7),) or (kind == Kind.INFER and target > 1):
            return Fault.UNKNOWN_KIND, kind
        if len(given) == 1:
            return Fault.SHORT_PACKET, 1
        count, address = given[1] & _LOW, given[1] >> 32
        if kind == Kind.INFER and not self.valid:
            return Fault.NO_MODEL, 0
        for asked, limit in ((Kind.INFER, self.design.max_frames), (Kind.ECHO, 512)):
            if kind == asked and count > limit:
                return Fault.TOO_LONG, limit
        if kind in (Kind.LOAD, Kind.READ) and not any(
            (i, a) == (target, address & 0xFF000000) and (address & 0xFFFFFF) + count <= n for i, a, n in self.memories
        ):
            return Fault.BAD_ADDRESS, address
        if kind == Kind.COMMIT and count != 2:
            return (Fault.SHORT_PACKET if count < 2 else Fault.LONG_PACKET), 2
        follow = kind in (Kind.INFER, Kind.LOAD) or (count > 0 and kind in (Kind.COMMIT, Kind.ECHO))
        if follow == (len(given) == 2):
            return (Fault.SHORT_PACKET if follow else Fault.LONG_PACKET), 2
        return None

    def _body(self, given: list[int], kind: int, target: int, packet: Packet) -> tuple[Fault, int] | None:
        count, address = given[1] & _LOW, given[1] >> 32
        payload = count * self.design.words_per_frame if kind == Kind.INFER else count
        trailer = kind in (Kind.INFER, Kind.LOAD)
        end = 2 + (0 if kind in (Kind.READ, Kind.STATUS) else payload + trailer)
        packet.quiet = kind != Kind.INFER
        if kind == Kind.LOAD:
            self.valid = False
            stored = given[2 : 2 + count]
            packet.messages = [message(WRITE, target, address + i, word) for i, word in enumerate(stored)]
        if kind == Kind.INFER:
            packet.beats = self._beats(given[2 : 2 + payload], count)
        if len(given) != end:
            return (Fault.SHORT_PACKET, len(given)) if len(given) < end else (Fault.LONG_PACKET, end)
        if trailer:
            checksum = crc(np.array(given[:-1], np.uint64))
            if given[-1] & _LOW != checksum:
                return Fault.CRC_MISMATCH, checksum
        if kind == Kind.COMMIT and not 2 <= given[2] & 0xFFFF <= self.design.classes:
            return Fault.BAD_CLASSES, given[2] & 0xFFFF
        return None

    def _beats(self, words: list[int], count: int) -> list[int]:
        """Elements of Receive, {last, codes}; paper behind an early end."""
        design, each = self.design, self.design.words_per_frame
        words = words + [0] * (count * each - len(words))
        bits = design.beat_codes * design.pixel_bits
        frame_beats, word_beats = design.codes[0].size // design.beat_codes, 64 // bits
        beats = []
        for frame in range(count):
            for beat in range(frame_beats):
                word = words[frame * each + beat // word_beats]
                beats.append(word >> beat % word_beats * bits & (1 << bits) - 1)
        if beats:
            beats[-1] |= 1 << bits
        return beats

    def _answer(self, given: list[int], kind: int, target: int, packet: Packet) -> None:
        count, address = (given[1] & _LOW, given[1] >> 32) if len(given) > 1 else (0, 0)
        if kind == Kind.INFER:
            self.lines += 1
        if kind == Kind.COMMIT:
            self.valid, self.classes, self.model = True, given[2] & 0xFFFF, given[3]
            packet.messages = [message(WRITE, self.design.recurrent + 1, 7 << 24, self.classes)]
        if kind in (Kind.LOAD, Kind.COMMIT):
            packet.messages.append(message(DATA, 0, 0, 0))
        if kind == Kind.READ:
            packet.messages = [message(READ, target, address + i, 0) for i in range(count)]
        if kind == Kind.ECHO:
            packet.messages = [message(DATA, 0, 0, word) for word in given[2:]]
        if kind == Kind.STATUS:
            packet.messages = self._status()

    def _status(self) -> list[int | None]:
        design = self.design
        shape = packets.ABI | design.classes << 16 | design.max_columns << 32
        words = [design.design_id, shape, 0, self.model if self.valid else 0, *[0] * 6, self.lines, self.seen]
        words += [self.errors, 0, design.ring_steps, int(self.valid)]
        told: list[int | None] = [message(DATA, 0, 0, word) for word in words]
        told[2] = None
        for direction in range(design.lstm.directions):
            for counter in (1, 2, 3):
                at = (8 * direction + 7) << 24 | counter
                told[2 + 2 * counter + direction] = message(READ, design.recurrent, at, 0)
        return told


def verdict(element: int) -> tuple[tuple[int, ...], int]:
    """Fields of an element of the stream ``packets``, as Packet.verdict has them; and the cycle of the first word."""
    values = []
    for _, bits in _FIELDS:
        values.append(element & (1 << bits) - 1)
        element >>= bits
    return tuple(values), element


def _literal(value: int) -> str:
    return str(value) if value < 1 << 31 else f"{max(64, value.bit_length())}'h{value:x}"


def bench(design: Design, folder: Path, sources: Path = RTL) -> RtlUnit:
    """Receive of a design; each verdict is answered DELAY cycles later."""
    receive = next(unit for unit in instances(design) if unit.module == "zeile_receive")
    parameters = [f".{name}({_literal(value)})" for name, value in receive.parameters.items()]
    outputs = {"packets": 177, "frames": design.beat_codes * design.pixel_bits + 1, "config_out": 106}
    streams = [("in", 65, "input", "output"), *((name, bits, "output", "input") for name, bits in outputs.items())]
    ports = [
        f"{way} wire {name}_valid, {back} wire {name}_ready, {way} wire [{bits - 1}:0] {name}_data"
        for name, bits, way, back in streams
    ]
    wires = [f".{name}_{part}({name}_{part})" for name, *_ in streams for part in ("valid", "ready", "data")]
    wires += [".clk(clk)", ".rst(rst)", ".retired_valid(done)", ".retired_ready()", ".retired_data(1'b1)"]
    folder.mkdir(parents=True, exist_ok=True)
    wrapper = folder / "receive_bench.sv"
    wrapper.write_text(
        f"module receive_bench (input wire clk, rst, {', '.join(ports)});\n"
        f"logic [{DELAY - 2}:0] answering;\nlogic done;\nalways_ff @(posedge clk)\n"
        "  {done, answering} <= rst ? '0 : {answering, packets_valid && packets_ready};\n"
        f"zeile_receive #({', '.join(parameters)}) unit ({', '.join(wires)});\nendmodule\n",
        "utf-8",
    )
    return RtlUnit("receive_bench", {}, {"in": 65}, outputs, sources=sources, extra=[wrapper])
