# SPDX-License-Identifier: Apache-2.0
"""Tells systemd that the service is alive, for as long as it is: it restarts one that hangs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

from zeile.notify import notify, watchdog_s


class Alive(Protocol):
    """What is used of ``Health``."""

    @property
    def dead(self) -> str | None:
        """Why the process should be ended and started again; None while it works."""


class Watchdog:
    """Sends WATCHDOG=1 from the event loop while the engine's thread works: either one hanging ends it.

    Args:
        health: of the service.
    """

    def __init__(self, health: Alive) -> None:
        self._health = health
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start, if systemd wants to hear it."""
        if (pause_s := watchdog_s()) is not None:
            self._task = asyncio.create_task(self._watch(pause_s))

    async def close(self) -> None:
        """Send nothing more; systemd does not expect it of a service that stops."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self, pause_s: float) -> None:
        while True:
            because = self._health.dead
            notify("WATCHDOG=1" if because is None else f"STATUS={because}")
            await asyncio.sleep(pause_s)
