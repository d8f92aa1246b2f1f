# SPDX-License-Identifier: Apache-2.0
"""The trade of a model between speed and hardware, as FINN-L's study shows it: lines/s against what the part has.

Every folding of the model's layers is tried, at each width of weights and activations for which a model of the same
layers exists. Resources and cycles are the calibrated model's; the shipped designs stand beside with the counts of
their netlists, where these are recorded.

Source: Rybalkin et al., FINN-L (2018), figures 7 to 9: throughput, precision and resources of one BiLSTM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zeile.errors import BadManifest, BadSettings, OverlayMismatch
from zeile.hw.area import read_area
from zeile.hw.costs import Resources
from zeile.hw.design import Design, list_designs, load_design
from zeile.hw.resources import part_resources, unit_resources
from zeile.hw.sweep import RESOURCES, Option, fronts, refolded, sustained
from zeile.manifest import Model, list_models, load_model
from zeile.network import Dense, Layer, layer_to_json

FULLEST = "fullest"
"""Not a resource but the largest share of LUTs, DSP slices and block RAM. UltraRAM follows the length of the rings."""

AXES = ("lut", "dsp", "bram36", FULLEST)

_WIDTHS = ("weight_bits", "out_bits", "cell_bits")


@dataclass(frozen=True)
class Point:
    """A folding of a model.

    Attributes:
        design: layers and folding.
        lines_per_s: while lines keep coming.
        resources: of the core and what stands around it.
        shares: of the part, by resource, and ``fullest``.
        fronts: the axes on whose front it lies: nothing that needs as little is faster.
    """

    design: Design
    lines_per_s: float
    resources: Resources
    shares: Mapping[str, float]
    fronts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Curve:
    """All that was found for one model.

    Attributes:
        model: name and version.
        widths: of weights and activations, as ``W4A4``; several where layers differ.
        cer: character error rate of the validation set ``measured_on``; None where the models share none.
        measured_on: name of that set.
        points: on some front, fastest first; all of them fit the part.
        cloud: speed and shares of all that fits and is not beaten in every resource, for the eye.
    """

    model: str
    widths: str
    cer: float | None
    measured_on: str
    points: tuple[Point, ...]
    cloud: tuple[tuple[float, Mapping[str, float]], ...]


@dataclass(frozen=True)
class Shipped:
    """A design of the repository.

    Attributes:
        name: of the design.
        curve: number of the curve whose model runs on it.
        lines_per_s: while lines keep coming.
        model: resources by the model.
        netlist: of the core, where its counts are recorded.
        platform: of what stands around the core, by the model.
    """

    name: str
    curve: int
    lines_per_s: float
    model: Resources
    netlist: Resources | None
    platform: Resources


@dataclass(frozen=True)
class Exploration:
    """What ``zeile hw explore`` found.

    Attributes:
        model: its name.
        columns: of a line.
        base: the design whose part, clock and buffers are taken.
        part: what the part has.
        curves: one for each width, the model's own first.
        shipped: designs with these layers.
    """

    model: str
    columns: int
    base: Design
    part: Resources
    curves: tuple[Curve, ...]
    shipped: tuple[Shipped, ...]


def explore(model: Model, models: Path, hw_src: Path, columns: int) -> Exploration:
    """Fold a model's layers in every way.

    Args:
        model: the model.
        models: folder of models, in which those of the same layers at other widths are looked for.
        hw_src: folder of the hardware sources: designs and recorded netlists.
        columns: of a line.

    Raises:
        BadSettings: no design has these layers, the line is too long for it, or no folding fits its part.
    """
    base = _base(model, hw_src)
    if not 1 <= columns <= base.max_columns:
        raise BadSettings(f"columns is {columns}; the design {base.name} takes 1 to {base.max_columns}")
    part = part_resources(base.part)
    if part is None:
        raise BadSettings(f"the part {base.part} of the design {base.name} is not known; there are no shares of it")
    others = [model, *_other_widths(model, models)]
    measured_on = next((name for name in _rates(model) if all(name in _rates(each) for each in others)), "")
    curves = tuple(
        _curve(each, _with_layers(base, each), part, columns, _rates(each).get(measured_on), measured_on)
        for each in others
    )
    shipped = tuple(_shipped(others, hw_src, columns))
    return Exploration(f"{model.name}/{model.version}", columns, base, part, curves, shipped)


def _curve(model: Model, design: Design, part: Resources, columns: int, cer: float | None, measured_on: str) -> Curve:
    classes = model.network.classes
    cloud, chosen = list[tuple[float, Mapping[str, float]]](), dict[int, Design]()
    fixed = None
    for options in fronts(design, columns, classes):
        fixed = _fixed(design, options[0], part) if fixed is None else fixed
        whole = [each._replace(shares=each.shares + fixed) for each in options]
        fitting = [each for each in whole if each.shares.max() <= 1]
        for option in fitting:
            speed = design.clock_mhz * 1e6 / option.cycles
            cloud.append((speed, _with_fullest(dict(zip(RESOURCES, map(float, option.shares), strict=True)))))
        for axis in AXES if fitting else ():
            found = refolded(design, min(fitting, key=lambda option: _key(option, axis)).folds)
            chosen[found.design_id] = found
    if not chosen:
        raise BadSettings(f"no folding of {model.name} fits the part {design.part}, by the model of resources")
    points = [_measured(each, part, columns, classes) for each in chosen.values()]
    points = [replace(each, fronts=tuple(a for a in AXES if _unbeaten(each, points, a))) for each in points]
    kept = sorted((each for each in points if each.fronts), key=lambda each: -each.lines_per_s)
    return Curve(f"{model.name}/{model.version}", _widths(model), cer, measured_on, tuple(kept), tuple(cloud))


def _key(option: Option, axis: str) -> tuple[float, ...]:
    """The axis first, then the fullest resource, then all of them."""
    shares = _with_fullest(dict(zip(RESOURCES, map(float, option.shares), strict=True)))
    return shares[axis], shares[FULLEST], sum(shares.values())


def _fixed(design: Design, option: Option, part: Resources) -> npt.NDArray[np.float64]:
    """Shares of the units that no folding changes: what a design has beyond its options' shares."""
    whole = sum(unit_resources(refolded(design, option.folds)).values(), Resources()).shares(part)
    return np.array([whole[name] for name in RESOURCES]) - option.shares


