# SPDX-License-Identifier: Apache-2.0
"""Sending requests, in a closed loop or in an open one, and measuring until the figures are stable.

The loops know a coroutine that sends one request and the event loop's clock, and nothing else: over HTTP, inside the
service, and in tests whose clock is not a real one, they are the same.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Protocol

from zeile.load.loop import Loop
from zeile.load.windows import NO_ANSWER, Level, Outcome, Recorder, Rule, Window, are_stable

Send = Callable[[int], Awaitable[Outcome]]
"""Sends the request of this number, from 0, and says what became of it; raises nothing of its own."""

TIMER_S = 0.0015
"""Event loops wake up to so much too late; a request that is sent within it of its time was sent in time."""

TICK_S = 0.001
"""Waited at least by an open loop that is in time: what is due within it is sent together, which costs less.

With more than one request in it, answers are gathered as well (``Loop.gathering``), and their latencies are up to so
much too long.
"""

PAUSE_S = 0.05
"""Waited by a closed loop after a request without an answer: a server that is away is not asked without a pause."""


class Drive(Protocol):
    """A way of sending."""

    @property
    def load(self) -> float:
        """Its level: concurrency, or requests a second."""
        ...

    async def run(self, send: Send, recorder: Recorder, stop: asyncio.Event) -> None:
        """Send until ``stop``, then wait for what is on its way."""
        ...


class Closed:
    """So many clients, each of which sends its next request when the last one is answered.

    Args:
        concurrency: clients.
        requests: sent in all, None for no limit.
    """

    def __init__(self, concurrency: int, requests: int | None = None) -> None:
        self.load = float(concurrency)
        self._clients, self._requests = concurrency, requests

    async def run(self, send: Send, recorder: Recorder, stop: asyncio.Event) -> None:
        """As ``Drive.run``."""
        clock = asyncio.get_running_loop().time
        numbers = iter(itertools.count() if self._requests is None else range(self._requests))

        async def client() -> None:
            for number in numbers:
                began = clock()
                outcome = await send(number)
                recorder.add(outcome, clock() - began)
                if stop.is_set():
                    return
                if outcome.status == NO_ANSWER:
                    await asyncio.sleep(PAUSE_S)

        await asyncio.gather(*(client() for _ in range(self._clients)))


class Open:
    """Requests at random times (Poisson) at a mean rate, whether or not the earlier ones are answered.

    Latency counts from the time that a request was meant to be sent: a server that stalls does not hide its stall by
    holding the client back (coordinated omission).

    Args:
        rate: requests a second.
        seed: of the times.
    """

    def __init__(self, rate: float, seed: int = 1) -> None:
        self.load = rate
        self._random = random.Random(seed)

    async def run(self, send: Send, recorder: Recorder, stop: asyncio.Event) -> None:
        """As ``Drive.run``."""
        loop = asyncio.get_running_loop()
        many = self.load * TICK_S > 1
        with loop.gathering(TICK_S) if many and isinstance(loop, Loop) else nullcontext():
            await self._run(send, recorder, stop, loop)

    async def _run(self, send: Send, recorder: Recorder, stop: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
        clock = loop.time
        # Tasks that have nothing to send; a new one for each request would take as long as sending it.
        free: list[asyncio.Future[tuple[int, float] | None]] = []
        senders: list[asyncio.Task[None]] = []

        async def sender(what: tuple[int, float] | None) -> None:
            while what is not None:
                number, due = what
                now = clock()
                began = now if now - due < TIMER_S else due
                outcome = await send(number)
                recorder.add(outcome, clock() - began)
                if stop.is_set():
                    return
                waiting = loop.create_future()
                free.append(waiting)
                what = await waiting

        due = clock()
        for number in itertools.count():
            due += self._random.expovariate(self.load)
            if (early := due - clock()) > 0 and await _set_within(stop, max(early, TICK_S)):
                break
            if stop.is_set():
                break
            if free:
                free.pop().set_result((number, due))
            else:
                senders.append(loop.create_task(sender((number, due))))
            if early < -TIMER_S:
                await asyncio.sleep(0)  # behind time: answers must be read all the same
        for waiting in free:
            waiting.set_result(None)
        await asyncio.gather(*senders)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether an event came within this time."""
    if seconds < 1:  # cheap for the many; an end is noticed a second late at most
        await asyncio.sleep(seconds)
        return event.is_set()
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait((waiting,), timeout=seconds)
    waiting.cancel()
    return event.is_set()


async def measure(drive: Drive, send: Send, rule: Rule, seen: Callable[[Window], None] | None = None) -> Level:
    """Drive until the windows are stable, there are enough of them, or there is nothing left to send.

    Args:
        drive: how to send.
        send: sends one request.
        rule: when it is enough.
        seen: told of each window.
    """
    recorder = Recorder(asyncio.get_running_loop().time, time.process_time)
    stop = asyncio.Event()
    running = asyncio.ensure_future(drive.run(send, recorder, stop))
    windows: list[Window] = []
    try:
        ended = await _done_within(running, rule.warmup_s)
        warm = recorder.cut()
        while not ended and len(windows) < rule.most and not are_stable(windows, rule):
            ended = await _done_within(running, rule.window_s)
            windows.append(recorder.cut())
            if seen is not None:
                seen(windows[-1])
        stop.set()
        await running
    finally:
        if not running.done():
            running.cancel()
            await asyncio.wait((running,))
    return Level(
        load=drive.load,
        stable=are_stable(windows, rule),
        windows=len(windows),
        measured=Window.merged(windows[-rule.stable :] or [warm]),
        statuses=recorder.statuses,
        lines=recorder.lines,
        problems=recorder.problems,
    )


async def _done_within(running: asyncio.Future[None], seconds: float) -> bool:
    await asyncio.wait((running,), timeout=seconds)
    return running.done()
