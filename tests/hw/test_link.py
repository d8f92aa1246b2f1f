# SPDX-License-Identifier: Apache-2.0
"""Packets through a scripted DMA: order, double buffers, deadlines, and what an error says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from tests.device.fake_pynq import Buffer, Core, Dma, allocate
from tests.device.overlays import design_of, network_of

from zeile.errors import DeviceError, DeviceFault, DeviceTimeout, PacketError
from zeile.hw import packets
from zeile.hw.link import Link, decoded, reset_dma
from zeile.hw.packets import Kind, Words

DESIGN = design_of("tiny")
NETWORK = network_of(DESIGN)


@pytest.fixture
def dma() -> Dma:
    dma = Dma(Core(DESIGN, NETWORK))
    reset_dma(dma)
    return dma


def link_of(dma: Dma, words: int = 1024) -> Link:
    buffers = [allocate((words,), np.uint64) for _ in range(4)]
    return Link(dma, dma.sendchannel, dma.recvchannel, buffers[:2], buffers[2:], patience_s=0.05)


@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_answers_come_in_order_and_packets_are_made_while_others_are_on_their_way(dma: Dma, in_flight: int) -> None:
    link, made = link_of(dma), []

    def questions() -> Iterator[Words]:
        for number in range(9):
            made.append(number)
            yield packets.echo(link.tag(), np.full(number, number, np.uint64))

    dma.latency = 3
    ahead = []
    for number, answer in enumerate(link.exchange(questions(), in_flight)):
        assert (answer.kind, answer.tag) == (Kind.ECHO, number)
        ahead.append(len(made) - number)
    assert max(ahead) > 1
    assert list(link.exchange([], 3)) == []
    assert link.ask(packets.status(link.tag())).tag == 9


def test_tags_go_round(dma: Dma) -> None:
    link = link_of(dma)
    tags = [link.tag() for _ in range((1 << 16) + 2)]
    assert tags[:2] == tags[-2:] == [0, 1]
    assert len(set(tags)) == 1 << 16


def test_silence_ends_with_the_status_of_both_channels(dma: Dma) -> None:
    dma.core.answered = lambda words: None
    with pytest.raises(DeviceTimeout, match=r"with 1 packets unanswered.*send 0x0+2 \(idle\), receive 0x0+ \(running"):
        link_of(dma).ask(packets.status(0))


@pytest.mark.parametrize(
    ("bits", "words"),
    [(0x10, "receive overran, no TLAST"), (0x20, "slave error"), (0x40, "decode error: no memory at that address")],
)
def test_an_error_of_the_dma_is_decoded(dma: Dma, bits: int, words: str) -> None:
    dma.halts.append(bits)
    with pytest.raises(DeviceFault, match=f"receive 0x000000{bits | 1:02x} .halted, .*{words}"):
        link_of(dma).ask(packets.status(0))


def test_a_channel_that_does_not_start_is_explained(dma: Dma) -> None:
    dma.halts.append(0x40)
    link = link_of(dma)
    with pytest.raises(DeviceFault):
        link.ask(packets.status(0))
    with pytest.raises(DeviceFault, match=r"cannot start: DMA channel not started; .*decode error"):
        link_of(dma).ask(packets.status(0))
    reset_dma(dma)
    assert link_of(dma).ask(packets.status(3)).tag == 3


def test_answers_of_others_and_damaged_ones_are_refused(dma: Dma) -> None:
    link = link_of(dma)
    stale = packets.answer(packets.parse(_answer(dma, packets.echo(77, np.zeros(0, np.uint64)))))
    dma.core.answered = lambda words: stale
    with pytest.raises(DeviceFault, match="it is another's"):
        link.ask(packets.echo(78, np.zeros(0, np.uint64)))
    reset_dma(dma)
    for bit in range(0, 64 * len(stale), 7):
        damaged = stale.copy()
        damaged[bit // 64] ^= np.uint64(1 << bit % 64)
        dma.core.answered = lambda words, damaged=damaged: damaged  # type: ignore[misc]
        question = packets.echo(77, np.zeros(0, np.uint64))
        if bit // 64 == len(stale) - 1 and bit % 64 >= 32:  # the count of cycles, which is for statistics
            link_of(dma).ask(question)
        else:
            with pytest.raises(PacketError):
                link_of(dma).ask(question)
        reset_dma(dma)


def test_an_error_of_the_core_is_a_sentence(dma: Dma) -> None:
    refusal = packets.Answer(Kind.ERROR, 5, 0, 0, 0, np.zeros(0, np.uint64), 1, packets.Fault.NO_MODEL)
    dma.core.answered = lambda words: packets.answer(refusal)
    with pytest.raises(DeviceFault, match="refused packet 5: no model is loaded"):
        link_of(dma).ask(packets.status(5))


def test_a_stale_view_of_an_answer_is_found(dma: Dma, monkeypatch: pytest.MonkeyPatch) -> None:
    link = link_of(dma)
    for tag in range(4):
        link.ask(packets.status(tag))
    monkeypatch.setattr(Buffer, "invalidate", lambda self: None)
    with pytest.raises(DeviceFault, match="another's"):
        link.ask(packets.status(4))


def test_a_dma_that_does_not_come_out_of_its_reset(dma: Dma, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zeile.hw.link._RESET_S", 0.01)
    dma.running = False
    with pytest.raises(DeviceFault, match="does not run within"):
        reset_dma(dma)

    def gone(offset: int, value: int) -> None:
        raise DeviceError("nothing answers at 0xa0000000")

    monkeypatch.setattr(dma, "write", gone)
    with pytest.raises(DeviceFault, match="cannot be reset: nothing answers"):
        reset_dma(dma)


def test_packets_longer_than_a_buffer_are_not_sent(dma: Dma) -> None:
    with pytest.raises(DeviceFault, match="1026 words, its buffer holds 1024"):
        link_of(dma).ask(packets.echo(0, np.zeros(1024, np.uint64)))
    assert dma.core.kinds == []


def test_status_words() -> None:
    assert decoded(0) == "0x00000000 (running)"
    assert decoded(0x1002) == "0x00001002 (idle, transfer complete)"


def _answer(dma: Dma, question: Words) -> Words:
    words = dma.core.answer(question)
    assert words is not None
    return words
