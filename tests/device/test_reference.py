# SPDX-License-Identifier: Apache-2.0
"""The definition of the datapath against values worked out by hand from hw_src/DATAPATH.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from zeile.device.reference import Reference, divide, rescale
from zeile.errors import BadManifest
from zeile.network import Conv2d, Dense, Layer, Lstm, MaxPool, Network, activation_tables

Array = npt.NDArray[Any]


def test_the_rounding_rule_is_half_up() -> None:
    half = np.array([16384])  # a * 16384 / 32768 = a / 2
    values = np.array([-3, -2, -1, 0, 1, 2, 3])
    np.testing.assert_array_equal(rescale(values, half), [-1, -1, 0, 0, 1, 1, 2])


def test_division_of_a_4_bit_cell_is_the_nearest_for_every_value_that_occurs() -> None:
    n = np.arange(-2340, 2341)
    np.testing.assert_array_equal(divide(n, 4), np.floor(n / 15 + 0.5))


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
def test_a_gate_of_one_holds_the_cell_exactly(bits: int) -> None:
    cells = np.arange(-128, 128)
    np.testing.assert_array_equal(divide((2**bits - 1) * cells, bits), cells)


def test_tables_are_monotonic_and_reach_their_ends() -> None:
    tables = activation_tables(4, 8)
    assert tables["sigmoid"].tolist()[::255] == [0, 15]
    assert tables["tanh"].tolist()[::255] == [-7, 7]
    assert tables["tanh_cell"][128] == 0
    assert all((np.diff(table.astype(int)) >= 0).all() for table in tables.values())


def network(layers: list[Layer], tensors: Mapping[str, Any], height: int = 2) -> Network:
    dtypes = {"weight": np.int8, "bias": np.int32, "multiplier": np.int16, "gain": np.int16}
    typed = {k: np.asarray(v, dtypes.get(k.split(".")[1])) for k, v in tensors.items()}
    return Network(height, 1, 4, layers, typed)


def dense(size: int, classes: int = 2) -> dict[str, Array]:
    """The first inputs as scores."""
    weight = np.zeros((classes, size))
    weight[np.arange(classes), np.arange(classes)] = 1
    return {"weight": weight, "bias": np.zeros(classes), "multiplier": np.full(classes, 32767)}


def with_dense(index: int, size: int) -> dict[str, Array]:
    return {f"{index}.{k}": v for k, v in dense(size).items()}


def test_convolution_sees_paper_beyond_the_edges_and_adds_its_skip() -> None:
    weight = np.ones((1, 3, 3, 1))
    tensors = {
        "0.weight": weight,
        "0.bias": [-1],
        "0.multiplier": [16384],  # halves
        "0.gain": [2],
    }
    layers: list[Layer] = [
        Conv2d(channels=1, weight_bits=2, out_bits=4, skip=-1),
        Dense(classes=2, weight_bits=2),
    ]
    net = network(layers, tensors | with_dense(1, 2))
    scores = Reference(net).run(np.array([[1, 2], [3, 4], [5, 6]], np.uint8))
    # column 0: the 2 x 2 corner 1+2+3+4 = 10, - 1, + 2 * own pixel, halved, half up
    np.testing.assert_array_equal(scores[0], [(10 - 1 + 2 + 1) // 2, (10 - 1 + 4 + 1) // 2])
    # column 1 sees all: 21 - 1 + 2 * 3 = 26 and 21 - 1 + 2 * 4 = 28, halved, at most 15
    np.testing.assert_array_equal(scores[1], [13, 14])


def test_pooling_reaches_beyond_the_end_of_the_line() -> None:
    layers: list[Layer] = [MaxPool(columns=2, rows=1), Dense(classes=2, weight_bits=2)]
    scores = Reference(network(layers, with_dense(0 + 1, 2))).run(np.array([[1, 5], [3, 4], [2, 0]], np.uint8))
    np.testing.assert_array_equal(scores, [[3, 5], [2, 0]])


def test_one_step_of_an_lstm_by_hand() -> None:
    """One unit, wide open gates: i = f = o = 15/15, g = tanh(p / 16)."""
    layers: list[Layer] = [
        Lstm(hidden=1, weight_bits=4, out_bits=4, cell_bits=8, bidirectional=False),
        Dense(classes=2, weight_bits=2),
    ]
    tensors = {
        "0.weight": [[[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]]],
        "0.bias": [[127, 127, 0, 127]],
        "0.multiplier": [[32767] * 4],
        **{f"0.{k}": v for k, v in activation_tables(4, 8).items()},
        "1.weight": [[1], [0]],
        "1.bias": [0, 0],
        "1.multiplier": [32767, 32767],
    }
    net = network(layers, tensors)
    scores = Reference(net).run(np.array([[8, 0], [8, 0]], np.uint8))
    g = int(np.floor(8 * np.tanh(8 / 16) + 0.5))  # 4
    c1 = g * 4  # in 1/32: g/8
    c2 = c1 + g * 4
    h = [int(np.floor(8 * np.tanh(c / 32) + 0.5)) for c in (c1, c2)]
    assert scores[:, 0].tolist() == h


def test_backward_direction_reads_from_the_end() -> None:
    rng = np.random.default_rng(0)
    layers: list[Layer] = [Lstm(hidden=2, weight_bits=4, out_bits=4), Dense(classes=2, weight_bits=2)]
    direction = rng.integers(-7, 8, (8, 4))
    tensors = {
        "0.weight": np.stack([direction, direction]),
        "0.bias": np.zeros((2, 8)),
        "0.multiplier": np.full((2, 8), 15000),
        **{f"0.{k}": v for k, v in activation_tables(4, 8).items()},
        "1.weight": [[1, 0, 0, 0], [0, 0, 1, 0]],
        "1.bias": [0, 0],
        "1.multiplier": [32767, 32767],
    }
    frames = rng.integers(0, 16, (30, 2)).astype(np.uint8)
    scores = Reference(network(layers, tensors)).run(frames)
    turned = Reference(network(layers, tensors)).run(frames[::-1].copy())
    np.testing.assert_array_equal(scores[:, 0], turned[::-1, 1])
    assert len(np.unique(scores)) > 2


def test_an_empty_line_has_no_scores() -> None:
    layers: list[Layer] = [Dense(classes=2, weight_bits=2)]
    assert Reference(network(layers, with_dense(0, 2))).run(np.zeros((0, 2), np.uint8)).shape == (0, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": np.full((2, 2), 2, np.int8)}, "not of 2 bits"),
        ({"0.weight": np.zeros((2, 3), np.int8)}, "needs int8"),
        ({"0.multiplier": np.full(2, -1, np.int16)}, "negative"),
        ({"0.bias": np.full(2, 2**31 - 1, np.int32)}, "exceeds 31 bits"),
        ({"0.more": np.zeros(1, np.int8)}, "unknown"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(change: dict[str, Array], message: str) -> None:
    tensors = {f"0.{k}": v for k, v in dense(2).items()}
    typed = dict(network([Dense(classes=2, weight_bits=2)], tensors).tensors)
    with pytest.raises(BadManifest, match=message):
        Network(2, 1, 4, [Dense(classes=2, weight_bits=2)], typed | change)
