# SPDX-License-Identifier: Apache-2.0
"""Registers of the processing system that pynq reads and writes: PLLs, clocks of the logic, AXI widths (UG1087)."""

from __future__ import annotations

from zeile.device.emulated.bus import Bus, Registers

CRL, CRF = 0xFF5E_0000, 0xFD1A_0000
PL0_REF_CTRL = 0xC0
BLOCK = 0x1000

_OTHERS = {
    "FPD_SLCR": 0xFD61_5000,  # width of the AXI masters
    "LPD_SLCR": 0xFF41_9000,
    **{f"AFIFM{index}": 0xFD36_0000 + 0x1_0000 * index for index in range(6)},  # width of the AXI slaves
    "AFIFM6": 0xFF9B_0000,
}


def _pll(feedback: int) -> int:
    """A PLL's control register: 33.333 MHz * feedback / 2."""
    return 1 << 16 | feedback << 8


def _clock(divisor: int) -> int:
    return 1 << 24 | 1 << 16 | divisor << 8


class ClockRegisters(Registers):
    """CRL_APB: IOPLL and RPLL at 1499.985 MHz, and four clocks of the logic, at 100 MHz after power-up."""

    def __init__(self) -> None:
        clocks = {PL0_REF_CTRL + 4 * index: _clock(15) for index in range(4)}
        super().__init__("CRL_APB", {0x20: _pll(90), 0x30: _pll(90)} | clocks)

    def quicken(self) -> None:
        """Let PL0 run at the next higher frequency: its divisor becomes one less."""
        self.values[PL0_REF_CTRL] -= 1 << 8


def map_processing_system(bus: Bus, clocks: ClockRegisters) -> None:
    """Let the processing system's registers answer."""
    bus.map(CRL, BLOCK, clocks)
    bus.map(CRF, BLOCK, Registers("CRF_APB", {0x20: _pll(72), 0x2C: _pll(64), 0x38: _pll(90), 0x60: 1 << 8}))
    for name, base in _OTHERS.items():
        bus.map(base, BLOCK, Registers(name))
