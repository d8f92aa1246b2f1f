# SPDX-License-Identifier: Apache-2.0
"""The event loop of a process that does nothing but send requests.

A loop wakes up for each answer by itself. At thousands of answers a second that costs a sender more than the answers
do, and takes the processor from a service on the same machine; so it may gather them.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    gathered_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.gathered_s and timeout != 0:  # 0: something is to be done at once
            time.sleep(self.gathered_s)
            timeout = None if timeout is None else max(0.0, timeout - self.gathered_s)
        return super().select(timeout)


class Loop(asyncio.SelectorEventLoop):
    """An event loop that can gather what comes."""

    def __init__(self) -> None:
        self._turns = _Selector()
        super().__init__(self._turns)

    @contextmanager
    def gathering(self, seconds: float) -> Iterator[None]:
        """Meanwhile, look for what has come once in so many seconds only; it is seen so much later at most.

        Args:
            seconds: between two looks.
        """
        self._turns.gathered_s = seconds
        try:
            yield
        finally:
            self._turns.gathered_s = 0.0


class _Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return Loop()


def run(work: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` in a ``Loop``; its own argument for that comes with Python 3.12 only.

    Args:
        work: what is run.
    """
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(_Policy())
    try:
        return asyncio.run(work)
    finally:
        asyncio.set_event_loop_policy(before)
