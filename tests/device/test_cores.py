# SPDX-License-Identifier: Apache-2.0
"""The compiled core, its Verilated twin and the NumPy one answer every packet alike; lines through the board."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pynq", reason="pynq is not installed (the extra board)")

from tests.device.boards import Link, design_of
from tests.device.networks import random_line, random_network

from zeile.device.emulated.core_model import CoreModel
from zeile.device.emulated.reference_core import ReferenceCore
from zeile.device.reference import Reference
from zeile.errors import DeviceError
from zeile.hw import csim, layout, packets, rtlsim
from zeile.hw.design import Design, hw_source
from zeile.network import Network

pytestmark = pytest.mark.slow  # compiles the core, some twenty seconds where the cache has none

COUNTERS = (2, 4, 5, 6, 7, 8, 9)
"""Words of STATUS that count clock cycles, of which the NumPy core has none."""


@pytest.fixture(scope="module", params=["tiny", "tiny-uni"])
def design(request: pytest.FixtureRequest) -> Design:
    return design_of(request.param)


@pytest.fixture(scope="module", params=["hls", "rtl"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def library(design: Design, kind: str) -> Path:
    try:
        make = rtlsim.build if kind == "rtl" else csim.build
        return make(design, hw_source().resolve())
    except DeviceError as error:
        if "no C++ compiler" in str(error) or "no Verilator" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture
def cores(design: Design, library: Path) -> Iterator[tuple[CoreModel, CoreModel]]:
    compiled = csim.Core(library)
    yield compiled, ReferenceCore(design)
    compiled.close()


@pytest.fixture(scope="module")
def network(design: Design) -> Network:
    return random_network(
        0,
        list(design.layers),
        height_px=design.height_px,
        columns_per_frame=design.columns_per_frame,
        pixel_bits=design.pixel_bits,
    )


def ask(core: CoreModel, words: packets.Words) -> packets.Words:
    """An answer without what the clock decides."""
    core.send(words, True)
    parts: list[packets.Words] = []
    last = False
    while not last:
        assert core.run(1_000_000) or not parts, "the core stopped in an answer"
        answer, last = core.receive()
        parts.append(answer)
    answer = np.concatenate(parts)
    assert packets.parse(answer)
    answer[-1] = 0
    if int(answer[0]) >> 16 & 0xFF == packets.Kind.STATUS | packets.ANSWER:
        answer[[packets.HEADER_WORDS + index for index in COUNTERS]] = 0
    return answer


def cut(words: packets.Words) -> list[packets.Words]:
    """The packet whole, too short in several ways, and too long."""
    lengths = sorted({1, 2, 3, len(words) - 1} & set(range(1, len(words))))
    return [words, *(words[:length] for length in lengths), np.append(words, np.uint64(7))]


def questions(design: Design, network: Network) -> Iterator[packets.Words]:
    rng, bits = np.random.default_rng(1), design.pixel_bits
    damaged = packets.load(1, 0, 0, np.arange(4, dtype=np.uint64))
    damaged[3] ^= np.uint64(1)
    loads = [packets.load(2, *load) for load in layout.model_words(design, network)]
    headers = [0x1234, 0x7_0000_015A, 0x0_0007_015A, 0xFF_FF00_015A, 0x5_0001_025A, 0x0201_015A]
    for state in ("empty", "loaded"):
        yield packets.status(1)
        for head in headers:
            yield np.array([head, 0], np.uint64)
        for frames in (0, 1, 5, design.max_frames, design.max_frames + 1):
            for emits in packets.Emits:
                yield from cut(packets.infer(3, random_line(rng, network, frames), bits, emits))
        for count in (0, 1, 100, 512, 513):
            yield from cut(packets.echo(4, np.arange(count, dtype=np.uint64)))
        for classes in (0, 1, design.classes + 1, 0xFFFF):
            yield from cut(packets.commit(5, classes, 1))
        for target, address in ((0, 1 << 23), (0, 5 << 24), (77, 0)):
            yield from cut(packets.read(6, target, address, 1))
            yield packets.load(6, target, address, np.zeros(1, np.uint64))
        if state == "empty":
            yield from loads
            yield packets.commit(7, network.classes, 0x1122_3344_5566_7788)
            for target, address, words in layout.model_words(design, network):
                yield packets.read(8, target, address, len(words))
    yield packets.status(9)
    yield damaged
    yield from cut(packets.load(1, 0, 0, np.arange(4, dtype=np.uint64)))
    yield packets.read(1, 0, 0, 4)
    yield packets.status(10)
    yield packets.infer(11, random_line(rng, network, 4), bits)


def test_every_packet_is_answered_alike(cores: tuple[CoreModel, CoreModel], design: Design, network: Network) -> None:
    for index, words in enumerate(questions(design, network)):
        compiled, reference = (ask(core, words) for core in cores)
        where = f"packet {index}: {[hex(int(word)) for word in words[:3]]}, {len(words)} words"
        assert np.array_equal(compiled, reference), f"{where}: {packets.parse(compiled)}, {packets.parse(reference)}"


def test_lines_through_the_board_and_the_compiled_core(
    tmp_path: Path, design: Design, library: Path, kind: str, network: Network
) -> None:
    link, rng = Link(tmp_path, design, core=kind), np.random.default_rng(2)
    try:
        link.load(network, model_id=77)
        for frames in (1, 0, 2, 30, design.max_frames):
            line = random_line(rng, network, frames)
            assert np.array_equal(link.scores(line), Reference(network).run(line))
        status = packets.parse_status(packets.parse(link.ask(packets.status(1))))
        assert (status.design_id, status.model_id, status.lines) == (design.design_id, 77, 5)
    finally:
        link.board.close()
