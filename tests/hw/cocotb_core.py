# SPDX-License-Identifier: Apache-2.0
"""AXI4-Stream protocol of the whole SystemVerilog core of the design ``tiny``; runs within the simulator.

test_rtl_cocotb.py builds the core, runs this and looks at the results. Answers are compared with the packets'
definition (zeile.hw.packets) and the datapath's (zeile.device.reference).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource
from tests.hw.cores import design, lines, network
from tests.hw.test_core_packets import BROKEN

from zeile.device.reference import Reference
from zeile.hw import packets
from zeile.hw.layout import model_words
from zeile.hw.packets import Answer, Fault, Kind, Words
from zeile.network import Network

DESIGN = design("tiny")
MODELS = [network("tiny", seed, classes) for seed, classes in ((3, 16), (4, 5), (5, 16))]
PERIOD_NS = 4
PATIENCE_US = 200
"""Time within which an answer comes, however slow the ports are."""


class Core:
    """The core between a source and a sink, after reset.

    Args:
        dut: the top.
        source: of a hundred cycles, those in which the source offers nothing.
        sink: of a hundred cycles, those in which the sink takes nothing.
    """

    def __init__(self, dut: Any, source: int = 0, sink: int = 0) -> None:
        self.dut = dut
        ends = {"clock": dut.clk, "reset": dut.aresetn, "reset_active_level": False}
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), **ends)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), **ends)
        self.source.log.setLevel("WARNING")
        self.sink.log.setLevel("WARNING")
        for end, percent in ((self.source, source), (self.sink, sink)):
            if percent:
                end.set_pause_generator(pauses(percent))

    async def start(self) -> None:
        """Clock, reset, and an eye on the rules of the output."""
        Clock(self.dut.clk, PERIOD_NS, unit="ns").start()
        await self.reset()
        cocotb.start_soon(watch(self.dut))

    async def reset(self, cycles: int = 5) -> None:
        """Reset at whatever the core is at; what waits at the ports is forgotten."""
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.clk, cycles)
        self.source.clear()
        self.sink.clear()
        self.dut.aresetn.value = 1
        await RisingEdge(self.dut.clk)

    def send(self, *questions: Words) -> None:
        """Queue packets."""
        for words in questions:
            self.source.send_nowait(AxiStreamFrame(words.astype("<u8").tobytes()))

    async def answers(self, count: int) -> list[Answer]:
        """The next answers."""
        got = []
        for _ in range(count):
            frame = await with_timeout(cocotb.start_soon(self.sink.recv()), PATIENCE_US, "us")
            assert frame.tkeep is None or all(frame.tkeep)
            got.append(packets.parse(np.frombuffer(bytes(frame.tdata), "<u8").astype(np.uint64)))
        return got

    async def ask(self, *questions: Words) -> list[Answer]:
        """Queue packets and await their answers, in order."""
        self.send(*questions)
        found = await self.answers(len(questions))
        assert [answer.tag for answer in found] == [int(words[0]) >> 32 & 0xFFFF for words in questions]
        return found

    async def load(self, model: Network, model_id: int = 1) -> None:
        """Load a model and declare it valid."""
        assert all(answer.error is None for answer in await self.ask(*model_packets(model, model_id)))

    async def silent(self) -> None:
        """Nothing comes out any more."""
        await ClockCycles(self.dut.clk, 300)
        assert self.sink.empty()
        assert not int(self.dut.m_axis_tvalid.value)


def pauses(percent: int) -> Iterator[bool]:
    """Whether a port waits, cycle by cycle."""
    dice = random.Random(percent)
    while True:
        yield dice.random() * 100 < percent


async def watch(dut: Any) -> None:
    """The rules of the output: once valid is high, nothing changes until it is taken; all bytes are kept."""
    held = None
    while True:
        await RisingEdge(dut.clk)
        if not int(dut.aresetn.value):
            held = None
            continue
        valid = int(dut.m_axis_tvalid.value)
        shown = (
            (int(dut.m_axis_tdata.value), int(dut.m_axis_tlast.value), int(dut.m_axis_tkeep.value)) if valid else None
        )
        assert held is None or shown == held, "the output changed before it was taken"
        assert shown is None or shown[2] == 0xFF
        held = shown if valid and not int(dut.m_axis_tready.value) else None


def model_packets(model: Network, model_id: int) -> list[Words]:
    """All that makes a model valid."""
    loads = [packets.load(tag, *load) for tag, load in enumerate(model_words(DESIGN, model))]
    return [*loads, packets.commit(len(loads), model.classes, model_id)]


def questions(model: Network, lengths: Sequence[int], seed: int = 0) -> tuple[list[Words], list[Any]]:
    """Lines that ask for scores and for best labels in turn, and their right scores."""
    given = lines(model, lengths, seed)
    asked = [packets.infer(100 + i, frames, 4, packets.Emits(i % 2)) for i, frames in enumerate(given)]
    return asked, Reference(model).run_batch(given)


def check(found: Sequence[Answer], wanted: Sequence[Any]) -> None:
    """Answers to ``questions``."""
    for answer, scores in zip(found, wanted, strict=True):
        assert answer.error is None, answer.sentence
        if answer.emits == packets.SCORES:
            np.testing.assert_array_equal(packets.scores(answer), scores)
        else:
            labels, best = packets.best(answer)
            np.testing.assert_array_equal(labels, scores.argmax(axis=1))
            np.testing.assert_array_equal(best, scores.max(axis=1, initial=-128))


@cocotb.test()
@cocotb.parametrize(source=[0, 40, 90], sink=[0, 40, 90])
async def lines_under_pauses(dut: Any, source: int, sink: int) -> None:
    """Lines are right however the ports wait."""
    core = Core(dut, source, sink)
    await core.start()
    await core.load(MODELS[0])
    asked, wanted = questions(MODELS[0], [5, 0, 31, 1, 2, 17, 8])
    check(await core.ask(*asked), wanted)
    await core.silent()


@cocotb.test()
async def read_back_echo_and_status(dut: Any) -> None:
    """What was loaded comes back; echoes of every length; the account is right."""
    core = Core(dut, 0, 40)
    await core.start()
    fresh = packets.parse_status((await core.ask(packets.status(1)))[0])
    assert (fresh.design_id, fresh.abi, fresh.model_valid) == (DESIGN.design_id, packets.ABI, False)
    assert (fresh.max_classes, fresh.max_columns, fresh.ring_steps) == (16, 128, 64)
    assert (fresh.lines, fresh.packets, fresh.errors, fresh.model_id) == (0, 1, 0, 0)
    await core.load(MODELS[1], 0x123456789ABCDEF0)
    loads = model_words(DESIGN, MODELS[1])
    for answer, (_, _, words) in zip(
        await core.ask(*(packets.read(i, to, at, len(words)) for i, (to, at, words) in enumerate(loads))),
        loads,
        strict=True,
    ):
        np.testing.assert_array_equal(answer.payload, words)
    words = np.random.default_rng(0).integers(0, 1 << 63, 512).astype(np.uint64)
    for count in (0, 1, 2, 511, 512):
        np.testing.assert_array_equal((await core.ask(packets.echo(7, words[:count])))[0].payload, words[:count])
    asked, wanted = questions(MODELS[1], [4, 0, 6])
    check(await core.ask(*asked), wanted)
    assert (await core.ask(np.array([1], np.uint64)))[0].error == Fault.BAD_MAGIC
    told = packets.parse_status((await core.ask(packets.status(9)))[0])
    assert (told.model_valid, told.model_id, told.in_flight) == (True, 0x123456789ABCDEF0, 0)
    assert (told.lines, told.packets, told.errors) == (3, 1 + 2 * len(loads) + 1 + 5 + 3 + 1 + 1, 1)
    tiles = DESIGN.weight_shape(3)[0] * DESIGN.weight_shape(3)[1] // (DESIGN.fold(3).pe * DESIGN.fold(3).simd)
    assert told.issued == (5 * tiles, 5 * tiles)  # 2 + 3 steps, each tile once
    assert fresh.cycles < told.cycles


@cocotb.test()
@cocotb.parametrize(pause=[0, 40])
async def broken_packets_between_lines(dut: Any, pause: int) -> None:
    """Each broken packet gets its error, the lines around it are right, and the core goes on."""
    core = Core(dut, pause, pause)
    await core.start()
    await core.load(MODELS[0])
    asked, wanted = questions(MODELS[0], [3, 0, 2])
    for what, (packet, fault, detail) in BROKEN.items():
        found = await core.ask(*asked, packet, *asked)
        told = found.pop(len(asked))
        assert (told.kind, told.error, told.detail) == (Kind.ERROR, fault, detail), what
        check(found[: len(asked)], wanted)
        if int(packet[0]) >> 16 & 0xFF == Kind.LOAD and fault != Fault.BAD_ADDRESS:  # has taken the model away
            assert all(answer.error == Fault.NO_MODEL for answer in found[len(asked) :]), what
            await core.load(MODELS[0])
        else:
            check(found[len(asked) :], wanted)
    await core.silent()


@cocotb.test()
@cocotb.parametrize(source=[0, 40], sink=[40])
async def models_change_under_load(dut: Any, source: int, sink: int) -> None:
    """Models and lines in one queue: each line is read by the model before it."""
    core = Core(dut, source, sink)
    await core.start()
    asked: list[Words] = []
    wanted: list[Any] = []
    for index, model in enumerate(MODELS):
        line, scores = questions(model, [3, 12, 1, 0, 7], index)
        loads = model_packets(model, index)
        asked += [*loads, *line, packets.status(50)]
        wanted += [*[None] * len(loads), *scores, None]
    found = await core.ask(*asked)
    assert all(answer.error is None for answer in found)
    check(*zip(*[pair for pair in zip(found, wanted, strict=True) if pair[1] is not None], strict=True))
    told = [packets.parse_status(answer) for answer in found if answer.kind == Kind.STATUS]
    assert [(status.model_id, status.lines) for status in told] == [(0, 5), (1, 10), (2, 15)]


@cocotb.test()
async def reset_in_mid_packet(dut: Any) -> None:
    """A reset at any time, and the core is as after the first one; the rest of the packet is no packet."""
    core, dice = Core(dut, 20, 20), random.Random(1)
    await core.start()
    asked, wanted = questions(MODELS[0], [9, 30, 4])
    for number in range(12):
        if number:
            await core.load(MODELS[0], number)
        model = packets.parse_status((await core.ask(packets.status(number)))[0])
        assert (model.model_valid, model.model_id, model.lines) == (number > 0, number, 0)
        core.send(*(model_packets(MODELS[1], 1) if number % 3 == 0 else [packets.echo(1, asked[1])] * 3), *asked)
        await ClockCycles(dut.clk, dice.randrange(3, 700))
        await core.reset(dice.choice([1, 2, 7]))
        if number % 2:  # at once
            await core.load(MODELS[2])
            check(await core.ask(asked[0]), Reference(MODELS[2]).run_batch(lines(MODELS[0], [9])))
            await core.reset()
        else:
            await core.silent()
    fresh = packets.parse_status((await core.ask(packets.status(1)))[0])
    assert (fresh.model_valid, fresh.lines, fresh.packets, fresh.errors) == (False, 0, 1, 0)
    await core.load(MODELS[0])
    check(await core.ask(*asked), wanted)


@cocotb.test()
async def a_packet_without_end_takes_the_next_with_it(dut: Any) -> None:
    """As after a reset of the DMA: one answer to both, and the next packet is whole again."""
    core = Core(dut)
    await core.start()
    await core.load(MODELS[0])
    asked, wanted = questions(MODELS[0], [5])
    joined = np.concatenate([asked[0][:4], packets.status(2)])
    found = await core.ask(joined, *asked)
    assert found[0].error == Fault.SHORT_PACKET
    check(found[1:], wanted)
