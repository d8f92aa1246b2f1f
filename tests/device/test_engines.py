# SPDX-License-Identifier: Apache-2.0
"""Engines against the definition: every path of the native engine equals ``Reference`` to the last bit."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.device.networks import random_line, random_network
from tests.device.write_golden import golden
from tests.device.write_golden import networks as golden_networks

from zeile import native
from zeile.device.cpu import Cpu
from zeile.device.reference import Reference
from zeile.errors import DeviceError
from zeile.network import Conv2d, Dense, Layer, Lstm, MaxPool, Network

PATHS = native.paths()
LENGTHS = [0, 1, 2, 3, 4, 5, 7, 12, 23, 49, 80]


def check(network: Network, lengths: list[int], path: str, seed: int = 0, threads: int = 1) -> None:
    rng = np.random.default_rng(seed)
    lines = [random_line(rng, network, frames) for frames in lengths]
    reference = Reference(network)
    expected = [reference.run(line) for line in lines]
    with Cpu(network, path, threads) as cpu:
        assert cpu.info["path"] == path
        for line, scores, wanted in zip(lines, cpu.run_batch(lines), expected, strict=True):
            np.testing.assert_array_equal(scores, wanted, err_msg=f"in a batch, {len(line)} frames")
            assert scores.dtype == np.int8
        for line, wanted in zip(lines, expected, strict=True):
            np.testing.assert_array_equal(cpu.run(line), wanted, err_msg=f"alone, {len(line)} frames")
        order = rng.permutation(len(lines))
        for index, scores in zip(order, cpu.run_batch([lines[i] for i in order]), strict=True):
            np.testing.assert_array_equal(scores, expected[index], err_msg="in another order")


def shipped(columns: int = 8, hidden: int = 32, bits: int = 4) -> list[Layer]:
    return [
        Conv2d(channels=columns, weight_bits=8, out_bits=bits),
        MaxPool(columns=2, rows=2),
        Conv2d(channels=2 * columns, weight_bits=bits, out_bits=bits),
        MaxPool(columns=1, rows=2),
        Conv2d(channels=2 * columns, weight_bits=bits, out_bits=bits, skip=3),
        Lstm(hidden=hidden, weight_bits=bits, out_bits=max(bits, 2), cell_bits=max(bits, 2) + 4),
        Dense(classes=37, weight_bits=bits),
    ]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_shipped_shape(path: str, bits: int) -> None:
    check(random_network(bits, shipped(bits=bits), height_px=16, pixel_bits=bits), LENGTHS, path)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("weight_bits", range(1, 9))
def test_extreme_weights(path: str, weight_bits: int, extreme: bool) -> None:
    """Weights, pixels and multipliers at their limits: sums leave 16 bits and pairs saturate."""
    layers: list[Layer] = [
        Conv2d(channels=5, weight_bits=weight_bits, out_bits=8),
        Conv2d(channels=5, weight_bits=weight_bits, out_bits=8, skip=0),
        Lstm(hidden=9, weight_bits=weight_bits, out_bits=8, cell_bits=12),
        Dense(classes=17, weight_bits=weight_bits),
    ]
    network = random_network(weight_bits, layers, height_px=7, pixel_bits=8, extreme=extreme)
    check(network, [1, 2, 9, 31], path)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("out_bits", range(2, 9))
def test_gates(path: str, out_bits: int) -> None:
    for cell_bits in range(out_bits + 2, 13):
        for bidirectional in (False, True):
            lstm = Lstm(hidden=20, weight_bits=4, out_bits=out_bits, cell_bits=cell_bits, bidirectional=bidirectional)
            network = random_network(cell_bits, [lstm, Dense(classes=9, weight_bits=4)], height_px=6)
            check(network, [1, 2, 30], path)


@pytest.mark.parametrize("path", PATHS)
def test_frames_of_columns_and_stacked_lstms(path: str) -> None:
    layers: list[Layer] = [
        MaxPool(columns=3, rows=4),
        Lstm(hidden=32, weight_bits=4, out_bits=4),
        Lstm(hidden=33, weight_bits=5, out_bits=5, cell_bits=9, bidirectional=False),
        Lstm(hidden=3, weight_bits=2, out_bits=3, cell_bits=6),
        Dense(classes=256, weight_bits=8),
    ]
    for columns_per_frame in (1, 2, 5):
        network = random_network(columns_per_frame, layers, height_px=8, columns_per_frame=columns_per_frame)
        check(network, LENGTHS, path)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_many_lines(path: str, threads: int) -> None:
    """More lines than slots, groups and threads."""
    lengths = [int(n) for n in np.random.default_rng(1).integers(0, 30, 75)]
    check(random_network(3, shipped(), height_px=8), lengths, path, threads=threads)


def test_dense_alone_and_empty_batch() -> None:
    network = random_network(0, [Dense(classes=2, weight_bits=1)], height_px=1)
    for path in PATHS:
        check(network, [0, 1, 5], path)
        assert Cpu(network, path).run_batch([]) == []


@st.composite
def networks(draw: st.DrawFn) -> Network:
    rows = draw(st.sampled_from([1, 2, 4, 6, 8, 12]))
    height, columns_per_frame = rows, draw(st.sampled_from([1, 1, 2]))
    layers: list[Layer] = []
    bits = st.integers(1, 8)
    sources = [(-1, 1)]  # layers since the last pool and their channels
    for _ in range(draw(st.integers(0, 4)) if columns_per_frame == 1 else 0):
        if draw(st.booleans()):
            channels = draw(st.sampled_from([1, 2, 3, 4, 8, 15, 16, 17, 32, 40]))
            same = [index for index, number in sources if number == channels]
            skip = draw(st.sampled_from([None, *same]))
            layers.append(Conv2d(channels=channels, weight_bits=draw(bits), out_bits=draw(bits), skip=skip))
            sources.append((len(layers) - 1, channels))
        else:
            pool = draw(st.sampled_from([n for n in (1, 2, 3) if rows % n == 0]))
            layers.append(MaxPool(columns=draw(st.integers(1, 3)), rows=pool))
            rows //= pool
            sources = [(len(layers) - 1, sources[-1][1])]
    for _ in range(draw(st.integers(0, 2))):
        out_bits = draw(st.integers(2, 8))
        layers.append(
            Lstm(
                hidden=draw(st.integers(1, 70)),
                weight_bits=draw(bits),
                out_bits=out_bits,
                cell_bits=draw(st.integers(out_bits + 2, 12)),
                bidirectional=draw(st.booleans()),
            )
        )
    layers.append(Dense(classes=draw(st.integers(2, 60)), weight_bits=draw(bits)))
    return random_network(
        draw(st.integers(0, 2**32)),
        layers,
        height_px=height,
        columns_per_frame=columns_per_frame,
        pixel_bits=draw(bits),
        extreme=draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    network=networks(),
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=14),
    path=st.sampled_from(PATHS),
    threads=st.integers(1, 2),
    seed=st.integers(0, 1000),
)
def test_any_network(network: Network, lengths: list[int], path: str, threads: int, seed: int) -> None:
    check(network, lengths, path, seed, threads)


def test_concurrent_calls() -> None:
    network = random_network(5, shipped(), height_px=8)
    rng = np.random.default_rng(0)
    lines = [random_line(rng, network, frames) for frames in range(1, 30)]
    reference = Reference(network)
    expected = [reference.run(line) for line in lines]
    wrong: list[int] = []
    with Cpu(network, threads=2) as cpu:

        def work(first: int) -> None:
            for index in range(first, len(lines), 3):
                if not np.array_equal(cpu.run(lines[index]), expected[index]):
                    wrong.append(index)

        callers = [threading.Thread(target=work, args=(n,)) for n in range(3)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert wrong == []


def test_refusals() -> None:
    network = random_network(0, [Dense(classes=3, weight_bits=4)], height_px=4, pixel_bits=4)
    with pytest.raises(DeviceError, match="path 'mmx' cannot run on this CPU"):
        Cpu(network, "mmx")
    with pytest.raises(DeviceError, match="threads"):
        Cpu(network, threads=0)
    cpu = Cpu(network)
    with pytest.raises(DeviceError, match="a pixel code is 16, the model's pixels have 4 bits"):
        cpu.run(np.full((3, 4), 16, np.uint8))
    with pytest.raises(DeviceError, match="needs uint8"):
        cpu.run(np.zeros((3, 5), np.uint8))
    with pytest.raises(DeviceError, match="needs uint8"):
        cpu.run(np.zeros((3, 4), np.int16))
    cpu.run(np.zeros((4, 6), np.uint8).T[:3, :4])  # not contiguous: copied
    cpu.close()
    with pytest.raises(DeviceError, match="closed"):
        cpu.run(np.zeros((3, 4), np.uint8))


def test_path_from_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network(0, [Dense(classes=3, weight_bits=4)], height_px=4)
    monkeypatch.setenv("ZEILE_NATIVE_PATH", "portable")
    assert Cpu(network).info == {"engine": "cpu", "path": "portable", "threads": 1}
    monkeypatch.delenv("ZEILE_NATIVE_PATH")
    assert Cpu(network).info["path"] == PATHS[0]


def test_peak() -> None:
    for path in PATHS:
        assert native.peak_macs(path) > 1e8


SIMDE = Path("/usr/include/simde/x86/avx512.h")
ARM = [
    "-DCMAKE_SYSTEM_NAME=Linux",
    "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
    "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++",
    "-DCMAKE_EXE_LINKER_FLAGS=-static",
]


def selftest(folder: Path, options: list[str], run: list[str]) -> str:
    """Build the stand-alone driver, run it on the golden networks, return what it prints."""
    source = Path(__file__).parents[2] / "app" / "zeile" / "native"  # the wheel has no C++
    cmake = shutil.which("cmake", path=str(Path(sys.executable).parent)) or shutil.which("cmake")
    if cmake is None or not (source / "CMakeLists.txt").exists():
        pytest.skip("needs cmake and the C++ sources")
    configure = [
        cmake,
        "-S",
        str(source),
        "-B",
        str(folder),
        "-DZEILE_SELFTEST=ON",
        "-DZEILE_PYTHON=OFF",
        *options,
    ]
    for command in (configure, [cmake, "--build", str(folder), "--parallel", "2"]):
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stdout + built.stderr
        assert "warning" not in built.stdout + built.stderr
    (folder / "golden.bin").write_bytes(golden(golden_networks()))
    done = subprocess.run(
        [*run, str(folder / "selftest"), str(folder / "golden.bin")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not SIMDE.exists(), reason="needs the SIMDe headers")
@pytest.mark.skipif("avx2" not in PATHS, reason="needs AVX2")
def test_emulated_avx512(tmp_path: Path) -> None:
    printed = selftest(tmp_path, ["-DZEILE_SIMDE=ON"], [])
    assert "avx512vnni_emulated: 68 networks, 0 mismatches" in printed


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("qemu-aarch64-static") and shutil.which("aarch64-linux-gnu-g++")),
    reason="needs qemu-aarch64-static and aarch64-linux-gnu-g++",
)
def test_emulated_arm(tmp_path: Path) -> None:
    printed = selftest(tmp_path, ARM, ["qemu-aarch64-static"])
    assert "neon: 68 networks, 0 mismatches" in printed
    assert "neon_dotprod: 68 networks, 0 mismatches" in printed
