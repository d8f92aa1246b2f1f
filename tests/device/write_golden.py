# SPDX-License-Identifier: Apache-2.0
"""Write the file that the native engine's ``selftest`` checks: networks, lines and the reference's scores.

    PYTHONPATH=app:. python tests/device/write_golden.py golden.bin
    cmake -S app/zeile/native -B build -DZEILE_SELFTEST=ON -DZEILE_PYTHON=OFF
    cmake --build build
    build/selftest golden.bin

For ARM, configure with ``-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64
-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_EXE_LINKER_FLAGS=-static`` and run the driver with
``qemu-aarch64-static``.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
from tests.device.networks import random_line, random_network

from zeile.device.reference import Reference
from zeile.native import describe
from zeile.network import Conv2d, Dense, Layer, Lstm, MaxPool, Network

_MAGIC = 0x444C4F47


def networks() -> list[Network]:
    """Small networks that visit every kernel: narrow and wide sums, both forms of gates, pools, skips."""
    found: list[Network] = []
    for bits in range(1, 9):
        layers: list[Layer] = [
            Conv2d(channels=8, weight_bits=8, out_bits=bits),
            MaxPool(columns=2, rows=2),
            Conv2d(channels=16, weight_bits=bits, out_bits=bits),
            MaxPool(columns=1, rows=2),
            Conv2d(channels=19, weight_bits=bits, out_bits=bits),
            Conv2d(channels=19, weight_bits=bits, out_bits=bits, skip=4),
            MaxPool(columns=3, rows=1),
            Lstm(hidden=40, weight_bits=bits, out_bits=max(bits, 2), cell_bits=min(max(bits, 2) + 4, 12)),
            Lstm(hidden=7, weight_bits=bits, out_bits=4, cell_bits=8, bidirectional=False),
            Dense(classes=37, weight_bits=bits),
        ]
        found.extend(random_network(bits, layers, height_px=8, pixel_bits=bits, extreme=e) for e in (False, True))
    for bits in range(2, 7):  # the shape of the shipped models: taps of one channel, two rows of products for three
        layers = [
            Conv2d(channels=16, weight_bits=8, out_bits=4),
            MaxPool(columns=3, rows=2),
            Conv2d(channels=32, weight_bits=bits, out_bits=4),
            MaxPool(columns=1, rows=2),
            Conv2d(channels=48, weight_bits=bits, out_bits=4),
            MaxPool(columns=1, rows=2),
            Dense(classes=21, weight_bits=4),
        ]
        found.extend(random_network(bits, layers, height_px=16, pixel_bits=4, extreme=e) for e in (False, True))
    for out_bits in range(2, 9):
        for cell_bits in range(out_bits + 2, 13):
            lstm = Lstm(hidden=20, weight_bits=4, out_bits=out_bits, cell_bits=cell_bits)
            found.append(random_network(7, [lstm, Dense(classes=9, weight_bits=4)], height_px=3, columns_per_frame=2))
    return found


def golden(cases: list[Network]) -> bytes:
    """The file's bytes; format: ``selftest.cpp``."""
    rng = np.random.default_rng(0)
    parts = [struct.pack("<2i", _MAGIC, len(cases))]
    for network in cases:
        model, reference = describe(network), Reference(network)
        lengths = [0, 1, 2, 3, 60, 5, 31, 8, 7, 50, 49]
        parts.append(struct.pack("<i", len(model)) + model + struct.pack("<i", len(lengths)))
        for frames in lengths:
            line = random_line(rng, network, frames)
            parts.append(struct.pack("<i", frames) + line.tobytes() + reference.run(line).tobytes())
    return b"".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(golden(networks()))
