# SPDX-License-Identifier: Apache-2.0
"""The emulated board for tests, and the shortest way to talk to a core on it. Skips where pynq is not installed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pynq", reason="pynq is not installed (the extra board)")

from pynq import Overlay, allocate

from zeile.device.emulated import Board, Fault, fresh_board
from zeile.hw import hwh, layout, packets
from zeile.hw.design import Design, load_design
from zeile.network import Network

ROOT = Path(__file__).resolve().parents[2]
BUFFER_WORDS = 1 << 13


def design_of(name: str) -> Design:
    return load_design(ROOT / "hw_src" / "designs" / f"{name}.json")


class Timeout(Exception):
    """A channel was not idle in time."""


class Link:
    """One packet out, one answer back, by the unmodified pynq classes."""

    def __init__(self, folder: Path, design: Design, faults: Iterable[Fault] = (), core: str = "reference") -> None:
        self.design = design
        self.board: Board = fresh_board(core, faults)
        self.overlay: Any = Overlay(str(hwh.write(design, folder)))
        self.dma: Any = self.overlay.axi_dma_0
        self.sent: Any = allocate(BUFFER_WORDS, np.uint64)
        self.received: Any = allocate(BUFFER_WORDS, np.uint64)

    def start(self, words: packets.Words, room: int = BUFFER_WORDS) -> None:
        self.sent[: len(words)] = words
        self.dma.recvchannel.transfer(self.received, nbytes=8 * room)
        self.dma.sendchannel.transfer(self.sent, nbytes=8 * len(words))

    def wait(self, channel: Any, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not channel.idle:
            if channel.error or time.monotonic() > deadline:
                raise Timeout(f"DMASR is 0x{self.status(channel):x}")
            time.sleep(0.0005)
        channel.wait()

    def status(self, channel: Any) -> int:
        return int(self.dma.read(channel._offset + 4))

    def ask(self, words: packets.Words, seconds: float = 20.0) -> packets.Words:
        """The answer's words."""
        self.start(words)
        self.wait(self.dma.sendchannel, seconds)
        self.wait(self.dma.recvchannel, seconds)
        return np.array(self.received[: self.dma.recvchannel.transferred // 8])

    def reset(self) -> None:
        self.dma.write(0, 4)
        self.dma.sendchannel.start()
        self.dma.recvchannel.start()

    def load(self, network: Network, model_id: int = 1) -> None:
        for tag, (target, address, words) in enumerate(layout.model_words(self.design, network)):
            assert packets.parse(self.ask(packets.load(tag, target, address, words))).kind == packets.Kind.LOAD
        packets.parse(self.ask(packets.commit(99, network.classes, model_id)))

    def scores(self, frames: packets.Frames, seconds: float = 20.0) -> Any:
        words = self.ask(packets.infer(7, frames, self.design.pixel_bits), seconds)
        return packets.scores(packets.parse(words))
