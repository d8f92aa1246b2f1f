# SPDX-License-Identifier: Apache-2.0
"""Other programs that read a line: Tesseract (command and library) and RapidOCR, one thread each.

All of them get the encoded image in memory, as we do, but for the ``tesseract`` command: it reads a file,
written beforehand. Tesseract's images get a rim of paper first, without which it misses characters of tightly
cut lines.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageOps

from zeile.errors import BadData
from zeile.image import decode
from zeile.samples import Sample

_DEADLINE_S = 60
_GERMAN, _FRENCH = frozenset("äöüßÄÖÜ"), frozenset("éèêëàâçîïôùûœÉÈÀÇ")
_ACCENTS_WANTED = 0.002  # share of a text's characters above which its language counts as accented


class LinePeer(Protocol):
    """A program that reads a line.

    Attributes:
        name: for tables.
        version: of the program and its model.
    """

    name: str
    version: str

    def prepare(self, sample: Sample) -> Any:
        """What ``read`` takes for a line; not part of what is timed."""
        ...

    def read(self, prepared: Any) -> str:
        """Text of a line."""
        ...

    def close(self) -> None:
        """Release what is held."""
        ...


class Tesseract:
    """The ``tesseract`` command, once a line: process start and loading of its model are part of the time.

    Raises:
        ImportError: the command is not installed.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        command = shutil.which("tesseract")
        if command is None:
            raise ImportError("the command tesseract is not installed (Debian: tesseract-ocr and tesseract-ocr-eng)")
        language, _ = language_data(texts)
        version = _run([command, "--version"]).splitlines()[0]
        self.name, self.version = f"tesseract command ({language})", version
        self._folder = tempfile.TemporaryDirectory(prefix="zeile-bench-")
        self._arguments = [command, "stdout", "--psm", "7", "--dpi", "300", "-l", language]
        self._files = 0

    def prepare(self, sample: Sample) -> Path:
        """A file of the line with a rim."""
        self._files += 1
        path = Path(self._folder.name, f"{self._files}.png")
        path.write_bytes(_rimmed(sample))
        return path

    def read(self, prepared: Path) -> str:
        """As ``LinePeer.read``."""
        command, *options = self._arguments
        return _one_line(_run([command, str(prepared), *options]))

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()


class Tesserocr:
    """Tesseract in this process, its model loaded once.

    Raises:
        ImportError: tesserocr, or the command whose language data it is to use, is not installed.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        os.environ["OMP_THREAD_LIMIT"] = "1"
        tesserocr = importlib.import_module("tesserocr")
        language, folder = language_data(texts)
        self.name = f"tesserocr ({language})"
        self.version = tesserocr.tesseract_version().splitlines()[0]
        self._api = tesserocr.PyTessBaseAPI(path=str(folder), lang=language, psm=tesserocr.PSM.SINGLE_LINE)

    def prepare(self, sample: Sample) -> bytes:
        """The encoded line with a rim."""
        return _rimmed(sample)

    def read(self, prepared: bytes) -> str:
        """As ``LinePeer.read``."""
        with Image.open(io.BytesIO(prepared)) as image:
            self._api.SetImage(image)
            return _one_line(self._api.GetUTF8Text())

    def close(self) -> None:
        """Release the model."""
        self._api.End()


class Rapid:
    """RapidOCR's recogniser with the PP-OCR model that its wheel holds; no detection, no classification.

    Raises:
        ImportError: rapidocr or onnxruntime is not installed.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        rapidocr, runtime = importlib.import_module("rapidocr"), "EngineConfig.onnxruntime."
        self._steps = {"use_det": False, "use_cls": False, "use_rec": True, "text_score": 0.0}
        options = {"Global.use_det": False, "Global.use_cls": False, "Global.log_level": "error"}
        threads = {f"{runtime}intra_op_num_threads": 1, f"{runtime}inter_op_num_threads": 1}
        self._engine = rapidocr.RapidOCR(params=options | threads)
        self._engine(np.full((48, 320, 3), 255, np.uint8), **self._steps)  # loads the model
        model = self._engine.text_rec.cfg
        self.name = "rapidocr"
        kind = f"{model['ocr_version'].value} {model['lang_type'].value} {model['model_type'].value}"
        self.version = f"rapidocr {importlib.metadata.version('rapidocr')}, {kind}"

    def prepare(self, sample: Sample) -> bytes:
        """The encoded line."""
        return sample.data

    def read(self, prepared: bytes) -> str:
        """As ``LinePeer.read``."""
        grey = decode(prepared)
        result = self._engine(np.repeat(grey[:, :, None], 3, axis=2), **self._steps)
        return " ".join(result.txts or ())

    def close(self) -> None:
        """Nothing to release."""


def language_data(texts: Sequence[str]) -> tuple[str, Path]:
    """Tesseract's installed language data that fit ground truth best, and the folder they lie in.

    A text with long s asks for Fraktur; otherwise German or French letters, if they are more than a few,
    decide.

    Raises:
        ImportError: tesseract or fitting language data are not installed.
    """
    command = shutil.which("tesseract")
    if command is None:
        raise ImportError("the command tesseract is not installed, so there are no language data")
    head, *names = _run([command, "--list-langs"]).splitlines()
    folder = Path(head.partition('"')[2].partition('"')[0])
    counts = Counter("".join(texts))
    german, french = (sum(counts[c] for c in letters) for letters in (_GERMAN, _FRENCH))
    accented = max(german, french) > _ACCENTS_WANTED * sum(counts.values())
    if counts["ſ"]:
        wanted = ["Fraktur", "script/Fraktur", "frk", "deu"]
    else:
        wanted = (["deu", "fra"] if german >= french else ["fra", "deu"]) if accented else []
    for name in [*wanted, "eng"]:
        if name in names:
            return name, folder
    raise ImportError(f"Tesseract lacks language data: wanted is one of {[*wanted, 'eng']}, installed are {names}")


def _run(command: list[str]) -> str:
    environment = os.environ | {"OMP_THREAD_LIMIT": "1"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=_DEADLINE_S, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise BadData(f"{' '.join(command)} failed: {error}") from None
    return done.stdout.decode("utf-8", "replace")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _rimmed(sample: Sample) -> bytes:
    """The line as PNG with a quarter of its height of paper around it."""
    grey = decode(sample.data)
    image = ImageOps.expand(Image.fromarray(grey), max(8, grey.shape[0] // 4), int(np.percentile(grey, 80)))
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()
