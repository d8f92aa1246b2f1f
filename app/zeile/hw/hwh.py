# SPDX-License-Identifier: Apache-2.0
"""The block design around the core, written as the ``.hwh`` that Vivado would hand to pynq: for the emulated board.

    zynq_ultra_ps_e_0 ── M_AXI_HPM0_FPD ──> axi_dma_0 0xA0000000, axi_intc_0 0xA0020000
    axi_dma_0 ── M_AXIS_MM2S ──> zeile_0 ── m_out ──> axi_dma_0 S_AXIS_S2MM
    axi_dma_0 mm2s_introut, s2mm_introut ──> xlconcat_0 ──> axi_intc_0 ──> pl_ps_irq0[0]

``hw_src/tcl/vivado.tcl`` builds the same one and takes its names and addresses from here. The core has streams and no
registers, so pynq sees no IP of it. The ``.bit`` written beside is a container for pynq's header parser: it has no
configuration data, says so in its header, and is made in a cache folder when the emulated board starts.
Only the elements and attributes that pynqmetadata 0.2.0 reads are written, in the order in which Vivado writes them.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree as Xml

from zeile.hw.design import Design

PS, DMA, INTC, CONCAT, CORE = "zynq_ultra_ps_e_0", "axi_dma_0", "axi_intc_0", "xlconcat_0", "zeile_0"
PS_VLNV = "xilinx.com:ip:zynq_ultra_ps_e:3.5"
DMA_VLNV = "xilinx.com:ip:axi_dma:7.1"
INTC_VLNV = "xilinx.com:ip:axi_intc:4.1"
CONCAT_VLNV = "xilinx.com:ip:xlconcat:2.1"
CORE_VLNV = "zeile:hls:zeile:1.0"

DMA_BASE, INTC_BASE, RANGE = 0xA000_0000, 0xA002_0000, 0x1_0000
DMA_LENGTH_BITS = 26
"""Width of the DMA's length registers: transfers of up to 64 MiB - 1."""
STREAM_BITS = 64
IOPLL_MHZ = 1499.985
STREAM_IN, STREAM_OUT = "s_in", "m_out"

NO_BITSTREAM = "no-bitstream;emulation-only"
"""Stands in the header of a container without configuration data."""

_AXI, _STREAM = "xilinx.com:interface:aximm:1.0", "xilinx.com:interface:axis:1.0"
_BOARD_PARTS = {"ZCU104": "xilinx.com:zcu104:part0:1.1"}

_DMA_REGISTERS = {
    "MM2S_DMACR": 0x00,
    "MM2S_DMASR": 0x04,
    "MM2S_SA": 0x18,
    "MM2S_SA_MSB": 0x1C,
    "MM2S_LENGTH": 0x28,
    "S2MM_DMACR": 0x30,
    "S2MM_DMASR": 0x34,
    "S2MM_DA": 0x48,
    "S2MM_DA_MSB": 0x4C,
    "S2MM_LENGTH": 0x58,
}
_INTC_REGISTERS = {"ISR": 0x00, "IPR": 0x04, "IER": 0x08, "IAR": 0x0C, "SIE": 0x10, "CIE": 0x14, "MER": 0x1C}

Connection = tuple[str, str]


def hwh(design: Design) -> str:
    """The hardware description of a design's system."""
    root = Xml.Element("EDKSYSTEM", EDWVERSION="1.2", VIVADOVERSION="2024.1")
    device, package = design.part.split("-")[:2]
    Xml.SubElement(
        root, "SYSTEMINFO", ARCH="zynquplus", BOARD=_BOARD_PARTS.get(design.board, ""), DEVICE=device,
        NAME="system", PACKAGE=package, SPEEDGRADE="-2",
    )  # fmt: skip
    Xml.SubElement(root, "EXTERNALPORTS")
    Xml.SubElement(root, "EXTERNALINTERFACES")
    modules = Xml.SubElement(root, "MODULES")
    _dma(modules)
    _interrupts(modules)
    core = _module(modules, CORE, CORE_VLNV, {"DESIGN": design.name, "DESIGN_ID": f"0x{design.design_id:016X}"})
    _port(core, "s_in_tdata", "I", STREAM_BITS, [(DMA, "m_axis_mm2s_tdata")])
    _port(core, "m_out_tdata", "O", STREAM_BITS, [(DMA, "s_axis_s2mm_tdata")])
    _bus(core, STREAM_IN, "TARGET", _STREAM, TDATA="s_in_tdata")
    _bus(core, STREAM_OUT, "INITIATOR", _STREAM, TDATA="m_out_tdata")
    _processor(modules, design.clock_mhz)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8" standalone="no" ?>\n' + Xml.tostring(root, "unicode") + "\n"


