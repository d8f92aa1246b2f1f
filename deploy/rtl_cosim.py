# SPDX-License-Identifier: Apache-2.0
"""Read real lines through the C++ core and its Verilated SystemVerilog twin, and say what the twin took for them.

python deploy/rtl_cosim.py ../shared/data/lines/en_books.zip --lines 20
PYTHONPATH=. python deploy/rtl_cosim.py ../shared/data/lines/en_books.zip --design tiny --lines 1000

The lines are sent back to back, twice: from the last answer of the first time to the last one of the second the core is
full of lines, and what it takes then is its pace. A line alone gives the latency. Cycles are counted in the RTL, at the
AXI4-Stream ports; lines a second follow from the design's clock, which is an assumption until a bitstream has met it.
Prints some lines for each model; ends with 1 if a score differs anywhere. A design for which no model ships gets random
weights (this needs the folder `tests`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from zeile.device import open_device
from zeile.errors import DeviceFault, ZeileError
from zeile.hw import csim, packets, rtlsim
from zeile.hw.design import Design, find_design, hw_source
from zeile.image import decode
from zeile.manifest import find_model, load_model
from zeile.network import Network
from zeile.pipeline import prepare
from zeile.samples import open_lines

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = (
    ("latin-print", "zeile-print"),
    ("fraktur", "zeile-print"),
    ("finn-l-w4a4", "finn-l-w4a4"),
    ("finn-l-w2a4", "finn-l-w2a4"),
)

Frames = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Measured:
    """What the twin took.

    Attributes:
        model: name.
        design: name.
        lines: different ones.
        columns: of all lines, once.
        read: lines that were sent.
        different: answers whose scores are not the native engine's, in the C++ core or the twin.
        cycles: from the first word in to the last one out.
        cycles_hls: the same of the C++ core in lockstep.
        cycles_per_column: while the core is full of lines.
        lines_per_s: at that pace, at the design's clock.
        busy: share of cycles in which the recurrent layer's multipliers issue, at that pace.
        busy_of_all: the same from first word in to last word out (STATUS counters).
        latency: cycles from the last word in to the last one out, of the longest line alone.
        seconds_per_line: that the simulation took.
        cycles_per_s: of the simulation.
    """

    model: str
    design: str
    lines: int
    columns: int
    read: int
    different: int
    cycles: int
    cycles_hls: int
    cycles_per_column: float
    lines_per_s: float
    busy: float
    busy_of_all: float
    latency: int
    seconds_per_line: float
    cycles_per_s: float


def stream(device: csim.CoreDevice, lines: Sequence[Frames]) -> tuple[list[Scores], list[int]]:
    """Scores of lines sent back to back, and the cycle in which each answer was complete."""
    core, scores, ends = device.core, [], []
    for tag, frames in enumerate(lines):
        core.send(packets.infer(tag & 0xFFFF, frames, device.design.pixel_bits))
    for _ in lines:
        core.run()
        words, last = core.receive()
        if not last:
            raise DeviceFault(f"the core's answer has no TLAST after {len(words)} words")
        scores.append(packets.scores(packets.parse(words)))
        ends.append(int(core.report()["cycles"]))
    return scores, ends


def tiles(design: Design, frames: int) -> int:
    """Cycles in which a direction's multipliers issue for a line."""
    nf, sf = design.tiles(design.recurrent)
    return design.network.steps(frames * design.columns_per_frame) * nf * sf


