# SPDX-License-Identifier: Apache-2.0
"""Waiting for a client, but not for ever: what asyncio has only from Python 3.11 on."""

from __future__ import annotations

import asyncio
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
