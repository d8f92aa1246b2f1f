# SPDX-License-Identifier: Apache-2.0
"""C++ -> LLVM IR -> XLS IR -> Verilog: functions of the HLS sources as modules without registers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hw_src.proofs.proof import Argument, Proof
from hw_src.proofs.translate import translate

HLS = Path(__file__).resolve().parent.parent / "hls"
CLANG = "clang++-19"  # _BitInt in C++, and the text of LLVM IR that translate.py reads

_FLAGS = ("-std=c++17", "-O2", "-fno-vectorize", "-fno-slp-vectorize", "-fwrapv", "-Wall", "-Wextra", "-Werror")
# -O2 unrolls and inlines; as in synthesis, every function and every loop of a cycle becomes flat.
_FLAT = ("-mllvm", "-unroll-threshold=1000000", "-mllvm", "-inline-threshold=1000000")

# Standard headers first: `private` must not change them. Members of the units are the functions under proof.
HEAD = """\
#include <cstdint>
#include <type_traits>
#include <ap_int.h>
#include <hls_stream.h>
#define private public
#include "arithmetic.h"
#include "crc.h"
#include "gates.h"
#include "memory.h"
using namespace zeile;
template <int N> using U = unsigned _BitInt(N);
template <int N, int W, bool S> U<N> Raw(ap_int_base<W, S> x) { return static_cast<U<N>>(x.v); }
template <int V, bool S, int W, bool R>
ap_uint<V + W> Join(ap_int_base<V, S> high, ap_int_base<W, R> low) {
  return ap_uint<V + W>::From(static_cast<U<V + W>>(static_cast<U<V + W>>(Raw<V>(high)) << W | Raw<W>(low)));
}
template <int W> ap_uint<W> Slice(ap_uint<64> word, int low) { return ap_uint<W>(word >> low); }
"""


def reason() -> str:
    """Why there is no bridge here, or nothing."""
    if shutil.which(CLANG) is None:
        return f"{CLANG} is not installed"
    try:
        import xls.c_api  # noqa: F401
    except ImportError:
        return "the package xls-python is not installed"
    return ""


def function(name: str, arguments: Sequence[Argument], bits: int, body: str) -> str:
    """C++ of a function of plain integers around statements over ap_ints."""
    given = ", ".join(f"U<{each.bits}> {each.name}_" for each in arguments)
    kinds = [f"ap_{'' if each.signed else 'u'}int<{each.bits}>" for each in arguments]
    lines = [
        f"  [[maybe_unused]] const {kind} {each.name} = {kind}::From({each.name}_);"
        for kind, each in zip(kinds, arguments, strict=True)
    ]
    inner = "\n".join(lines)
    return f'extern "C" U<{bits}> {name}({given}) {{\n{inner}\n  return Raw<{bits}>([&] {{ {body} }}());\n}}\n'


def clang(source: Path, made: Path, sources: Path, *flags: str) -> None:
    """Compile one file against the HLS sources, with the stand-ins for the vendor's headers."""
    command = [CLANG, *_FLAGS, "-Wno-unknown-pragmas", "-Wno-unused-label", "-Wno-keyword-macro", *flags]
    command += [f"-I{sources}", f"-I{HLS / 'sim'}", str(source), "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{CLANG} refuses {source}:\n{done.stderr}")


def compile_functions(proofs: Sequence[Proof], folder: Path, sources: Path = HLS) -> str:
    """LLVM IR of the C++ sides of all proofs that have a module on the other side, each a function <name>_c.

    Args:
        proofs: what is to be proved.
        folder: for the files.
        sources: the HLS sources; another folder for broken copies.
    """
    text = HEAD
    for proof in proofs:
        if proof.top:
            text += function(f"{proof.name}_c", proof.arguments, proof.bits, proof.cpp)
    source, ir = folder / "functions.cpp", folder / "functions.ll"
    source.write_text(text)
    clang(source, ir, sources, *_FLAT, "-S", "-emit-llvm")
    return ir.read_text()


def package(ir: str, name: str, *, optimise: bool = False) -> Any:
    """The XLS package of a function.

    Args:
        ir: of LLVM.
        name: of the function.
        optimise: by XLS. Without, products keep the operands of the source, and are recognised in the RTL.
    """
    import xls.c_api as xls

    text = translate(ir, name)
    return xls.parse_ir_package(xls.optimize_ir(text, name) if optimise else text, name)


def verilog(ir: str, name: str, *, optimise: bool = False) -> str:
    """The function as a combinational module: ports p0, p1, ... and out."""
    result = package(ir, name, optimise=optimise).schedule_and_codegen(
        generator="combinational", use_system_verilog=False, module_name=name, top=name
    )
    return str(result.get_verilog_text())
