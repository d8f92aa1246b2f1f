# SPDX-License-Identifier: Apache-2.0
"""Waiting, but not for ever: for a client, which asyncio has only from Python 3.11 on, and for what is more urgent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import Message, Receive


def here() -> asyncio.Task[Any]:
    """The task that runs."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("no task is running")
    return task


def uncancel(task: asyncio.Task[Any]) -> None:
    """Take back a cancellation that has done its work; from Python 3.11 on, the task would count as being cancelled."""
    if hasattr(task, "uncancel"):
        task.uncancel()


async def within(receive: Receive, seconds: float) -> tuple[Message | None, float]:
    """A message, or None once the time is up; and the seconds that it took.

    ``asyncio.wait_for`` would make a task for every piece of a body.
    """
    loop, task, late = asyncio.get_running_loop(), here(), False

    def end() -> None:
        nonlocal late
        late = True
        task.cancel()

    began, timer = loop.time(), loop.call_later(max(0.0, seconds), end)
    try:
        return await receive(), loop.time() - began
    except asyncio.CancelledError:
        if not late:
            raise
        uncancel(task)
        return None, seconds
    finally:
        timer.cancel()


class GivingWay:
    """Calls that give way to something else: they are made once it is over, one at a turn of the event loop.

    Args:
        most_s: seconds that a call waits at most for its turn.
    """

    def __init__(self, most_s: float) -> None:
        self._most_s, self._held = most_s, 0
        self._calls: deque[tuple[float, Callable[[], None]]] = deque()  # with when they must be made
        self._next: asyncio.Handle | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Calls give way to this block."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if not self._held and isinstance(self._next, asyncio.TimerHandle):
                self._next.cancel()
                self._plan()

    def call(self, function: Callable[[], None]) -> None:
        """Have it called, after those that wait already."""
        self._calls.append((asyncio.get_running_loop().time() + self._most_s, function))
        if self._next is None:
            self._plan()

    def _plan(self) -> None:
        loop, due = asyncio.get_running_loop(), self._calls[0][0]
        late = not self._held or due <= loop.time()
        self._next = loop.call_soon(self._make) if late else loop.call_at(due, self._make)

    def _make(self) -> None:
        _, function = self._calls.popleft()
        self._next = None
        if self._calls:
            self._plan()
        function()
