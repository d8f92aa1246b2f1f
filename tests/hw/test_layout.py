# SPDX-License-Identifier: Apache-2.0
"""What is loaded into the core: every tensor can be read back from the words by the addresses of the contract."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.device.networks import random_network

from zeile.errors import OverlayMismatch
from zeile.hw.design import Design, find_design
from zeile.hw.layout import model_words, sections
from zeile.manifest import load_model
from zeile.network import Dense, Lstm, MaxPool, Network

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "hw_src"
DESIGNS = ("tiny", "tiny-uni")

Memory = dict[tuple[int, int], int]


def network_for(design: Design, seed: int, classes: int | None = None) -> Network:
    layers = list(design.layers)
    if classes is not None:
        last = layers[-1]
        assert isinstance(last, Dense)
        layers[-1] = replace(last, classes=classes)
    return random_network(
        seed,
        layers,
        height_px=design.height_px,
        columns_per_frame=design.columns_per_frame,
        pixel_bits=design.pixel_bits,
    )


def memory_of(design: Design, network: Network) -> Memory:
    """Target and address to word, as the core would store them."""
    memory: Memory = {}
    for target, start, words in model_words(design, network):
        for offset, word in enumerate(words):
            assert (target, start + offset) not in memory
            memory[target, start + offset] = int(word)
    return memory


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def row_of(design: Design, index: int, row: int) -> tuple[int, int]:
    """Fold and PE of a row of the weight matrix; the gates of a unit stand a quarter of PE apart."""
    layer, pe = design.layers[index], design.fold(index).pe
    if not isinstance(layer, Lstm):
        return row // pe, row % pe
    gate, unit = divmod(row, layer.hidden)
    return unit // (pe // 4), gate * (pe // 4) + unit % (pe // 4)


def weight_at(memory: Memory, design: Design, index: int, direction: int, row: int, column: int) -> int:
    fold, layer = design.fold(index), design.layers[index]
    assert not isinstance(layer, MaxPool)
    bits, (nf, pe) = layer.weight_bits, row_of(design, index, row)
    each = 64 // bits
    parts, (_, folds) = -(-fold.simd // each), design.tiles(index)
    sf, k = divmod(column, fold.simd)
    entry = (nf * folds + sf) * fold.pe + pe
    word = memory[index, direction << 27 | entry * parts + k // each]
    code = word >> (k % each * bits) & ((1 << bits) - 1)
    return 2 * code - 1 if bits == 1 else signed(code, bits)


def row_word(memory: Memory, design: Design, index: int, direction: int, row: int) -> tuple[int, int, int]:
    nf, pe = row_of(design, index, row)
    word = memory[index, direction << 27 | 1 << 24 | nf * design.fold(index).pe + pe]
    return signed(word & 0xFFFFFFFF, 32), word >> 32 & 0xFFFF, signed(word >> 48, 16)


def check_direction(memory: Memory, design: Design, index: int, direction: int, tensors: dict[str, Any]) -> None:
    weight: npt.NDArray[np.int8] = tensors["weight"].reshape(len(tensors["bias"]), -1)
    for row in range(len(weight)):
        found = [weight_at(memory, design, index, direction, row, k) for k in range(weight.shape[1])]
        np.testing.assert_array_equal(found, weight[row])
        bias, multiplier, gain = row_word(memory, design, index, direction, row)
        assert (bias, multiplier) == (tensors["bias"][row], tensors["multiplier"][row])
        assert gain == (tensors["gain"][row] if "gain" in tensors else 0)


@pytest.mark.parametrize("name", DESIGNS)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 10))
def test_every_tensor_is_read_back(name: str, seed: int, classes: int) -> None:
    design = find_design(name, SOURCE)
    network = network_for(design, seed, classes)
    memory = memory_of(design, network)
    for index, layer in enumerate(network.layers):
        tensors = {n: network.tensor(index, n) for n in layer.shapes(network.codes[index])}
        if not isinstance(layer, Lstm):
            if not isinstance(layer, MaxPool):
                check_direction(memory, design, index, 0, tensors)
            continue
        for direction in range(layer.directions):
            parts = {n: tensors[n][direction] for n in ("weight", "bias", "multiplier")}
            check_direction(memory, design, index, direction, parts)
            for section, table in ((2, "sigmoid"), (3, "tanh"), (4, "tanh_cell")):
                for entry, value in enumerate(tensors[table]):
                    word = memory[index, direction << 27 | section << 24 | entry // 8]
                    assert word >> (entry % 8 * 8) & 0xFF == int(value) & 0xFF


@pytest.mark.parametrize("name", DESIGNS)
def test_rows_beyond_the_classes_are_zero(name: str) -> None:
    design = find_design(name, SOURCE)
    memory = memory_of(design, network_for(design, 1, classes=3))
    rows = design.weight_shape(design.recurrent + 1)[0]
    assert rows > 3
    for row in range(3, rows):
        assert row_word(memory, design, design.recurrent + 1, 0, row) == (0, 0, 0)


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 7, 8])
def test_weights_of_any_width_are_read_back(bits: int) -> None:
    base = find_design("tiny-uni", SOURCE)
    layers = tuple(replace(layer, weight_bits=bits) for layer in base.layers if not isinstance(layer, MaxPool))
    folds = (replace(base.fold(0), pe=32, simd=8), replace(base.fold(1), simd=8))
    design = replace(base, layers=layers, folds=folds)
    network = network_for(design, bits)
    memory = memory_of(design, network)
    check_direction(memory, design, 0, 0, {n: network.tensor(0, n)[0] for n in ("weight", "bias", "multiplier")})
    check_direction(memory, design, 1, 0, {n: network.tensor(1, n) for n in ("weight", "bias", "multiplier")})


@pytest.mark.parametrize("name", [*DESIGNS, "zeile-print", "finn-l-w2a4"])
def test_a_model_fills_every_section(name: str) -> None:
    design = find_design(name, SOURCE)
    loads = model_words(design, network_for(design, 2))
    filled = {(target, address): len(words) for target, address, words in loads}
    sizes = {(i, a): n for i in range(len(design.layers)) for a, n in sections(design, i).items()}
    assert filled == sizes
    assert all(n < 1 << 24 for n in sizes.values())


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("latin-print", "zeile-print"),
        ("fraktur", "zeile-print"),
        ("finn-l-w4a4", "finn-l-w4a4"),
        ("finn-l-w2a4", "finn-l-w2a4"),
    ],
)
def test_the_shipped_models_have_a_design(model: str, name: str) -> None:
    design, network = find_design(name, SOURCE), load_model(ROOT / "models" / model / "1").network
    memory = memory_of(design, network)
    index = design.recurrent
    tensors = {n: network.tensor(index, n)[1] for n in ("weight", "bias", "multiplier")}
    check_direction(memory, design, index, 1, {n: t[:40] for n, t in tensors.items()})


def test_a_foreign_model_is_refused() -> None:
    with pytest.raises(OverlayMismatch, match="height_px is 32, the design's 8"):
        model_words(find_design("tiny", SOURCE), load_model(ROOT / "models" / "finn-l-w4a4" / "1").network)


def test_more_classes_than_the_design_has_are_refused() -> None:
    design = find_design("tiny", SOURCE)
    network = network_for(replace(design, layers=(*design.layers[:-1], Dense(classes=17, weight_bits=4))), 1)
    with pytest.raises(OverlayMismatch, match=r"layer 4 is .*'classes': 17.*the design's .*'classes': 16"):
        model_words(design, network)
