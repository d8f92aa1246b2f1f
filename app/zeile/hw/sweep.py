# SPDX-License-Identifier: Apache-2.0
"""All foldings of a design's layers, and of their combinations the ones that nothing beats.

A layer's folding sets its cycles a line and its resources. The slowest layer sets the speed, resources add up: so for
each speed the layers are chosen one after another, and a combination that needs as much or more of every resource
than another is dropped at once. The recurrent and the dense layer are one choice: the block of units joins them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zeile.errors import BadManifest
from zeile.hw.costs import PART, Resources
from zeile.hw.design import Design
from zeile.hw.folding import MACS, MAX_SLOTS, Fold
from zeile.hw.resources import part_resources, unit_resources
from zeile.hw.timing import recurrence, unit_cycles
from zeile.network import Conv2d

RESOURCES = ("lut", "dsp", "bram36", "uram")
"""What foldings trade; flip-flops follow the LUTs."""

_GRAIN = 1 / 400
"""Shares of the part closer than this count as equal."""

_MOST = 150
"""Combinations that are carried on; the grain is made coarser until no more are left."""

_SPEEDS, _RANGE = 24, 64


class Option(NamedTuple):
    """A folding of one layer, or of the recurrent and the dense layer together.

    Attributes:
        folds: of the layers, by index.
        cycles: of a usual line while lines keep coming, waits for free slots included.
        shares: (4,) float, of the part, in the order of RESOURCES.
    """

    folds: dict[int, Fold]
    cycles: float
    shares: npt.NDArray[np.float64]


def refolded(design: Design, folds: dict[int, Fold]) -> Design:
    """The design with other folds of some layers."""
    return replace(design, folds=tuple(folds.get(i, each) for i, each in enumerate(design.folds)))


def sustained(design: Design, columns: int, classes: int) -> float:
    """Cycles between two lines while lines keep coming: the slowest unit's, or those that too few slots cost."""
    steps, lstm = design.network.steps(columns), recurrence(design)
    return max(*unit_cycles(design, columns, classes).values(), steps * lstm.turn / lstm.slots)


def fronts(design: Design, columns: int, classes: int) -> Iterator[list[Option]]:
    """For each of some speeds, fastest first, the foldings that reach it and that none beats in every resource.

    Args:
        design: its layers are folded anew.
        columns: of a line.
        classes: K of the model.

    Yields:
        Foldings of all layers; their cycles are those that were allowed, they may be faster. Their shares are without
        the units that no folding changes.
    """
    groups = list(_groups(design, columns, classes))
    fastest = max(min(option.cycles for option in group) for group in groups)
    fastest = max(fastest, *_fixed(design, columns, classes))
    slowest = max(max(option.cycles for option in group) for group in groups)
    known = sorted({option.cycles for group in groups for option in group if option.cycles >= fastest} | {fastest})
    wanted = np.geomspace(fastest, min(slowest, _RANGE * fastest), _SPEEDS)
    for limit in sorted({max(c for c in known if c <= math.nextafter(w, math.inf)) for w in wanted}):
        yield _combined(groups, limit)


