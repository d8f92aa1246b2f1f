# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a board: the reference engine, and whatever is to go wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from tests.models import tiny_network

from zeile.device import Device, Frames, Scores, open_device
from zeile.device.reference import Reference
from zeile.errors import LineTooWide
from zeile.network import Network
from zeile.service import engines
from zeile.service.golden import Golden, digest
from zeile.settings import Settings

LINES = [np.full((length, 16), length % 16, np.uint8) for length in (6, 0, 9, 20)]


class Board:
    """What its devices share.

    Args:
        engine: that computes.

    Attributes:
        fault: raised by every device while it is set, at opening too.
        next: called before each batch; may raise, or return a function that changes the scores.
        widest: frames of the longest line that it takes.
        opened: devices that were opened so far.
        closed: of these, closed ones.
        batches: how often it was asked.
        retries: what its devices say of their own second tries; None if they make none.
    """

    def __init__(self, engine: str = "reference") -> None:
        self.engine = engine
        self.fault: Exception | None = None
        self.next: Callable[[], Callable[[list[Scores]], list[Scores]] | None] | None = None
        self.widest = 1 << 20
        self.opened = self.closed = self.batches = 0
        self.retries: int | None = None
        self._lock = threading.Lock()

    def open(self, network: Network) -> Device:
        with self._lock:
            self.opened += 1
        if self.fault is not None:
            raise self.fault
        return _Device(self, network)


class _Device:
    def __init__(self, board: Board, network: Network) -> None:
        self._board, self._engine = board, open_device(board.engine, network)

    @property
    def info(self) -> dict[str, Any]:
        facts = {"engine": "fpga", "path": "flaky"}
        return facts if self._board.retries is None else facts | {"retries": self._board.retries}

    def run(self, frames: Frames) -> Scores:
        return self.run_batch([frames])[0]

    def run_batch(self, lines: Sequence[Frames]) -> list[Scores]:
        board = self._board
        board.batches += 1
        if board.fault is not None:
            raise board.fault
        change = board.next() if board.next is not None else None
        for frames in lines:
            if len(frames) > board.widest:
                raise LineTooWide(f"the line is {len(frames)} columns long")
        scores = self._engine.run_batch(lines)
        return change(scores) if change is not None else scores

    def close(self) -> None:
        self._board.closed += 1
        self._engine.close()

    def __enter__(self) -> _Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def flipped(scores: list[Scores]) -> list[Scores]:
    """One bit of one score is wrong, and nothing says so."""
    changed = [s.copy() for s in scores]
    for s in changed:
        if s.size:
            s.flat[s.size // 2] ^= 64
            break
    return changed


def golden(network: Network | None = None) -> Golden:
    """Test lines of a network, with what the reference makes of them."""
    scores = Reference(network or tiny_network()).run_batch(LINES[:1])
    return Golden(tuple(LINES[:1]), tuple(map(digest, scores)), ("",))


def install(board: Board, monkeypatch: pytest.MonkeyPatch, spare: str = "reference") -> None:
    """Let the service's engine "fpga" be this board, and another one stand behind it."""

    def opened(name: str, network: Network, threads: int = 1, settings: Settings | None = None) -> Device:
        return board.open(network) if name == "fpga" else open_device(spare, network)

    monkeypatch.setattr(engines, "open_device", opened)


def sample(text: str, name: str) -> float:
    """A metric's value in what /metrics says; 0 if it is not there."""
    values = [float(line.split()[-1]) for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return sum(values)
