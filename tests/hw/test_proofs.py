# SPDX-License-Identifier: Apache-2.0
"""Datapath functions of the C++ equal the RTL's for all arguments, and what differs is found."""

from __future__ import annotations

import ctypes
import random
import shutil
from pathlib import Path

import pytest
from hw_src.proofs import bridge, pipeline, prove
from hw_src.proofs.catalogue import catalogue
from hw_src.proofs.proof import Proof
from hw_src.proofs.translate import Untranslatable, translate
from tests.hw.rtl_unit import broken

needs_provers = pytest.mark.skipif(bool(prove.reason()), reason=prove.reason())
pytestmark = needs_provers
PROOFS = {proof.name: proof for proof in catalogue()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proofs")


@pytest.fixture(scope="module")
def ir(folder: Path) -> str:
    return bridge.compile_functions(list(PROOFS.values()), folder)


def verdict(name: str, folder: Path, ir: str, rtl: Path = prove.RTL) -> str:
    result = prove.prove(PROOFS[name], ir, folder, rtl=rtl)
    return f"{result.outcome}: {result.detail}" if result.detail else result.outcome


@pytest.mark.parametrize("name", [name for name, proof in PROOFS.items() if proof.quick])
def test_function(name: str, folder: Path, ir: str) -> None:
    assert verdict(name, folder, ir) == "proved"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, proof in PROOFS.items() if not proof.quick])
def test_larger_function(name: str, folder: Path, ir: str) -> None:
    assert verdict(name, folder, ir) == "proved"


@pytest.mark.parametrize(
    ("name", "file", "right", "wrong"),
    [
        ("rescale_u4", "zeile_rescale.sv", "+ (R_BITS + 1)'(1);", "+ (R_BITS + 1)'(0);"),
        ("conv_lane_s13_skip4_u4", "zeile_rescale.sv", ": negative ? LOWEST : HIGHEST", ": HIGHEST"),
        ("update_cell_a4_c8", "zeile_divide.sv", "1 << (SHIFT - 1)", "1 << (SHIFT - 2)"),
        ("hidden_output_a4", "zeile_divide.sv", "14'd2185", "14'd2200"),
        ("product_w4_x5", "zeile_product.sv", "d == DIGITS - 1 ? minus <<< 1 : once <<< 1", "once <<< 1"),
        ("pair_w4_x5", "zeile_mac_pair.sv", "+ (W + X)'(product[17])", ""),
        ("mac_array_w4_x5_simd1", "zeile_mac_array.sv", "product1[TERM-1:0]", "product0[TERM-1:0]"),
        ("largest_4x4", "zeile_max.sv", "] > b[", "] < b["),
        ("quotient_12by24", "zeile_quotient.sv", "+ 64'(D) - 64'd1)", ")"),
        ("crc_word", "zeile_crc_word.sv", "32'hEDB88320", "32'hEDB88321"),
    ],
)
def test_planted_fault_in_rtl(
    name: str, file: str, right: str, wrong: str, folder: Path, ir: str, tmp_path: Path
) -> None:
    assert verdict(name, tmp_path, ir, broken(tmp_path, file, right, wrong)).startswith("refuted: ")


def test_planted_fault_in_cpp(tmp_path: Path) -> None:
    shutil.copytree(bridge.HLS, tmp_path / "hls")
    header = tmp_path / "hls" / "arithmetic.h"
    text = header.read_text()
    assert text.count("ap_int<16>(1 << 14)") == 1
    header.write_text(text.replace("ap_int<16>(1 << 14)", "ap_int<16>((1 << 14) - 1)"))
    wrong = bridge.compile_functions([PROOFS["rescale_s8"]], tmp_path, tmp_path / "hls")
    found = verdict("rescale_s8", tmp_path, wrong)
    assert found.startswith("refuted: ")
    assert "accumulator = " in found
    assert "multiplier = " in found


