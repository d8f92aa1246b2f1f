# SPDX-License-Identifier: Apache-2.0
"""Each fault of the emulated board, as a driver sees it; then at any time: right scores or an error, never a hang."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pynq", reason="pynq is not installed (the extra board)")

from pynq import Clocks
from tests.device.boards import Link, Timeout, design_of
from tests.device.networks import random_line, random_network

from zeile.device.emulated import BusError, Fault, Faults
from zeile.device.emulated.faults import KINDS
from zeile.device.reference import Reference
from zeile.errors import BadSettings, DeviceError, PacketError
from zeile.hw import packets
from zeile.network import Network

Make = Callable[..., Link]
WORDS = np.arange(20, dtype=np.uint64)
SHORT = 0.05  # seconds until a wait is given up where it cannot succeed
PATIENCE = 0.3  # seconds until one is given up where it may


@pytest.fixture(scope="module")
def network() -> Network:
    design = design_of("tiny")
    return random_network(0, list(design.layers), height_px=design.height_px, pixel_bits=design.pixel_bits)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    links: list[Link] = []

    def link(*faults: Fault) -> Link:
        links.append(Link(tmp_path, design_of("tiny"), faults))
        return links[-1]

    yield link
    for each in links:
        each.board.close()


def echo(link: Link, tag: int = 1, seconds: float = 20.0) -> packets.Words:
    return packets.parse(link.ask(packets.echo(tag, WORDS), seconds)).payload


def test_a_stalled_core_takes_nothing_until_the_reset(make: Make) -> None:
    link = make(Fault("stall"))
    with pytest.raises(Timeout):
        echo(link, seconds=SHORT)
    assert not link.dma.sendchannel.idle
    link.reset()
    assert np.array_equal(echo(link), WORDS)


def test_a_lost_answer_never_comes(make: Make) -> None:
    link = make(Fault("lost"))
    with pytest.raises(Timeout):
        echo(link, seconds=SHORT)
    assert link.dma.sendchannel.idle
    assert not link.dma.recvchannel.idle
    link.reset()
    assert np.array_equal(echo(link), WORDS)


def test_a_late_answer_comes_first_after_the_reset(make: Make) -> None:
    link = make(Fault("late"))
    with pytest.raises(Timeout):
        echo(link, tag=1, seconds=SHORT)
    link.reset()
    assert packets.parse(link.ask(packets.echo(2, WORDS))).tag == 1
    link.dma.recvchannel.transfer(link.received)
    link.wait(link.dma.recvchannel)
    assert packets.parse(np.array(link.received[:23])).tag == 2


def test_without_tlast_the_transfer_does_not_end(make: Make) -> None:
    link = make(Fault("missing_tlast"))
    with pytest.raises(Timeout):
        echo(link, seconds=SHORT)
    assert not link.dma.recvchannel.error
    link.reset()
    assert np.array_equal(echo(link), WORDS)


def test_a_full_buffer_without_tlast_is_an_internal_error(make: Make) -> None:
    link = make(Fault("missing_tlast"))
    link.start(packets.echo(1, WORDS), room=len(WORDS) + 3)
    with pytest.raises(Timeout, match="DMASR"):
        link.wait(link.dma.recvchannel)
    assert link.status(link.dma.recvchannel) & 0x71 == 0x11


@pytest.mark.parametrize(
    ("kind", "bits"), [("overrun", 0x11), ("slave_error", 0x21), ("decode_error", 0x41)], ids=lambda v: str(v)
)
def test_errors_halt_the_channel_and_a_reset_mends_it(make: Make, kind: str, bits: int) -> None:
    link = make(Fault(kind))
    with pytest.raises(Timeout):
        echo(link, seconds=1)
    assert link.status(link.dma.recvchannel) & 0x71 == bits
    with pytest.raises(RuntimeError, match="not started"):
        link.dma.recvchannel.transfer(link.received)
    link.reset()
    assert np.array_equal(echo(link), WORDS)


def test_a_flush_that_does_nothing_sends_the_packet_before(make: Make) -> None:
    link = make()
    echo(link, tag=1)
    link.board.faults.add(Fault("stale_cache"))
    assert packets.parse(link.ask(packets.echo(2, WORDS))).tag == 1


def test_an_invalidate_that_does_nothing_shows_the_answer_before(make: Make) -> None:
    link = make()
    echo(link, tag=1)
    link.board.faults.add(Fault("stale_cache", 1))
    assert packets.parse(link.ask(packets.echo(2, WORDS))).tag == 1


def test_a_wrong_design_has_a_sound_checksum(make: Make) -> None:
    link = make(Fault("wrong_design"))
    seen = [packets.parse_status(packets.parse(link.ask(packets.status(1)))).design_id for _ in range(2)]
    assert seen[0] != link.design.design_id
    assert seen[1] == link.design.design_id


def test_a_corrupt_line_fails_its_checksum(make: Make, network: Network) -> None:
    link = make(Fault("corrupt"))
    link.load(network)
    line = random_line(np.random.default_rng(1), network, 30)
    with pytest.raises(PacketError, match="checksum"):
        link.scores(line)
    assert np.array_equal(link.scores(line), Reference(network).run(line))


def test_a_line_damaged_on_its_way_in_is_refused_or_read_right(make: Make, network: Network) -> None:
    """Wherever the bit is: only in the upper half of the checksum's word does it mean nothing."""
    link = make()
    link.load(network)
    line = random_line(np.random.default_rng(1), network, 3)
    expected, refused = Reference(network).run(line), 0
    for _ in range(40):
        link.board.faults.add(Fault("damaged"))
        try:
            assert np.array_equal(link.scores(line), expected)
        except PacketError:
            refused += 1
    assert refused > 20
    assert np.array_equal(link.scores(line), expected)


