# SPDX-License-Identifier: Apache-2.0
"""A hardware design as data: layers, their folding, the part and the clock (hw_src/designs/<name>.json).

PE rows and SIMD columns of a layer's weight matrix are multiplied in one cycle (FINN's terms), so that a matrix
takes NF * SF cycles: NF = rows / PE, SF = columns / SIMD. One design fits every model of its layers.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zeile.errors import BadManifest, BadSettings, OverlayMismatch
from zeile.hw.folding import Fold, check_fold
from zeile.hw.words import codes_per_word
from zeile.network import DTYPES, Codes, Dense, Layer, Lstm, MaxPool, Network, layer_from_json, layer_to_json
from zeile.schema import NAME, check, parse_json, printable

FORMAT, FORMAT_VERSION = "zeile-design", 1
INSTALLED_SOURCE = Path("/opt/zeile/hw_src")

_KEYS: dict[str, type] = {
    "format": str,
    "format_version": int,
    "name": str,
    "description": str,
    "board": str,
    "part": str,
    "clock_mhz": float,
    "height_px": int,
    "columns_per_frame": int,
    "pixel_bits": int,
    "max_columns": int,
    "ring_steps": int,
    "layers": list,
}
_LIMITS = {
    "height_px": (1, 512),
    "columns_per_frame": (1, 64),
    "pixel_bits": (1, 8),
    "max_columns": (1, 65535),
    "ring_steps": (1, 1 << 20),
}
_FOLD_KEYS = ("pe", "simd", "slots", "mac")
_MAX_BYTES = 1 << 20
_MAX_SIZE, _MAX_WEIGHTS = 1024, 1 << 24  # of a layer; beyond both no part can hold it


@dataclass(frozen=True, kw_only=True)
class Design:
    """A design, checked.

    Attributes:
        name: as of the file.
        description: a sentence.
        board: as ``ZCU104``.
        part: as Vivado names it.
        clock_mhz: of the core.
        height_px: H, rows of a line.
        columns_per_frame: columns joined before the first layer.
        pixel_bits: P, width of a pixel code.
        max_columns: longest line.
        ring_steps: steps that the buffers around the recurrent layer hold.
        layers: in stream order; the classes of the last are the compiled maximum.
        folds: for each layer; None for a pool.
        fifo: depths that replace the computed ones, by the FIFO's name.
        network: the layers with tensors of ones, for shapes and widths.

    Raises:
        BadManifest: a value is out of range, or a fold does not divide its layer.
    """

    name: str
    description: str
    board: str
    part: str
    clock_mhz: float
    height_px: int
    columns_per_frame: int
    pixel_bits: int
    max_columns: int
    ring_steps: int
    layers: tuple[Layer, ...]
    folds: tuple[Fold | None, ...]
    fifo: Mapping[str, int] = field(default_factory=dict)
    network: Network = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            self._check_scalars()
            network = _network(self.height_px, self.columns_per_frame, self.pixel_bits, self.layers)
            object.__setattr__(self, "network", network)
            self._check_chain()
            for index, (layer, fold) in enumerate(zip(self.layers, self.folds, strict=True)):
                if fold is not None:
                    self._check_fold(index, layer, fold)
        except BadManifest as error:
            raise BadManifest(f"design {self.name!r}: {error}") from None

    @property
    def codes(self) -> tuple[Codes, ...]:
        """What enters layer i at index i, and the scores last."""
        return self.network.codes

    @property
    def recurrent(self) -> int:
        """Index of the recurrent layer."""
        return len(self.layers) - 2

    @property
    def lstm(self) -> Lstm:
        """The recurrent layer."""
        layer = self.layers[self.recurrent]
        assert isinstance(layer, Lstm)
        return layer

    @property
    def classes(self) -> int:
        """Most classes of a model."""
        return self.codes[-1].channels

    @property
    def words_per_frame(self) -> int:
        """64-bit words of a frame in a packet."""
        return -(-self.codes[0].size // codes_per_word(self.pixel_bits))

    @property
    def max_frames(self) -> int:
        """Frames of the longest line."""
        return -(-self.max_columns // self.columns_per_frame)

    @property
    def design_id(self) -> int:
        """The first 8 bytes of the canonical JSON's SHA-256, first byte highest: 16 hex digits of it."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return int.from_bytes(hashlib.sha256(canonical.encode()).digest()[:8], "big")

    @property
    def beat_codes(self) -> int:
        """Codes of an element from Receive: as many as divide both a frame and a word."""
        return math.gcd(self.codes[0].size, codes_per_word(self.pixel_bits))

    def fold(self, index: int) -> Fold:
        """Fold of a layer that has one."""
        fold = self.folds[index]
        assert fold is not None, f"layer {index} is a pool"
        return fold

    def weight_shape(self, index: int) -> tuple[int, int]:
        """Rows and columns of a layer's weight matrix, of one direction; a dense layer's rows are filled up to PE."""
        shape = self.layers[index].shapes(self.codes[index])["weight"]
        if isinstance(self.layers[index], Lstm):
            return shape[1], shape[2]
        rows = shape[0]
        if isinstance(self.layers[index], Dense):
            rows = -(-rows // self.fold(index).pe) * self.fold(index).pe
        return rows, math.prod(shape[1:])

    def tiles(self, index: int) -> tuple[int, int]:
        """(NF, SF) of a layer: cycles to the rows, and cycles to the columns of its matrix."""
        rows, columns = self.weight_shape(index)
        fold = self.fold(index)
        return rows // fold.pe, columns // fold.simd

    def lanes(self, index: int) -> int:
        """Results that leave a layer in a cycle: so many that a block of rows is out when the next is done.

        The fewest that divide PE, or of a recurrent layer the units of PE rows, which have four rows each.
        """
        pe, (_, sf) = self.fold(index).pe, self.tiles(index)
        pe //= 4 if isinstance(self.layers[index], Lstm) else 1
        return next(lanes for lanes in range(1, pe + 1) if pe % lanes == 0 and lanes * sf >= pe)

    def check(self, network: Network) -> None:
        """Make sure that a model runs on this design.

        Raises:
            OverlayMismatch: its shape is another.
        """
        where = f"the model does not fit the design {self.name!r}"
        for name in ("height_px", "columns_per_frame", "pixel_bits"):
            if (has := getattr(network, name)) != (needs := getattr(self, name)):
                raise OverlayMismatch(f"{where}: its {name} is {has}, the design's {needs}; choose another of the two")
        if len(network.layers) != len(self.layers):
            raise OverlayMismatch(f"{where}: it has {len(network.layers)} layers, the design {len(self.layers)}")
        for index, (has, needs) in enumerate(zip(network.layers, self.layers, strict=True)):
            mine, theirs = layer_to_json(needs), layer_to_json(has)
            if isinstance(needs, Dense) and isinstance(has, Dense) and has.classes <= needs.classes:
                theirs["classes"] = mine["classes"]
            if mine != theirs:
                raise OverlayMismatch(f"{where}: layer {index} is {layer_to_json(has)}, the design's {mine}")

    def to_json(self) -> dict[str, Any]:
        """The object of the design file; ``from_json`` reads it."""
        entry: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION}
        entry |= {key: getattr(self, key) for key in _KEYS if key not in entry and key != "layers"}
        entry["layers"] = [_layer_json(*pair) for pair in zip(self.layers, self.folds, strict=True)]
        return entry | ({"fifo": dict(self.fifo)} if self.fifo else {})

    @classmethod
    def from_json(cls, entry: Any) -> Design:
        """Read a design's object.

        Raises:
            BadManifest: a key is unknown or missing, or a value cannot be.
        """
        if not isinstance(entry, dict) or entry.get("format") != FORMAT:
            raise BadManifest(f'a design must say "format": "{FORMAT}"; this is none')
        if entry.get("format_version") != FORMAT_VERSION:
            raise BadManifest(f"the design's format_version is {entry.get('format_version')!r}, not {FORMAT_VERSION}")
        entry = dict(entry)
        fifo = entry.pop("fifo", {})
        if type(entry.get("clock_mhz")) is int:
            entry["clock_mhz"] = float(entry["clock_mhz"])
        check(entry, _KEYS, "design")
        if not isinstance(fifo, dict) or any(type(depth) is not int or depth < 2 for depth in fifo.values()):
            raise BadManifest(f"design: fifo is {fifo!r}, it must be an object of depths of at least 2")
        pairs = [_layer_from(each, f"layer {index}") for index, each in enumerate(entry.pop("layers"))]
        del entry["format"], entry["format_version"]
        return cls(**entry, layers=tuple(p[0] for p in pairs), folds=tuple(p[1] for p in pairs), fifo=fifo)

    def _check_scalars(self) -> None:
        if not NAME.fullmatch(self.name):
            raise BadManifest(f"name must match {NAME.pattern}")
        for key in ("description", "board", "part"):
            printable(getattr(self, key), key)
        for key, (low, high) in _LIMITS.items():
            if not low <= getattr(self, key) <= high:
                raise BadManifest(f"{key} is {getattr(self, key)}, allowed are {low} to {high}")
        if 64 % self.pixel_bits:
            raise BadManifest(f"pixel_bits is {self.pixel_bits}; 1, 2, 4 and 8 fill a 64-bit word")
        if not 1 <= self.clock_mhz <= 800:
            raise BadManifest(f"clock_mhz is {self.clock_mhz}, allowed are 1 to 800")

    def _check_chain(self) -> None:
        kinds = [layer.kind for layer in self.layers]
        if kinds[-2:] != ["lstm", "dense"] or set(kinds[:-2]) - {"conv2d", "maxpool"}:
            raise BadManifest(f"layers are {kinds}; a design is conv2d and maxpool layers, one lstm or bilstm, dense")
        steps = self.network.steps(self.max_columns)
        if steps > self.ring_steps:
            raise BadManifest(
                f"a line of {self.max_columns} columns has {steps} steps, more than the rings' {self.ring_steps}; "
                "raise ring_steps or lower max_columns"
            )

    def _check_fold(self, index: int, layer: Layer, fold: Fold) -> None:
        where = f"layer {index} ({layer.kind})"
        if isinstance(layer, Dense) and not 1 <= fold.pe <= layer.classes:  # its rows are filled up to a multiple of pe
            raise BadManifest(f"{where}: pe is {fold.pe}, allowed are 1 to {layer.classes}")
        check_fold(layer, fold, self.weight_shape(index), where)
        if isinstance(layer, Lstm):
            given = self.codes[index].channels if index else self.beat_codes
            if given % fold.simd and fold.simd % given:
                sentence = f"simd is {fold.simd}, but {given} codes come at a time; one must divide the other"
                raise BadManifest(f"{where}: {sentence}")
            if fold.simd % (lanes := self.lanes(index)):
                raise BadManifest(f"{where}: simd {fold.simd} is no multiple of the {lanes} gate lanes that it needs")
        if isinstance(layer, Dense) and fold.simd != (block := self.fold(index - 1).pe // 4):
            raise BadManifest(f"{where}: simd is {fold.simd}, it must be {block}, a quarter of the layer before's pe")


@functools.lru_cache(maxsize=32)  # the folding pass tries many folds of the same layers
def _network(height_px: int, columns_per_frame: int, pixel_bits: int, layers: tuple[Layer, ...]) -> Network:
    codes, tensors = Codes(height_px * columns_per_frame, 1, pixel_bits), {}
    for index, layer in enumerate(layers):
        where = f"layer {index} ({layer.kind})"
        for key, value in layer_to_json(layer).items():  # before memory is taken for it
            if key not in ("kind", "skip") and not 1 <= value <= _MAX_SIZE:
                raise BadManifest(f"{where}: {key} is {value}, allowed are 1 to {_MAX_SIZE}")
        for name, shape in layer.shapes(codes).items():
            if math.prod(shape) > _MAX_WEIGHTS:
                raise BadManifest(f"{where}: its {name} has {math.prod(shape)} values, more than {_MAX_WEIGHTS}")
            tensors[f"{index}.{name}"] = np.ones(shape, DTYPES[name])
        codes = layer.output(codes)
    return Network(height_px, columns_per_frame, pixel_bits, layers, tensors)


def _layer_json(layer: Layer, fold: Fold | None) -> dict[str, Any]:
    entry = layer_to_json(layer)
    if fold is not None:
        entry |= {"pe": fold.pe, "simd": fold.simd}
        entry |= {"slots": fold.slots} if isinstance(layer, Lstm) else {}
        entry |= {"mac": fold.mac}
    return entry


def _layer_from(entry: Any, where: str) -> tuple[Layer, Fold | None]:
    if not isinstance(entry, dict):
        raise BadManifest(f"{where} is {entry!r}, not an object")
    folding = {key: entry[key] for key in _FOLD_KEYS if key in entry}
    layer = layer_from_json({k: v for k, v in entry.items() if k not in folding}, where)
    known = () if isinstance(layer, MaxPool) else _FOLD_KEYS if isinstance(layer, Lstm) else ("pe", "simd", "mac")
    if unknown := sorted(set(folding) - set(known)):
        raise BadManifest(f"{where}: {layer.kind} has the unknown keys {unknown}")
    if not known:
        return layer, None
    if missing := sorted(set(known) - {"mac"} - set(folding)):
        raise BadManifest(f"{where}: {layer.kind} lacks {', '.join(missing)}")
    for key, value in folding.items():
        if type(value) is not (str if key == "mac" else int):
            raise BadManifest(f"{where}: {key} is {value!r}, not a {'word' if key == 'mac' else 'whole number'}")
    return layer, Fold(**folding)


def design_text(design: Design) -> str:
    """The text of a design's file: a line each key, a line each layer."""
    entry = design.to_json()
    layers = ",\n".join(f"    {json.dumps(each)}" for each in entry["layers"])
    lines = [
        f'  "{key}": ' + (f"[\n{layers}\n  ]" if key == "layers" else json.dumps(value, ensure_ascii=False))
        for key, value in entry.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def load_design(path: Path) -> Design:
    """Read a design file.

    Raises:
        BadManifest: it cannot be read, or is no sound design.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise BadManifest(f"design {path}: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise BadManifest(f"design {path}: more than {_MAX_BYTES} bytes")
    try:
        return Design.from_json(parse_json(data, path.name))
    except BadManifest as error:
        raise BadManifest(f"{path}: {error}") from None


def hw_source() -> Path:
    """Folder of the hardware sources: ZEILE_HW, else hw_src of a checkout, else the installed one."""
    if given := os.environ.get("ZEILE_HW"):
        return Path(given).expanduser()
    here = Path("hw_src")
    return here if here.is_dir() else INSTALLED_SOURCE


def list_designs(source: Path) -> Sequence[str]:
    """Names of the designs in a folder of hardware sources."""
    return sorted(path.stem for path in (source / "designs").glob("*.json"))


def find_design(name: str, source: Path | None = None) -> Design:
    """A design by its name in ``hw_source() / "designs"``, or by the path of its file.

    Raises:
        BadSettings: there is none.
        BadManifest: it is not sound.
    """
    source = hw_source() if source is None else source
    known = list_designs(source)
    if name in known:
        return load_design(source / "designs" / f"{name}.json")
    if name.endswith(".json") and Path(name).is_file():
        return load_design(Path(name))
    raise BadSettings(
        f"design {name!r} is neither in {source / 'designs'} (there: {', '.join(known) or 'none'}) nor a .json file; "
        "name one of these, or set ZEILE_HW to the folder hw_src"
    )
