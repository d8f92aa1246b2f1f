# SPDX-License-Identifier: Apache-2.0
"""Two C++ functions for all arguments, one by one: where there are few argument bits."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hw_src.proofs import bridge
from hw_src.proofs.proof import Proof

MOST_BITS = 26
"""Argument bits that take a second."""

_MAIN = """
#include <cstdio>
int main() {{
  for (uint64_t v = 0; v < 1ULL << {bits}; ++v)
    if (left({arguments}) != right({arguments})) {{
      std::printf("{shown}\\n"{values});
      return 1;
    }}
}}
"""


def compare(proof: Proof, here: Path, sources: Path) -> tuple[str, str]:
    """``proved``, or ``refuted`` with the first arguments where the two differ.

    Args:
        proof: one without ``top``.
        here: folder for the program.
        sources: the HLS sources.
    """
    bits = sum(argument.bits for argument in proof.arguments)
    assert bits <= MOST_BITS, f"{proof.name} has {bits} argument bits"
    taken, low = [], 0
    for argument in proof.arguments:
        taken.append(f"static_cast<U<{argument.bits}>>(v >> {low})")
        low += argument.bits
    text = bridge.HEAD
    text += bridge.function("left", proof.arguments, proof.bits, proof.cpp)
    text += bridge.function("right", proof.arguments, proof.bits, proof.rtl)
    text += _MAIN.format(
        bits=bits,
        arguments=", ".join(taken),
        shown=", ".join(f"{argument.name} = %llx" for argument in proof.arguments),
        values="".join(f", static_cast<unsigned long long>({value})" for value in taken),
    )
    (here / "all.cpp").write_text(text)
    bridge.clang(here / "all.cpp", here / "all", sources)
    done = subprocess.run([here / "all"], capture_output=True, text=True, check=False)
    return ("refuted", done.stdout.strip()) if done.returncode else ("proved", "")