def test_missing_register_is_found(ir: str, tmp_path: Path) -> None:
    rtl = broken(tmp_path, "zeile_rescale.sv", "    m <= multiplier;\n", "")
    file = rtl / "zeile_rescale.sv"
    file.write_text(file.read_text().replace("  logic [14:0] m;\n", "  wire [14:0] m = multiplier;\n"))
    assert verdict("rescale_s8", tmp_path, ir, rtl) == "unbalanced: paths cross 3 to 4 registers, not 4"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("int n = 0; while (a != 0) { a = a & ap_uint<8>(a - 1); ++n; } return ap_uint<8>(n);", "a loop"),
        ("return ap_uint<8>(static_cast<int>(static_cast<float>(a.to_int()) * 1.5f));", "not integer logic"),
        ("static volatile int memory = 1; return ap_uint<8>(a + memory);", "not integer logic"),
    ],
)
def test_what_is_no_datapath_is_refused(body: str, why: str, tmp_path: Path) -> None:
    argument = next(iter(PROOFS.values())).arguments[0]._replace(name="given", bits=8, signed=False)
    text = bridge.function("no_datapath", (argument,), 8, f"ap_uint<8> a = given; {body}")
    (tmp_path / "no.cpp").write_text(bridge.HEAD + text)
    bridge.clang(tmp_path / "no.cpp", tmp_path / "no.ll", bridge.HLS, "-S", "-emit-llvm")
    with pytest.raises(Untranslatable, match=why):
        translate((tmp_path / "no.ll").read_text(), "no_datapath")


@pytest.mark.parametrize(
    "name", ["rescale_s8", "update_cell_a4_c8", "crc_word", "pair_w4_x5", "conv_lane_s13_skip4_u4"]
)
def test_translation_is_the_compiled_function(name: str, folder: Path, ir: str) -> None:
    """XLS' interpreter against the machine's code, on random arguments and on the extremes."""
    library = folder / "functions.so"
    if not library.exists():
        bridge.clang(folder / "functions.cpp", library, bridge.HLS, "-shared", "-fPIC")
    compiled = getattr(ctypes.CDLL(str(library)), f"{name}_c")
    compiled.restype = ctypes.c_uint64
    proof = PROOFS[name]
    choose = random.Random(1)
    for trial in range(200):
        values = [
            choose.choice((0, (1 << each.bits) - 1, 1 << (each.bits - 1), choose.getrandbits(each.bits)))
            if trial % 2
            else choose.getrandbits(each.bits)
            for each in proof.arguments
        ]
        expected = compiled(*(ctypes.c_uint64(value) for value in values)) & ((1 << proof.bits) - 1)
        assert _interpreted(proof, ir, values) == expected


def _interpreted(proof: Proof, ir: str, values: list[int]) -> int:
    import xls.c_api as xls

    name = f"{proof.name}_c"
    function = bridge.package(ir, name).get_function(name)
    given = [
        xls.parse_typed_value(f"bits[{each.bits}]:{value}") for each, value in zip(proof.arguments, values, strict=True)
    ]
    return int(str(function.interpret(given)).split(":")[-1].strip("<> "), 0) & ((1 << proof.bits) - 1)


def test_loop_through_a_register_is_no_pipeline() -> None:
    register = {
        "type": "$dff",
        "port_directions": {"CLK": "input", "D": "input", "Q": "output"},
        "connections": {"CLK": [2], "D": [4], "Q": [5]},
    }
    adder = {
        "type": "$add",
        "port_directions": {"A": "input", "B": "input", "Y": "output"},
        "connections": {"A": [3], "B": [5], "Y": [4]},
    }
    ports = {name: {"direction": "input", "bits": [bit]} for name, bit in (("clk", 2), ("a", 3))}
    module = {"ports": ports, "cells": {"r": register, "s": adder}, "netnames": {"value": {"bits": [5]}}}
    with pytest.raises(ValueError, match="a loop"):
        pipeline.stages(module, ("clk",), "value")
