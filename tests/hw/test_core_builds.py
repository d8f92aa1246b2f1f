# SPDX-License-Identifier: Apache-2.0
"""Builds that must be clean, and faults put into the sources on purpose that the simulation must show."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.hw import cores
from tests.hw.cores import SOURCE, broken, design, library, lines, network

from zeile.device.reference import Reference
from zeile.errors import DeviceError, DeviceFault
from zeile.hw import csim
from zeile.hw.csim import Core, CoreDevice

pytestmark = cores.needs_compiler

LENGTHS = [20, 0, 1, 30, 5]
QUICK = ("-O1",)  # compiles in half the time


def differs(library: Path) -> bool:
    """Whether any score of a few lines is not the reference's."""
    model = network("tiny", 2, ties=True)
    with Core(library) as core:
        got = CoreDevice(core, design("tiny"), model).run_batch(lines(model, LENGTHS))
    wanted = Reference(model).run_batch(lines(model, LENGTHS))
    return any((g != w).any() for g, w in zip(got, wanted, strict=True))


@pytest.mark.parametrize("name", ["tiny", "tiny-uni"])
@pytest.mark.parametrize("flags", [(), ("-DZEILE_AP_NATIVE",)], ids=["_BitInt", "integers"])
def test_the_sources_compile_without_a_warning(name: str, flags: tuple[str, ...]) -> None:
    library(name, "clang++-19", flags=(*QUICK, "-Werror", *flags))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["lockstep", "shuffled"])
def test_a_skip_fifo_one_too_short_is_a_deadlock_that_names_it(mode: str) -> None:
    model, shape = network("tiny", 1), design("tiny")
    needed = 2 * shape.height_px  # a column and a row in the convolution that is skipped, and in the one that adds
    for depth in (needed, needed - 1):
        short = dataclasses.replace(shape, fifo={"map0_skip": depth})
        with Core(csim.build(short, SOURCE, flags=QUICK), mode=mode) as core:
            device = CoreDevice(core, short, model)
            if depth == needed:
                for got, want in zip(
                    device.run_batch(lines(model, LENGTHS)),
                    Reference(model).run_batch(lines(model, LENGTHS)),
                    strict=True,
                ):
                    np.testing.assert_array_equal(got, want)
            else:
                with pytest.raises(DeviceFault, match=f"deadlock; FIFOs: .*map0_skip {depth} of {depth}"):
                    device.run_batch(lines(model, LENGTHS))


@pytest.mark.slow
def test_a_missing_tlast_is_seen(tmp_path: Path) -> None:
    source = broken(
        tmp_path,
        "send.h",
        "out.write(MakeBeat(CrcResult(crc_) | shown << 32, true));",
        "out.write(MakeBeat(CrcResult(crc_) | shown << 32, false));",
    )
    with pytest.raises(DeviceFault, match="deadlock"):
        differs(library("tiny", source=source, flags=QUICK))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("product + ap_int<16>(1 << 14)", "product + ap_int<16>((1 << 14) - 1)"),  # ties go down
        ("product + ap_int<17>(1 << (Divisor<A>::kShift - 1))", "product"),  # the cell's division rounds down
    ],
)
def test_a_wrong_rounding_changes_scores(tmp_path: Path, right: str, wrong: str) -> None:
    source = broken(tmp_path, "arithmetic.h", right, wrong)
    assert differs(library("tiny", source=source, flags=QUICK))
    assert not differs(library("tiny"))


def test_what_cannot_be_built_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="ZEILE_HW"):
        library("tiny", source=tmp_path)
    with pytest.raises(DeviceError, match="not found; install"):
        csim.build(design("tiny"), SOURCE, tmp_path, "no-such-compiler")
    monkeypatch.setenv(csim.VENDOR_TYPES, str(tmp_path))
    with pytest.raises(DeviceError, match="hls4ml"):
        csim.build(design("tiny"), SOURCE, tmp_path, headers="vendor")
    source = broken(tmp_path, "send.h", "class Send {", "class Send { nonsense")
    with pytest.raises(DeviceError, match="does not compile"):
        library("tiny", source=source)


SANITIZERS = [
    ("address,undefined", "libasan.so", "fast", "lockstep"),
    ("address,undefined", "libasan.so", "vendor", "lockstep"),
    ("thread", "libtsan.so", "fast", "threads"),
]

SCRIPT = """
import sys
from pathlib import Path
from tests.hw.test_core_builds import differs_in
sys.exit(differs_in(Path(sys.argv[1]), sys.argv[2]))
"""


def differs_in(library: Path, mode: str) -> bool:
    """Loads, reads and breaks packets in a core; for a process with a sanitizer."""
    from tests.hw.test_core_packets import BROKEN

    model = network("tiny", 1)
    given = lines(model, [3, 0, 1, 9] if mode == "threads" else LENGTHS)
    with Core(library, in_stall=200, out_stall=200, mode=mode) as core:
        core.ask(*(packet for packet, _, _ in BROKEN.values()))
        got = CoreDevice(core, design("tiny"), model).run_batch(given)
        core.report()
    return any((g != w).any() for g, w in zip(got, Reference(model).run_batch(given), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("sanitize", "runtime", "headers", "mode"), SANITIZERS)
def test_sanitizers_find_nothing(sanitize: str, runtime: str, headers: str, mode: str) -> None:
    built = library("tiny", "g++", headers, sanitize=sanitize)
    preload = subprocess.run(["g++", f"-print-file-name={runtime}"], capture_output=True, text=True, check=True)
    root = str(SOURCE.parent)
    environment = os.environ | {
        "LD_PRELOAD": preload.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",  # of the interpreter
        "TSAN_OPTIONS": "report_signal_unsafe=0",
        "PYTHONPATH": os.pathsep.join([root, *sys.path]),
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", SCRIPT, str(built), mode]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("the sanitizer's runtime does not start on this kernel")
    assert "Sanitizer" not in done.stderr, done.stderr
    assert "runtime error" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
