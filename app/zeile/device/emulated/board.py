# SPDX-License-Identifier: Apache-2.0
"""The emulated ZCU104 as a ``pynq.Device``: the unmodified pynq classes run on it as on the board.

What pynq 3.1.2 and 4.0.0 ask of a device: get_bitfile_metadata, download, gen_cache, read_registers, write_registers,
allocate, flush, invalidate, get_memory, and the attributes name, arch and capabilities.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from pynq.buffer import PynqBuffer
from pynq.interrupt import _InterruptController
from pynq.pl_server.device import Device
from pynq.pl_server.embedded_device import parse_bit_header
from pynqmetadata.frontends import Metadata
from pynqmetadata.views.runtime import RuntimeMetadataParser

from zeile.device.emulated.bus import Bus, BusError, Registers
from zeile.device.emulated.clocks import ClockRegisters, map_processing_system
from zeile.device.emulated.core_model import RunningCore, open_model
from zeile.device.emulated.dma import AxiDma
from zeile.device.emulated.faults import Faults
from zeile.device.emulated.interrupts import AxiIntc
from zeile.device.emulated.memory import Memory
from zeile.errors import DeviceError
from zeile.hw.design import load_design

ENVIRONMENT, FAULTS_ENVIRONMENT = "ZEILE_EMULATE", "ZEILE_EMULATE_FAULTS"
PART = "xczu7ev-ffvc1156-2-e"


class Board(Device):  # type: ignore[misc]  # pynq has no types
    """A ZCU104 with nothing in its programmable logic.

    Args:
        core: model of the core, one of ``core_model.MODELS``.
        faults: what goes wrong.

    Attributes:
        faults: may be changed at any time.
        memory: its contiguous memory.
        downloads: how often the logic has been configured.
    """

    _probe_priority_ = 10  # before all of pynq's own: Versal 40, Embedded 50, Remote 100, XRT 200

    @classmethod
    def _probe_(cls) -> list[Board]:
        kind = os.environ.get(ENVIRONMENT, "0")
        return [] if kind in ("", "0") else [cls(kind, Faults.parse(os.environ.get(FAULTS_ENVIRONMENT, "")))]

    def __init__(self, core: str = "hls", faults: Faults | None = None) -> None:
        super().__init__("emulated ZCU104")
        self.name, self.arch = "ZCU104 (emulated)", "aarch64"
        self.capabilities = {"REGISTER_RW": True, "MEMORY_MAPPED": False, "CALLABLE": False, "EMULATED": True}
        self.faults = Faults() if faults is None else faults
        self.memory = Memory(self.faults)
        self.downloads = 0
        self._kind = core
        self._lock = threading.RLock()
        self._system, self._logic = Bus(), Bus()
        self._core: RunningCore | None = None
        self._gone = False
        self._clocks = ClockRegisters()
        map_processing_system(self._system, self._clocks)

    def read_registers(self, address: int, length: int) -> bytes:
        """Read registers.

        Raises:
            BusError: nothing answers there.
            DeviceFault: the model of the core has failed.
        """
        with self._lock:
            return self._bus(address).read(address, length)

    def write_registers(self, address: int, data: bytes) -> None:
        """Write registers.

        Raises:
            BusError: nothing answers there.
        """
        with self._lock:
            self._bus(address).write(address, bytes(data))

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> RuntimeMetadataParser:
        """Parse the ``.hwh`` beside a bitstream; it is never cached."""
        path = Path(bitfile_name).with_suffix(".hwh")
        if not path.is_file():
            raise RuntimeError(f"Unable to find metadata for bitstream: there is no {path}")
        parser = RuntimeMetadataParser(Metadata(input=path))
        parser.mem_dict["PSDDR"] = {
            "raw_type": 2,
            "used": 1,
            "base_address": 0,
            "size": self.memory.size,
            "type": "DDR4",
            "streaming": False,
            "idx": 0,
            "tag": "PSDDR",
        }
        parser.refresh_hierarchy_dict()
        return parser

    def gen_cache(self, bitstream: Any, parser: Any = None) -> None:
        """There is no cache."""

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Configure the logic: a core of the design that lies as ``.json`` beside the bitstream.

        Raises:
            DeviceError: the bitstream is for another part, or there is no design beside it.
        """
        path = Path(bitstream.bitfile_name)
        part = parse_bit_header(path.read_bytes())["part"]
        if part != PART:
            raise DeviceError(
                f"{path.name} is for the part {part}, the emulated board has {PART}; build it for this board"
            )
        if not path.with_suffix(".json").is_file():
            raise DeviceError(f"the emulated board needs the design beside {path}, as {path.stem}.json")
        design = load_design(path.with_suffix(".json"))
        self.close()
        core = RunningCore(open_model(self._kind, design), self.faults, self._lock)
        with self._lock:
            self._core, self._logic, self._gone = core, Bus(), False
            self._build(parser, core)
            self.downloads += 1
            if self.faults.strike("clock_high"):  # pynq has set it already
                self._clocks.quicken()
        self.post_download(bitstream, parser, self.name)

    def close(self) -> None:
        """Stop the core; the logic is empty afterwards."""
        core, self._core, self._logic = self._core, None, Bus()
        if core is not None:
            core.close()

    def allocate(self, shape: Any, dtype: Any = "u4", cacheable: int = 1, **kwargs: Any) -> PynqBuffer:
        """A buffer in contiguous memory, for ``pynq.allocate``."""
        dtype = np.dtype(dtype)
        address, cpu = self.memory.allocate(int(np.prod(shape)) * dtype.itemsize)
        buffer = PynqBuffer(shape, dtype, buffer=cpu, device=self, device_address=address, bo=address, coherent=False)
        buffer.memory, buffer.pointer, buffer.return_to = self, address, self.memory
        buffer.freed = True  # else pynq's destructor calls munmap of a libc that it loads on a board only
        return buffer

    def flush(self, bo: int, offset: int, vaddr: int, nbytes: int) -> None:
        """Let the DMA see what the CPU wrote into a buffer."""
        self.memory.flush(bo)

    def invalidate(self, bo: int, offset: int, vaddr: int, nbytes: int) -> None:
        """Let the CPU see what the DMA wrote into a buffer."""
        self.memory.invalidate(bo)

    def get_memory(self, description: Any) -> Board:
        """There is one memory."""
        return self

    @property
    def default_memory(self) -> Board:
        """There is one memory."""
        return self

    def _bus(self, address: int) -> Bus:
        if address >= 0xF000_0000:  # the processing system's registers
            return self._system
        if self._gone:
            raise BusError(f"the programmable logic no longer answers, at 0x{address:x}; load the overlay again")
        return self._logic

    def _lose(self) -> None:
        self._gone = True

    def _build(self, parser: Any, core: RunningCore) -> None:
        """Put models of the IP where the ``.hwh`` says, and connect their interrupts."""
        models: dict[str, Registers] = {}
        for name, ip in parser.ip_dict.items():
            if ip.get("phys_addr") is None:
                continue
            kind = ip["type"].split(":")[2]
            if kind == "axi_dma":
                models[name] = AxiDma(name, ip["parameters"], self.memory, core, self.faults, self._lose)
            elif kind == "axi_intc":
                models[name] = AxiIntc(name)
            else:
                models[name] = Registers(name)
            self._logic.map(ip["phys_addr"], ip["addr_range"], models[name])
        for name, controller in parser.interrupt_controllers.items():
            intc = models[name]
            assert isinstance(intc, AxiIntc)
            _InterruptController._uio_devices[controller["raw_irq"]] = intc.uio
        for pin, entry in parser.interrupt_pins.items():
            source, controller = models.get(pin.split("/")[0]), models.get(entry["controller"])
            if isinstance(source, AxiDma) and isinstance(controller, AxiIntc):
                controller.inputs[entry["index"]] = source.interrupt(pin.split("/")[1])
                source.changed = controller.update
