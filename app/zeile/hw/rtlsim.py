# SPDX-License-Identifier: Apache-2.0
"""The SystemVerilog twin of a design, Verilated into a shared library that ``zeile.hw.csim.Core`` drives."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from zeile.errors import DeviceError
from zeile.hw import verilate
from zeile.hw.design import Design
from zeile.hw.rtl import TOP, core_text, instances, streams

_VERILATE = ("-O3", "--x-assign", "fast", "--x-initial", "unique", "--output-split", "20000")
_COMPILE = ("-shared", "-O1", "-march=native")  # -O3 compiles half as long again and runs no faster


def build(design: Design, hw_src: Path, cache: Path | None = None, flags: Sequence[str] = ()) -> Path:
    """The shared library of a design's twin, made where the cache has none of these sources and these tools.

    Args:
        design: is generated into core.sv.
        hw_src: folder of the hardware sources.
        cache: where libraries are kept; default $XDG_CACHE_HOME/zeile/rtl, or ~/.cache/zeile/rtl.
        flags: more flags for Verilator.

    Raises:
        DeviceError: no Verilator, no compiler, or they do not take the sources.
    """
    rtl = hw_src / "rtl"
    driver = rtl / "sim" / "core.cpp"
    if not driver.is_file():
        raise DeviceError(f"{rtl} holds no SystemVerilog sources; set ZEILE_HW to the folder hw_src of a checkout")
    tool = verilate.find_verilator()
    cache = verilate.cache_folder() if cache is None else cache
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        folder = Path(temporary)
        core, lists = folder / "core.sv", folder / "lists.h"
        core.write_text(core_text(design), "utf-8")
        lists.write_text(lists_text(design), "utf-8")
        files = verilate.sources_of(TOP, [rtl], [core])
        key = verilate.fingerprint(
            [tool.version, verilate.find_compiler(), *_VERILATE, *_COMPILE, *flags],
            [*files, *rtl.glob("*.svh"), lists, driver],
        )
        library = cache / f"{design.name}-{key}.so"
        if not library.is_file():
            verilate.generate(tool, TOP, files, [rtl], folder, flags=[*_VERILATE, *flags])
            verilate.compile_generated(tool, folder, driver, folder / "core.so", _COMPILE)
            (folder / "core.so").replace(library)
    return library


def lists_text(design: Design) -> str:
    """lists.h: FIFOs and units of the twin, for the simulation's report."""
    names = list(streams(design))
    words = -(-2 * len(names) // 64)
    fifos = [f'    {{"{name}", {fifo.depth}}},' for name, fifo in streams(design).items()]
    units = []
    for unit in (each for each in instances(design) if each.streams):
        bits = 0
        for port, stream in unit.streams.items():
            if stream:
                bits |= 1 << 2 * names.index(stream) + (port[0] == "<")
        masks = ", ".join(f"0x{bits >> 64 * w & (1 << 64) - 1:x}ULL" for w in range(words))
        units.append(f'    {{"{unit.name}", {{{masks}}}}},')
    return (
        "// FIFOs and units of a design: bit 2i of `streams` is the way into FIFO i, bit 2i + 1 the way out.\n"
        "#pragma once\n#include <cstdint>\n\nnamespace zeile {\n"
        f"constexpr int kFifoCount = {len(fifos)}, kUnitCount = {len(units)}, kMoveWords = {words};\n"
        "struct Fifo {\n  const char* name;\n  uint64_t depth;\n};\n"
        "struct Unit {\n  const char* name;\n  uint64_t streams[kMoveWords];\n};\n"
        "constexpr Fifo kFifos[] = {\n" + "\n".join(fifos) + "\n};\n"
        "constexpr Unit kUnits[] = {\n" + "\n".join(units) + "\n};\n}  // namespace zeile\n"
    )
