# SPDX-License-Identifier: Apache-2.0
"""Elements of streams as the SystemVerilog units carry them: flat vectors, fields from bit 0 up; units side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.hw.rtl_unit import RTL, RtlUnit
from tests.hw.units import Ints, Writes

CONFIG_BITS = 106
WRITE, READ, DATA = range(3)


def element_bits(codes: int, bits: int) -> int:
    """Bits of an element of ``codes`` codes: {last, codes}."""
    return codes * bits + 1


def packed(lines: Sequence[Ints], codes: int, bits: int) -> list[int]:
    """Lines as elements of ``codes`` codes of ``bits`` bits."""
    elements = []
    for line in lines:
        rows = (line.reshape(-1, codes) & (1 << bits) - 1).tolist()
        elements += [sum(code << bits * c for c, code in enumerate(row)) for row in rows]
        elements[-1] |= 1 << codes * bits
    return elements


def unpacked(elements: Sequence[int], codes: int, bits: int) -> tuple[Ints, Ints]:
    """The codes (elements, codes) of such elements, not negative, and their last flags."""
    values = [[element >> bits * c & (1 << bits) - 1 for c in range(codes)] for element in elements]
    lasts = [element >> codes * bits for element in elements]
    return np.array(values, np.int64).reshape(-1, codes), np.array(lasts, np.int64)


def message(op: int, target: int, address: int, data: int) -> int:
    """A message of the configuration chain."""
    return op | target << 2 | address << 10 | data << 42


def written_and_read(writes: Writes, stranger: int = 250) -> tuple[list[int], list[int]]:
    """Messages that write words and read them back, and what comes out; one for another target among them."""
    passing = message(WRITE, stranger, 7, 1 << 63 | 5)
    given = [passing, *(message(WRITE, *write) for write in writes)]
    given += [message(READ, target, address, 0) for target, address, _ in writes]
    return given, [passing, *(message(DATA, *write) for write in writes)]


@dataclass(frozen=True)
class Part:
    """A unit beside others: its module, parameters, and the bits of its streams."""

    module: str
    parameters: Mapping[str, int]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


def side_by_side(parts: Mapping[str, Part], folder: Path, sources: Path = RTL) -> RtlUnit:
    """Small units in one simulation, so that they are compiled once; their streams are ``<part>_<stream>``."""
    ports, bodies = ["input wire clk, rst"], []
    inputs: dict[str, int] = {}
    outputs: dict[str, int] = {}
    for name, part in parts.items():
        pins = [".clk(clk), .rst(rst)"]
        for streams, way, back, found in (
            (part.inputs, "input", "output", inputs),
            (part.outputs, "output", "input", outputs),
        ):
            for stream, bits in streams.items():
                wire = f"{name}_{stream}"
                ports.append(
                    f"{way} wire {wire}_valid, {back} wire {wire}_ready, {way} wire [{bits - 1}:0] {wire}_data"
                )
                pins += [f".{stream}_{each}({wire}_{each})" for each in ("valid", "ready", "data")]
                found[wire] = bits
        parameters = ", ".join(f".{key}({value})" for key, value in part.parameters.items())
        bodies.append(f"{part.module} #({parameters}) {name} ({', '.join(pins)});")
    text = "module side_by_side ({});\n{}\nendmodule\n".format(",\n".join(ports), "\n".join(bodies))
    folder.mkdir(parents=True, exist_ok=True)
    wrapper = folder / "side_by_side.sv"
    wrapper.write_text(text, "utf-8")
    return RtlUnit("side_by_side", {}, inputs, outputs, sources=sources, extra=[wrapper])
