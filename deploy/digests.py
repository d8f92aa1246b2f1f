# SPDX-License-Identifier: Apache-2.0
"""Print what the sample lines become at every stage, as SHA-256: two machines that agree print the same.

    PYTHONPATH=. python deploy/digests.py            (deploy/aarch64.sh compares x86-64 with aarch64)
    PYTHONPATH=. python deploy/digests.py --lines lines.zip --count 1000 --read-by latin-print

Stages: decoded grey pixels, normalised line, frames; the scores of small random networks by the NumPy reference
and by every path of the native engine; with the models that are there, text, confidences and positions of every
line, and the reference's scores of the first line. With --lines: scores and reading of many lines of a set, by every
path of the native engine. What may differ (machine, versions) goes to stderr.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import PIL
from tests.device.networks import random_network

from zeile import native
from zeile.columns import frames_of
from zeile.device import Device
from zeile.device.cpu import Cpu
from zeile.device.reference import Reference
from zeile.image import decode
from zeile.manifest import find_model, list_models, load_model
from zeile.network import Conv2d, Dense, Lstm, MaxPool, Network
from zeile.normalise import normalise
from zeile.pipeline import Recognizer, prepare
from zeile.samples import Sample, open_lines

ROOT = Path(__file__).resolve().parent.parent
HEIGHTS_PX = (32, 48)

NETWORKS: list[Network] = [
    random_network(
        1,
        [
            Conv2d(channels=8, weight_bits=4, out_bits=4),
            MaxPool(columns=2, rows=2),
            Lstm(hidden=16, weight_bits=4, out_bits=4),
            Dense(classes=40, weight_bits=8),
        ],
        height_px=32,
    ),
    random_network(
        2,
        [Lstm(hidden=24, weight_bits=2, out_bits=4), Dense(classes=40, weight_bits=4)],
        height_px=32,
        columns_per_frame=2,
    ),
]
"""Small enough for the reference under emulation."""


def digest(array: npt.NDArray[Any]) -> str:
    """Shape and SHA-256 of an array."""
    return f"{'x'.join(map(str, array.shape))} {hashlib.sha256(array.tobytes()).hexdigest()}"


def print_pixels(name: str, sample: Sample) -> None:
    """The stages before the network."""
    grey = decode(sample.data)
    print(f"{name}/{sample.id} grey {digest(grey)}")
    for height_px in HEIGHTS_PX:
        line = normalise(grey, height_px)
        print(f"{name}/{sample.id} line {digest(line)}")
        print(f"{name}/{sample.id} frames {digest(frames_of(line, 4, 2))}")


def print_scores(name: str, sample: Sample, network: Network, what: str) -> None:
    """Scores by the reference; the native paths must give the same here, or the run fails."""
    frames = prepare(decode(sample.data), network).frames
    scores = Reference(network).run(frames)
    print(f"{name}/{sample.id} scores of {what} {digest(scores)}")
    for path in native.paths():
        with Cpu(network, path) as device:
            if not np.array_equal(device.run(frames), scores):
                sys.exit(f"{name}/{sample.id}: the native path {path} differs from the reference, {what}")


def print_texts(name: str, samples: list[Sample], folder: Path) -> None:
    """What a user gets."""
    model = load_model(folder)
    with Cpu(model.network) as device:
        recognizer = Recognizer(model, device)
        for sample in samples:
            line = recognizer.read(decode(sample.data))
            spans = [(c.text, c.left_px, c.right_px, c.confidence) for c in line.characters]
            seal = hashlib.sha256(repr((line.confidence, spans)).encode()).hexdigest()
            print(f"{name}/{sample.id} read by {model.name}/{model.version}: {line.text} {seal}")
    print_scores(name, samples[0], model.network, f"{model.name}/{model.version}")


def print_many(source: Path, count: int, folder: Path, reference: bool) -> None:
    """Scores and reading of many lines; the native paths must give the same here, or the run fails."""
    model = load_model(folder)
    with ExitStack() as opened:
        devices: dict[str, Device] = {path: opened.enter_context(Cpu(model.network, path)) for path in native.paths()}
        recognizer = Recognizer(model, next(iter(devices.values())))
        if reference:
            devices["reference"] = Reference(model.network)
        for sample in islice(open_lines(source), count):
            grey = decode(sample.data)
            frames = prepare(grey, model.network).frames
            scores = {name: device.run(frames) for name, device in devices.items()}
            first, *others = scores
            if wrong := [name for name in others if not np.array_equal(scores[name], scores[first])]:
                sys.exit(f"{sample.id}: {', '.join(wrong)} differs from {first}")
            line = recognizer.read(grey)
            print(f"{sample.id} scores {digest(scores[first])} {line.confidence} {line.text}")


def main() -> None:
    """All stages of all sample lines, or the last stages of many others."""
    parser = argparse.ArgumentParser(description="Print SHA-256 of every stage for the sample lines.")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of models")
    parser.add_argument("--lines", type=Path, metavar="SET", help="a folder or zip of lines instead of the samples")
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="of them, with --lines (default 1000)")
    parser.add_argument("--read-by", default="latin-print", metavar="MODEL", help="with --lines (default latin-print)")
    parser.add_argument("--reference", action="store_true", help="with --lines, by the NumPy reference too")
    args = parser.parse_args()
    if args.lines is not None:
        print_many(args.lines, args.count, find_model(args.read_by, args.models), args.reference)
        return
    models = list_models(args.models) if args.models.is_dir() else []
    for name in ("antiqua", "fraktur"):
        samples = list(open_lines(ROOT / "tests" / "lines" / name))
        for sample in samples:
            print_pixels(name, sample)
        for index, network in enumerate(NETWORKS):
            print_scores(name, samples[0], network, f"random network {index}")
        for folder in models:
            print_texts(name, samples, folder)
    print(
        f"{platform.machine()}, native paths {', '.join(native.paths())}, numpy {np.__version__}, "
        f"opencv {cv2.__version__}, pillow {PIL.__version__}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
