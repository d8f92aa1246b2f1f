# SPDX-License-Identifier: Apache-2.0
"""Simulated cores for tests: designs, libraries compiled once, and what every answer must be."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.device.networks import random_line, random_network
from tests.hw.ap_types import fetch
from tests.hw.rtl_unit import reason

from zeile.hw import csim, rtlsim
from zeile.hw.design import Design, find_design
from zeile.network import Network

SOURCE = Path(__file__).resolve().parents[2] / "hw_src"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zeile"

COMPILERS = [name for name in csim.COMPILERS if shutil.which(name)]
needs_compiler = pytest.mark.skipif(not COMPILERS, reason="no C++ compiler")


def design(name: str) -> Design:
    """A design of hw_src, or one of DESIGNS."""
    if name not in DESIGNS:
        return find_design(name, SOURCE)
    shape = {"format": "zeile-design", "format_version": 1, "name": name, "description": "of a test"}
    board = {"board": "ZCU104", "part": "xczu7ev-ffvc1156-2-e", "clock_mhz": 249.9975}
    return Design.from_json(shape | board | DESIGNS[name])


def vendor_types() -> str:
    """Folder of the vendor's headers; skips the test where they cannot be had."""
    folder = Path(os.environ.get(csim.VENDOR_TYPES) or CACHE / "ap_types")
    if reason := _fetched(folder):
        pytest.skip(reason)
    return str(folder)


@functools.lru_cache(maxsize=1)
def _fetched(folder: Path) -> str:
    return fetch(folder)


def library(name: str, compiler: str = "auto", headers: str = "fast", source: Path = SOURCE, **options: Any) -> Path:
    """The compiled core of a design; kept between runs, under a name that pins all that went into it."""
    if compiler != "auto" and compiler not in COMPILERS:
        pytest.skip(f"{compiler} is not installed")
    if headers == "vendor":
        os.environ[csim.VENDOR_TYPES] = vendor_types()
    return csim.build(design(name), source, None, compiler, headers, **options)


def twin(name: str, source: Path = SOURCE) -> Path:
    """The Verilated twin of a design's core; skips the test where there is no Verilator."""
    if why := reason():
        pytest.skip(why)
    return rtlsim.build(design(name), source)


def network(name: str, seed: int, classes: int | None = None, extreme: bool = False, ties: bool = False) -> Network:
    """A random model that fits a design.

    Args:
        ties: multipliers are powers of two, so that many a product lies in the middle between two codes.
    """
    shape = design(name)
    layers = list(shape.layers)
    if classes is not None:
        layers[-1] = type(layers[-1])(**{**vars(layers[-1]), "classes": classes})
    made = random_network(
        seed,
        layers,
        height_px=shape.height_px,
        columns_per_frame=shape.columns_per_frame,
        pixel_bits=shape.pixel_bits,
        extreme=extreme,
    )
    for key, tensor in made.tensors.items():
        if ties and key.endswith(".multiplier"):
            tensor[:] = 2 ** np.log2(np.maximum(tensor, 1)).astype(int)
    return made


def lines(of: Network, lengths: Sequence[int], seed: int = 0) -> list[npt.NDArray[np.uint8]]:
    """Random lines of these numbers of frames."""
    rng = np.random.default_rng(seed)
    return [random_line(rng, of, frames) for frames in lengths]


def broken(folder: Path, file: str, right: str, wrong: str) -> Path:
    """A copy of the hardware sources with one passage of a header replaced."""
    copy = folder / "hw_src"
    shutil.copytree(SOURCE / "hls", copy / "hls", ignore=shutil.ignore_patterns("test", "example"))
    text = (copy / "hls" / file).read_text("utf-8")
    assert text.count(right) == 1, f"{file} has {text.count(right)} times: {right}"
    (copy / "hls" / file).write_text(text.replace(right, wrong), "utf-8")
    return copy


DESIGNS: dict[str, dict[str, Any]] = {
    # A skip over two convolutions, another from the input; three score lanes; one bit and odd widths; whole bytes of
    # pixels, so that a frame has two words and a beat is a word.
    "test-skips": {
        "height_px": 16,
        "columns_per_frame": 1,
        "pixel_bits": 8,
        "max_columns": 96,
        "ring_steps": 32,
        "layers": [
            {"kind": "conv2d", "channels": 6, "weight_bits": 1, "out_bits": 3, "pe": 3, "simd": 9},
            {"kind": "maxpool", "columns": 3, "rows": 4},
            {"kind": "conv2d", "channels": 6, "weight_bits": 3, "out_bits": 3, "pe": 2, "simd": 27},
            {"kind": "conv2d", "channels": 6, "weight_bits": 2, "out_bits": 2, "skip": 1, "pe": 6, "simd": 18},
            {
                "kind": "bilstm",
                "hidden": 12,
                "weight_bits": 3,
                "out_bits": 5,
                "cell_bits": 9,
                "pe": 12,
                "simd": 3,
                "slots": 1,
            },
            {"kind": "dense", "classes": 21, "weight_bits": 6, "pe": 9, "simd": 3},
        ],
    },
    # No convolution, frames of two columns, a wide last layer: nine score lanes.
    "test-lanes": {
        "height_px": 10,
        "columns_per_frame": 2,
        "pixel_bits": 4,
        "max_columns": 64,
        "ring_steps": 32,
        "layers": [
            {
                "kind": "bilstm",
                "hidden": 8,
                "weight_bits": 8,
                "out_bits": 8,
                "cell_bits": 12,
                "pe": 32,
                "simd": 4,
                "slots": 4,
            },
            {"kind": "dense", "classes": 47, "weight_bits": 8, "pe": 18, "simd": 8},
        ],
    },
}
