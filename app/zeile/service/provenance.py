# SPDX-License-Identifier: Apache-2.0
"""Where an answer comes from: every input, model, engine and version that decided it, pinned by SHA-256.

Two answers whose provenance differs in ``request_id``, ``time``, ``engines`` and ``overlay`` alone say the same:
texts, positions and confidences are integers' work, equal on every engine. Anybody can recompute the hashes:

- ``inputs``: each image file's bytes as they were sent; of a line cut out of a page "height width", a newline, and its
  grey pixels. ``frames``: likewise what the engine read, after decoding and normalising.
- ``outputs``: each line as ``canonical`` writes it. ``output``: all of them, each followed by a newline.
- ``software.source``: ``find . -name '*.py' | LC_ALL=C sort | xargs sha256sum | sha256sum`` in the package's folder.
- ``model.sha256``: manifest.json, which pins every other file of the model.

Nothing here needs the packages of the service: ``zeile replay`` uses it too.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
import orjson
import PIL
from PIL import features

import zeile
from zeile.errors import BadImage, ImageTooLarge
from zeile.formats import Provenance, Region
from zeile.manifest import Model
from zeile.pipeline import Line
from zeile.service.logs import second

if TYPE_CHECKING:
    from zeile.service.batch import Answer
    from zeile.service.engines import Options
    from zeile.service.ticket import Ticket

FORMAT, FORMAT_VERSION = "zeile-provenance", 1

Read = Line | BadImage

_KINDS = ((ImageTooLarge, "image-too-large"), (BadImage, "bad-image"))  # as in problems.py, which needs FastAPI
_IN_DOCUMENTS = ("request_id", "model", "options", "overlay", "software", "decoder", "output")
_ELSEWHERE = ("model.name", "model.version", "model.sha256", "software.name", "software.version")


def provenance(
    answer: Answer,
    asked: Options,
    ticket: Ticket,
    *,
    self_test: Mapping[str, Any] | None = None,
    page: tuple[str, Sequence[Region]] | None = None,
) -> dict[str, Any]:
    """The provenance of an answer, a ``provenance_schema.Provenance``.

    Args:
        answer: of the worker.
        asked: how the lines were read.
        ticket: of the request.
        self_test: the last self-test of the engine, if there was one.
        page: SHA-256 of a page's image file and the regions that its lines, the answer's, were cut from.
    """
    digests, output = output_digests(answer.lines)
    engines = [dict(engine) for engine in answer.engines]
    overlays = [overlay for engine in engines if (overlay := engine.pop("overlay", None))]
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "request_id": ticket.request_id,
        "time": now(),
        "inputs": list(answer.inputs),
        "frames": [sha256 or None for sha256 in answer.frames],
        "outputs": digests,
        "output": {"sha256": output},
        "page": page_facts(*page) if page else None,
        "model": model_facts(answer.model),
        "options": {
            "reading": asked.reading or answer.model.alphabet.default_reading,
            "beam": asked.beam,
            "alternatives": asked.alternatives,
        },
        "engines": engines,
        "overlay": overlays[0] if overlays else None,
        "software": software_facts(),
        "decoder": decoder_facts(),
        "self_test": dict(self_test) if self_test else None,
    }


def canonical(read: Read) -> bytes:
    """A line as it is hashed: JSON in UTF-8 without blanks, keys sorted, confidences 0 ... 10000.

    Either ``{"error":kind}`` or ``{"characters":[...],"confidence":...,"confidences":[...],"left":[...],"right":[...],
    "text":...}``, whose lists have an entry for each character; if there are alternatives, the first key is
    ``"alternatives":[[text,score],...]``.
    """
    if isinstance(read, BadImage):
        return orjson.dumps({"error": next(name for kind, name in _KINDS if isinstance(read, kind))})
    # By columns: that is encoded in half the time of a list for each character.
    characters, left, right, confidences = zip(*read.characters, strict=True) if read.characters else ((), (), (), ())
    entry: dict[str, Any] = {
        "characters": characters,
        "confidence": read.confidence,
        "confidences": confidences,
        "left": left,
        "right": right,
        "text": read.text,
    }
    if read.alternatives:
        entry = {"alternatives": [tuple(alternative) for alternative in read.alternatives], **entry}
    return orjson.dumps(entry)


def array_sha256(pixels: npt.NDArray[np.uint8]) -> str:
    """SHA-256 of "rows columns", a newline, and the bytes of an array, row after row."""
    rows, columns = pixels.shape
    return hashlib.sha256(b"%d %d\n" % (rows, columns) + pixels.tobytes()).hexdigest()


def output_digests(lines: Iterable[Read]) -> tuple[list[str], str]:
    """SHA-256 of each line, and of all of them."""
    digests, everything = [], hashlib.sha256()
    for read in lines:
        content = canonical(read)
        digests.append(hashlib.sha256(content).hexdigest())
        everything.update(content + b"\n")
    return digests, everything.hexdigest()


def now() -> str:
    """The time, UTC, milliseconds, as RFC 3339 writes it."""
    seconds = time.time()
    return f"{second(int(seconds))}.{int(1000 * seconds) % 1000:03d}Z"


def page_facts(sha256: str, regions: Sequence[Region]) -> dict[str, Any]:
    """A page's image and where its lines stand, so that they can be cut out of it again."""
    entries = [
        {"id": region.id, "box": list(region.box), "polygon": [list(point) for point in region.polygon]}
        for region in regions
    ]
    return {"sha256": sha256, "regions": entries}


