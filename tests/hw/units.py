# SPDX-License-Identifier: Apache-2.0
"""Single hardware units for tests: their drivers compiled with given parameters, and what goes in and comes out.

Packs weights on its own, not with ``zeile.hw.layout``: two writers of the format, one reader.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from zeile.network import Codes, Conv2d, Dense, Lstm, Network

HLS = Path(__file__).resolve().parent.parent.parent / "hw_src" / "hls"
COMPILER = next((path for name in ("clang++-19", "g++", "clang++") if (path := shutil.which(name))), None)

Ints = npt.NDArray[np.int64]
Constants = dict[str, int]
Writes = list[tuple[int, int, int]]
"""Messages of the configuration chain: target, address, data."""


class Driver:
    """One driver with its parameters, compiled.

    Args:
        name: of ``hw_src/hls/test/<name>.cpp``.
        folder: for the program.
        layers: struct name to constants, as in ``config.h``; -D definitions under the key ``""``.
        sources: hardware sources; another folder for broken copies.
    """

    def __init__(self, name: str, folder: Path, layers: dict[str, Constants], sources: Path = HLS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        layers = dict(layers)
        defines = [f"-D{key}={value}" for key, value in layers.pop("", {}).items()]
        (folder / "layer.h").write_text(layer_header(layers))
        self.program = folder / name
        assert COMPILER is not None
        command = [COMPILER, "-std=c++14", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
        command += ["-Wno-unused-label", *defines]  # labels name the loops in the reports of synthesis
        command += [f"-I{path}" for path in (folder, sources, HLS / "sim", HLS / "test")]
        command += [str(HLS / "test" / f"{name}.cpp"), "-o", str(self.program)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def run(self, values: Iterable[int | Ints], *, fails: bool = False) -> Ints:
        """Feeds integers, returns those that come out.

        Args:
            values: integers and arrays of them, in order.
            fails: what comes out when the driver gives up counts too.
        """
        given = b"".join(np.asarray(value, np.int64).tobytes() for value in values)
        done = subprocess.run([self.program], input=given, capture_output=True, timeout=300, check=False)
        assert fails or done.returncode == 0, done.stderr.decode(errors="replace")
        return np.frombuffer(done.stdout[: len(done.stdout) // 8 * 8], np.int64)


def layer_header(layers: dict[str, Constants]) -> str:
    """The structs of a generated ``config.h``."""
    text = "#pragma once\nnamespace zeile {\n"
    for name, constants in layers.items():
        lines = [f"  static constexpr int {key} = {value};\n" for key, value in constants.items()]
        text += f"struct {name} {{\n{''.join(lines)}}};\n"
    return text + "}  // namespace zeile\n"


def elements(lines: Sequence[Ints], codes: int, seed: int, stall: int) -> Ints:
    """A Source's input: seed and stall of the stream, number, elements of ``codes`` codes with their last flag."""
    rows = []
    for line in lines:
        part = line.reshape(-1, codes)
        last = np.zeros((len(part), 1), np.int64)
        last[-1] = 1
        rows.append(np.concatenate([part, last], axis=1))
    return np.concatenate([[seed, stall, sum(map(len, rows))], *(r.reshape(-1) for r in rows)]).astype(np.int64)


def configuration(writes: Writes) -> Ints:
    """Input of a driver's ``Configure``."""
    flat = [len(writes)] + [int(np.array(v, np.uint64).astype(np.int64)) for write in writes for v in write]
    return np.array(flat, np.int64)


def read_back(writes: Writes) -> Ints:
    """What ``Configure`` puts out."""
    return np.array([data for _, _, data in writes], np.uint64).astype(np.int64)


def words(codes: Sequence[int], bits: int) -> list[int]:
    """Codes of ``bits`` bits in 64-bit words, none of them in two."""
    each, mask = 64 // bits, (1 << bits) - 1
    parts = [codes[i : i + each] for i in range(0, len(codes), each)]
    return [sum((code & mask) << (bits * k) for k, code in enumerate(part)) for part in parts]


