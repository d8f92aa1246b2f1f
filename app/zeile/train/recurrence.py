# SPDX-License-Identifier: Apache-2.0
"""The quantised recurrence as a differentiable operator, exact integers forward.

On CPUs a small C++ operator (``recurrence.cpp``, built on first use when a compiler is there); elsewhere, CUDA
included, the same steps in plain torch. A test holds the two, and ``device/reference.py``, equal.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zeile.network import DIVISORS, activation_tables

STEPS = 16  # unit of the pre-activation: 1/16


@dataclass(frozen=True)
class Gates:
    """Tables of an LSTM layer as tensors: codes for the forward pass, smooth functions for derivatives."""

    out_bits: int
    cell_bits: int
    sigmoid: Tensor  # (256,) float32 codes
    tanh: Tensor  # (256,)
    tanh_cell: Tensor  # (2**cell_bits,)
    smooth_sigmoid: Tensor  # (256,) float32, real values
    smooth_tanh: Tensor
    smooth_cell: Tensor

    @staticmethod
    @functools.cache
    def of(out_bits: int, cell_bits: int, device: torch.device) -> Gates:
        """The standard tables of these widths."""
        tables = activation_tables(out_bits, cell_bits)
        p = np.arange(-128, 128) / STEPS
        c = np.arange(-(2 ** (cell_bits - 1)), 2 ** (cell_bits - 1)) * 2.0 ** (3 - cell_bits)
        smooth = (1 / (1 + np.exp(-p)), np.tanh(p), np.tanh(c))
        arrays = [tables[name] for name in ("sigmoid", "tanh", "tanh_cell")] + list(smooth)
        tensors = [torch.from_numpy(a.astype(np.float32)).to(device) for a in arrays]
        return Gates(out_bits, cell_bits, *tensors)


@functools.cache
def _operator() -> Any:
    """The C++ operator, or None where it cannot be built."""
    if not (shutil.which("g++") or shutil.which("c++")) or os.environ.get("ZEILE_TRAIN_OPERATOR") == "torch":
        return None
    from torch.utils.cpp_extension import load

    os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]  # ninja of the venv
    try:
        return load(
            "zeile_recurrence",
            [str(Path(__file__).with_suffix(".cpp"))],
            extra_cflags=["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math"],
        )
    except (RuntimeError, OSError, ImportError) as error:  # no ninja, no headers, an old compiler
        warnings.warn(f"the fast training operator was not built, torch takes its place: {error}", stacklevel=2)
        return None


class Recurrence(torch.autograd.Function):
    """h codes (T, B, H) of one direction from accumulators (T, B, 4H), with straight-through gradients."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, acc_x: Tensor, u: Tensor, multiplier: Tensor, lengths: Tensor, gates: Gates, reverse: bool
    ) -> Tensor:
        m, q = DIVISORS[gates.out_bits]
        args = (
            lengths,
            gates.sigmoid,
            gates.tanh,
            gates.tanh_cell,
            gates.out_bits,
            gates.cell_bits,
            m,
            q,
            reverse,
        )
        run = _forward_torch if acc_x.is_cuda or _operator() is None else _operator().forward
        h, p, c = run(acc_x.contiguous(), u.contiguous(), multiplier, *args)
        ctx.save_for_backward(u, multiplier, lengths, p, c, h)
        ctx.gates, ctx.reverse = gates, reverse
        return h  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        u, multiplier, lengths, p, c, h = ctx.saved_tensors
        g: Gates = ctx.gates
        tables = (g.sigmoid, g.tanh, g.tanh_cell, g.smooth_sigmoid, g.smooth_tanh, g.smooth_cell)
        args = (multiplier, lengths, p, c, *tables, g.out_bits, g.cell_bits, ctx.reverse)
        run = _backward_torch if dh.is_cuda or _operator() is None else _operator().backward
        d = run(dh.contiguous(), u.contiguous(), *args)
        flat = d[:-1] if ctx.reverse else d[1:]
        before = h[1:] if ctx.reverse else h[:-1]
        du = flat.reshape(-1, flat.shape[2]).t() @ before.reshape(-1, before.shape[2])
        return d, du, None, None, None, None


class FloatRecurrence(torch.autograd.Function):
    """h (T, B, H) of one float direction from pre-activations (T, B, 4H); CPUs with the operator only."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, u: Tensor, lengths: Tensor, reverse: bool) -> Tensor:  # type: ignore[override]
        h, gates, c = _operator().float_forward(pre.contiguous(), u.contiguous(), lengths, reverse)
        ctx.save_for_backward(u, lengths, gates, c, h)
        ctx.reverse = reverse
        return h  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        u, lengths, gates, c, h = ctx.saved_tensors
        d = _operator().float_backward(dh.contiguous(), u.contiguous(), lengths, gates, c, ctx.reverse)
        flat, before = (d[:-1], h[1:]) if ctx.reverse else (d[1:], h[:-1])
        du = flat.reshape(-1, flat.shape[2]).t() @ before.reshape(-1, before.shape[2])
        return d, du, None, None


class Rescale(torch.autograd.Function):
    """clamp(R(a * m)), multipliers along dimension 1 of maps and the last of sequences; straight-through gradient."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, multiplier: Tensor, low: int, high: int) -> Tensor:  # type: ignore[override]
        channels = 1 if a.dim() == 4 else a.dim() - 1
        shape = [1] * a.dim()
        shape[channels] = -1
        if a.is_cuda or _operator() is None:
            exact = torch.floor(a.double() * (multiplier.double() / 2.0**15).view(shape) + 0.5)
            out = exact.clamp(low, high).to(a.dtype)
        else:
            # channels must lie innermost in memory
            a = a.contiguous(memory_format=torch.channels_last) if a.dim() == 4 else a.contiguous()
            out = _operator().rescale(a, multiplier.contiguous(), float(low), float(high))
        ctx.save_for_backward(a, (multiplier / 2.0**15).view(shape))
        ctx.limits = (low, high)
        return out

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        a, scale = ctx.saved_tensors
        low, high = ctx.limits
        inner = torch.ops.aten.hardtanh_backward(d, a * scale, low, high)  # d strictly between the limits, else 0
        return inner.mul_(scale), None, None, None


