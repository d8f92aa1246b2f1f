# SPDX-License-Identifier: Apache-2.0
"""The harness of single units: it carries any width, and finds what a unit may not do."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.hw.rtl_unit import RtlUnit, broken, needs_verilator

from zeile.errors import DeviceError
from zeile.hw import verilate

pytestmark = needs_verilator

# A register between two streams, with a fault chosen by FAULT: 1 withdraws what is not taken, 2 changes it, 3 takes
# the first element only.
REGISTER = """
module register_bench #(parameter int WIDTH = 8, parameter int FAULT = 0) (
    input wire clk, input wire rst, input wire in_valid, output wire in_ready, input wire [WIDTH-1:0] in_data,
    output wire out_valid, input wire out_ready, output wire [WIDTH-1:0] out_data,
    input wire [WIDTH-1:0] mask, output wire full);
  logic has, used;
  logic [WIDTH-1:0] data;
  assign in_ready = (!has || out_ready) && !(FAULT == 3 && used);
  assign {out_valid, out_data, full} = {has, data, has};
  always_ff @(posedge clk) begin
    if (in_valid && in_ready) data <= in_data ^ mask;
    else if (FAULT == 2) data <= ~data;
    has <= !rst && (in_valid && in_ready || (has && !out_ready && FAULT != 1));
    used <= !rst && (used || in_valid && in_ready);
  end
endmodule
"""


def register(folder: Path, width: int = 8, fault: int = 0) -> RtlUnit:
    file = folder / "bench.sv"
    file.write_text(REGISTER, "utf-8")
    parameters = {"WIDTH": width, "FAULT": fault}
    streams, mask = ({"in": width}, {"out": width}), {"mask": width}
    return RtlUnit("register_bench", parameters, *streams, extra=[file], drive=mask, watch={"full": 1})


@pytest.mark.parametrize("width", [1, 33, 177])
@pytest.mark.parametrize("stalls", [(0, 0), (500, 0), (0, 900), (300, 300)], ids=str)
def test_elements_of_any_width_arrive_in_order(width: int, stalls: tuple[int, int], tmp_path: Path) -> None:
    rng = random.Random(width)
    given = [rng.getrandbits(width) for _ in range(100)]
    got, report = register(tmp_path, width).run({"in": given}, {"in": given[:7]}, stalls=stalls, seed=3)
    assert got["out"] == given + given[:7]
    assert len(got["full"]) == report["cycles"]
    assert report["first"]["in"] < report["first"]["out"] <= report["last"]["out"]
    if stalls == (0, 0):
        assert report["at"]["in"][:100] == list(range(100))


def test_ports_without_a_stream_have_a_value_a_cycle(tmp_path: Path) -> None:
    got, report = register(tmp_path).run({"in": [1, 2, 3], "mask": [16, 32, 64]}, patience=20)
    assert got["out"] == [17, 34, 67]
    assert got["full"] == [0, 1, 1, 1] + [0] * (report["cycles"] - 4)


@pytest.mark.parametrize(("fault", "words"), [(1, "valid was withdrawn"), (2, "data changed"), (3, "1 of 9 elements")])
def test_a_unit_that_breaks_the_rules_is_found(fault: int, words: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=words):
        register(tmp_path, fault=fault).run({"in": range(9)}, stalls=(0, 500), seed=1)


def test_wrong_ports_are_named(tmp_path: Path) -> None:
    (tmp_path / "bench.sv").write_text(REGISTER, "utf-8")
    with pytest.raises(AssertionError, match="in_data"):
        RtlUnit("register_bench", {}, {"in": 9}, {"out": 8}, extra=[tmp_path / "bench.sv"], drive={"mask": 8})


def test_only_what_a_module_needs_is_read(tmp_path: Path) -> None:
    for name, text in (("a", "b inst();"), ("b", "// c"), ("c", "broken")):
        (tmp_path / f"{name}.sv").write_text(f"module {name}; {text} endmodule\n", "utf-8")
    assert [path.stem for path in verilate.sources_of("a", [tmp_path])] == ["a", "b"]
    with pytest.raises(DeviceError, match=r"no d\.sv in"):
        verilate.sources_of("d", [tmp_path])


def test_what_verilator_says_is_told(tmp_path: Path) -> None:
    folder = broken(tmp_path, "zeile_fork.sv", "assign in_ready", "assign out_steady")
    with pytest.raises(DeviceError, match="out_steady"):
        RtlUnit("zeile_fork", {}, {"in": 8}, {"out0": 8, "out1": 8}, sources=folder)
