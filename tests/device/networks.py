# SPDX-License-Identifier: Apache-2.0
"""Random networks and lines for the tests of engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zeile.network import (
    Codes,
    Conv2d,
    Dense,
    Layer,
    Lstm,
    MaxPool,
    Network,
    activation_tables,
    largest_weight,
)

Arrays = dict[str, npt.NDArray[Any]]


def random_network(
    seed: int,
    layers: list[Layer],
    *,
    height_px: int,
    columns_per_frame: int = 1,
    pixel_bits: int = 4,
    extreme: bool = False,
) -> Network:
    """A network of these layers with random tensors whose outputs use their whole range.

    Args:
        extreme: weights are the largest in magnitude, and multipliers anything up to 32767.
    """
    rng = np.random.default_rng(seed)
    codes = [Codes(height_px * columns_per_frame, 1, pixel_bits)]
    tensors: Arrays = {}
    for index, layer in enumerate(layers):
        if not isinstance(layer, MaxPool):
            skip = None if not isinstance(layer, Conv2d) or layer.skip is None else codes[layer.skip + 1]
            for name, tensor in _tensors(rng, layer, codes[-1], skip, extreme).items():
                tensors[f"{index}.{name}"] = tensor
        codes.append(layer.output(codes[-1]))
    return Network(height_px, columns_per_frame, pixel_bits, layers, tensors)


def random_line(rng: np.random.Generator, network: Network, frames: int) -> npt.NDArray[np.uint8]:
    """(frames, F) pixel codes; mostly random, some paper, some full ink."""
    codes = network.input_codes
    line = rng.integers(0, codes.largest + 1, (frames, codes.size), np.uint8)
    line[rng.random(frames) < 0.1] = 0
    line[rng.random(frames) < 0.1] = codes.largest
    return line


def _tensors(rng: np.random.Generator, layer: Layer, codes: Codes, skip: Codes | None, extreme: bool) -> Arrays:
    assert not isinstance(layer, MaxPool)
    shapes, top = layer.shapes(codes), largest_weight(layer.weight_bits)
    weight = rng.integers(-top, top + 1, shapes["weight"])
    if layer.weight_bits == 1 or extreme:
        weight = np.where(weight > 0, top, -top)
    inputs = np.prod(shapes["weight"][1:]) if not isinstance(layer, Lstm) else shapes["weight"][-1]
    spread = max(1.0, float(np.sqrt(inputs) * codes.largest * top / 3))
    reach = {Conv2d: 2 ** getattr(layer, "out_bits", 8), Lstm: 100, Dense: 100}[type(layer)]
    typical = 32768 * reach / spread / 2
    multiplier = (
        rng.integers(0, 32768, shapes["multiplier"])
        if extreme
        else rng.uniform(0.3 * typical, 1.5 * typical, shapes["multiplier"])
    )
    limit = 30000 if extreme else int(spread) + 1
    tensors: Arrays = {
        "weight": weight.astype(np.int8),
        "bias": rng.integers(-limit, limit + 1, shapes["bias"], np.int32),
        "multiplier": np.clip(multiplier, 0, 32767).astype(np.int16),
    }
    if skip is not None:
        gain = int(spread / skip.largest) + 1
        tensors["gain"] = rng.integers(-min(gain, 32767), min(gain, 32767) + 1, shapes["gain"]).astype(np.int16)
    if isinstance(layer, Lstm):
        tensors |= activation_tables(layer.out_bits, layer.cell_bits)
    return tensors