def bit_container(design: Design) -> bytes:
    """A ``.bit`` with a header that pynq reads, and no configuration data."""

    def field(tag: bytes, text: str) -> bytes:
        data = text.encode("ascii") + b"\0"
        return tag + struct.pack(">H", len(data)) + data

    magic = bytes.fromhex("0ff00ff00ff00ff000")
    name = f"{design.name};UserID=0X{design.design_id:016X};{NO_BITSTREAM}"
    header = struct.pack(">H", len(magic)) + magic + b"\0\x01" + field(b"a", name) + field(b"b", design.part)
    return header + field(b"c", "1970/01/01") + field(b"d", "00:00:00") + b"e" + struct.pack(">i", 0)


def write(design: Design, folder: Path) -> Path:
    """Write ``<name>.hwh``, ``<name>.json`` (the design) and last ``<name>.bit``, each in one step.

    Returns:
        Path of the container.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        ".hwh": hwh(design).encode(),
        ".json": (json.dumps(design.to_json(), indent=2) + "\n").encode(),
        ".bit": bit_container(design),
    }
    for suffix, data in files.items():
        _replace(folder / f"{design.name}{suffix}", data)
    return folder / f"{design.name}.bit"


def _replace(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)  # another process sees the whole file or none
    except BaseException:
        os.unlink(temporary)
        raise


def _processor(modules: Xml.Element, clock_mhz: float) -> None:
    parameters: dict[str, object] = {"C_MAXIGP0_DATA_WIDTH": 128, "C_SAXIGP2_DATA_WIDTH": 128, "C_USE_S_AXI_GP2": 1}
    for index in range(4):
        clock = f"PSU__CRL_APB__PL{index}_REF_CTRL__"
        parameters |= {
            f"PSU__FPGA_PL{index}_ENABLE": int(index == 0),
            f"{clock}DIVISOR0": round(IOPLL_MHZ / clock_mhz),
            f"{clock}DIVISOR1": 1,
            f"{clock}SRCSEL": "IOPLL",
            f"{clock}ACT_FREQMHZ": f"{clock_mhz:.6f}",
        }
    module = _module(modules, PS, PS_VLNV, parameters, programmable=False)
    _port(module, "maxigp0_araddr", "O", 40, [])
    _port(module, "pl_clk0", "O", 1, [], kind="clk")
    _port(module, "pl_ps_irq0", "I", 1, [(INTC, "irq")], kind="INTERRUPT")
    _bus(module, "M_AXI_HPM0_FPD", "MASTER", _AXI, ARADDR="maxigp0_araddr")
    memory = Xml.SubElement(module, "MEMORYMAP")
    for instance, interface, base in ((DMA, "S_AXI_LITE", DMA_BASE), (INTC, "s_axi", INTC_BASE)):
        Xml.SubElement(
            memory, "MEMRANGE", ADDRESSBLOCK="Reg", BASENAME="C_BASEADDR", BASEVALUE=f"0x{base:08X}",
            HIGHNAME="C_HIGHADDR", HIGHVALUE=f"0x{base + RANGE - 1:08X}", INSTANCE=instance, IS_DATA="TRUE",
            IS_INSTRUCTION="TRUE", MASTERBUSINTERFACE="M_AXI_HPM0_FPD", MEMTYPE="REGISTER",
            SLAVEBUSINTERFACE=interface,
        )  # fmt: skip


def _dma(modules: Xml.Element) -> None:
    parameters: dict[str, object] = {"c_include_sg": 0, "c_sg_length_width": DMA_LENGTH_BITS, "c_micro_dma": 0}
    for way in ("mm2s", "s2mm"):
        parameters |= {
            f"c_include_{way}": 1,
            f"c_include_{way}_dre": 0,
            f"c_m_axi_{way}_data_width": STREAM_BITS,
            f"c_{way}_burst_size": 16,
        }
    parameters |= {"c_addr_width": 32, "C_BASEADDR": f"0x{DMA_BASE:08X}", "C_HIGHADDR": f"0x{DMA_BASE + RANGE - 1:08X}"}
    module = _module(modules, DMA, DMA_VLNV, parameters, {"S_AXI_LITE": _DMA_REGISTERS})
    _port(module, "s_axi_lite_araddr", "I", 10, [(PS, "maxigp0_araddr")])
    _port(module, "m_axis_mm2s_tdata", "O", STREAM_BITS, [(CORE, "s_in_tdata")])
    _port(module, "s_axis_s2mm_tdata", "I", STREAM_BITS, [(CORE, "m_out_tdata")])
    _port(module, "mm2s_introut", "O", 1, [(CONCAT, "In0")], kind="INTERRUPT")
    _port(module, "s2mm_introut", "O", 1, [(CONCAT, "In1")], kind="INTERRUPT")
    _bus(module, "S_AXI_LITE", "SLAVE", _AXI, ARADDR="s_axi_lite_araddr")
    _bus(module, "M_AXIS_MM2S", "INITIATOR", _STREAM, TDATA="m_axis_mm2s_tdata")
    _bus(module, "S_AXIS_S2MM", "TARGET", _STREAM, TDATA="s_axis_s2mm_tdata")


def _interrupts(modules: Xml.Element) -> None:
    module = _module(modules, INTC, INTC_VLNV, {}, {"s_axi": _INTC_REGISTERS})
    _port(module, "s_axi_araddr", "I", 9, [(PS, "maxigp0_araddr")])
    _port(module, "intr", "I", 2, [(CONCAT, "dout")], kind="INTERRUPT")
    _port(module, "irq", "O", 1, [(PS, "pl_ps_irq0")], kind="INTERRUPT")
    _bus(module, "s_axi", "SLAVE", _AXI, ARADDR="s_axi_araddr")
    module = _module(modules, CONCAT, CONCAT_VLNV, {"NUM_PORTS": 2})
    _port(module, "In0", "I", 1, [(DMA, "mm2s_introut")])
    _port(module, "In1", "I", 1, [(DMA, "s2mm_introut")])
    _port(module, "dout", "O", 2, [(INTC, "intr")])


def _module(
    modules: Xml.Element,
    instance: str,
    vlnv: str,
    parameters: Mapping[str, object],
    registers: Mapping[str, Mapping[str, int]] | None = None,
    programmable: bool = True,
) -> Xml.Element:
    module = Xml.SubElement(
        modules, "MODULE", FULLNAME=f"/{instance}", INSTANCE=instance, IS_PL=str(programmable).upper(),
        MODTYPE=vlnv.split(":")[2], VLNV=vlnv,
    )  # fmt: skip
    blocks = Xml.SubElement(module, "ADDRESSBLOCKS")
    for interface, offsets in (registers or {}).items():
        block = Xml.SubElement(
            blocks, "ADDRESSBLOCK", ACCESS="read-write", INTERFACE=interface, NAME="Reg", RANGE=str(RANGE),
            USAGE="register",
        )  # fmt: skip
        entries = Xml.SubElement(block, "REGISTERS")
        for name, offset in offsets.items():
            _register(entries, name, offset)
    values = Xml.SubElement(module, "PARAMETERS")
    for name, value in parameters.items():
        Xml.SubElement(values, "PARAMETER", NAME=name, VALUE=str(value))
    Xml.SubElement(module, "PORTS")
    Xml.SubElement(module, "BUSINTERFACES")
    return module


def _register(registers: Xml.Element, name: str, offset: int) -> None:
    register = Xml.SubElement(registers, "REGISTER", NAME=name)
    properties = {"DESCRIPTION": name, "ADDRESS_OFFSET": f"0x{offset:X}", "SIZE": "32", "ACCESS": "read-write"}
    for key, value in (properties | {"IS_ENABLED": "true"}).items():
        Xml.SubElement(register, "PROPERTY", NAME=key, VALUE=value)
    Xml.SubElement(register, "FIELDS")


def _port(
    module: Xml.Element, name: str, direction: str, width: int, to: Iterable[Connection], kind: str = "undef"
) -> None:
    ports = module.find("PORTS")
    assert ports is not None
    port = Xml.SubElement(ports, "PORT", DIR=direction, NAME=name, SIGIS=kind)
    if width > 1 or kind == "undef":
        port.attrib |= {"LEFT": str(width - 1), "RIGHT": "0"}
    connections = Xml.SubElement(port, "CONNECTIONS")
    for instance, other in to:
        Xml.SubElement(connections, "CONNECTION", INSTANCE=instance, PORT=other)


def _bus(module: Xml.Element, name: str, kind: str, vlnv: str, **logical: str) -> None:
    buses = module.find("BUSINTERFACES")
    assert buses is not None
    maps = Xml.SubElement(Xml.SubElement(buses, "BUSINTERFACE", NAME=name, TYPE=kind, VLNV=vlnv), "PORTMAPS")
    for signal, port in logical.items():
        Xml.SubElement(maps, "PORTMAP", LOGICAL=signal, PHYSICAL=port)
