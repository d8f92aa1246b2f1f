# SPDX-License-Identifier: Apache-2.0
"""Read real lines with a model on every engine, and compare all scores with the NumPy reference's.

python deploy/same_integers.py ../shared/data/lines/en_books.zip latin-print --lines 50

Engines: the NumPy reference, each path of the native engine that this CPU runs, the HLS sources compiled by clang++-19
(own ap_int) and by g++ (the vendor's ap_int), and the driver on the emulated board. What is missing is named. Prints a
row for each engine with the seconds a line and the CER; ends with 1 if a score differs anywhere.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from zeile.ctc import best_path
from zeile.device import Device, open_device
from zeile.device.reference import Reference
from zeile.errors import ZeileError
from zeile.hw import csim
from zeile.hw.design import Design, find_design, hw_source
from zeile.image import decode
from zeile.manifest import Model, find_model, load_model
from zeile.metrics import compare, totals
from zeile.network import Network
from zeile.pipeline import prepare
from zeile.samples import open_lines
from zeile.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


def engines(network: Network, design: Design) -> Iterator[tuple[str, Callable[[], Device]]]:
    """Names of engines, and what opens them."""
    from zeile.device.cpu import Cpu
    from zeile.native import paths

    yield "NumPy reference", lambda: Reference(network)
    for path in paths():
        yield f"native, {path}", lambda path=path: Cpu(network, path=path)  # type: ignore[misc]
    yield "HLS C++, clang++-19, own ap_int", lambda: _simulated(network, design, "clang++-19", "fast")
    yield "HLS C++, g++, the vendor's ap_int", lambda: _simulated(network, design, "g++", "vendor")
    board = Settings(emulate="1", overlay=design.name)
    yield "pynq driver, emulated board, HLS C++", lambda: open_device("fpga", network, settings=board)


def _simulated(network: Network, design: Design, compiler: str, headers: str) -> Device:
    if headers == "vendor" and not os.environ.get(csim.VENDOR_TYPES):
        raise ZeileError(f"{csim.VENDOR_TYPES} names no folder; python tests/hw/ap_types.py fills one")
    core = csim.Core(csim.build(design, hw_source(), None, compiler, headers))
    return csim.CoreDevice(core, design, network)


def error_rate(model: Model, scores: list[np.ndarray], texts: list[str]) -> float:
    """CER, grapheme clusters."""
    merged, alphabet = model.alphabet.merged(None), model.alphabet
    read = [alphabet.text([span.label for span in best_path(s, merged, alphabet.blank)]) for s in scores]
    return totals([compare(t, r) for t, r in zip(texts, read, strict=True)]).characters.rate


def main() -> int:
    """Compare; returns the exit code."""
    parser = argparse.ArgumentParser(description="Compare the scores of all engines on real lines.")
    parser.add_argument("data", type=Path, help="a set of lines, .zip or folder")
    parser.add_argument("model", help="name of a model")
    parser.add_argument("--lines", type=int, default=50)
    parser.add_argument("--split", default="val")
    parser.add_argument("--design", help="design of the overlay (default: the shipped one that the model fits)")
    args = parser.parse_args()
    model = load_model(find_model(args.model, ROOT / "models"))
    names = [args.design] if args.design else ["zeile-print", "finn-l-w4a4", "finn-l-w2a4"]
    design = next(d for d in map(find_design, names) if args.design or _fits(d, model.network))
    samples = list(islice(open_lines(args.data, args.split), args.lines))
    frames = [prepare(decode(sample.data), model.network).frames for sample in samples]
    texts = [sample.text for sample in samples]
    print(f"{model.name} on {design.name}: {len(samples)} lines of {args.data.name}, {sum(map(len, frames))} columns")
    wanted: list[np.ndarray] | None = None
    different = 0
    for name, opened in engines(model.network, design):
        try:
            with opened() as device:
                start = time.perf_counter()
                scores = device.run_batch(frames)
                seconds = time.perf_counter() - start
        except (ZeileError, ImportError) as error:
            print(f"  {name:38} not run: {str(error).splitlines()[0][:120]}")
            continue
        wanted = wanted or scores
        wrong = sum(not np.array_equal(a, b) for a, b in zip(scores, wanted, strict=True))
        different += wrong
        verdict = "identical" if not wrong else f"{wrong} LINES DIFFER"
        cer = error_rate(model, scores, texts)
        print(f"  {name:38} {verdict}, CER {cer:.4%}, {seconds / len(frames):.4f} s a line")
    return 1 if different else 0


def _fits(design: Design, network: Network) -> bool:
    try:
        design.check(network)
    except ZeileError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
