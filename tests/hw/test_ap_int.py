# SPDX-License-Identifier: Apache-2.0
"""Our own ap_int, with which the simulation is fast, computes what the vendor's does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.hw import cores
from tests.hw.cores import COMPILERS, SOURCE, vendor_types

pytestmark = cores.needs_compiler

PROGRAM = SOURCE / "hls" / "test" / "ap_int_digest.cpp"
OWN = ["-Wall", "-Wextra", "-Werror", f"-I{SOURCE / 'hls' / 'sim'}"]


def digest(folder: Path, compiler: str, *flags: str) -> str:
    """What the program prints of half a million results."""
    if compiler not in COMPILERS:
        pytest.skip(f"{compiler} is not installed")
    program = folder / "digest"
    subprocess.run([compiler, "-std=c++14", "-O0", *flags, str(PROGRAM), "-o", str(program)], check=True)
    done = subprocess.run([program, "200"], capture_output=True, text=True, check=True)
    assert not done.stderr  # the vendor's headers warn of what they do otherwise
    return done.stdout


def test_storage_does_not_show(tmp_path: Path) -> None:
    bit_int = digest(tmp_path, "clang++-19", *OWN)
    native = digest(tmp_path, "clang++-19", *OWN, "-DZEILE_AP_NATIVE")
    assert bit_int == native
    assert int(bit_int.split()[0]) > 500_000


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["g++", "clang++-19"])
def test_equal_to_the_vendors_on_random_operands(tmp_path: Path, compiler: str) -> None:
    vendor = digest(tmp_path, compiler, "-w", "-isystem", vendor_types())
    assert digest(tmp_path, compiler, *OWN) == vendor


@pytest.mark.slow
def test_nothing_is_undefined(tmp_path: Path) -> None:
    compiler = COMPILERS[-1]
    flags = ["-fsanitize=undefined", "-fno-sanitize-recover=all", "-DZEILE_AP_NATIVE"]
    assert digest(tmp_path, compiler, *OWN, *flags) == digest(tmp_path, compiler, *OWN)
