# SPDX-License-Identifier: Apache-2.0
"""Read the project's sample lines with its models; print each text, the error rate and the speed.

python deploy/read_samples.py            (deploy/run.sh makes the environment and calls it)
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from zeile.device import open_device
from zeile.errors import ZeileError
from zeile.image import decode
from zeile.manifest import find_model, load_model
from zeile.metrics import compare, totals
from zeile.pipeline import Recognizer
from zeile.samples import open_lines

ROOT = Path(__file__).resolve().parent.parent
MODELS = {"antiqua": "latin-print", "fraktur": "fraktur"}
"""Folder of tests/lines to the model that reads it."""

_TIMED_S = 1.0


def read_folder(name: str, models: Path, engine: str) -> None:
    """Read one folder of sample lines and print what came out."""
    model = load_model(find_model(MODELS[name], models))
    samples = list(open_lines(ROOT / "tests" / "lines" / name))
    with open_device(engine, model.network) as device:
        recognizer = Recognizer(model, device)
        greys = [decode(sample.data) for sample in samples]
        texts = [line.text for line in recognizer.read_batch(greys)]
        rounds, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < _TIMED_S:
            recognizer.read_batch([decode(sample.data) for sample in samples])
            rounds += 1
    # Where the model's reading folds (a long s, say), the ground truth is folded alike; else it stays as it is.
    folds = model.alphabet.readings.get(model.alphabet.default_reading, {})
    wanted = ["".join(folds.get(c, c) for c in sample.text) for sample in samples]
    print(f"{name}: model {model.name}/{model.version}, engine {engine}")
    for sample, truth, text in zip(samples, wanted, texts, strict=True):
        print(f"  {sample.id}  {text}")
        if text != truth:
            print(f"       {truth}  <- the page says")
    cer = totals([compare(t, r) for t, r in zip(wanted, texts, strict=True)]).characters.rate
    speed = rounds * len(samples) / elapsed
    print(f"  CER {cer:.2%} of {sum(map(len, wanted))} characters; {speed:.0f} lines/s, file to text, one thread")


def main() -> int:
    """Read the folders that a model is there for."""
    parser = argparse.ArgumentParser(description="Read the sample lines of tests/lines.")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of models")
    parser.add_argument("--engine", default="cpu", help="cpu (native, default) or reference (slow)")
    args = parser.parse_args()
    try:
        for name in MODELS:
            read_folder(name, args.models, args.engine)
    except ZeileError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("These few lines show that it works, not how well: some were trained on (tests/lines/README.md).")
    print("Error rates on lines held back are in models/<name>/<version>/eval.json.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
