# SPDX-License-Identifier: Apache-2.0
"""How fast a model reads: stage by stage, whole, against peers, and on all cores."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zeile.bench.line_peers import LinePeer
from zeile.bench.network_peers import NetworkPeer
from zeile.bench.timing import Clocked, Work, interleave
from zeile.columns import Frames
from zeile.ctc import Scores, best_path
from zeile.device import Device, open_device
from zeile.image import decode
from zeile.manifest import Model, load_model
from zeile.pipeline import Line, Prepared, Recognizer, compose, prepare
from zeile.samples import Sample

BATCH = 16
Tick = Callable[[], object]


@dataclass(frozen=True)
class Subject:
    """A model on a device, and lines with everything between the stages, all in memory.

    Attributes:
        model: the model.
        device: one thread of it.
        recognizer: the two together.
        reading: of the text, or None for the model's default.
        samples: encoded lines.
        prepared: of each line, the frames (T, F) uint8 and where in the image they lie.
        scores: of each line, (S, K) int8.
    """

    model: Model
    device: Device
    recognizer: Recognizer
    reading: str | None
    samples: Sequence[Sample]
    prepared: Sequence[Prepared]
    scores: Sequence[Scores]

    @classmethod
    def of(cls, model: Model, device: Device, reading: str | None, samples: Sequence[Sample]) -> Subject:
        """Compute what lies between the stages."""
        recognizer = Recognizer(model, device, reading=reading)
        prepared = [prepare(decode(sample.data), model.network) for sample in samples]
        scores = device.run_batch([line.frames for line in prepared])
        return cls(model, device, recognizer, reading, samples, prepared, scores)

    @property
    def frames(self) -> list[Frames]:
        """Pixel codes of each line."""
        return [line.frames for line in self.prepared]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the network for all lines."""
        network = self.model.network
        return sum(network.macs(len(frames) * network.columns_per_frame) for frames in self.frames)

    @cached_property
    def merged(self) -> tuple[int, ...]:
        """Label to label, as the reading has it."""
        return self.model.alphabet.merged(self.reading)

    def text(self, scores: Scores) -> str:
        """Text of the best path, in the reading."""
        alphabet = self.model.alphabet
        return alphabet.text(span.label for span in best_path(scores, self.merged, alphabet.blank))

    def line(self, scores: Scores, prepared: Prepared) -> Line:
        """The last stage: best path, confidences, places in the image."""
        alphabet = self.model.alphabet
        spans = best_path(scores, self.merged, alphabet.blank)
        return compose(spans, prepared, self.model.network.columns_per_step, alphabet)


def stages(subject: Subject, rounds: int, tick: Tick) -> dict[str, list[Clocked]]:
    """Time each stage over all lines, on one thread."""
    network, device, recognizer = subject.model.network, subject.device, subject.recognizer
    images, frames = [sample.data for sample in subject.samples], subject.frames
    greys = [decode(image) for image in images]
    read = list(zip(subject.scores, subject.prepared, strict=True))
    work: dict[str, Work] = {
        "decode": lambda: [decode(image) for image in images],
        "preprocess": lambda: [prepare(grey, network) for grey in greys],
        "network": lambda: [device.run(line) for line in frames],
        f"network, batches of {BATCH}": lambda: [device.run_batch(group) for group in batches(frames)],
        "ctc": lambda: [subject.line(scores, line) for scores, line in read],
        "end to end": lambda: [recognizer.read(decode(image)) for image in images],
        f"end to end, batches of {BATCH}": lambda: [
            recognizer.read_batch([decode(image) for image in group]) for group in batches(images)
        ],
    }
    return interleave(work, rounds, tick)


def against_networks(
    subject: Subject, peers: Sequence[NetworkPeer], batch: int, rounds: int, tick: Tick
) -> dict[str, list[Clocked]]:
    """Time our engine ("zeile") and its peers on the same frames, ``batch`` lines at a time."""
    groups = batches(subject.frames, batch)
    work: dict[str, Work] = {"zeile": lambda: [subject.device.run_batch(group) for group in groups]}
    for peer in peers:
        work[peer.name] = lambda peer=peer: [peer.scores(group) for group in groups]  # type: ignore[misc]
    return interleave(work, rounds, tick)


def against_programs(subject: Subject, peers: Sequence[LinePeer], rounds: int, tick: Tick) -> dict[str, list[Clocked]]:
    """Time reading ("zeile") and other programs from the encoded image to text, one line at a time."""
    read = subject.recognizer.read
    work: dict[str, Work] = {"zeile": lambda: [read(decode(sample.data)) for sample in subject.samples]}
    for peer in peers:
        prepared = [peer.prepare(sample) for sample in subject.samples]
        work[peer.name] = lambda peer=peer, prepared=prepared: [peer.read(p) for p in prepared]  # type: ignore[misc]
    return interleave(work, rounds, tick)


def threaded_network(subject: Subject, engine: str, threads: int, rounds: int) -> list[Clocked]:
    """Time the network on all lines as one batch, shared by the device's threads."""
    with open_device(engine, subject.model.network, threads) as device:
        return interleave({"all": lambda: device.run_batch(subject.frames)}, rounds)["all"]


def all_cores(subject: Subject, engine: str, processes: int, rounds: int) -> list[float]:
    """Lines a second from encoded image to text, one process a core, each with its own copy of the model.

    Returns:
        Lines a second of each round, by the wall clock.
    """
    images = [sample.data for sample in subject.samples]
    setup = (subject.model.folder, engine, subject.reading, images)
    spans = [(start, min(start + BATCH, len(images))) for start in range(0, len(images), BATCH)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _start, setup) as pool:
        rates = []
        for number in range(rounds + 1):
            began = time.perf_counter()
            lines = sum(pool.map(_read_span, spans))
            if number:  # the first round starts the processes
                rates.append(lines / (time.perf_counter() - began))
    return rates


_worker: dict[str, Any] = {}  # of a process of all_cores


def _start(folder: Path, engine: str, reading: str | None, images: list[bytes]) -> None:
    model = load_model(folder)
    device = open_device(engine, model.network, 1)
    _worker.update(recognizer=Recognizer(model, device, reading=reading), images=images)


def _read_span(span: tuple[int, int]) -> int:
    return len(_worker["recognizer"].read_batch([decode(data) for data in _worker["images"][slice(*span)]]))


def batches(items: Sequence[Any], size: int = BATCH) -> list[Sequence[Any]]:
    """Neighbouring items, ``size`` at a time."""
    return [items[start : start + size] for start in range(0, len(items), size)]
