# SPDX-License-Identifier: Apache-2.0
"""Facts of a hardware handoff (.hwh) on which the driver relies, and where two files differ in them.

The emulated board is made from a generated file, a real one from Vivado's; what is tested on the first holds on the
second only as far as these facts are equal.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from zeile.errors import BadManifest
from zeile.hw.hwh import DMA, INTC, PS
from zeile.hw.report import parse_xml

_DMA_PARAMETERS = (
    "c_include_sg",
    "c_sg_length_width",
    "c_include_mm2s",
    "c_include_s2mm",
    "c_include_mm2s_dre",
    "c_include_s2mm_dre",
    "c_m_axi_mm2s_data_width",
    "c_m_axi_s2mm_data_width",
)
_PS_PARAMETERS = (
    "psu__fpga_pl0_enable",
    "psu__crl_apb__pl0_ref_ctrl__srcsel",
    "psu__crl_apb__pl0_ref_ctrl__divisor0",
    "psu__crl_apb__pl0_ref_ctrl__divisor1",
    "psu__crl_apb__pl0_ref_ctrl__act_freqmhz",
    "c_maxigp0_data_width",
    "c_saxigp2_data_width",
)


def facts(text: bytes) -> dict[str, str]:
    """What the driver and pynq read from a .hwh: part, addresses, DMA and clock parameters, interrupts, versions.

    Args:
        text: contents of the file.

    Raises:
        BadManifest: it is no .hwh, or lacks the PS, the DMA or the interrupt controller.
    """
    root = parse_xml(text, ".hwh")
    modules = {module.get("INSTANCE", ""): module for module in root.iter("MODULE")}
    if missing := sorted({PS, DMA, INTC} - set(modules)):
        raise BadManifest(f"the .hwh has no {', '.join(missing)}; it is of another block design")
    system = root.find("SYSTEMINFO")
    found = (
        {f"system {key}": system.get(key.upper(), "") for key in ("device", "package")} if system is not None else {}
    )
    for instance in (DMA, INTC):
        found[f"{instance} version"] = modules[instance].get("VLNV", "")
    for ranges in modules[PS].iter("MEMRANGE"):
        if ranges.get("INSTANCE") in (DMA, INTC):
            where = "..".join(_normal(ranges.get(key, "")) for key in ("BASEVALUE", "HIGHVALUE"))
            found[f"{ranges.get('INSTANCE')} addresses"] = where
    for instance, names in ((DMA, _DMA_PARAMETERS), (PS, _PS_PARAMETERS)):
        has = _parameters(modules[instance])
        found |= {f"{instance} {name}": _normal(has[name]) for name in names if name in has}
    for port in ("mm2s_introut", "s2mm_introut"):
        found[f"{DMA} {port}"] = _interrupt(modules, DMA, port)
    return found


def differences(one: bytes, other: bytes) -> list[str]:
    """Sentences that name each fact in which two .hwh files differ; empty if in none."""
    a, b = facts(one), facts(other)
    return [f"{key} is {a.get(key)!r} and {b.get(key)!r}" for key in sorted(a | b) if a.get(key) != b.get(key)]


def _parameters(module: Element) -> dict[str, str]:
    return {each.get("NAME", "").lower(): each.get("VALUE", "") for each in module.iterfind("PARAMETERS/PARAMETER")}


def _normal(value: str) -> str:
    """One spelling of a number: counts and addresses whole, frequencies to 0.1 MHz (the Tcl is stricter)."""
    try:
        return str(int(value, 0))
    except ValueError:
        pass
    try:
        return f"{float(value):.1f}"
    except ValueError:
        return value.strip()


def _interrupt(modules: dict[str, Element], instance: str, port: str) -> str:
    """Where an interrupt arrives: the input of the concatenation, and the pin of the PS behind the controller."""
    joined = _sink(modules, instance, port)
    pin = _sink(modules, INTC, "irq")
    return f"{joined or 'nowhere'}, {INTC} at {pin or 'nowhere'}"


def _sink(modules: dict[str, Element], instance: str, port: str) -> str:
    for each in modules[instance].iterfind("PORTS/PORT"):
        if each.get("NAME") == port:
            ends = [f"{end.get('INSTANCE')}/{end.get('PORT')}" for end in each.iterfind("CONNECTIONS/CONNECTION")]
            return " ".join(sorted(ends))
    return ""
