# SPDX-License-Identifier: Apache-2.0
"""The exported integers reproduce the trained network's quantised forward pass exactly."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install zeile[train]")

from torch import Tensor  # noqa: E402 - after the skip

from zeile.device.reference import Reference  # noqa: E402 - after the skip
from zeile.network import Conv2d, Dense, Layer, Lstm, MaxPool  # noqa: E402
from zeile.train import recurrence  # noqa: E402
from zeile.train.export import network_of  # noqa: E402
from zeile.train.model import Trainee  # noqa: E402

PLAIN: list[Layer] = [Lstm(hidden=32, weight_bits=4, out_bits=4), Dense(classes=20, weight_bits=4)]
CONV: list[Layer] = [
    Conv2d(channels=8, weight_bits=8, out_bits=4),
    MaxPool(columns=3, rows=2),
    Conv2d(channels=8, weight_bits=4, out_bits=4, skip=1),
    MaxPool(columns=1, rows=2),
    Lstm(hidden=16, weight_bits=3, out_bits=4, cell_bits=10),
    Dense(classes=9, weight_bits=4),
]
NARROW: list[Layer] = [
    Lstm(hidden=16, weight_bits=2, out_bits=2, cell_bits=6, bidirectional=False),
    Dense(classes=5, weight_bits=2),
]
BINARY: list[Layer] = [Lstm(hidden=16, weight_bits=1, out_bits=4), Dense(classes=5, weight_bits=8)]
WIDE: list[Layer] = [
    Lstm(hidden=16, weight_bits=8, out_bits=8, cell_bits=12),
    Dense(classes=7, weight_bits=8),
]


def trainee(layers: list[Layer], columns_per_frame: int = 1) -> Trainee:
    torch.manual_seed(5)
    model = Trainee(8, columns_per_frame, 4, layers)
    with torch.no_grad():
        for parameter in model.parameters():  # far from the neat initial values
            parameter.mul_(2.5).add_(torch.randn_like(parameter) * 0.05)
    model.quantise = True
    return model


def batch(lengths: list[int], size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    frames = torch.zeros(len(lengths), max(lengths), size)
    for row, length in zip(frames, lengths, strict=True):
        row[:length] = torch.randint(0, 16, (length, size), generator=generator).float()
    return frames, torch.tensor(lengths, dtype=torch.int32)


@pytest.mark.parametrize("layers", [PLAIN, CONV, NARROW, BINARY, WIDE], ids=["w4a4", "conv", "w2a2", "w1a4", "w8a8"])
@pytest.mark.parametrize("operator", ["cpp", "torch"])
def test_exported_integers_equal_the_training_forward(
    layers: list[Layer], operator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line of a padded batch gives the reference engine's scores of that line alone."""
    if operator == "torch":
        monkeypatch.setattr(recurrence, "_operator", lambda: None)
    elif not recurrence.has_operator():
        pytest.skip("no C++ compiler for the training operator")
    model = trainee(layers)
    lengths = [41, 7, 1, 30, 12, 40, 3]
    frames, counts = batch(lengths, 8)
    with torch.no_grad():
        scores, steps = model(frames, counts)
    engine = Reference(network_of(model))
    for index, length in enumerate(lengths):
        alone = engine.run(frames[index, :length].numpy().astype(np.uint8))
        trained = (scores[: int(steps[index]), index] * 8).numpy()
        np.testing.assert_array_equal(trained, alone)
        assert length < 10 or len(np.unique(alone)) > 4, "a constant network proves nothing"


def test_operator_and_torch_have_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    if not recurrence.has_operator():
        pytest.skip("no C++ compiler for the training operator")
    frames, counts = batch([30, 11, 23], 8)
    gradients = []
    for operator in ("cpp", "torch"):
        if operator == "torch":
            monkeypatch.setattr(recurrence, "_operator", lambda: None)
        model = trainee(CONV)
        scores, steps = model(frames, counts)
        sum(scores[: int(s), i].square().sum() for i, s in enumerate(steps)).backward()
        gradients.append([p.grad for p in model.parameters()])
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5 * float(plain.abs().max()))


@pytest.mark.parametrize("quantise", [False, True])
def test_a_line_trains_alone_as_in_a_batch(quantise: bool) -> None:
    """Padding and batch mates do not reach a line, float or quantised."""
    model = trainee(CONV)
    model.quantise = quantise
    lengths = [29, 5, 17]
    frames, counts = batch(lengths, 8)
    with torch.no_grad():
        together, steps = model(frames, counts)
        for index, length in enumerate(lengths):
            alone, _ = model(frames[index : index + 1, :length], counts[index : index + 1])
            torch.testing.assert_close(together[: int(steps[index]), index], alone[:, 0], rtol=1e-5, atol=1e-5)
