# SPDX-License-Identifier: Apache-2.0
"""The emulated board under the unmodified pynq classes; its core is the NumPy one, so no compiler is needed."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pynq", reason="pynq is not installed (the extra board)")

import pynq
import pynqmetadata
from pynq import MMIO, Clocks, Overlay, allocate
from pynq.pl_server.device import Device
from pynqmetadata.frontends import Metadata
from pynqmetadata.views.runtime import RuntimeMetadataParser
from tests.device.boards import Link, Timeout, design_of
from tests.device.networks import random_line, random_network

from zeile.device.emulated import Board, BusError, fresh_board, overlay
from zeile.device.reference import Reference
from zeile.errors import DeviceError, PacketError
from zeile.hw import hwh, layout, packets
from zeile.network import Network

Make = Callable[..., Link]


def network_of(name: str, seed: int = 0) -> Network:
    design = design_of(name)
    return random_network(
        seed,
        list(design.layers),
        height_px=design.height_px,
        columns_per_frame=design.columns_per_frame,
        pixel_bits=design.pixel_bits,
    )


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    links: list[Link] = []

    def link(name: str = "tiny", **options: object) -> Link:
        links.append(Link(tmp_path, design_of(name), **options))  # type: ignore[arg-type]
        return links[-1]

    yield link
    for each in links:
        each.board.close()


def test_pynqs_own_drivers_bind(make: Make) -> None:
    link = make()
    assert type(link.dma) is pynq.lib.dma.DMA
    assert link.overlay.is_loaded()
    assert link.dma.buffer_max_size == (1 << hwh.DMA_LENGTH_BITS) - 1
    assert link.board.downloads == 1


@pytest.mark.parametrize("name", ["tiny", "tiny-uni"])
def test_lines_through_the_dma_are_the_references(make: Make, name: str) -> None:
    network, rng = network_of(name), np.random.default_rng(3)
    link = make(name)
    link.load(network)
    for frames in (1, 0, 2, 17, link.design.max_frames):
        line = random_line(rng, network, frames)
        assert np.array_equal(link.scores(line), Reference(network).run(line))


def test_two_models_after_another(make: Make) -> None:
    link, rng = make(), np.random.default_rng(4)
    for seed in (1, 2, 1):
        network = network_of("tiny", seed)
        link.load(network, model_id=seed)
        line = random_line(rng, network, 20)
        assert np.array_equal(link.scores(line), Reference(network).run(line))
        status = packets.parse_status(packets.parse(link.ask(packets.status(1))))
        assert (status.model_id, status.model_valid) == (seed, True)
    assert status.design_id == link.design.design_id


def test_best_labels(make: Make) -> None:
    network = network_of("tiny")
    link = make()
    link.load(network)
    line = random_line(np.random.default_rng(5), network, 37)
    answer = packets.parse(link.ask(packets.infer(1, line, link.design.pixel_bits, packets.BEST)))
    labels, scores = packets.best(answer)
    expected = Reference(network).run(line)
    assert np.array_equal(labels, expected.argmax(1))
    assert np.array_equal(scores, expected.max(1))


def test_what_is_loaded_is_read_back(make: Make) -> None:
    network = network_of("tiny")
    link = make()
    link.load(network)
    for target, address, words in layout.model_words(link.design, network):
        answer = packets.parse(link.ask(packets.read(3, target, address, len(words))))
        assert np.array_equal(answer.payload, words)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (np.array([0x1234, 0], np.uint64), packets.Fault.BAD_MAGIC),
        (packets.status(1)[:1], packets.Fault.SHORT_PACKET),
        (np.append(packets.status(1), np.uint64(0)), packets.Fault.LONG_PACKET),
        (packets.infer(1, np.zeros((3, 8), np.uint8), 4), packets.Fault.NO_MODEL),
        (packets.load(1, 2, 0, np.zeros(1, np.uint64)), packets.Fault.BAD_ADDRESS),
        (packets.load(1, 0, 0, np.zeros(2, np.uint64))[:-1], packets.Fault.SHORT_PACKET),
        (
            packets.load(1, 0, 0, np.zeros(2, np.uint64)) ^ np.array([0, 0, 0, 1, 0], np.uint64),
            packets.Fault.CRC_MISMATCH,
        ),
        (packets.commit(1, 17, 1), packets.Fault.BAD_CLASSES),
        (packets.read(1, 0, 1 << 23, 1), packets.Fault.BAD_ADDRESS),
    ],
)
def test_bad_packets_are_answered_with_an_error(make: Make, words: packets.Words, fault: packets.Fault) -> None:
    link = make()
    answer = packets.parse(link.ask(words))
    assert (answer.kind, answer.error) == (packets.Kind.ERROR, fault)
    echo = packets.parse(link.ask(packets.echo(5, np.arange(9, dtype=np.uint64))))
    assert np.array_equal(echo.payload, np.arange(9))


def test_bad_lines_are_answered_with_an_error(make: Make) -> None:
    link = make()
    link.load(network_of("tiny"))
    longest = packets.infer(1, np.zeros((128, 8), np.uint8), 4)
    too_long = packets.infer(1, np.zeros((129, 8), np.uint8), 4)
    for words, fault, detail in (
        (too_long, packets.Fault.TOO_LONG, 128),
        (longest[:-1], packets.Fault.SHORT_PACKET, 130),
        (np.append(longest, np.uint64(0)), packets.Fault.LONG_PACKET, 131),
    ):
        answer = packets.parse(link.ask(words))
        assert (answer.error, answer.detail) == (fault, detail)
    assert packets.scores(packets.parse(link.ask(longest))).shape == (64, 16)


def test_interrupts_leave_the_event_loop_free(make: Make) -> None:
    link = make()
    words = np.arange(500, dtype=np.uint64)

    async def ask() -> packets.Words:
        link.start(packets.echo(1, words))
        await link.dma.sendchannel.wait_async()
        await link.dma.recvchannel.wait_async()
        return packets.parse(np.array(link.received[: link.dma.recvchannel.transferred // 8])).payload

    async def several() -> None:
        for _ in range(20):
            assert np.array_equal(await asyncio.wait_for(ask(), 20), words)

    asyncio.run(several())


def test_a_buffer_that_is_not_flushed_is_not_sent(make: Make) -> None:
    link = make()
    buffer = allocate(16, "u1")
    buffer[:] = 7
    seen = link.board.memory.at(buffer.physical_address, 16)
    assert not seen.any()
    buffer[4:8].flush()  # the whole buffer, as XRT does
    assert (seen == 7).all()
    seen[:] = 9
    assert (buffer == 7).all()
    buffer.invalidate()
    assert (buffer == 9).all()


def test_a_freed_buffer_cannot_be_used(make: Make) -> None:
    make()
    with allocate(16, "u1") as buffer:
        part = buffer[4:8]
    with pytest.raises(DeviceError, match="freed"):
        part.flush()


def test_memory_is_given_back(make: Make) -> None:
    link = make()
    before = link.board.memory.buffers
    for _ in range(50):
        with allocate(100_000, "u1") as buffer:
            buffer[:] = 1
        del buffer
    gc.collect()
    assert link.board.memory.buffers == before


def test_exhausted_memory_is_told(make: Make) -> None:
    make()
    with pytest.raises(DeviceError, match="contiguous memory"):
        allocate(1 << 30, "u1")


@pytest.mark.parametrize("address", [0xA010_0000, 0xA000_0000 - 4, 0x0])
def test_an_address_without_an_ip_raises(make: Make, address: int) -> None:
    make()
    with pytest.raises(BusError, match=f"0x{address:x}"):
        MMIO(address, 4).read(0)


def test_a_dma_address_outside_memory_is_a_decode_error(make: Make) -> None:
    link = make()
    for offset, value in ((0x18, 0x1000_0000), (0x1C, 0), (0x28, 64)):
        link.dma.write(offset, value)
    assert link.dma.sendchannel.error
    assert link.status(link.dma.sendchannel) & 0x41 == 0x41


def test_length_register_has_26_bits(make: Make) -> None:
    link = make()
    with pytest.raises(ValueError, match="exceeds"):
        link.dma.sendchannel.transfer(link.sent, nbytes=1 << 26)
    link.dma.write(0x28, 1 << 26)  # the register keeps 0, which is an internal error
    assert link.status(link.dma.sendchannel) & 0x11 == 0x11


def test_writing_the_length_of_a_busy_channel_raises(make: Make) -> None:
    link = make()
    link.dma.recvchannel.transfer(link.received)
    with pytest.raises(BusError, match="LENGTH"):
        link.dma.write(0x58, 64)
    link.reset()
    assert packets.parse(link.ask(packets.status(1))).tag == 1


def test_an_answer_longer_than_the_buffer_halts_the_channel(make: Make) -> None:
    link = make()
    link.start(packets.echo(1, np.arange(100, dtype=np.uint64)), room=50)
    with pytest.raises(Timeout, match="DMASR"):
        link.wait(link.dma.recvchannel)
    assert link.status(link.dma.recvchannel) & 0x11 == 0x11
    link.reset()
    rest = link.ask(packets.status(2))  # what the core still had comes first: a reset of the DMA is none of the core
    with pytest.raises(PacketError):
        packets.parse(rest)


def test_the_core_waits_when_nobody_takes_its_answers(make: Make) -> None:
    link = make()
    for tag in range(6):
        link.sent[:2] = packets.status(tag)
        link.dma.sendchannel.transfer(link.sent, nbytes=16)
        link.wait(link.dma.sendchannel)
    for tag in range(6):
        link.dma.recvchannel.transfer(link.received)
        link.wait(link.dma.recvchannel)
        assert packets.parse(np.array(link.received[:19])).tag == tag


def test_register_map_reads(make: Make) -> None:
    link = make()
    assert int(link.dma.register_map.S2MM_DMASR) & 1 == 0


def test_clocks(make: Make) -> None:
    make()
    assert Clocks.fclk0_mhz == pytest.approx(249.9975, abs=1e-3)
    assert Clocks.cpu_mhz > 1000
    with pytest.warns(UserWarning, match="closest"):
        Clocks.fclk0_mhz = 200
    assert Clocks.fclk0_mhz == pytest.approx(214.28, abs=0.01)  # above what was asked for


def test_pynq_finds_the_board_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZEILE_EMULATE", "reference")
    monkeypatch.setenv("ZEILE_EMULATE_FAULTS", "stall:0.5")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("_devices", "_active_device"):
        monkeypatch.delattr(Device, name, raising=False)
    loaded = Overlay(str(overlay(design_of("tiny"))))
    board = Device.active_device
    assert isinstance(board, Board)
    assert loaded.axi_dma_0.recvchannel.running
    board.close()


def test_without_the_environment_there_is_no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZEILE_EMULATE", raising=False)
    assert Board._probe_() == []


def test_a_second_overlay_invalidates_the_first(make: Make) -> None:
    first = make()
    second = Overlay(first.overlay.bitfile_name)
    assert second.is_loaded()
    assert not first.overlay.is_loaded()
    with pytest.raises(RuntimeError, match="not currently loaded"):
        _ = first.overlay.axi_dma_0


def test_wrong_part_and_missing_files(tmp_path: Path) -> None:
    fresh_board("reference")
    path = hwh.write(design_of("tiny"), tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"xczu7ev-ffvc1156-2-e", b"xczu3eg-sbva484-1--e"))
    with pytest.raises(DeviceError, match="xczu3eg"):
        Overlay(str(path))
    path.write_bytes(whole)
    path.with_suffix(".json").unlink()
    with pytest.raises(DeviceError, match="design beside"):
        Overlay(str(path))
    path.with_suffix(".hwh").unlink()
    with pytest.raises(RuntimeError, match="metadata"):
        Overlay(str(path))


def test_an_unknown_core_is_named(tmp_path: Path) -> None:
    fresh_board("verilog")
    with pytest.raises(DeviceError, match="ZEILE_EMULATE is 'verilog'"):
        Overlay(str(hwh.write(design_of("tiny"), tmp_path)))


def test_the_container_says_that_it_is_no_bitstream() -> None:
    data = hwh.bit_container(design_of("tiny"))
    assert b"no-bitstream;emulation-only" in data
    assert data.endswith(b"e\0\0\0\0")  # no configuration data


def parsed(path: Path) -> RuntimeMetadataParser:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pynqmetadata on what it does not know of
        return RuntimeMetadataParser(Metadata(input=path))


def test_vivados_description_and_ours_give_the_same_keys(tmp_path: Path) -> None:
    vivado = Path(pynqmetadata.__file__).parent / "tests" / "hwhs" / "resizer.hwh"
    if not vivado.is_file():
        pytest.skip("this pynqmetadata does not bring Vivado's resizer.hwh")
    theirs = parsed(vivado).ip_dict["axi_dma_0"]
    mine = parsed(hwh.write(design_of("tiny"), tmp_path).with_suffix(".hwh")).ip_dict["axi_dma_0"]
    assert set(mine) == set(theirs)
    assert {key: mine[key] for key in ("type", "fullpath", "mem_id", "memtype", "addr_range")} == {
        key: theirs[key] for key in ("type", "fullpath", "mem_id", "memtype", "addr_range")
    }
    assert set(mine["parameters"]) <= set(theirs["parameters"])
    for name, register in mine["registers"].items():
        assert register["address_offset"] == theirs["registers"][name]["address_offset"], name


def test_the_description_is_that_of_the_design(tmp_path: Path) -> None:
    parser = parsed(hwh.write(design_of("tiny"), tmp_path).with_suffix(".hwh"))
    bases = {name: ip.get("phys_addr") for name, ip in parser.ip_dict.items()}
    assert bases == {hwh.DMA: 0xA000_0000, hwh.INTC: 0xA002_0000, hwh.PS: None}
    assert parser.interrupt_controllers[hwh.INTC]["raw_irq"] == 121  # pl_ps_irq0[0], the one UIO of pynq's image
    assert parser.interrupt_pins[f"{hwh.DMA}/s2mm_introut"]["index"] == 1
    assert parser.clock_dict[0]["frequency"] == pytest.approx(249.9975)