def _combined(groups: list[list[Option]], limit: float) -> list[Option]:
    folds: list[dict[int, Fold]] = [{}]
    shares = np.zeros((1, len(RESOURCES)))
    for group in groups:
        options = _best([option for option in group if option.cycles <= limit])
        flat = (shares[:, None] + np.array([option.shares for option in options])).reshape(-1, len(RESOURCES))
        kept = _undominated(flat)
        folds = [folds[i // len(options)] | options[i % len(options)].folds for i in kept]
        shares = flat[kept]
    return [Option(each, limit, sums) for each, sums in zip(folds, shares, strict=True)]


def _best(options: list[Option], timed: bool = False) -> list[Option]:
    """Those that no other beats in every resource, nor in cycles if they count."""
    keys = np.array([option.shares for option in options])
    if timed:
        keys = np.column_stack([np.array([option.cycles for option in options]) * _GRAIN, keys])
        return [options[i] for i in _undominated_at(keys, list(range(len(keys))), _GRAIN)]
    return [options[i] for i in _undominated(keys)]


def _undominated(shares: npt.NDArray[np.float64]) -> list[int]:
    """Rows of (N, columns) that no other row is below or equal to in every column; of equal ones the first."""
    grain, kept = _GRAIN, list(range(len(shares)))
    while True:
        kept = _undominated_at(shares, kept, grain)
        if len(kept) <= _MOST:
            return kept
        grain *= 1.5


def _undominated_at(shares: npt.NDArray[np.float64], rows: list[int], grain: float) -> list[int]:
    rough = np.round(shares[rows] / grain).astype(np.int64)
    _, first = np.unique(rough, axis=0, return_index=True)
    order = first[np.argsort(rough[first].sum(axis=1), kind="stable")]  # a row comes behind all that can beat it
    rough, kept = rough[order], []
    alive = np.ones(len(order), bool)
    for at, row in enumerate(order):
        if alive[at]:
            kept.append(rows[row])
            alive[at + 1 :] &= (rough[at + 1 :] < rough[at]).any(axis=1)
    return kept


def _groups(design: Design, columns: int, classes: int) -> Iterator[list[Option]]:
    for index, layer in enumerate(design.layers):
        if isinstance(layer, Conv2d):
            yield _best(list(_convolution(design, index, columns, classes)), timed=True)
    yield _best(list(_tails(design, columns, classes)), timed=True)


def _convolution(design: Design, index: int, columns: int, classes: int) -> Iterator[Option]:
    rows, inputs = design.weight_shape(index)
    name = f"conv{index}"
    for pe in _divisors(rows):
        for simd in _divisors(inputs):
            for mac in _macs(pe):
                folds = {index: Fold(pe=pe, simd=simd, mac=mac)}
                changed = refolded(design, folds)
                cycles = unit_cycles(changed, columns, classes)[name]
                yield Option(folds, cycles, _shares(changed, (name,)))


def _tails(design: Design, columns: int, classes: int) -> Iterator[Option]:
    """The recurrent layer's foldings with the dense layer's, of equal block size."""
    index, layer = design.recurrent, design.lstm
    steps, inputs = design.network.steps(columns), design.codes[index].size
    lstms, dense = ("forward_lstm", "backward_lstm")[: layer.directions], f"dense{index + 1}"
    largest = sorted({-(-design.classes // folds) for folds in range(1, design.classes + 1)})
    for units in _divisors(layer.hidden):
        recurrent, heads = [], []
        for simd in (n for n in _divisors(layer.hidden) if inputs % n == 0):
            for mac in _macs(4 * units):
                for slots in range(1, MAX_SLOTS + 1):
                    fold = Fold(pe=4 * units, simd=simd, slots=slots, mac=mac)
                    try:
                        changed = refolded(design, {index: fold, index + 1: Fold(pe=1, simd=units)})
                    except BadManifest:  # its gate lanes do not divide simd, or simd and the stream do not match
                        break
                    turns = recurrence(changed)
                    cycles = steps * max(turns.issue, turns.turn / slots)
                    recurrent.append(Option({index: fold}, cycles, _shares(changed, lstms)))
                    if slots >= turns.enough():
                        break
        if not recurrent:
            continue
        beside = refolded(design, recurrent[0].folds | {index + 1: Fold(pe=1, simd=units)})
        for pe in largest:
            for mac in _macs(pe):
                folds = {index + 1: Fold(pe=pe, simd=units, mac=mac)}
                changed = refolded(beside, folds)
                cycles_of = unit_cycles(changed, columns, classes)
                heads.append(Option(folds, max(cycles_of[dense], cycles_of["send"]), _shares(changed, (dense, "send"))))
        for one in _best(recurrent, timed=True):
            for other in _best(heads, timed=True):
                yield Option(one.folds | other.folds, max(one.cycles, other.cycles), one.shares + other.shares)


def _fixed(design: Design, columns: int, classes: int) -> list[int]:
    """Cycles of the units that have no folding."""
    cycles = unit_cycles(design, columns, classes)
    return [n for name, n in cycles.items() if name.startswith(("receive", "pool"))]


def _shares(design: Design, names: tuple[str, ...]) -> npt.NDArray[np.float64]:
    part = part_resources(design.part) or Resources(*next(iter(PART.values())))
    units = unit_resources(design)
    shares = sum((units[name] for name in names), Resources()).shares(part)
    return np.array([shares[name] for name in RESOURCES])


def _macs(pe: int) -> tuple[str, ...]:
    return tuple(mac for mac in MACS if mac != "half" or pe % 2 == 0)


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]
