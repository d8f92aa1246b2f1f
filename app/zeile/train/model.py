# SPDX-License-Identifier: Apache-2.0
"""The trainable twin of a network: float first, then quantised with a straight-through estimator.

Quantised, the forward pass computes the integers of ``hw_src/DATAPATH.md`` (as float32 codes, which are exact);
``tensors()`` returns them for the weights file. Float, it is the same topology with ReLUs limited to the range of
the feature maps, so that quantisation finds every range already in place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from zeile.network import Codes, Conv2d, Dense, Layer, Lstm, MaxPool, activation_tables, largest_weight
from zeile.train.recurrence import FloatRecurrence, Gates, Recurrence, Rescale, has_operator, max_pool

_SHRINK = {3: 0.6, 4: 0.75}  # share of a row's largest weight that the largest code stands for


def _straight_through(value: Tensor, quantised: Tensor) -> Tensor:
    """``quantised`` forward, the gradient of ``value`` backward."""
    return value + (quantised - value).detach()


def _round(value: Tensor) -> Tensor:
    return torch.floor(value + 0.5)


def quantise_weight(weight: Tensor, bits: int, shift: int) -> tuple[Tensor, Tensor]:
    """Weight codes and multipliers, one multiplier a row.

    Args:
        weight: (rows, n) float.
        bits: W, 1 to 8.
        shift: the step of a row's codes is multiplier / 2**shift.

    Returns:
        (rows, n) codes as float32 with straight-through gradient, and (rows,) multipliers 1 to 32767 as float32.
    """
    size = weight.detach().abs()
    if bits == 1:
        step = size.mean(1)
    elif bits == 2:
        step = 1.4 * size.mean(1)
    else:
        step = size.amax(1) * _SHRINK.get(bits, 1.0) / largest_weight(bits)
    multiplier = _round(step * 2.0**shift).clamp(1, 32767)
    value = weight / (multiplier / 2.0**shift)[:, None]
    top = largest_weight(bits)
    codes = torch.where(value >= 0, 1.0, -1.0) if bits == 1 else _round(value).clamp(-top, top)
    return _straight_through(value, codes), multiplier


class _Layer(nn.Module):
    """A layer with its widths; ``codes`` is what enters it."""

    def __init__(self, spec: Layer, codes: Codes) -> None:
        super().__init__()
        self.spec, self.codes = spec, codes

    @property
    def bits(self) -> int:
        return int(getattr(self.spec, "weight_bits", 8))

    def integers(self) -> dict[str, npt.NDArray[Any]]:
        return {}


def _array(tensor: Tensor, dtype: type) -> npt.NDArray[Any]:
    return np.ascontiguousarray(tensor.detach().cpu().numpy().astype(dtype))


class _Conv(_Layer):
    spec: Conv2d

    def __init__(self, spec: Conv2d, codes: Codes) -> None:
        super().__init__(spec, codes)
        self.weight = nn.Parameter(torch.empty(spec.channels, codes.channels, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=1.0)
        self.bias = nn.Parameter(torch.zeros(spec.channels))
        self.gain = nn.Parameter(torch.ones(spec.channels)) if spec.skip is not None else None

    def quantised(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Weight codes, bias and gain in accumulator units, multipliers."""
        shift = 15 + self.spec.out_bits - self.codes.bits
        codes, multiplier = quantise_weight(self.weight.flatten(1), self.bits, shift)
        step = multiplier / 2.0**shift  # real size of a weight code
        unit = step * 2.0 ** (1 - self.codes.bits)  # of the accumulator
        bias = self.bias / unit
        gain = None
        if self.gain is not None:
            value = self.gain * 2.0 ** (1 - self.codes.bits) / unit  # the source is on the grid of the input
            gain = _straight_through(value, _round(value).clamp(-32768, 32767))
        return codes.view_as(self.weight), _straight_through(bias, _round(bias)), multiplier, gain

    def forward(self, x: Tensor, skip: Tensor | None, quantise: bool) -> Tensor:
        top = 2**self.spec.out_bits - 1
        if not quantise:
            unit = 2.0 ** (1 - self.spec.out_bits)
            y = functional.conv2d(x, self.weight, self.bias, padding=1)
            if self.gain is not None and skip is not None:
                y = y + self.gain[:, None, None] * skip
            return functional.hardtanh(y, 0, top * unit)  # clamp, whose gradient takes three passes more
        weight, bias, multiplier, gain = self.quantised()
        a = functional.conv2d(x, weight, bias, padding=1)
        if gain is not None and skip is not None:
            a = a + gain[:, None, None] * skip
        return Rescale.apply(a, multiplier, 0, top)  # type: ignore[no-any-return]

    def integers(self) -> dict[str, npt.NDArray[Any]]:
        weight, bias, multiplier, gain = self.quantised()
        tensors = {
            "weight": _array(weight.permute(0, 2, 3, 1), np.int8),  # (Co, along, down, Ci)
            "bias": _array(bias, np.int32),
            "multiplier": _array(multiplier, np.int16),
        }
        return tensors if gain is None else tensors | {"gain": _array(gain, np.int16)}


