# SPDX-License-Identifier: Apache-2.0
"""Proves that the datapath functions of the HLS sources equal the RTL's: ``python -m hw_src.proofs --help``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from hw_src.proofs import bridge, prove
from hw_src.proofs.catalogue import catalogue


def main() -> int:
    """Runs the proofs that are named, or all of them; 1 if any fails."""
    parser = argparse.ArgumentParser(prog="python -m hw_src.proofs", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names of proofs; none: all")
    parser.add_argument("--quick", action="store_true", help="only those of the tests that always run")
    parser.add_argument("--list", action="store_true", help="only say which there are")
    parser.add_argument("--timeout", type=int, default=600, metavar="S", help="for a proof (600)")
    parser.add_argument("--build", type=Path, metavar="DIR", help="keep files and logs there")
    given = parser.parse_args()
    proofs = [proof for proof in catalogue() if proof.quick or not given.quick]
    proofs = [proof for proof in proofs if not given.names or any(name in proof.name for name in given.names)]
    if given.list:
        print("\n".join(f"{proof.name:<28} {proof.says}" for proof in proofs))
        return 0
    if missing := prove.reason():
        print(f"no proofs here: {missing}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.build or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        failed = 0
        print("| proof | argument bits | registers | outcome | CPU s |\n|-|-|-|-|-|")
        ir = bridge.compile_functions(proofs, folder)
        for proof in proofs:
            verdict = prove.prove(proof, ir, folder, timeout_s=given.timeout)
            failed += verdict.outcome != "proved"
            bits = sum(argument.bits for argument in proof.arguments)
            stages = "" if proof.latency is None else proof.latency
            said = f"{verdict.outcome}{': ' * bool(verdict.detail)}{verdict.detail}"
            print(f"| {proof.name} | {bits} | {stages} | {said} | {verdict.seconds:.1f} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