def matrix_writes(
    target: int, section: int, weight: Ints, rows: dict[str, Ints], bits: int, pe: int, simd: int
) -> Writes:
    """Weights (rows, columns) in array order and their row words, for sections ``section`` and ``section + 1``."""
    codes = (weight > 0).astype(np.int64) if bits == 1 else weight
    writes: Writes = []
    for nf in range(len(weight) // pe):
        for sf in range(weight.shape[1] // simd):
            for row in codes[nf * pe : (nf + 1) * pe, sf * simd : (sf + 1) * simd]:
                for word in words(row.tolist(), bits):
                    writes.append((target, section << 24 | len(writes), word))
    zeros = np.zeros(len(weight), np.int64)
    for index, (bias, multiplier, gain) in enumerate(
        zip(rows["bias"].tolist(), rows["multiplier"].tolist(), rows.get("gain", zeros).tolist(), strict=True)
    ):
        word = bias & 0xFFFFFFFF | multiplier << 32 | (gain & 0xFFFF) << 48
        writes.append((target, (section + 1) << 24 | index, word))
    return writes


def conv_writes(network: Network, index: int, target: int, pe: int, simd: int) -> Writes:
    """All that a convolution is loaded with."""
    layer = network.layers[index]
    assert isinstance(layer, Conv2d)
    names = ("weight", "bias", "multiplier", "gain")[: 3 if layer.skip is None else 4]
    tensors = {name: network.tensor(index, name).astype(np.int64) for name in names}
    weight = tensors.pop("weight").reshape(layer.channels, -1)
    return matrix_writes(target, 0, weight, tensors, layer.weight_bits, pe, simd)


def lstm_writes(network: Network, index: int, target: int, direction: int, pe: int, simd: int) -> Writes:
    """All that a direction of a recurrent layer is loaded with."""
    layer = network.layers[index]
    assert isinstance(layer, Lstm)
    units = pe // 4
    order = [
        gate * layer.hidden + block * units + u
        for block in range(layer.hidden // units)
        for gate in range(4)
        for u in range(units)
    ]
    tensors = {n: network.tensor(index, n)[direction].astype(np.int64)[order] for n in ("weight", "bias", "multiplier")}
    weight = tensors.pop("weight")
    writes = matrix_writes(target, 8 * direction, weight, tensors, layer.weight_bits, pe, simd)
    for section, name in ((2, "sigmoid"), (3, "tanh"), (4, "tanh_cell")):
        for i, word in enumerate(words(network.tensor(index, name).tolist(), 8)):
            writes.append((target, (8 * direction + section) << 24 | i, word))
    return writes


def dense_writes(network: Network, index: int, target: int, pe: int, simd: int) -> Writes:
    """All that a dense layer is loaded with, the number of classes last."""
    layer = network.layers[index]
    assert isinstance(layer, Dense)
    pad = -layer.classes % pe
    tensors = {n: network.tensor(index, n).astype(np.int64) for n in ("weight", "bias", "multiplier")}
    tensors = {n: np.concatenate([t, np.zeros((pad, *t.shape[1:]), np.int64)]) for n, t in tensors.items()}
    weight = tensors.pop("weight")
    writes = matrix_writes(target, 0, weight, tensors, layer.weight_bits, pe, simd)
    return [*writes, (target, 7 << 24, layer.classes)]


def lstm_constants(layer: Lstm, codes: Codes, pe: int, simd: int, slots: int, ring: int, dsp: int = 0) -> Constants:
    """The struct of a recurrent layer in ``config.h``."""
    return {
        "kTarget": 3,
        "kInputs": codes.size,
        "kHidden": layer.hidden,
        "kInBits": codes.bits,
        "kInSigned": int(codes.signed),
        "kWeightBits": layer.weight_bits,
        "kOutBits": layer.out_bits,
        "kCellBits": layer.cell_bits,
        "kPe": pe,
        "kSimd": simd,
        "kSlots": slots,
        "kRingSteps": ring,
        "kDspPe": dsp,
    }
