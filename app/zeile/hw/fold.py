# SPDX-License-Identifier: Apache-2.0
"""Folding to a target: the least hardware that reads so many lines a second, as FINN's folding pass finds it.

Every layer gets the same time for a line, and of the foldings that keep it the one with the fewest multipliers; a
layer that is faster than the slowest only wastes area. The recurrent and the dense layer are folded together, since
the dense layer takes the units of a row block at a time. Then each layer's products go to DSP slices, LUTs or both,
so that the fullest resource of the part is as empty as can be.

Source: Umuroglu et al., FINN (2017); ``SetFolding`` of the FINN compiler.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

from zeile.errors import BadManifest, BadSettings
from zeile.hw.costs import PART, Resources
from zeile.hw.design import Design
from zeile.hw.estimate import check_fits, estimate
from zeile.hw.folding import MACS, MAX_SLOTS, Fold
from zeile.hw.resources import part_resources, unit_resources
from zeile.hw.timing import recurrence, unit_cycles
from zeile.network import Conv2d

_SPARE_SLOTS = 1
"""Slots beyond those that keep the multipliers at work: lines end at different times."""


def fold(design: Design, target: float, columns: int) -> Design:
    """The smallest folding of a design's layers that reads ``target`` lines a second.

    Args:
        design: layers, part and clock; its folding is replaced, its slots only raised.
        target: lines a second, above 0, while lines keep coming.
        columns: of a line.

    Raises:
        BadSettings: the target cannot be met at this clock, or columns are out of range.
        BadManifest: the folding that meets it does not fit the part.
    """
    if not target > 0:
        raise BadSettings(f"the target is {target:g} lines/s, it must be above 0")
    if not 1 <= columns <= design.max_columns:
        raise BadSettings(f"columns is {columns}; the design {design.name} takes 1 to {design.max_columns}")
    budget = design.clock_mhz * 1e6 / target
    for index, layer in enumerate(design.layers):
        if isinstance(layer, Conv2d):
            names = (f"conv{index}",)
            candidates = list(_convolutions(design, index))
            design = _smallest(candidates, names, names, budget, columns)
    dense = f"dense{design.recurrent + 1}"
    units = ("forward_lstm", "backward_lstm")[: design.lstm.directions]
    budget_per_step = int(budget / design.network.steps(columns))
    candidates = list(_tails(design, budget_per_step))
    design = _smallest(candidates, (*units, dense, "send"), (*units, dense), budget, columns)
    design = _with_macs(_with_slots(design))
    found = estimate(design, columns)
    if found.cycles > budget:  # a unit without multipliers: it moves an element a cycle, whatever the folding
        raise BadSettings(_too_fast(design, found.bottleneck, found.cycles, budget))
    check_fits(found)
    return design


def _smallest(
    candidates: list[Design], timed: tuple[str, ...], counted: tuple[str, ...], budget: float, columns: int
) -> Design:
    """Of those whose ``timed`` units keep the budget, the one whose ``counted`` units are smallest."""
    cycles = {}
    for number, each in enumerate(candidates):
        units = unit_cycles(each, columns, each.classes)
        cycles[number] = max((units[name], name) for name in timed)
    fast = [candidates[number] for number, (needed, _) in cycles.items() if needed <= budget]
    if not fast:
        needed, name = min(cycles.values())
        raise BadSettings(_too_fast(candidates[0], name, needed, budget))
    return min(fast, key=lambda each: _area(each, counted))


def _area(design: Design, names: tuple[str, ...]) -> tuple[float, float]:
    """The largest share of the part, then all added up; of the ZU7EV where the part is not known."""
    part = part_resources(design.part) or Resources(*next(iter(PART.values())))
    units = unit_resources(design)
    shares = sum((units[name] for name in names), Resources()).shares(part).values()
    return max(shares), sum(shares)


def _convolutions(design: Design, index: int) -> Iterator[Design]:
    rows, columns = design.weight_shape(index)
    for pe, simd in itertools.product(_divisors(rows), _divisors(columns)):
        yield _refolded(design, {index: Fold(pe=pe, simd=simd)})


def _tails(design: Design, budget: int) -> Iterator[Design]:
    """Foldings of the recurrent layer, each with the least dense layer that keeps ``budget`` cycles a step."""
    index, layer = design.recurrent, design.lstm
    inputs, slots = design.codes[index].size, design.fold(index).slots
    for units, simd in itertools.product(_divisors(layer.hidden), _divisors(layer.hidden)):
        if inputs % simd:
            continue
        folds = max(1, budget // (layer.directions * layer.hidden // units))
        dense = Fold(pe=-(-design.classes // folds), simd=units)
        recurrent = Fold(pe=4 * units, simd=simd, slots=slots)
        try:
            yield _refolded(design, {index: recurrent, index + 1: dense})
        except BadManifest:  # its gate lanes do not divide simd, or simd and the stream before do not match
            continue


def _refolded(design: Design, folds: Mapping[int, Fold]) -> Design:
    return replace(design, folds=tuple(folds.get(i, each) for i, each in enumerate(design.folds)))


def _with_slots(design: Design) -> Design:
    index, needed = design.recurrent, recurrence(design).enough() + _SPARE_SLOTS
    slots = min(MAX_SLOTS, max(design.fold(index).slots, needed))
    return _refolded(design, {index: replace(design.fold(index), slots=slots)})


def _with_macs(design: Design) -> Design:
    """Choose where each layer's products are made: the fullest resource as empty as can be, then the next."""
    part = part_resources(design.part) or Resources(*next(iter(PART.values())))
    layers = [index for index, each in enumerate(design.folds) if each is not None]
    fixed, options = Resources(), []
    whole = {mac: _units_by_layer(_made_in(design, {i: mac for i in layers})) for mac in MACS}
    for index in layers:
        macs = [mac for mac in MACS if mac != "half" or design.fold(index).pe % 2 == 0]
        options.append([(mac, whole[mac][index]) for mac in macs])
    fixed = whole["lut"][-1]

    def fullness(choice: tuple[tuple[str, Resources], ...]) -> list[float]:
        return sorted(sum((each for _, each in choice), fixed).shares(part).values(), reverse=True)

    best = min(itertools.product(*options), key=fullness)
    return _made_in(design, {index: mac for index, (mac, _) in zip(layers, best, strict=True)})


def _made_in(design: Design, macs: Mapping[int, str]) -> Design:
    folds = {index: design.fold(index) for index in macs}
    return _refolded(
        design,
        {
            index: replace(each, mac="lut" if macs[index] == "half" and each.pe % 2 else macs[index])
            for index, each in folds.items()
        },
    )


def _units_by_layer(design: Design) -> dict[int, Resources]:
    """Resources of each layer with multipliers; of all others together at -1."""
    layers = {f"conv{i}": i for i in range(design.recurrent)} | {f"dense{design.recurrent + 1}": design.recurrent + 1}
    layers |= {"forward_lstm": design.recurrent, "backward_lstm": design.recurrent}
    found: dict[int, Resources] = {}
    for name, each in unit_resources(design).items():
        index = layers.get(name, -1)
        found[index] = found.get(index, Resources()) + each
    return found


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def _too_fast(design: Design, name: str, cycles: int, budget: float) -> str:
    hertz = design.clock_mhz * 1e6
    return (
        f"{hertz / budget:,.0f} lines/s leave {budget:,.0f} cycles a line at {design.clock_mhz} MHz, but {name} takes "
        f"{cycles:,} at least; ask for at most {hertz / cycles:,.0f} lines/s, or raise clock_mhz"
    )