class Pool(torch.autograd.Function):
    """Maximum over columns x rows of maps (B, C, T, rows); CPUs with the operator only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, columns: int, rows: int) -> Tensor:  # type: ignore[override]
        out, winner = _operator().pool(x.contiguous(memory_format=torch.channels_last), columns, rows)
        ctx.save_for_backward(winner)
        ctx.window = (columns, rows, x.shape[2])
        return out  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (winner,) = ctx.saved_tensors
        d = d.contiguous(memory_format=torch.channels_last)
        return _operator().pool_backward(d, winner, *ctx.window), None, None


def max_pool(x: Tensor, columns: int, rows: int) -> Tensor:
    """Maximum over columns x rows, the last window reaching beyond the line."""
    if not x.is_cuda and has_operator():
        return Pool.apply(x, columns, rows)  # type: ignore[no-any-return]
    return torch.nn.functional.max_pool2d(x, (columns, rows), ceil_mode=True)


def has_operator() -> bool:
    """Whether the C++ operator is there."""
    return _operator() is not None


def _divide(n: Tensor, m: int, q: int) -> Tensor:
    return torch.floor(n.double() * (m / 2**q) + 0.5).to(n.dtype)


def _forward_torch(
    acc_x: Tensor,
    u: Tensor,
    multiplier: Tensor,
    lengths: Tensor,
    sigmoid: Tensor,
    tanh: Tensor,
    tanh_cell: Tensor,
    out_bits: int,
    cell_bits: int,
    m: int,
    q: int,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    steps, batch, four = acc_x.shape
    n, half = four // 4, 2 ** (cell_bits - 1)
    h = acc_x.new_zeros(batch, n)
    c = torch.zeros_like(h)
    hs: list[Tensor] = [h] * steps
    ps: list[Tensor] = [h] * steps
    cs: list[Tensor] = [h] * steps
    scale = multiplier.double() / 2**15
    for t in reversed(range(steps)) if reverse else range(steps):
        a = acc_x[t] + h @ u.t()
        p = torch.floor(a.double() * scale + 0.5).clamp(-128, 127).long() + 128
        i, f, g, o = p.chunk(4, 1)
        total = sigmoid[f] * c + sigmoid[i] * tanh[g] * 2 ** (cell_bits - out_bits - 2)
        inside = (t < lengths)[:, None]
        c = _divide(total, m, q).clamp(-half, half - 1) * inside
        h = _divide(sigmoid[o] * tanh_cell[c.long() + half], m, q) * inside
        hs[t], ps[t], cs[t] = h, p.to(torch.uint8), c.to(torch.int16)
    return torch.stack(hs), torch.stack(ps), torch.stack(cs)


def _backward_torch(
    dh_codes: Tensor,
    u: Tensor,
    multiplier: Tensor,
    lengths: Tensor,
    p: Tensor,
    c: Tensor,
    sigmoid: Tensor,
    tanh: Tensor,
    tanh_cell: Tensor,
    smooth_sigmoid: Tensor,
    smooth_tanh: Tensor,
    smooth_cell: Tensor,
    out_bits: int,
    cell_bits: int,
    reverse: bool,
) -> Tensor:
    steps, batch, n = dh_codes.shape
    gate, unit, half = 1 / (2**out_bits - 1), 2.0 ** (1 - out_bits), 2 ** (cell_bits - 1)
    slope = multiplier / 2**19
    dh = dh_codes.new_zeros(batch, n)
    dc = torch.zeros_like(dh)
    out: list[Tensor] = [dh] * steps
    order = range(steps) if reverse else range(steps - 1, -1, -1)
    for t in order:
        before = t + 1 if reverse else t - 1
        i, f, g, o = p[t].long().chunk(4, 1)
        cell = c[t].long()
        old = c[before].to(dh.dtype) if 0 <= before < steps else torch.zeros_like(dh)
        stc = smooth_cell[cell + half]
        dhr = (dh_codes[t] + dh) / unit
        inside = (t < lengths)[:, None].to(dh.dtype)
        open_ = ((cell < half - 1) & (cell > -half)).to(dh.dtype) * inside
        dcr = (dc + dhr * sigmoid[o] * gate * (1 - stc * stc)) * open_
        si, sf, sg, so = smooth_sigmoid[i], smooth_sigmoid[f], smooth_tanh[g], smooth_sigmoid[o]
        d = torch.cat(
            [
                dcr * tanh[g] * unit * si * (1 - si),
                dcr * old * 2.0 ** (3 - cell_bits) * sf * (1 - sf),
                dcr * sigmoid[i] * gate * (1 - sg * sg),
                dhr * tanh_cell[cell + half] * unit * so * (1 - so) * inside,
            ],
            1,
        )
        out[t] = d * slope
        dc = dcr * sigmoid[f] * gate
        dh = out[t] @ u
    return torch.stack(out)
