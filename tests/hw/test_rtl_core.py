# SPDX-License-Identifier: Apache-2.0
"""The generated top of the SystemVerilog: the chain's topology, and nothing that Verilator complains about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.hw import cores, rtl_unit
from tests.hw.rtl_unit import RTL
from tests.hw.test_config import NAMES, skipping

from zeile.errors import BadManifest
from zeile.hw import chain, rtl, verilate
from zeile.hw.config import design_constants, layer_constants, memories
from zeile.hw.design import Design

DESIGNS = [*(cores.design(name) for name in (*NAMES, *cores.DESIGNS)), replace(skipping(), name="skipping")]
FULL = ("zeile-print", "finn-l-w4a4", "finn-l-w2a4")


@pytest.fixture(params=DESIGNS, ids=lambda design: design.name)
def design(request: pytest.FixtureRequest) -> Design:
    made: Design = request.param
    return made


def test_units_and_fifos_are_those_of_the_chain(design: Design) -> None:
    built = chain.build(design)
    found = {instance.name: instance for instance in rtl.instances(design)}
    fifos = {name.removeprefix("fifo_"): each for name, each in found.items() if name.startswith("fifo_")}
    assert set(fifos) == {"s_in", *built.fifos, "m_out"}
    for name, fifo in built.fifos.items():
        assert fifos[name].parameters == {"WIDTH": fifo.bits, "DEPTH": fifo.depth}
    units = {name: each for name, each in found.items() if not name.startswith("fifo_")}
    for unit in built.units:
        connected = [stream for stream in units.pop(unit.name).streams.values() if stream]
        assert tuple(connected) == unit.streams
    assert not units


def test_parameters_are_the_constants_of_the_headers(design: Design) -> None:
    found = {instance.name: instance.parameters for instance in rtl.instances(design)}
    for unit in chain.build(design).units:
        kind = next(each for each in chain.build(design).classes if each.name == unit.kind)
        if kind.layer is not None:
            wanted = {name.lower(): int(value) for name, value, _ in layer_constants(design, kind.layer)}  # type: ignore[call-overload]
            given = {name.replace("_", "").lower(): value for name, value in found[unit.name].items()}
            assert wanted.items() <= given.items()
    receive, scalars = found["receive"], {name: value for name, value, _ in design_constants(design)}
    assert (receive["ID"], receive["MAX_FRAMES"]) == (design.design_id, scalars["MaxFrames"])
    table = receive["MEMORY_TABLE"]
    for index, (target, section, words) in enumerate(memories(design)):
        entry = table >> 40 * index & (1 << 40) - 1
        assert (entry & 0xFF, entry >> 8 & 0xFF, entry >> 16) == (target, section, words)
    assert table >> 40 * receive["MEMORIES"] == 0


@rtl_unit.needs_verilator
@pytest.mark.parametrize(
    "design",
    [pytest.param(each, marks=[pytest.mark.slow] * (each.name in FULL), id=each.name) for each in DESIGNS],
    indirect=True,
)
def test_the_top_has_no_warning(design: Design, tmp_path: Path) -> None:
    core = tmp_path / "core.sv"
    core.write_text(rtl.core_text(design), "utf-8")
    verilate.lint(verilate.find_verilator(), rtl.TOP, verilate.sources_of(rtl.TOP, [RTL], [core]), [RTL])


def test_lines_are_not_too_long(design: Design) -> None:
    for line in rtl.core_text(design).splitlines():
        assert len(line) <= 120, line


def test_a_designs_depths_replace_the_computed_ones() -> None:
    design = cores.design("tiny")
    assert "zeile_fifo #(.WIDTH(17), .DEPTH(9)) fifo_map0 (" in rtl.core_text(replace(design, fifo={"map0": 9}))
    with pytest.raises(BadManifest, match=r"fifo names \['map9'\]"):
        rtl.core_text(replace(design, fifo={"map9": 9}))