def measure(model: str, network: Network, design: Design, lines: Sequence[Frames]) -> Measured:
    """Read the lines on every engine."""
    sent = [*lines, *lines, *lines[: 2 * design.fold(design.recurrent).slots]]
    with open_device("cpu", network) as native:
        wanted = native.run_batch(sent)
    with csim.CoreDevice(csim.Core(csim.build(design, hw_source())), design, network) as device:
        before = device.core.report()["cycles"]
        compiled, ends = stream(device, sent)
        cycles_hls = ends[-1] - before
    with csim.CoreDevice(csim.Core(rtlsim.build(design, hw_source()), seed=1), design, network) as device:
        core, started = device.core, time.perf_counter()
        before = core.report()["cycles"]
        verilated, ends = stream(device, sent)
        seconds = time.perf_counter() - started
        cycles = ends[-1] - before
        status = packets.parse_status(packets.parse(core.ask(packets.status(0))[0]))
        stream(device, [max(lines, key=len)])
        alone = core.report()
    columns = sum(map(len, lines)) * design.columns_per_frame
    pace = ends[2 * len(lines) - 1] - ends[len(lines) - 1]
    different = sum(
        not (np.array_equal(a, c) and np.array_equal(b, c)) for a, b, c in zip(compiled, verilated, wanted, strict=True)
    )
    return Measured(
        model=model,
        design=design.name,
        lines=len(lines),
        columns=columns,
        read=len(sent),
        different=different,
        cycles=cycles,
        cycles_hls=cycles_hls,
        cycles_per_column=pace / columns,
        lines_per_s=design.clock_mhz * 1e6 * len(lines) / pace,
        busy=sum(tiles(design, len(frames)) for frames in lines) / pace,
        busy_of_all=status.issued[0] / cycles,
        latency=alone["last_out"] - alone["last_in"],
        seconds_per_line=seconds / len(sent),
        cycles_per_s=cycles / seconds,
    )


def main() -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(description="Compare the C++ core and its SystemVerilog twin on real lines.")
    parser.add_argument("data", type=Path, help="a set of lines, .zip or folder")
    parser.add_argument("--lines", type=int, default=20)
    parser.add_argument("--split", default="val")
    parser.add_argument("--model", help="name of a model (default: all that are shipped)")
    parser.add_argument("--design", help="name of a design (default: the model's)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    pairs = [(m, d) for m, d in SHIPPED if args.model in (None, m) and args.design in (None, d)]
    samples = list(islice(open_lines(args.data, args.split), args.lines))
    if args.design and args.design not in dict(SHIPPED).values():
        pairs = [("random weights", args.design)]
    found = []
    for model_name, design_name in pairs:
        design = find_design(design_name)
        network = network_of(model_name, design)
        design.check(network)
        lines = [prepare(decode(sample.data), network).frames[: design.max_frames] for sample in samples]
        found.append(measure(model_name, network, design, lines))
        print(describe(found[-1], design.clock_mhz), flush=True)
    if args.json:
        args.json.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n", "utf-8")
    return 1 if any(each.different for each in found) else 0


def network_of(model: str, design: Design) -> Network:
    """The network of a shipped model, or one with random weights."""
    if model in dict(SHIPPED):
        return load_model(find_model(model, ROOT / "models")).network
    from tests.device.networks import random_network

    return random_network(
        0,
        list(design.layers),
        height_px=design.height_px,
        columns_per_frame=design.columns_per_frame,
        pixel_bits=design.pixel_bits,
    )


def describe(m: Measured, clock_mhz: float) -> str:
    """Some lines of text."""
    verdict = "all scores equal (native, C++, RTL)" if not m.different else f"{m.different} LINES DIFFER"
    return (
        f"{m.model} on {m.design}: {m.lines} lines, {m.columns} columns, {m.read} sent: {verdict}\n"
        f"  {m.cycles} cycles (C++ in lockstep {m.cycles_hls}), {m.cycles_per_column:.2f} a column, "
        f"{m.lines_per_s:,.0f} lines/s if the clock is {clock_mhz:.4f} MHz\n"
        f"  MAC issue slots busy {m.busy:.2%} (of all cycles {m.busy_of_all:.2%}); last word in to last word out "
        f"{m.latency} cycles\n"
        f"  simulated at {m.cycles_per_s:,.0f} cycles/s, {m.seconds_per_line:.2f} s a line"
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ZeileError as error:
        sys.exit(f"rtl_cosim: {error}")
