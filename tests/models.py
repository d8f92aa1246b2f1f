# SPDX-License-Identifier: Apache-2.0
"""A tiny random model and pictures of lines, for the tests of everything that needs a model folder.

The model reads nonsense, but it reads: the text of ``line_png(seed)`` is not empty and the same everywhere.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from zeile.alphabet import Alphabet, alphabet_of
from zeile.manifest import write_model
from zeile.network import Conv2d, Dense, Layer, Lstm, MaxPool, Network, activation_tables

CHARACTERS = "abcdefghijklmnopqrsſtuvwxyz ,ÄẞA"
READINGS = {"plain": {"ſ": "s"}}
LAYERS: list[Layer] = [
    Conv2d(channels=2, weight_bits=4, out_bits=4),
    MaxPool(columns=2, rows=2),
    Lstm(hidden=8, weight_bits=4, out_bits=4),
    Dense(classes=len(CHARACTERS) + 1, weight_bits=4),
]


def tiny_network(seed: int = 25) -> Network:
    """Height 16, pixels of 4 bits, two columns a step."""
    rng = np.random.default_rng(seed)

    def codes(*shape: int) -> npt.NDArray[np.int8]:
        return rng.integers(-7, 8, shape).astype(np.int8)

    classes = len(CHARACTERS) + 1
    tensors: dict[str, npt.NDArray[Any]] = {
        "0.weight": codes(2, 3, 3, 1),
        "0.bias": np.zeros(2, np.int32),
        "0.multiplier": np.full(2, 2500, np.int16),
        "2.weight": codes(2, 32, 24),
        "2.bias": np.zeros((2, 32), np.int32),
        "2.multiplier": np.full((2, 32), 3000, np.int16),
        "3.weight": codes(classes, 16),
        "3.bias": np.zeros(classes, np.int32),
        "3.multiplier": np.full(classes, 12000, np.int16),
    }
    tensors |= {f"2.{name}": table for name, table in activation_tables(4, 8).items()}
    return Network(16, 1, 4, LAYERS, tensors)


def tiny_alphabet() -> Alphabet:
    """Blank 0, letters, a long s that the reading ``plain`` (the default) reads as s."""
    return alphabet_of(CHARACTERS, READINGS)


def write_tiny_model(folder: Path, *, name: str = "tiny", version: str = "1", seed: int = 25) -> Path:
    """Write the model below a folder of models; returns ``folder / name / version``."""
    return write_model(
        folder / name / version,
        name=name,
        version=version,
        description="Random weights for tests.",
        license="Apache-2.0",
        network=tiny_network(seed),
        alphabet=tiny_alphabet(),
        text={"normalisation": "NFC"},
        training={
            "data": [{"name": "none", "license": "Apache-2.0", "source": "random numbers", "lines": 0}],
            "command": "tests/models.py",
            "code_version": "0",
            "seed": seed,
            "lines_seen": 0,
        },
        evaluation={"val": {"none": {"cer": 1.0, "lines": 0}}},
        files={"eval.json": b"{}\n"},
    )


def line_pixels(seed: int = 0, height: int = 40, width: int = 300) -> npt.NDArray[np.uint8]:
    """(height, width) grey picture of strokes that look a little like writing, dark on light."""
    rng = np.random.default_rng(seed)
    page = np.full((height, width), 235, np.uint8)
    for left in range(12, width - 12, 9):
        top = height // 4 + int(rng.integers(0, height // 6))
        page[top : 3 * height // 4, left : left + 2] = rng.integers(0, 60)
        bar = int(rng.integers(top, 3 * height // 4 - 2))
        page[bar : bar + 2, left : left + int(rng.integers(3, 9))] = 30
    return page


def line_png(seed: int = 0, height: int = 40, width: int = 300) -> bytes:
    """``line_pixels`` as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(line_pixels(seed, height, width)).save(buffer, "PNG")
    return buffer.getvalue()