class _Lstm(_Layer):
    spec: Lstm

    def __init__(self, spec: Lstm, codes: Codes) -> None:
        super().__init__(spec, codes)
        n, d, r = spec.hidden, spec.directions, 1 / math.sqrt(spec.hidden)
        self.w = nn.Parameter(torch.empty(d, 4 * n, codes.size).uniform_(-r, r))
        self.u = nn.Parameter(torch.empty(d, 4 * n, n).uniform_(-r, r))
        bias = torch.zeros(d, 4 * n)
        bias[:, n : 2 * n] = 1  # remember at first
        self.b = nn.Parameter(bias)

    def quantised(self, direction: int) -> tuple[Tensor, Tensor, Tensor]:
        """Codes of [W | U], bias in accumulator units, multipliers."""
        shift = 20 - self.spec.out_bits
        joint = torch.cat([self.w[direction], self.u[direction]], 1)
        codes, multiplier = quantise_weight(joint, self.bits, shift)
        bias = self.b[direction] / (multiplier / 2.0**shift * 2.0 ** (1 - self.spec.out_bits))
        return codes, _straight_through(bias, _round(bias)), multiplier

    def forward(self, x: Tensor, lengths: Tensor, quantise: bool) -> Tensor:
        """x: (T, B, I) codes or real values -> (T, B, D * H)."""
        if not quantise:
            return self._float(x, lengths)
        gates = Gates.of(self.spec.out_bits, self.spec.cell_bits, x.device)
        outputs = []
        for direction in range(self.spec.directions):
            codes, bias, multiplier = self.quantised(direction)
            w, u = codes.split([self.codes.size, self.spec.hidden], 1)
            acc = functional.linear(x, w, bias)
            outputs.append(Recurrence.apply(acc, u, multiplier, lengths, gates, direction == 1))
        return torch.cat(outputs, 2)

    def _float(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Each direction apart, the backward one on lines turned round within their own length."""
        outputs, state = [], x.new_zeros(1, x.shape[1], self.spec.hidden)
        for direction in range(self.spec.directions):
            b = self.b[direction]
            if not x.is_cuda and has_operator():
                pre = functional.linear(x, self.w[direction], b)
                outputs.append(FloatRecurrence.apply(pre, self.u[direction], lengths, direction == 1))
                continue
            flat = [self.w[direction], self.u[direction], b, torch.zeros_like(b)]
            turned = _turn(x, lengths) if direction else x
            y, *_ = torch._VF.lstm(  # type: ignore[attr-defined]
                turned, (state, state), flat, True, 1, 0.0, self.training, False, False
            )
            outputs.append(_turn(y, lengths) if direction else y)
        return torch.cat(outputs, 2)

    def integers(self) -> dict[str, npt.NDArray[Any]]:
        parts = [self.quantised(direction) for direction in range(self.spec.directions)]
        return {
            "weight": _array(torch.stack([p[0] for p in parts]), np.int8),
            "bias": _array(torch.stack([p[1] for p in parts]), np.int32),
            "multiplier": _array(torch.stack([p[2] for p in parts]), np.int16),
            **activation_tables(self.spec.out_bits, self.spec.cell_bits),
        }


class _Dense(_Layer):
    spec: Dense

    def __init__(self, spec: Dense, codes: Codes) -> None:
        super().__init__(spec, codes)
        linear = nn.Linear(codes.size, spec.classes)
        self.weight, self.bias = linear.weight, linear.bias

    def quantised(self) -> tuple[Tensor, Tensor, Tensor]:
        shift = 19 - self.codes.bits
        codes, multiplier = quantise_weight(self.weight, self.bits, shift)
        bias = self.bias / (multiplier / 2.0**shift * 2.0 ** (1 - self.codes.bits))
        return codes, _straight_through(bias, _round(bias)), multiplier

    def forward(self, x: Tensor, quantise: bool) -> Tensor:
        """(T, B, I) -> real scores (T, B, K), a multiple of 1/8 when quantised."""
        if not quantise:
            return functional.linear(x, self.weight, self.bias)
        weight, bias, multiplier = self.quantised()
        return Rescale.apply(functional.linear(x, weight, bias), multiplier, -128, 127) / 8  # type: ignore[no-any-return]

    def integers(self) -> dict[str, npt.NDArray[Any]]:
        weight, bias, multiplier = self.quantised()
        return {
            "weight": _array(weight, np.int8),
            "bias": _array(bias, np.int32),
            "multiplier": _array(multiplier, np.int16),
        }


class Trainee(nn.Module):
    """Trainable network.

    Args:
        height_px: H.
        columns_per_frame: columns joined into a frame (1 before a conv layer).
        pixel_bits: P.
        layers: as in the manifest.
        stretch_percent: how wide its lines are made.
    """

    def __init__(
        self,
        height_px: int,
        columns_per_frame: int,
        pixel_bits: int,
        layers: Sequence[Layer],
        stretch_percent: int = 100,
    ) -> None:
        super().__init__()
        self.stretch_percent = stretch_percent
        self.height_px, self.columns_per_frame, self.pixel_bits = height_px, columns_per_frame, pixel_bits
        self.specs = tuple(layers)
        self.quantise = False
        codes = Codes(height_px * columns_per_frame, 1, pixel_bits)
        modules: list[nn.Module] = []
        for layer in layers:
            kind = {Conv2d: _Conv, Lstm: _Lstm, Dense: _Dense}.get(type(layer))
            modules.append(nn.Identity() if kind is None else kind(layer, codes))  # type: ignore[arg-type]
            codes = layer.output(codes)
        self.stages = nn.ModuleList(modules)

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Real scores of a batch; each line as if alone, whatever the padding.

        Args:
            frames: (B, T, F) pixel codes as float32, paper (0) behind the end of each line.
            lengths: (B,) int32 frames of each line.

        Returns:
            (S, B, K) scores and (B,) int32 valid steps of each line.
        """
        x = frames[:, None]  # (B, 1, T, rows): a picture with one channel
        x = x.contiguous(memory_format=torch.channels_last)
        if not self.quantise:
            x = x * 2.0 ** (1 - self.pixel_bits)
        maps, sequence = [x], None
        for spec, stage in zip(self.specs, self.stages, strict=True):
            if isinstance(spec, Conv2d):
                skip = None if spec.skip is None else maps[spec.skip + 1]
                y = stage(maps[-1], skip, self.quantise)
                maps.append(y * _inside(lengths, y.shape[2])[:, None, :, None])  # paper behind the end
            elif isinstance(spec, MaxPool):
                maps.append(max_pool(maps[-1], spec.columns, spec.rows))
                lengths = torch.div(lengths + spec.columns - 1, spec.columns, rounding_mode="floor").int()
            elif isinstance(spec, Lstm):
                sequence = _as_sequence(maps[-1]) if sequence is None else sequence
                sequence = stage(sequence, lengths, self.quantise)
            else:
                sequence = _as_sequence(maps[-1]) if sequence is None else sequence
                sequence = stage(sequence, self.quantise)
        assert sequence is not None
        return sequence, lengths

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The integers of the datapath, for the weights file."""
        with torch.no_grad():
            return {
                f"{index}.{name}": value
                for index, stage in enumerate(self.stages)
                if isinstance(stage, _Layer)
                for name, value in stage.integers().items()
            }


def _inside(lengths: Tensor, steps: int) -> Tensor:
    """(B, steps) float32: 1 inside the line."""
    return (torch.arange(steps, device=lengths.device)[None] < lengths[:, None]).float()


def _turn(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each line of (T, B, n) within its own length."""
    steps = torch.arange(x.shape[0], device=x.device)[:, None]
    index = torch.where(steps < lengths[None], lengths[None] - 1 - steps, steps).long()
    return x.gather(0, index[:, :, None].expand_as(x))


def _as_sequence(x: Tensor) -> Tensor:
    """(B, C, T, rows) -> (T, B, rows * C), index row * C + channel."""
    batch, channels, steps, rows = x.shape
    return x.permute(2, 0, 3, 1).reshape(steps, batch, rows * channels)
