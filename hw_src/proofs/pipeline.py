# SPDX-License-Identifier: Apache-2.0
"""Registers on the paths through a netlist of yosys, and linear netlists.

A pipeline whose paths all cross the same number of registers computes, that many cycles later, what it would compute
without them: so the proof may do without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Netlist = Mapping[str, Any]
"""A module in yosys' JSON."""

_REGISTERS = {"$dff", "$dffe", "$sdff", "$sdffe", "$sdffce"}
_CONSTANTS = {"0", "1", "x", "z"}


def stages(module: Netlist, clocks: Iterable[str], wire: str) -> tuple[int, int]:
    """Fewest and most registers between an input that is no clock and a wire.

    Raises:
        ValueError: there is a loop or a memory: it is no pipeline.
    """
    drivers = _drivers(module)
    ports = module["ports"]
    given = {bit for name, port in ports.items() if port["direction"] == "input" for bit in port["bits"]}
    clock = {bit for name in clocks for bit in ports[name]["bits"]}
    found: dict[int, tuple[int, int] | None] = {bit: (0, 0) for bit in given} | dict.fromkeys(clock)
    todo, open_bits = [bit for bit in module["netnames"][wire]["bits"] if bit not in _CONSTANTS], set[int]()
    while todo:
        bit = todo[-1]
        if bit in found or bit not in drivers:
            found.setdefault(bit)  # nobody drives it: like a constant
            todo.pop()
            continue
        cell = drivers[bit]
        if cell["type"].startswith("$mem"):
            raise ValueError("there is a memory before the wire")
        sources = [each for each in _inputs(cell) if each not in clock]
        if missing := [each for each in sources if each not in found]:
            if bit in open_bits:
                raise ValueError("there is a loop before the wire")
            open_bits.add(bit)
            todo += missing
            continue
        depths = [depth for each in sources if (depth := found[each]) is not None]
        more = cell["type"] in _REGISTERS
        found[bit] = (min(d[0] for d in depths) + more, max(d[1] for d in depths) + more) if depths else None
        todo.pop()
    ends = [depth for bit in module["netnames"][wire]["bits"] if (depth := found.get(bit)) is not None]
    return min(d[0] for d in ends), max(d[1] for d in ends)


def _drivers(module: Netlist) -> dict[int, Any]:
    return {
        bit: cell
        for cell in module["cells"].values()
        for port, bits in cell["connections"].items()
        if cell["port_directions"][port] == "output"
        for bit in bits
    }


def _inputs(cell: Any) -> list[int]:
    return [
        bit
        for port, bits in cell["connections"].items()
        if cell["port_directions"][port] == "input"
        for bit in bits
        if bit not in _CONSTANTS
    ]


def linear_equal(miter: Netlist) -> tuple[str, str]:
    """Whether gold_result and gate_result are the same linear forms over GF(2) of the inputs, and where they differ.

    A solver cannot compare parities that are added up in another order; their normal form can. All gates must be
    XORs, or have but one operand that is not constant.
    """
    drivers, ports = _drivers(miter), miter["ports"]
    forms: dict[int | str, int] = {"0": 0, "1": 1}  # bit 0 of a form: inverted
    names = [""]
    for name, port in ports.items():
        if port["direction"] == "input":
            for index, bit in enumerate(port["bits"]):
                forms[bit] = 1 << len(names)
                names.append(f"{name}[{index}]")
    for place, (gold, gate) in enumerate(zip(ports["gold_result"]["bits"], ports["gate_result"]["bits"], strict=True)):
        for bit in (gold, gate):
            _solve(bit, drivers, forms)
        if difference := forms[gold] ^ forms[gate]:
            terms = [name or "1" for index, name in enumerate(names) if difference >> index & 1]
            return "refuted", f"result[{place}] differs by {' ^ '.join(terms)}"
    return "proved", ""


def _solve(bit: int | str, drivers: Mapping[int, Any], forms: dict[int | str, int]) -> None:
    todo = [bit]
    while todo:
        bit = todo[-1]
        if bit in forms:
            todo.pop()
            continue
        cell = drivers[int(bit)]
        connections = cell["connections"]
        operands = [connections[port][0] for port in ("A", "B", "S") if port in connections]
        if missing := [each for each in operands if each not in forms]:
            todo += missing
            continue
        forms[bit] = _gate(cell["type"], [forms[each] for each in operands])
        todo.pop()


def _gate(kind: str, operands: list[int]) -> int:
    """The form of a gate's output.

    Raises:
        ValueError: it is not linear.
    """
    a, b, s = (*operands, 0, 0)[:3]
    if kind in ("$_XOR_", "$_XNOR_"):
        return a ^ b ^ (kind == "$_XNOR_")
    if kind == "$_NOT_":
        return a ^ 1
    if kind == "$_MUX_" and a < 2 and b < 2:
        return (s if a ^ b else 0) ^ a
    if kind in ("$_AND_", "$_OR_") and min(a, b) < 2:
        neutral = kind == "$_AND_"
        return max(a, b) if min(a, b) == neutral else int(not neutral)
    raise ValueError(f"{kind} is not linear here")