def test_a_clock_that_is_too_high_can_be_read_back(make: Make) -> None:
    make(Fault("clock_high"))
    assert Clocks.fclk0_mhz == pytest.approx(1499.985 / 5, abs=1e-3)  # asked for / 6


def test_a_device_that_is_gone_raises_until_the_next_download(make: Make) -> None:
    link = make()
    link.board.faults.add(Fault("disappear"))
    with pytest.raises(BusError, match="no longer answers"):
        echo(link)
    with pytest.raises(BusError, match="load the overlay again"):
        link.dma.read(4)
    assert Clocks.fclk0_mhz > 0  # the processing system is still there
    link.overlay.download()
    link.dma = link.overlay.axi_dma_0
    link.reset()
    assert np.array_equal(echo(link), WORDS)


def recover(link: Link) -> None:
    """Reset the DMA and read answers until that to a new question comes."""
    for tag in range(60_000, 60_020):
        link.reset()
        try:
            link.start(packets.status(tag))
            while True:
                link.wait(link.dma.recvchannel, PATIENCE)
                if packets.parse(np.array(link.received[: link.dma.recvchannel.transferred // 8])).tag == tag:
                    return
                link.dma.recvchannel.transfer(link.received)
        except (Timeout, DeviceError, RuntimeError):
            continue
    pytest.fail("the link did not recover in 20 resets")


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("wrong_design", "clock_high", "disappear")])
def test_faults_at_any_time_never_give_wrong_scores(make: Make, network: Network, kind: str) -> None:
    link, rng = make(), np.random.default_rng(2)
    link.load(network)
    right = 0
    for tag in range(24):
        if tag % 4 == 0:
            link.board.faults.add(Fault(kind, int(rng.integers(0, 3))))
        line = random_line(rng, network, int(rng.integers(1, 40)))
        try:
            answer = packets.parse(link.ask(packets.infer(tag, line, link.design.pixel_bits), PATIENCE))
            if answer.tag != tag:
                raise PacketError("an answer to another packet")
            assert np.array_equal(packets.scores(answer), Reference(network).run(line))
            right += 1
        except (Timeout, DeviceError, RuntimeError):
            recover(link)
    assert link.board.faults.done[kind] == 6
    assert right >= 6


def test_a_model_that_fails_is_told_and_does_not_hang(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    link = make()

    def fail(*_: object) -> None:
        raise ValueError("no such luck")

    monkeypatch.setattr("zeile.device.emulated.reference_core.ReferenceCore.run", fail)
    with pytest.raises(DeviceError, match="no such luck"):
        echo(link)


def test_when_and_count() -> None:
    def strikes(*faults: Fault, chances: int = 8) -> list[int]:
        faulty = Faults(faults)
        return [chance for chance in range(chances) if faulty.strike("stall")]

    assert strikes(Fault("stall")) == [0]
    assert strikes(Fault("stall", 3)) == [3]
    assert strikes(Fault("stall", 3, 2)) == [3, 4]
    assert strikes(Fault("stall", 5, None)) == [5, 6, 7]
    assert strikes(Fault("stall", 1.0, None)) == list(range(8))
    assert strikes(Fault("stall", 0.0, None)) == []
    assert strikes(Fault("late")) == []
    assert strikes(Fault("stall", 0.5, None), chances=1000) == strikes(Fault("stall", 0.5, None), chances=1000)
    assert 400 < len(strikes(Fault("stall", 0.5, None), chances=1000)) < 600
    assert len(strikes(Fault("stall", 0.5, 3), chances=100)) == 3


def test_faults_from_text() -> None:
    faults = Faults.parse("stall:0.01, corrupt:3,late:2:4")
    assert [entry[0] for entry in faults._left] == [
        Fault("stall", 0.01, None),
        Fault("corrupt", 3, 1),
        Fault("late", 2, 4),
    ]
    assert Faults.parse("")._left == []


@pytest.mark.parametrize("text", ["stal", "stall:", "stall:x", "stall:1.5", "stall:-1", "stall:1:0", "stall:1:2:3"])
def test_bad_text_is_refused(text: str) -> None:
    with pytest.raises(BadSettings, match="fault"):
        Faults.parse(text)
