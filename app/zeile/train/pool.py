# SPDX-License-Identifier: Apache-2.0
"""Pools of prepared lines: normalised once, read by memory map in every epoch.

A pool is an uncompressed .npz: ``columns`` (sum of T, H) uint8, line after line and column after column,
``widths`` (N,) int32, ``texts`` the JSON list of the N texts as UTF-8 bytes.
"""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from zeile.errors import BadData, BadImage
from zeile.image import decode
from zeile.normalise import normalise
from zeile.samples import Sample

Grey = npt.NDArray[np.uint8]

NARROWEST, WIDEST = 4, 2600
"""Columns of a line that can be trained on."""


class Pool:
    """Prepared lines of one file."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as arrays:
            self.widths = arrays["widths"]
            self.texts: list[str] = json.loads(arrays["texts"].tobytes())
            self._columns = arrays["columns"]
        self._ends = np.cumsum(self.widths, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.texts)

    def columns(self, index: int) -> Grey:
        """Line ``index``, (T, H) uint8, ink bright on black."""
        end = int(self._ends[index])
        part: Grey = self._columns[end - int(self.widths[index]) : end]
        return part

    def text(self, index: int) -> str:
        """Its text."""
        return self.texts[index]

    def width(self, index: int) -> int:
        """T."""
        return int(self.widths[index])


def write_pool(
    path: Path,
    lines: Iterable[tuple[Grey, str]],
    height_px: int,
    total: int | None = None,
    show: bool = True,
    stretch_percent: int = 100,
) -> int:
    """Normalise lines and store them; returns how many were usable.

    Args:
        path: the .npz to write.
        lines: (grey image (h, w) uint8, text) each.
        height_px: H.
        total: number of lines, for the progress bar.
        show: whether to show one.
        stretch_percent: of the network.
    """
    columns, widths, texts = [], [], []
    for grey, text in tqdm(lines, total=total, desc=path.stem, unit="line", disable=not show, mininterval=5):
        line = normalise(grey, height_px, stretch_percent)
        if text and NARROWEST <= line.shape[1] <= WIDEST:
            columns.append(np.ascontiguousarray(line.T))
            widths.append(line.shape[1])
            texts.append(text)
    if not texts:
        raise BadData(f"{path}: none of the lines can be used; each needs an image with ink and a text")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez(
        part,
        columns=np.concatenate(columns),
        widths=np.array(widths, np.int32),
        texts=np.frombuffer(json.dumps(texts, ensure_ascii=False).encode(), np.uint8),
    )
    part.replace(path)
    return len(texts)


def clean_text(text: str) -> str:
    """NFC, blanks collapsed."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def decoded(samples: Iterable[Sample]) -> Iterator[tuple[Grey, str]]:
    """Labelled lines as grey images and clean texts.

    Raises:
        BadData: an image cannot be decoded, named by its id.
    """
    for sample in samples:
        try:
            yield decode(sample.data), clean_text(sample.text)
        except BadImage as error:
            raise BadData(f"line {sample.id}: {error}") from None


def with_variants(lines: Iterable[tuple[Grey, str]], variants: int, seed: int) -> Iterator[tuple[Grey, str]]:
    """Each line as it is, and ``variants`` times degraded like another scan of it."""
    rng = random.Random(seed)
    for grey, text in lines:
        yield grey, text
        for _ in range(variants):
            yield degrade(grey, rng), text


def degrade(grey: Grey, rng: random.Random) -> Grey:
    """Another scan of the same line: resolution, skew, focus, ink, light, noise, threshold, JPEG."""
    noise = np.random.default_rng(rng.getrandbits(32))
    h, w = grey.shape
    paper = int(np.percentile(grey, 80))
    if rng.random() < 0.5:
        scale = rng.uniform(0.5, 1.3)  # down to the small grey print of cheap scans
        wide, high = max(8, round(w * scale * rng.uniform(0.92, 1.08))), max(12, round(h * scale))
        grey = cv2.resize(grey, (wide, high), interpolation=cv2.INTER_AREA)
        h, w = grey.shape
    if rng.random() < 0.4:
        slope, slant = rng.gauss(0, 0.006), rng.gauss(0, 0.06)
        at = np.array([[1, slant, -slant * h / 2], [slope, 1, -slope * w / 2]], np.float32)
        grey = cv2.warpAffine(grey, at, (w, h), flags=cv2.INTER_LINEAR, borderValue=paper)
    u = rng.random()
    if u < 0.15:
        grey = cv2.erode(grey, np.ones((2, 2), np.uint8))  # darker: ink spreads
    elif u < 0.3:
        grey = cv2.dilate(grey, np.ones((2, 2), np.uint8))
    if rng.random() < 0.5:
        grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.3, 1.1) * h / 45)
    if rng.random() < 0.4:
        factor = rng.uniform(0.6, 1.0)
        grey = np.clip(grey * factor + rng.uniform(0, 255 * (1 - factor)), 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        grey = np.clip(grey + noise.normal(0, rng.uniform(2, 20), grey.shape), 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        low, high = np.percentile(grey, (0.5, 80))
        if high - low > 24:  # else the threshold would fall into the paper
            grey = np.where(grey > low + (high - low) * rng.uniform(0.35, 0.7), 255, 0).astype(np.uint8)
    if rng.random() < 0.15:
        data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, rng.randint(25, 80)])[1]
        grey = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
    return np.ascontiguousarray(grey)
