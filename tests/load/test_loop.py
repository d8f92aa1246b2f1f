# SPDX-License-Identifier: Apache-2.0
"""Answers that come one after another are looked at together, where they are many."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest

from zeile.load import drive, loop
from zeile.load.drive import Open
from zeile.load.windows import Outcome, Recorder

GATHERED_S = 0.25


@pytest.mark.parametrize("gather", [False, True])
def test_what_comes_while_a_loop_gathers_is_seen_with_what_came_before(
    monkeypatch: pytest.MonkeyPatch, gather: bool
) -> None:
    slept: list[float] = []
    seen: list[int] = []
    pairs = [socket.socketpair() for _ in range(2)]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        pairs[1][1].send(b"x")  # what comes meanwhile

    async def work() -> None:
        running = asyncio.get_running_loop()
        assert isinstance(running, loop.Loop)
        first = running.create_future()

        def read(index: int) -> None:
            pairs[index][0].recv(1)
            seen.append(index)
            if not first.done():
                first.set_result(None)

        for index, (end, _) in enumerate(pairs):
            running.add_reader(end, read, index)
        pairs[0][1].send(b"x")
        monkeypatch.setattr(loop, "time", SimpleNamespace(sleep=sleep))  # not for other threads of this process
        with running.gathering(GATHERED_S) if gather else nullcontext():
            await first
        monkeypatch.undo()
        for end, _ in pairs:
            running.remove_reader(end)

    loop.run(work())
    assert (sorted(seen), slept) == (([0, 1], [GATHERED_S]) if gather else ([0], []))
    for pair in pairs:
        for end in pair:
            end.close()


def test_the_policy_of_others_is_left_as_it_was() -> None:
    async def nothing() -> None:
        pass

    before = asyncio.get_event_loop_policy()
    loop.run(nothing())
    assert asyncio.get_event_loop_policy() is before


@pytest.mark.parametrize(("rate", "gathered"), [(200, False), (4 / drive.TICK_S, True)])
def test_only_an_open_loop_with_several_requests_in_a_tick_gathers(
    monkeypatch: pytest.MonkeyPatch, rate: float, gathered: bool
) -> None:
    asked: list[float] = []
    gathering = loop.Loop.gathering

    @contextmanager
    def noted(self: loop.Loop, seconds: float) -> Iterator[None]:
        asked.append(seconds)
        with gathering(self, seconds):
            yield
        asked.append(0)

    monkeypatch.setattr(loop.Loop, "gathering", noted)

    async def work() -> int:
        clock = asyncio.get_running_loop().time
        recorder, stop = Recorder(clock, time.process_time), asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, stop.set)

        async def send(number: int) -> Outcome:
            return Outcome(200, lines=1)

        await Open(rate).run(send, recorder, stop)
        return recorder.lines

    assert loop.run(work()) > 5
    assert asked == ([drive.TICK_S, 0] if gathered else [])
