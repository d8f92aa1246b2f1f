# SPDX-License-Identifier: Apache-2.0
"""Registers and the addresses at which they answer."""

from __future__ import annotations

from zeile.errors import DeviceFault


class BusError(DeviceFault):
    """An access that nothing answers; on the board it would hang or kill the system."""


class Registers:
    """Plain 32-bit registers that keep what is written; IP models override ``read`` and ``write``."""

    def __init__(self, name: str, values: dict[int, int] | None = None) -> None:
        self.name = name
        self.values = dict(values or {})

    def read(self, offset: int) -> int:
        return self.values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        self.values[offset] = value


class Bus:
    """Address decoding of aligned 32-bit accesses."""

    def __init__(self) -> None:
        self._regions: list[tuple[int, int, Registers]] = []

    def map(self, base: int, size: int, registers: Registers) -> None:
        """Let registers answer in [base, base + size)."""
        self._regions.append((base, base + size, registers))

    def read(self, address: int, length: int) -> bytes:
        """Read ``length`` bytes, word by word.

        Raises:
            BusError: nothing answers, or the access is not aligned.
        """
        words = []
        for at in range(address, address + length, 4):
            registers, offset = self._find(at)
            words.append((registers.read(offset) & 0xFFFF_FFFF).to_bytes(4, "little"))
        return b"".join(words)[:length]

    def write(self, address: int, data: bytes) -> None:
        """Write bytes, word by word.

        Raises:
            BusError: nothing answers, or the access is not aligned.
        """
        for index in range(0, len(data), 4):
            registers, offset = self._find(address + index)
            registers.write(offset, int.from_bytes(data[index : index + 4], "little"))

    def _find(self, address: int) -> tuple[Registers, int]:
        if address % 4:
            raise BusError(f"0x{address:x} is no address of a 32-bit register; use multiples of 4")
        for base, end, registers in self._regions:
            if base <= address < end:
                return registers, address - base
        raise BusError(
            f"nothing answers at 0x{address:x} (the board would hang); use addresses of the overlay's ip_dict"
        )
