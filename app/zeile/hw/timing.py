# SPDX-License-Identifier: Apache-2.0
"""Cycles: what each unit of a design takes for a line, and how lines follow each other through the chain.

Before the recurrent layer a line streams; it must lie in the rings as a whole before its first step, since the
backward direction begins at its end. Then up to ``slots`` lines share the multipliers of each direction: a line's
next step must wait for the gates of its last one, so one line alone cannot keep them at work. The dense layer takes
the lines in order, each when both directions have finished it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zeile.hw.design import Design
from zeile.network import Conv2d, Lstm, MaxPool

GATE_LATENCY = 24
"""kGateLatency of lstm.h: cycles from a step's last h to the line's next step."""

_FRONT = ("receive", "widen", "conv", "pool")  # units that a line streams through
_NOTHING = 1e-9  # of a step
_UNIT_LATENCY = 4  # cycles of an element through a unit and its FIFO
_CONV_LATENCY = 20  # the same of a convolution: MAC array, adder tree, rescaling
_HELD = 5  # elements that a FIFO of the chain and the register behind it hold


@dataclass(frozen=True)
class Recurrence:
    """Steps of the recurrent layer.

    Attributes:
        issue: cycles in which a step's products are issued, NF * SF.
        turn: cycles until the same line's next step can issue: gates and their latency included.
        slots: lines that may be in flight.
    """

    issue: int
    turn: int
    slots: int

    def utilisation(self, lines: int) -> float:
        """Share of the cycles in which the multipliers work with ``lines`` lines in flight, 0 to 1."""
        return min(1.0, min(lines, self.slots) * self.issue / self.turn)

    def enough(self) -> int:
        """Lines in flight with which the multipliers never wait."""
        return -(-self.turn // self.issue)


def recurrence(design: Design) -> Recurrence:
    """Cycles of a step of the recurrent layer, per direction."""
    index = design.recurrent
    (nf, sf), fold = design.tiles(index), design.fold(index)
    groups = fold.pe // 4 // design.lanes(index)
    return Recurrence(nf * sf, nf * sf + groups + GATE_LATENCY + 1, fold.slots)


def unit_cycles(design: Design, columns: int, classes: int) -> dict[str, int]:
    """Cycles in which each unit is at work for a line of ``columns`` columns, from the source to the sink.

    A pixel of a convolution takes NF * SF cycles and each column one more; a pool takes a pixel a cycle; a recurrent
    step takes NF * SF; the dense layer NF * SF with the NF of the model's classes. Both ends of the chain move one
    64-bit word a cycle.
    """
    frames = -(-columns // design.columns_per_frame)
    beats = frames * (design.codes[0].size // design.beat_codes)
    units, width = {"receive": beats + 3}, design.beat_codes
    for index, layer in enumerate(design.layers):
        codes = design.codes[index]
        if index == 0 or isinstance(layer, Lstm):
            taken = design.fold(index).simd if isinstance(layer, Lstm) else 1
            units[f"widen{index}"] = frames * codes.size // min(width, taken)
        if isinstance(layer, Conv2d):
            nf, sf = design.tiles(index)
            units[f"conv{index}"] = frames * (codes.rows * nf * sf + 1)
        elif isinstance(layer, MaxPool):
            units[f"pool{index}"] = frames * codes.rows
            frames = -(-frames // layer.columns)
        elif isinstance(layer, Lstm):
            for name in ("forward_lstm", "backward_lstm")[: layer.directions]:
                units[name] = frames * recurrence(design).issue
        else:
            nf = -(-classes // design.fold(index).pe)
            units[f"dense{index}"] = frames * nf * design.tiles(index)[1]
        width = design.codes[index + 1].channels
    lanes = design.lanes(design.recurrent + 1)
    units["send"] = max(frames * -(-classes // lanes), frames * -(-classes // 8)) + 3
    return units


def fill_cycles(design: Design) -> int:
    """Cycles from a line's first word to its first element at the recurrent layer, and from its last likewise.

    A convolution holds back a column, and its pixels cross the chain's FIFOs.
    """
    fill, columns = 0, 1
    for index, layer in enumerate(design.layers):
        fill += _CONV_LATENCY if isinstance(layer, Conv2d) else _UNIT_LATENCY
        if isinstance(layer, Conv2d):
            nf, sf = design.tiles(index)
            fill += columns * (design.codes[index].rows * nf * sf + 1) + sf
        elif isinstance(layer, MaxPool):
            columns = 1  # a column of the pool's output is one of the next layer's input
    return fill


def held_frames(design: Design) -> float:
    """Frames behind the slowest of the units before the ring that wait in FIFOs while the ring is full."""
    cycles = unit_cycles(design, design.max_columns, design.classes)
    fronts = {name: n for name, n in cycles.items() if name.startswith(_FRONT)}
    slowest = max(index for index, n in enumerate(fronts.values()) if n == max(fronts.values()))
    index, frames, held = design.recurrent, float(design.network.columns_per_step // design.columns_per_frame), 0.0
    fifos = 1 + design.lstm.bidirectional  # before and behind the fork
    held += frames * (fifos * _HELD + 2) * design.fold(index).simd / design.codes[index].size
    for name in list(fronts)[:slowest:-1]:
        if name.startswith(("conv", "pool")):
            layer = design.layers[int(name[4:])]
            held += frames * (1 + _HELD / design.codes[int(name[4:]) + 1].rows)
            frames /= layer.columns if isinstance(layer, MaxPool) else 1
    return held


@dataclass(frozen=True)
class Run:
    """Lines one after another through the chain.

    Attributes:
        cycles: from the first word in to the last word out.
        first: the same of the first line.
        utilisation: share of the cycles in which a direction's multipliers worked.
    """

    cycles: float
    first: float
    utilisation: float


def run(design: Design, lengths: Sequence[int], classes: int) -> Run:
    """Follow lines that are all waiting at the input; the chain is never short of data.

    Args:
        design: a design.
        lengths: columns of each line, at least 1 line.
        classes: K of the model.
    """
    each = {columns: unit_cycles(design, columns, classes) for columns in set(lengths)}
    steps = [design.network.steps(columns) for columns in lengths]
    fronts = [max(cycles for name, cycles in each[n].items() if name.startswith(_FRONT)) for n in lengths]
    lstm = recurrence(design)
    held = [held_frames(design) / -(-columns // design.columns_per_frame) for columns in lengths]
    finished = _Sharing(lstm, design.ring_steps, steps, fronts, fill_cycles(design), held).follow()
    ends, end = [], 0.0
    for columns, ready in zip(lengths, finished, strict=True):
        dense = max(each[columns]["send"], each[columns][f"dense{design.recurrent + 1}"])
        if design.lstm.bidirectional:
            end = max(end, ready) + dense  # the first frame is the backward direction's last
        else:
            end = max(end + dense, ready + dense / design.network.steps(columns))
        ends.append(end + _UNIT_LATENCY * 3)
    return Run(ends[-1], ends[0], sum(steps) * lstm.issue / ends[-1])


class _Sharing:
    """Lines in the slots of the recurrent layer: k of them make a step each in max(turn, k * issue) cycles."""

    def __init__(
        self,
        lstm: Recurrence,
        ring: int,
        steps: Sequence[int],
        fronts: Sequence[float],
        fill: float,
        held: Sequence[float],  # of each line, the share that waits in FIFOs where the ring is full
    ) -> None:
        self.lstm, self.ring, self.steps, self.fronts, self.fill, self.held = lstm, ring, steps, fronts, fill, held
        self.finished: list[float] = [math.inf] * len(steps)
        self.front = 0.0  # when the units before are through with the last line that lies in the ring

    def follow(self) -> list[float]:
        """When each line's last step is done."""
        left = [float(n) for n in self.steps]
        active: list[int] = []
        waiting, now, arrival = 0, 0.0, self._arrival(0)
        while active or waiting < len(left):
            if waiting < len(left) and arrival == math.inf:
                arrival = self._arrival(waiting)
            while waiting < len(left) and len(active) < self.lstm.slots and arrival <= now:
                active.append(waiting)
                waiting += 1
                arrival = self._arrival(waiting) if waiting < len(left) else math.inf
            if not active:
                now = arrival
                continue
            step = max(self.lstm.turn, len(active) * self.lstm.issue)
            until = now + min(left[i] for i in active) * step
            if len(active) < self.lstm.slots:
                until = min(until, arrival)
            for i in active:
                left[i] -= (until - now) / step
            now = until
            for i in [i for i in active if left[i] <= _NOTHING]:
                self.finished[i] = now
                active.remove(i)
        return self.finished

    def _arrival(self, line: int) -> float:
        """When a line lies in the ring as a whole; infinite while it must wait for one that has not finished."""
        oldest, held = line, 0
        while oldest > 0 and held + self.steps[oldest - 1] + self.steps[line] <= self.ring:
            oldest -= 1
            held += self.steps[oldest]
        free = 0.0  # lines are freed in order: all before the oldest that fits beside this one
        if oldest > 0:
            room = self.ring - held - self.steps[oldest - 1]
            missing = max(0.0, (self.steps[line] - max(0, room)) / self.steps[line] - self.held[line])
            issued = max(self.finished[:oldest]) - (self.lstm.turn - self.lstm.issue)  # before the last gates
            free = issued + missing * self.fronts[line] - self.fill  # what waits has filled the units
        ready = max(self.front + self.fronts[line], free)
        if ready < math.inf:
            self.front = ready
        return ready + self.fill
