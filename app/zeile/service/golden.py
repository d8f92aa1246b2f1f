# SPDX-License-Identifier: Apache-2.0
"""A few lines that come with Zeile, and the integers that they must give: the self-test of an engine.

    golden/*.png -> pixels -> frames -> scores -> text; at each arrow a SHA-256 that must be the expected one

Pixels and frames are the same for all models of a shape. What a model must make of them is written down for the models
that ship with Zeile (golden.json, by ``python -m zeile.service.golden MODEL...``) and computed by the reference engine
for others. Frames, scores and text are compared to the bit, on the engine in use.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zeile.ctc import best_path
from zeile.device import Device, Frames, Scores
from zeile.device.reference import Reference
from zeile.errors import BadImage, DeviceFault
from zeile.image import decode
from zeile.manifest import Model, load_model
from zeile.network import Network
from zeile.pipeline import prepare

FOLDER = Path(__file__).parent / "golden"
EXPECTED = FOLDER / "golden.json"

Array = npt.NDArray[Any]

_MOST_KEPT = 16
_kept: dict[str, Golden] = {}  # by the SHA-256 of the model's manifest
_lock = threading.Lock()


class SelfTestFailed(DeviceFault):
    """What was computed is not what must come out."""


@dataclass(frozen=True)
class Golden:
    """The lines of a model.

    Attributes:
        frames: of each line.
        scores: SHA-256 of the scores of each, hexadecimal.
        texts: what they read.
    """

    frames: tuple[Frames, ...]
    scores: tuple[str, ...]
    texts: tuple[str, ...]

    def test(self, device: Device, model: Model) -> None:
        """Have a device read the lines, and read the text from what it gives.

        Raises:
            SelfTestFailed: integers or text are not the expected ones.
            DeviceError: it cannot read them.
        """
        found = device.run_batch(self.frames)
        self.compare(found)
        texts = tuple(_text(model, scores) for scores in found)
        if texts != self.texts:
            raise SelfTestFailed(f"self-test: from the right scores the texts {texts} were read, expected {self.texts}")

    def compare(self, found: Sequence[Scores]) -> None:
        """Compare a device's scores.

        Raises:
            SelfTestFailed: they are not the expected ones.
        """
        wrong = [i for i, (s, wanted) in enumerate(zip(found, self.scores, strict=True)) if digest(s) != wanted]
        if wrong:
            raise SelfTestFailed(
                f"self-test: the scores of {len(wrong)} of {len(self.scores)} test lines are not the expected ones "
                f"(line {wrong[0]}: SHA-256 {digest(found[wrong[0]])[:12]}, expected {self.scores[wrong[0]][:12]})"
            )


def golden_of(model: Model) -> Golden:
    """The lines of a model; what they must give is computed if it is not written down, which takes a moment.

    Raises:
        SelfTestFailed: the lines' own pixels or frames are not the expected ones, so decoding or geometry differs here;
            or a test line or the file of expected integers is missing.
    """
    with _lock:
        known = _kept.get(model.sha256)
    if known is not None:
        return known
    written = expected()
    frames = _frames(model.network, written)
    facts = written["models"].get(model.sha256) or reference_facts(model, frames)
    golden = Golden(frames, tuple(facts["scores"]), tuple(facts["texts"]))
    with _lock:
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        return _kept.setdefault(model.sha256, golden)


def expected() -> dict[str, Any]:
    """What is written down.

    Raises:
        SelfTestFailed: it cannot be read.
    """
    try:
        written: dict[str, Any] = json.loads(EXPECTED.read_bytes())
    except (OSError, ValueError) as error:
        raise SelfTestFailed(f"self-test: {EXPECTED} cannot be read: {error}; install Zeile again") from None
    return written


def digest(array: Array) -> str:
    """SHA-256 of an array's shape and bytes, hexadecimal."""
    return hashlib.sha256(f"{array.shape} {array.dtype}".encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


def shape_of(network: Network) -> str:
    """What frames depend on: height, columns of a frame, bits of a pixel, and the stretch."""
    return f"{network.height_px}x{network.columns_per_frame}x{network.pixel_bits}x{network.stretch_percent}"


def reference_facts(model: Model, frames: Sequence[Frames]) -> dict[str, list[str]]:
    """What the reference engine, which defines the datapath, makes of the lines."""
    scores = Reference(model.network).run_batch(frames)
    return {"scores": [digest(s) for s in scores], "texts": [_text(model, s) for s in scores]}


def _frames(network: Network, written: dict[str, Any]) -> tuple[Frames, ...]:
    try:
        greys = [decode((FOLDER / name).read_bytes()) for name in written["lines"]]
    except (OSError, BadImage) as error:
        raise SelfTestFailed(f"self-test: a test line cannot be read: {error}; install Zeile again") from None
    frames = tuple(prepare(grey, network).frames for grey in greys)
    for what, found, wanted in (
        ("decoded pixels", greys, written["pixels"]),
        ("normalised pixels", frames, written["frames"].get(shape_of(network))),
    ):
        wrong = [] if wanted is None else [i for i, a in enumerate(found) if digest(a) != wanted[i]]
        if wrong:
            raise SelfTestFailed(
                f"self-test: the {what} of test line {wrong[0]} are not the expected ones; "
                "Pillow, OpenCV or NumPy computes otherwise here: install the versions that Zeile asks for"
            )
    return frames


def _text(model: Model, scores: Scores) -> str:
    spans = best_path(scores, model.alphabet.merged(), model.alphabet.blank)
    return "".join(model.alphabet.characters[span.label] for span in spans)


def write(folders: Sequence[Path]) -> None:
    """Write down what the reference engine makes of the lines, for these models and no others."""
    names = sorted(path.name for path in FOLDER.glob("*.png"))
    greys = [decode((FOLDER / name).read_bytes()) for name in names]
    written: dict[str, Any] = {"lines": names, "pixels": [digest(g) for g in greys], "frames": {}, "models": {}}
    for model in map(load_model, folders):
        frames = [prepare(grey, model.network).frames for grey in greys]
        written["frames"][shape_of(model.network)] = [digest(f) for f in frames]
        name = {"model": f"{model.name}/{model.version}"}
        written["models"][model.sha256] = name | reference_facts(model, frames)
    EXPECTED.write_text(json.dumps(written, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    write([Path(folder) for folder in sys.argv[1:]])