def _measured(design: Design, part: Resources, columns: int, classes: int) -> Point:
    total = sum(unit_resources(design).values(), Resources())
    speed = design.clock_mhz * 1e6 / sustained(design, columns, classes)
    return Point(design, speed, total, _with_fullest(total.shares(part)))


def _with_fullest(shares: Mapping[str, float]) -> dict[str, float]:
    return dict(shares) | {FULLEST: max(shares[axis] for axis in AXES[:-1])}


def _unbeaten(point: Point, points: Iterable[Point], axis: str) -> bool:
    return not any(
        (other.lines_per_s >= point.lines_per_s and other.shares[axis] <= point.shares[axis])
        and (other.lines_per_s > point.lines_per_s or other.shares[axis] < point.shares[axis])
        for other in points
    )


# -- Models and designs ------------------------------------------------------------------------------------------------


def _shape(layers: Sequence[Layer], widths: bool) -> list[dict[str, Any]]:
    """Layers to be compared: without classes, and without widths if these may differ."""
    left_out = {"classes"} if widths else {"classes", *_WIDTHS}
    return [{key: value for key, value in layer_to_json(layer).items() if key not in left_out} for layer in layers]


def _frame(each: Any) -> tuple[int, int, int]:
    return each.height_px, each.columns_per_frame, each.pixel_bits


def _base(model: Model, hw_src: Path) -> Design:
    """A design of the model's layers, better of its widths too."""
    same = []
    for name in list_designs(hw_src):
        design = load_design(hw_src / "designs" / f"{name}.json")
        alike = _shape(design.layers, False) == _shape(model.network.layers, False)
        if alike and _frame(design) == _frame(model.network) and design.classes >= model.network.classes:
            same.append((_shape(design.layers, True) != _shape(model.network.layers, True), design))
    if not same:
        known = ", ".join(list_designs(hw_src)) or "none"
        raise BadSettings(
            f"no design in {hw_src / 'designs'} has the layers of {model.name} (there: {known}); write one, any "
            "folding will do"
        )
    return min(same, key=lambda each: each[0])[1]


def _with_layers(base: Design, model: Model) -> Design:
    """The design with the model's widths; the compiled maximum of classes stays."""
    dense = model.network.layers[-1]
    assert isinstance(dense, Dense)
    return replace(base, layers=(*model.network.layers[:-1], replace(dense, classes=base.classes)))


def _other_widths(model: Model, models: Path) -> Iterable[Model]:
    """Models of the same layers at other widths, one of each, the highest version of each name."""
    seen, found = [_shape(model.network.layers, True)], dict[str, Model]()
    for folder in list_models(models):
        try:
            found[folder.parent.name] = load_model(folder)
        except BadManifest:  # another's damage is no matter here; zeile models verify says what it is
            continue
    for other in found.values():
        alike = _shape(other.network.layers, False) == _shape(model.network.layers, False)
        widths = _shape(other.network.layers, True)
        if alike and _frame(other.network) == _frame(model.network) and widths not in seen:
            seen.append(widths)
            yield other


def _shipped(models: Sequence[Model], hw_src: Path, columns: int) -> Iterable[Shipped]:
    for name in list_designs(hw_src):
        design = load_design(hw_src / "designs" / f"{name}.json")
        for number, model in enumerate(models):
            try:
                design.check(model.network)
            except OverlayMismatch:
                continue
            units = unit_resources(design)
            speed = design.clock_mhz * 1e6 / sustained(design, min(columns, design.max_columns), model.network.classes)
            total = sum(units.values(), Resources())
            yield Shipped(name, number, speed, total, _netlist(design, hw_src), units["platform"])
            break


def _netlist(design: Design, hw_src: Path) -> Resources | None:
    path = hw_src / "area" / f"{design.name}.json"
    if not path.is_file() or (entry := read_area(path))["design_id"] != f"{design.design_id:016x}":
        return None
    return Resources(**{name: entry["total"][name] for name in ("lut", "ff", "dsp", "bram36", "uram")})


def _rates(model: Model) -> dict[str, float]:
    return {name: each["cer"] for name, each in model.manifest["evaluation"].get("val", {}).items()}


def _widths(model: Model) -> str:
    found = []
    for layer in model.network.layers:
        entry = layer_to_json(layer)
        if "weight_bits" in entry and "out_bits" in entry:
            found.append(f"W{entry['weight_bits']}A{entry['out_bits']}")
    return " ".join(dict.fromkeys(found))
