# SPDX-License-Identifier: Apache-2.0
"""DDR memory as the DMA sees it, and buffers as the CPU sees them: two copies until a flush or an invalidate.

As with XRT on the board, a flush or an invalidate of any part of a buffer acts on the whole buffer.
"""

from __future__ import annotations

import mmap
import threading

import numpy as np
import numpy.typing as npt

from zeile.device.emulated.bus import BusError
from zeile.device.emulated.faults import Faults
from zeile.errors import DeviceError

Bytes = npt.NDArray[np.uint8]

PAGE = 4096
SMALLEST = 8192
"""Bytes; pynq 3.1.1 and later allocate no less, so that addresses have 32 bits."""


class Memory:
    """The contiguous memory (CMA) of the board.

    Args:
        faults: what goes wrong with flushes.
        base: physical address.
        size: bytes.
    """

    def __init__(self, faults: Faults, base: int = 0x6000_0000, size: int = 512 << 20) -> None:
        self.base, self.size = base, size
        self._faults = faults
        self._view = np.frombuffer(mmap.mmap(-1, size), np.uint8)  # the system gives pages when they are touched
        self._free = [(base, size)]
        self._cpu: dict[int, Bytes] = {}
        self._lock = threading.Lock()

    @property
    def buffers(self) -> int:
        """Buffers in use."""
        return len(self._cpu)

    def allocate(self, size: int) -> tuple[int, Bytes]:
        """A buffer: its physical address, and the CPU's copy of it.

        Raises:
            DeviceError: the memory is exhausted.
        """
        need = -(-max(size, SMALLEST) // PAGE) * PAGE
        with self._lock:
            for index, (start, room) in enumerate(self._free):
                if room >= need:
                    self._free[index : index + 1] = [(start + need, room - need)] if room > need else []
                    self._cpu[start] = np.zeros(need, np.uint8)
                    return start, self._cpu[start][:size]
        raise DeviceError(f"contiguous memory: no {need} bytes of {self.size} are free; use fewer or smaller buffers")

    def release(self, address: int) -> None:
        """Give a buffer back."""
        with self._lock:
            free = sorted([*self._free, (address, len(self._cpu.pop(address)))])
            self._free = free[:1]
            for start, room in free[1:]:
                last, before = self._free[-1]
                if last + before == start:
                    self._free[-1] = (last, before + room)
                else:
                    self._free.append((start, room))

    def return_pointer(self, pointer: int) -> None:
        """What pynq's buffer calls when it is deleted."""
        self.release(pointer)

    def flush(self, address: int) -> None:
        """Make the CPU's copy of a whole buffer the DMA's.

        Raises:
            DeviceError: the buffer has been freed.
        """
        cpu = self._buffer(address)
        if not self._faults.strike("stale_cache"):
            self.at(address, len(cpu))[:] = cpu

    def invalidate(self, address: int) -> None:
        """Make the DMA's copy of a whole buffer the CPU's.

        Raises:
            DeviceError: the buffer has been freed.
        """
        cpu = self._buffer(address)
        if not self._faults.strike("stale_cache"):
            cpu[:] = self.at(address, len(cpu))

    def at(self, address: int, size: int) -> Bytes:
        """The DMA's view of some bytes.

        Raises:
            BusError: they are not in this memory.
        """
        start = address - self.base
        if start < 0 or start + size > self.size:
            raise BusError(f"the DMA has no memory at 0x{address:x} + {size} bytes")
        return self._view[start : start + size]

    def _buffer(self, address: int) -> Bytes:
        if address not in self._cpu:
            raise DeviceError(f"the buffer at 0x{address:x} is used after it was freed (the board would crash)")
        return self._cpu[address]
