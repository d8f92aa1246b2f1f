# SPDX-License-Identifier: Apache-2.0
"""How fast a model reads: stage by stage, whole, against peers, and on all cores."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zeile.bench.line_peers import LinePeer
from zeile.bench.network_peers import NetworkPeer
from zeile.bench.timing import Clocked, Work, interleave
from zeile.columns import frames_of
from zeile.ctc import best_path
from zeile.device import Device, open_device
from zeile.image import decode
from zeile.manifest import Model, load_model
from zeile.normalise import normalise
from zeile.pipeline import Recognizer
from zeile.samples import Sample

BATCH = 16
Tick = Callable[[], object]
Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Subject:
    """A model on a device, and lines with everything between the stages, all in memory.

    Attributes:
        model: the model.
        device: one thread of it.
        recognizer: the two together.
        reading: of the text, or None for the model's default.
        samples: encoded lines.
        frames: of each line, (T, F) uint8.
        scores: of each line, (S, K) int8.
    """

    model: Model
    device: Device
    recognizer: Recognizer
    reading: str | None
    samples: Sequence[Sample]
    frames: Sequence[Frames]
    scores: Sequence[npt.NDArray[np.int8]]

    @classmethod
    def of(cls, model: Model, device: Device, reading: str | None, samples: Sequence[Sample]) -> Subject:
        """Compute what lies between the stages."""
        frames = [preprocess(model, decode(sample.data)) for sample in samples]
        scores = device.run_batch(frames)
        return cls(
            model, device, Recognizer(model, device, reading=reading), reading, samples, frames, scores
        )

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the network for all lines."""
        network = self.model.network
        return sum(network.macs(len(frames) * network.columns_per_frame) for frames in self.frames)

    def text(self, scores: npt.NDArray[np.int8]) -> str:
        """Best path of a line, in the reading."""
        alphabet = self.model.alphabet
        spans = best_path(scores, alphabet.merged(self.reading), alphabet.blank)
        return alphabet.text(span.label for span in spans)


def preprocess(model: Model, grey: npt.NDArray[np.uint8]) -> Frames:
    """Normalise a line and quantise it for a model."""
    network = model.network
    return frames_of(normalise(grey, network.height_px), network.pixel_bits, network.columns_per_frame)


def stages(subject: Subject, rounds: int, tick: Tick) -> dict[str, list[Clocked]]:
    """Time each stage over all lines, on one thread."""
    model, device, recognizer = subject.model, subject.device, subject.recognizer
    greys = [decode(sample.data) for sample in subject.samples]
    work: dict[str, Work] = {
        "decode": lambda: [decode(sample.data) for sample in subject.samples],
        "preprocess": lambda: [preprocess(model, grey) for grey in greys],
        "network": lambda: [device.run(frames) for frames in subject.frames],
        f"network, batches of {BATCH}": lambda: [
            device.run_batch(group) for group in batches(subject.frames)
        ],
        "ctc": lambda: [subject.text(scores) for scores in subject.scores],
        "end to end": lambda: [recognizer.read(decode(sample.data)) for sample in subject.samples],
        f"end to end, batches of {BATCH}": lambda: [
            recognizer.read_batch([decode(sample.data) for sample in group])
            for group in batches(subject.samples)
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


def against_programs(
    subject: Subject, peers: Sequence[LinePeer], rounds: int, tick: Tick
) -> dict[str, list[Clocked]]:
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
