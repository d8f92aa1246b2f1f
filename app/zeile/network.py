# SPDX-License-Identifier: Apache-2.0
"""The network of a model: a short list of streamed layers, with their widths and integer tensors.

A layer is data (frozen, from the manifest); its tensors come from the weights file. ``Network`` joins the
two and proves, once and for all lines, that they fit together and that no accumulator can overflow.
Semantics: ``hw_src/DATAPATH.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from zeile.errors import BadManifest

Tensors = Mapping[str, npt.NDArray[Any]]

DIVISORS = {
    2: (10923, 15),
    3: (4681, 15),
    4: (2185, 15),
    5: (1057, 15),
    6: (520, 15),
    7: (258, 15),
    8: (257, 16),
}
"""A: (m, q) with (n * m + 2**(q - 1)) >> q, division by 2**A - 1 rounding half up."""


@dataclass(frozen=True)
class Codes:
    """What flows between two layers.

    Attributes:
        rows: pixels of a column, or 1 behind a recurrent layer.
        channels: channels of a pixel, or values of a frame behind a recurrent layer.
        bits: width of a code.
        signed: whether codes are sN rather than uN.
    """

    rows: int
    channels: int
    bits: int
    signed: bool = False

    @property
    def size(self) -> int:
        """Values of one column."""
        return self.rows * self.channels

    @property
    def largest(self) -> int:
        """Largest magnitude of a code."""
        return int(2 ** (self.bits - 1) if self.signed else 2**self.bits - 1)


def largest_weight(bits: int) -> int:
    """Largest magnitude of a weight code of ``bits`` bits."""
    return 1 if bits == 1 else int(2 ** (bits - 1)) - 1


@dataclass(frozen=True, kw_only=True)
class Conv2d:
    """3 x 3 convolution with ReLU quantiser; ``skip`` is the index of the layer whose output is added (-1: input)."""

    kind: ClassVar[str] = "conv2d"
    channels: int
    weight_bits: int
    out_bits: int
    skip: int | None = None

    def output(self, codes: Codes) -> Codes:
        return Codes(codes.rows, self.channels, self.out_bits)

    def shapes(self, codes: Codes) -> dict[str, tuple[int, ...]]:
        n = self.channels
        shapes: dict[str, tuple[int, ...]] = {
            "weight": (n, 3, 3, codes.channels),
            "bias": (n,),
            "multiplier": (n,),
        }
        return shapes if self.skip is None else shapes | {"gain": (n,)}

    def macs(self, codes: Codes) -> int:
        return 9 * codes.size * self.channels


@dataclass(frozen=True, kw_only=True)
class MaxPool:
    """Maximum over ``columns`` by ``rows``, not overlapping."""

    kind: ClassVar[str] = "maxpool"
    columns: int
    rows: int

    def output(self, codes: Codes) -> Codes:
        return Codes(codes.rows // self.rows, codes.channels, codes.bits, codes.signed)

    def shapes(self, codes: Codes) -> dict[str, tuple[int, ...]]:
        return {}

    def macs(self, codes: Codes) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class Lstm:
    """LSTM of ``hidden`` units a direction; bidirectional ones put the backward outputs behind the forward ones."""

    kind: ClassVar[str] = "lstm"
    hidden: int
    weight_bits: int
    out_bits: int
    cell_bits: int = 8
    bidirectional: bool = True

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def output(self, codes: Codes) -> Codes:
        return Codes(1, self.directions * self.hidden, self.out_bits, signed=True)

    def shapes(self, codes: Codes) -> dict[str, tuple[int, ...]]:
        d, n = self.directions, 4 * self.hidden
        tables = {"sigmoid": (256,), "tanh": (256,), "tanh_cell": (2**self.cell_bits,)}
        return {"weight": (d, n, codes.size + self.hidden), "bias": (d, n), "multiplier": (d, n), **tables}

    def macs(self, codes: Codes) -> int:
        return self.directions * 4 * self.hidden * (codes.size + self.hidden)


@dataclass(frozen=True, kw_only=True)
class Dense:
    """Scores of all classes."""

    kind: ClassVar[str] = "dense"
    classes: int
    weight_bits: int

    def output(self, codes: Codes) -> Codes:
        return Codes(1, self.classes, 8, signed=True)

    def shapes(self, codes: Codes) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.classes, codes.size), "bias": (self.classes,), "multiplier": (self.classes,)}

    def macs(self, codes: Codes) -> int:
        return codes.size * self.classes


Layer = Conv2d | MaxPool | Lstm | Dense
_KINDS: dict[str, type[Layer]] = {
    "conv2d": Conv2d,
    "maxpool": MaxPool,
    "lstm": Lstm,
    "bilstm": Lstm,
    "dense": Dense,
}
DTYPES = {
    "weight": np.int8,
    "bias": np.int32,
    "multiplier": np.int16,
    "gain": np.int16,
    "sigmoid": np.uint8,
    "tanh": np.int8,
    "tanh_cell": np.int8,
}


def layer_from_json(entry: Mapping[str, Any], where: str) -> Layer:
    """Build a layer from its JSON object.

    Raises:
        BadManifest: unknown kind or key, missing key, wrong type.
    """
    entry = dict(entry)
    kind = entry.pop("kind", None)
    if kind not in _KINDS:
        raise BadManifest(f"{where}: layer kind {kind!r} is unknown; known are {', '.join(_KINDS)}")
    known = {f.name for f in fields(_KINDS[kind])} - {"bidirectional"}
    if unknown := sorted(set(entry) - known):
        raise BadManifest(f"{where}: {kind} has unknown keys {unknown}; known are {sorted(known)}")
    for key, value in entry.items():
        if type(value) is not int and not (key == "skip" and value is None):
            raise BadManifest(f"{where}: {kind}.{key} is {value!r}, not a whole number")
    if kind in ("lstm", "bilstm"):
        entry["bidirectional"] = kind == "bilstm"
    try:
        return _KINDS[kind](**entry)
    except TypeError as error:
        raise BadManifest(f"{where}: {kind}: {error}") from None


def layer_to_json(layer: Layer) -> dict[str, Any]:
    """The JSON object of a layer."""
    entry = {k: v for k, v in asdict(layer).items() if v is not None}
    kind = "bilstm" if entry.pop("bidirectional", False) else layer.kind
    return {"kind": kind} | entry


@dataclass(frozen=True)
class Network:
    """Layers with their tensors, checked.

    Attributes:
        height_px: H, rows of the input line.
        columns_per_frame: neighbouring columns joined into a frame before the first layer.
        pixel_bits: P, width of a pixel code.
        layers: in stream order.
        tensors: ``"<index>.<name>"`` to array, dtypes as in the weights file.
        stretch_percent: how wide lines are made for it, percent of their own proportions; no engine needs to know.
        codes: what enters layer i at index i, and the scores last.
        bounds: largest possible magnitude of each layer's accumulator, 0 for layers without one.

    Raises:
        BadManifest: layers or tensors do not fit together, or an accumulator could overflow.
    """

    height_px: int
    columns_per_frame: int
    pixel_bits: int
    layers: Sequence[Layer]
    tensors: Tensors
    stretch_percent: int = 100
    codes: tuple[Codes, ...] = field(init=False)
    bounds: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        codes = [self.input_codes]
        for index, layer in enumerate(self.layers):
            self._check_layer(index, layer, codes)
            codes.append(layer.output(codes[-1]))
        if not self.layers or not isinstance(self.layers[-1], Dense):
            raise BadManifest("the last layer must be dense: it gives the scores")
        object.__setattr__(self, "codes", tuple(codes))
        expected = {f"{i}.{n}" for i, layer in enumerate(self.layers) for n in layer.shapes(codes[i])}
        if expected != set(self.tensors):
            raise BadManifest(
                f"weights file: missing {sorted(expected - set(self.tensors))}, "
                f"unknown {sorted(set(self.tensors) - expected)}"
            )
        bounds = [self._check_tensors(i, layer) for i, layer in enumerate(self.layers)]
        object.__setattr__(self, "bounds", tuple(bounds))

    @property
    def input_codes(self) -> Codes:
        """A frame of one column is a picture with one channel; of several columns, one long vector."""
        return Codes(self.height_px * self.columns_per_frame, 1, self.pixel_bits)

    @property
    def classes(self) -> int:
        """K, blank included."""
        return self.codes[-1].channels

    @property
    def columns_per_step(self) -> int:
        """Line columns for each row of scores."""
        pools = [layer.columns for layer in self.layers if isinstance(layer, MaxPool)]
        return self.columns_per_frame * math.prod(pools)

    def steps(self, columns: int) -> int:
        """Rows of scores for a line of ``columns`` columns."""
        count = -(-columns // self.columns_per_frame)
        for layer in self.layers:
            if isinstance(layer, MaxPool):
                count = -(-count // layer.columns)
        return count

    def macs(self, columns: int) -> int:
        """Multiply-accumulates for a line of ``columns`` columns."""
        total, count = 0, -(-columns // self.columns_per_frame)
        for codes, layer in zip(self.codes, self.layers, strict=False):
            total += layer.macs(codes) * count
            if isinstance(layer, MaxPool):
                count = -(-count // layer.columns)
        return total

    def tensor(self, index: int, name: str) -> npt.NDArray[Any]:
        """Tensor ``name`` of layer ``index``."""
        return self.tensors[f"{index}.{name}"]

    def _check_layer(self, index: int, layer: Layer, codes: list[Codes]) -> None:
        where, entering = f"layer {index} ({layer.kind})", codes[-1]
        for key, low, high in (("weight_bits", 1, 8), ("out_bits", 1, 8), ("channels", 1, 1024)):
            value = getattr(layer, key, low)
            if not low <= value <= high:
                raise BadManifest(f"{where}: {key} is {value}, allowed are {low} to {high}")
        if isinstance(layer, Conv2d | MaxPool) and (
            entering.signed or (isinstance(layer, Conv2d) and self.columns_per_frame > 1)
        ):
            raise BadManifest(f"{where}: needs a feature map, not frames")
        if isinstance(layer, MaxPool) and (layer.columns < 1 or layer.rows < 1 or entering.rows % layer.rows):
            raise BadManifest(f"{where}: {entering.rows} rows cannot be pooled by {layer.rows}")
        if isinstance(layer, Conv2d) and layer.skip is not None:
            if not -1 <= layer.skip < index:
                raise BadManifest(f"{where}: skip from layer {layer.skip}, which is not an earlier one")
            source = codes[layer.skip + 1]
            pooled = any(isinstance(between, MaxPool) for between in self.layers[layer.skip + 1 : index])
            if pooled or (source.rows, source.channels) != (entering.rows, layer.channels):
                raise BadManifest(f"{where}: the skip's source has not the shape of the output")
        if isinstance(layer, Lstm):
            if layer.out_bits not in DIVISORS or not layer.out_bits + 2 <= layer.cell_bits <= 12:
                raise BadManifest(
                    f"{where}: out_bits {layer.out_bits}, cell_bits {layer.cell_bits}; "
                    "allowed are 2 to 8, and out_bits + 2 to 12"
                )
            if not 1 <= layer.hidden <= 1024:
                raise BadManifest(f"{where}: hidden is {layer.hidden}, allowed are 1 to 1024")
        if isinstance(layer, Dense) and (not 2 <= layer.classes <= 256 or index + 1 != len(self.layers)):
            raise BadManifest(f"{where}: must come last and have 2 to 256 classes, has {layer.classes}")

    def _check_tensors(self, index: int, layer: Layer) -> int:
        """Check dtypes, shapes and ranges; return the largest possible magnitude of the accumulator."""
        for name, shape in layer.shapes(self.codes[index]).items():
            tensor, where = self.tensor(index, name), f"weights {index}.{name}"
            if tensor.dtype != DTYPES[name] or tensor.shape != shape:
                raise BadManifest(f"{where}: is {tensor.dtype} {tensor.shape}, needs {np.dtype(DTYPES[name])} {shape}")
        if isinstance(layer, MaxPool):
            return 0
        weight = self.tensor(index, "weight").astype(np.int64)
        largest, entering = np.abs(weight).max(), self.codes[index]
        if largest > largest_weight(layer.weight_bits) or (layer.weight_bits == 1 and (weight == 0).any()):
            raise BadManifest(f"weights {index}.weight: a code is not of {layer.weight_bits} bits")
        if self.tensor(index, "multiplier").min() < 0:
            raise BadManifest(f"weights {index}.multiplier: negative, allowed are 0 to 32767")
        scale = np.full(weight.shape[-1], entering.largest, np.int64)
        if isinstance(layer, Lstm):
            scale[entering.size :] = 2 ** (layer.out_bits - 1)
            self._check_tables(index, layer)
        total = (np.abs(weight) * scale).reshape(*self.tensor(index, "bias").shape, -1).sum(-1)
        total = total + np.abs(self.tensor(index, "bias").astype(np.int64))
        if isinstance(layer, Conv2d) and layer.skip is not None:
            source = self.codes[layer.skip + 1].largest
            total = total + np.abs(self.tensor(index, "gain").astype(np.int64)) * source
        bound = int(total.max())
        if bound >= 2**31:
            raise BadManifest(f"layer {index} ({layer.kind}): accumulator bound {bound} exceeds 31 bits")
        return bound

    def _check_tables(self, index: int, layer: Lstm) -> None:
        limits = {
            "sigmoid": (0, 2**layer.out_bits - 1),
            "tanh": (-largest_weight(layer.out_bits), largest_weight(layer.out_bits)),
            "tanh_cell": (-largest_weight(layer.out_bits), largest_weight(layer.out_bits)),
        }
        for name, (low, high) in limits.items():
            table = self.tensor(index, name).astype(np.int64)
            if table.min() < low or table.max() > high or (np.diff(table) < 0).any():
                raise BadManifest(f"weights {index}.{name}: must rise from at least {low} to at most {high}")


def activation_tables(out_bits: int, cell_bits: int) -> dict[str, npt.NDArray[Any]]:
    """The standard tables of an LSTM layer, rounding half up (DATAPATH.md)."""
    p = np.arange(-128, 128) / 16
    c = np.arange(-(2 ** (cell_bits - 1)), 2 ** (cell_bits - 1)) * 2.0 ** (3 - cell_bits)
    half, top = 2 ** (out_bits - 1), largest_weight(out_bits)

    def tanh(value: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
        return np.asarray(np.clip(np.floor(half * np.tanh(value) + 0.5), -top, top), np.int8)

    sigmoid = np.floor((2**out_bits - 1) / (1 + np.exp(-p)) + 0.5).astype(np.uint8)
    return {"sigmoid": sigmoid, "tanh": tanh(p), "tanh_cell": tanh(c)}