def model_facts(model: Model) -> dict[str, Any]:
    """Name, hashes, licence and text conventions of a model; ``alphabet_sha256`` is of its characters as JSON."""
    return {
        "name": model.name,
        "version": model.version,
        "sha256": model.sha256,
        "license": model.manifest["license"],
        "data": [entry["name"] for entry in model.manifest["training"]["data"]],
        "normalisation": model.manifest["text"]["normalisation"],
        "alphabet_sha256": _alphabet_sha256(model.alphabet.characters),
    }


@functools.lru_cache(maxsize=64)
def _alphabet_sha256(characters: tuple[str, ...]) -> str:
    return hashlib.sha256(orjson.dumps(characters)).hexdigest()


@functools.cache
def software_facts() -> dict[str, Any]:
    """Versions and hashes of the code that runs; ``native`` is the compiled module's, which depends on the machine."""
    return {
        "name": "zeile",
        "version": zeile.__version__,
        "source": source_sha256(Path(zeile.__file__).parent),
        "native": _native_sha256(),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


@functools.cache
def decoder_facts() -> dict[str, Any]:
    """Versions of what turns files into pixels; None for a decoder that Pillow was built without."""
    turbo = features.version_feature("libjpeg_turbo")
    return {
        "pillow": PIL.__version__,
        "libjpeg": f"turbo {turbo}" if turbo else features.version_codec("jpg"),
        "zlib": features.version_codec("zlib"),
        "libtiff": features.version_codec("libtiff"),
        "webp": features.version("webp"),
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }


def source_sha256(package: Path) -> str:
    """One hash of all Python files of a package, as the shell line above gives it."""
    names = sorted(path.relative_to(package).as_posix().encode() for path in package.rglob("*.py"))
    whole = hashlib.sha256()
    for name in names:
        digest = hashlib.sha256((package / name.decode()).read_bytes()).hexdigest()
        whole.update(f"{digest}  ./{name.decode()}\n".encode())
    return whole.hexdigest()


def _native_sha256() -> str | None:
    try:
        from zeile.native import _native
    except ImportError:
        return None
    return hashlib.sha256(Path(_native.__file__).read_bytes()).hexdigest()


def for_documents(origin: Mapping[str, Any]) -> Provenance:
    """The same, as ALTO, PAGE and hOCR write it; the hash of the input stands with its ``Page``."""
    facts = (fact for part in _IN_DOCUMENTS for fact in _flat(part, origin[part]))
    model = origin["model"]
    return Provenance(
        model=f"{model['name']}/{model['version']}",
        model_sha256=model["sha256"],
        engine=" + ".join(dict.fromkeys(str(engine.get("engine", "")) for engine in origin["engines"])),
        software=origin["software"]["version"],
        settings=tuple((name, value) for name, value in facts if name not in _ELSEWHERE),
        time=datetime.fromisoformat(origin["time"].replace("Z", "+00:00")),
    )


def _flat(name: str, fact: Any) -> Iterator[tuple[str, str]]:
    """Facts with the path to them as their name; what is absent, and lists, are left out."""
    if isinstance(fact, Mapping):
        for key, value in fact.items():
            yield from _flat(f"{name}.{key}", value)
    elif isinstance(fact, str | int):
        yield name, json.dumps(fact) if isinstance(fact, bool) else str(fact)
