# SPDX-License-Identifier: Apache-2.0
"""AXI interrupt controller 4.1 (PG099), and what stands for the Linux UIO device behind it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

from zeile.device.emulated.bus import Registers

ISR, IPR, IER, IAR, SIE, CIE, MER = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x1C


class Uio:
    """Stands where pynq.uio.UioController would, which opens /dev/uio<n>: same ``add_event``."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Any, asyncio.AbstractEventLoop | None]] = []
        self._pending = False
        self._lock = threading.Lock()

    def add_event(self, event: Any, number: int) -> None:
        """Call ``event.set()`` in the running loop at the next interrupt; at once if one is pending."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        with self._lock:
            self._waiting.append((event, loop))
            pending = self._pending
        if pending:
            self.fire()

    def fire(self) -> None:
        """An interrupt; one that nobody waits for stays pending."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            self._pending = not waiting
        for event, loop in waiting:
            if loop is None:
                event.set()
                continue
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(event.set)


class AxiIntc(Registers):
    """The controller: level-sensitive inputs, one output.

    Attributes:
        inputs: for each line, whether it is high now.
        uio: told when the output rises.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, {ISR: 0, IER: 0, MER: 0})
        self.inputs: dict[int, Callable[[], bool]] = {}
        self.uio = Uio()

    def read(self, offset: int) -> int:
        if offset == IPR:
            return self.values[ISR] & self.values[IER]
        return super().read(offset)

    def write(self, offset: int, value: int) -> None:
        if offset == IAR:
            self.values[ISR] &= ~value
        elif offset == SIE:
            self.values[IER] |= value
        elif offset == CIE:
            self.values[IER] &= ~value
        else:
            super().write(offset, value)
        self.update()

    def update(self) -> None:
        """Look at the inputs; an input that is still high sets its bit again after an acknowledge."""
        for line, high in self.inputs.items():
            if high():
                self.values[ISR] |= 1 << line
        if self.values[MER] & 1 and self.values[ISR] & self.values[IER]:
            self.uio.fire()
