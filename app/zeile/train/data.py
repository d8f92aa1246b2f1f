# SPDX-License-Identifier: Apache-2.0
"""Batches of labelled lines for training: pools of prepared lines, mixed, augmented, sorted by width."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zeile.alphabet import DIPLOMATIC, Alphabet
from zeile.columns import frames_of
from zeile.train.pool import Pool

_POOLED = 60  # batches that are drawn together and sorted by width, so that little is padded


@dataclass(frozen=True)
class Source:
    """A pool in the mixture.

    Attributes:
        pool: prepared lines.
        weight: its share of the lines drawn, relative to the other sources.
        reading: the reading in which its texts are written; None if texts say exactly what is printed.
    """

    pool: Pool
    weight: float
    reading: str | None = None


@dataclass(frozen=True)
class Batch:
    """Lines ready for the network.

    Attributes:
        frames: (B, T, F) float32 pixel codes.
        lengths: (B,) int32 frames of each line.
        targets: labels of all lines, one after another, int64.
        target_lengths: (B,) int64.
        readings: the reading of each line's text, None for exact ones.
    """

    frames: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor
    readings: tuple[str | None, ...]


def augment(columns: npt.NDArray[np.uint8], rng: random.Random) -> npt.NDArray[np.uint8]:
    """Vary a normalised line (T, H): width, height and place within the line, ink, grain of the paper."""
    steps, height = columns.shape
    if rng.random() < 0.6:
        # The centre curve and the extent are estimates; now and then neighbours make a line come out small.
        small = rng.uniform(0.62, 0.95) if rng.random() < 0.2 else 1.0
        stretched = max(4, round(steps * small * rng.uniform(0.88, 1.14)))
        columns = cv2.resize(columns, (height, stretched), interpolation=cv2.INTER_LINEAR)
        zoom, shift = small * rng.uniform(0.9, 1.1), rng.uniform(-1.5, 1.5)
        at = np.array([[zoom, 0, (1 - zoom) * height / 2 + shift], [0, 1, 0]], np.float32)
        columns = cv2.warpAffine(columns, at, (height, len(columns)), flags=cv2.INTER_LINEAR)
    if rng.random() < 0.4:
        gamma = rng.uniform(0.6, 1.6)
        table = (255 * (np.arange(256) / 255) ** gamma * rng.uniform(0.8, 1.0)).astype(np.uint8)
        columns = cv2.LUT(columns, table)
    if rng.random() < 0.2:  # thin type: hairlines and small marks print weakly
        thin, weight = cv2.erode(columns, np.ones((2, 2), np.uint8)), rng.uniform(0.2, 0.7)
        columns = cv2.addWeighted(thin, weight, columns, 1 - weight, 0)
    if rng.random() < 0.35:
        noise = np.random.default_rng(rng.getrandbits(32)).standard_normal(columns.shape, np.float32)
        if rng.random() < 0.4:  # coarse grain
            noise = 2 * cv2.blur(noise, (2, 2))
        columns = np.clip(columns + noise * rng.uniform(4, 34) - rng.uniform(0, 12), 0, 255).astype(np.uint8)
    return columns


class Batches:
    """Endless batches from a mixture of sources.

    Args:
        sources: what to mix.
        alphabet: of the model; lines with characters that it lacks are left out.
        batch: B, lines a batch.
        height_px, columns_per_frame, pixel_bits: of the network.
        seed: everything drawn follows from it.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        alphabet: Alphabet,
        *,
        batch: int,
        columns_per_frame: int,
        pixel_bits: int,
        seed: int,
    ) -> None:
        self.sources, self.alphabet, self.batch = sources, alphabet, batch
        self.columns_per_frame, self.pixel_bits = columns_per_frame, pixel_bits
        self.rng = random.Random(seed)
        known = set(alphabet.characters)
        self.usable = [
            [i for i in range(len(s.pool)) if set(s.pool.text(i)) <= known and s.pool.text(i)] for s in sources
        ]

    def stream(self, widest: int) -> Iterator[Batch]:
        """Batches of lines of at most ``widest`` columns."""
        narrow = [
            [i for i in usable if s.pool.width(i) <= widest]
            for s, usable in zip(self.sources, self.usable, strict=True)
        ]
        shares = [s.weight if n else 0.0 for s, n in zip(self.sources, narrow, strict=True)]
        while True:
            which = self.rng.choices(range(len(self.sources)), shares, k=self.batch * _POOLED)
            drawn = [(k, self.rng.choice(narrow[k])) for k in which]
            drawn.sort(key=lambda item: self.sources[item[0]].pool.width(item[1]))
            batches = [drawn[i : i + self.batch] for i in range(0, len(drawn), self.batch)]
            self.rng.shuffle(batches)
            for items in batches:
                yield self._batch(items)

    def _batch(self, items: Sequence[tuple[int, int]]) -> Batch:
        lines, labels = [], []
        for source, index in items:
            pool = self.sources[source].pool
            columns = augment(pool.columns(index), self.rng)
            lines.append(frames_of(columns.T, self.pixel_bits, self.columns_per_frame))
            merged = self.alphabet.merged(self.sources[source].reading or DIPLOMATIC)
            labels.append([merged[label] for label in self.alphabet.labels(pool.text(index))])
        readings = tuple(self.sources[source].reading for source, _ in items)
        return collate(lines, labels, readings)


def collate(
    lines: Sequence[npt.NDArray[np.uint8]], labels: Sequence[Sequence[int]], readings: Sequence[str | None]
) -> Batch:
    """Join lines (T, F) of different lengths."""
    longest = max(len(line) for line in lines)
    frames = torch.zeros(len(lines), longest, lines[0].shape[1])
    for row, line in zip(frames, lines, strict=True):
        row[: len(line)] = torch.from_numpy(line.astype(np.float32))
    return Batch(
        frames,
        torch.tensor([len(line) for line in lines], dtype=torch.int32),
        torch.tensor([label for line in labels for label in line], dtype=torch.int64),
        torch.tensor([len(line) for line in labels], dtype=torch.int64),
        tuple(readings),
    )
