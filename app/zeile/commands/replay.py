# SPDX-License-Identifier: Apache-2.0
"""``zeile replay``: read an answer's images again on the CPU, and compare every hash of its provenance."""

from __future__ import annotations

import argparse
import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zeile.beam import BeamOptions
from zeile.device import open_device
from zeile.errors import BadData, BadImage, BadManifest, BadSettings
from zeile.formats import Region, cut_lines
from zeile.image import Limits, decode
from zeile.manifest import Model, find_model, load_model
from zeile.pipeline import Decoder, Line, prepare
from zeile.service.provenance import (
    array_sha256,
    canonical,
    decoder_facts,
    model_facts,
    software_facts,
)
from zeile.service.provenance_file import recorded, regions_of
from zeile.settings import Settings

Grey = npt.NDArray[np.uint8]

EXAMPLES = """examples:
  curl -F files=@line.png http://127.0.0.1:8000/v1/recognize > answer.json
  zeile replay answer.json line.png                        the answer, or its provenance alone
  zeile audit show audit.jsonl --record 17 | zeile replay - line.png
  zeile replay page.json page.png                          a page: its lines are cut out again

Images are known by their SHA-256, in any order; those that are not given are left out.

exit code: 0 the images give the recorded answer to the last bit, 1 they do not, 2 wrong usage"""


@dataclass(frozen=True)
class Finding:
    """One thing that was compared.

    Attributes:
        name: what.
        state: same; differs, which the exit code shows; other: it is another one here, which alone changes no text.
        found: how it is.
    """

    name: str
    state: str
    found: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``zeile replay``."""
    kinds = "JSON of an answer, of its provenance, or of a record of the audit log; - is standard input"
    parser.add_argument("record", metavar="RECORD", help=kinds)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="as they were sent")
    parser.add_argument("--models", type=Path, metavar="DIR", help="folder of models (default: ZEILE_MODELS)")
    named = "engine that reads: cpu, reference or fpga (default cpu)"
    parser.add_argument("--engine", default="cpu", metavar="NAME", help=named)
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Compare; returns 0, or 1 if anything that decides a text differs."""
    warnings.filterwarnings("ignore", module="PIL")  # on oddities of files: they were read all the same
    findings = list(compare(recorded(args.record), args.images, settings))
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=1))
    else:
        for finding in findings:
            print(f"{finding.state:8} {finding.name}: {finding.found}")
    return 1 if any(finding.state == "differs" for finding in findings) else 0


def compare(origin: Mapping[str, Any], images: Sequence[Path], settings: Settings) -> Iterator[Finding]:
    """Everything that the record pins, beside what it is here."""
    for part, here in (("software", software_facts()), ("decoder", decoder_facts())):
        yield from _versions(part, origin[part], here)
    engines = " + ".join(str(engine.get("engine")) for engine in origin["engines"])
    state = "same" if engines == settings.engine else "other"
    yield Finding("engine", state, f"{settings.engine} here, {engines or 'none'} then")
    model = None
    for finding in _model(origin["model"], settings):
        if isinstance(finding, Model):
            model = finding
        else:
            yield finding
    if model is None:
        return
    reader = _Reader(model, origin["options"], settings)
    if origin["page"] is None:
        yield from _lines(origin, images, reader)
    else:
        yield from _page(origin, images, reader)


def _versions(part: str, then: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[Finding]:
    if then == here:
        yield Finding(part, "same", ", ".join(f"{k} {v}" for k, v in here.items() if k not in ("source", "native")))
    for name in sorted(set(then) | set(here)):
        if then.get(name) != here.get(name):
            yield Finding(f"{part} {name}", "other", f"{here.get(name)} here, {then.get(name)} then")


def _model(then: Mapping[str, Any], settings: Settings) -> Iterator[Finding | Model]:
    """What is to be said about the model, and the model itself if it is here."""
    name = f"{then['name']}/{then['version']}"
    try:
        model = load_model(find_model(name, settings.models))
    except (BadSettings, BadManifest) as error:
        yield Finding("model", "differs", str(error))
        return
    facts = model_facts(model)
    for key in ("sha256", "alphabet_sha256"):
        same = facts[key] == then[key]
        found = f"{name}, {facts[key]}" if same else f"{name} is {facts[key]} here, {then[key]} then"
        yield Finding("model" if key == "sha256" else "alphabet", "same" if same else "differs", found)
    yield model


class _Reader:
    """Reads one image after the other, as the record's options say."""

    def __init__(self, model: Model, options: Mapping[str, Any], settings: Settings) -> None:
        beam = BeamOptions(width=options["beam"]) if options["beam"] else None
        self._decoder = Decoder(model, reading=options["reading"], beam=beam, alternatives=options["alternatives"])
        self._network = model.network
        self._device = open_device(settings.engine, model.network, settings.threads, settings)
        self.limits: Limits = settings.image_limits()

    def read(self, image: bytes | Grey) -> tuple[str | None, Line | BadImage]:
        """SHA-256 of the frames, and what the image says or what is wrong with it."""
        try:
            grey = decode(image, self.limits) if isinstance(image, bytes) else image
            prepared = prepare(grey, self._network)
        except BadImage as error:
            return None, error
        frames = array_sha256(prepared.frames)
        try:
            return frames, self._decoder.line(self._device.run(prepared.frames), prepared)
        except BadImage as error:  # longer than an overlay's buffers
            return frames, error


def _lines(origin: Mapping[str, Any], images: Sequence[Path], reader: _Reader) -> Iterator[Finding]:
    places = {digest: place for place, digest in reversed(list(enumerate(origin["inputs"])))}
    for path in images:
        data = _bytes(path)
        digest = hashlib.sha256(data).hexdigest()
        if digest not in places:
            yield Finding(f"{path}: input", "differs", f"{digest} is none of the {len(places)} images of the record")
            continue
        yield Finding(f"{path}: input", "same", digest)
        yield from _compared(str(path), origin, places[digest], data, reader)


def _page(origin: Mapping[str, Any], images: Sequence[Path], reader: _Reader) -> Iterator[Finding]:
    if len(images) != 1:
        raise BadSettings(f"the record is of one page, {len(images)} images were given; give the page's")
    data, then = _bytes(images[0]), origin["page"]["sha256"]
    digest = hashlib.sha256(data).hexdigest()
    if digest != then:
        yield Finding(f"{images[0]}: input", "differs", f"{digest} here, {then} then")
        return
    yield Finding(f"{images[0]}: input", "same", digest)
    try:
        grey = decode(data, reader.limits)
    except BadImage as error:
        yield Finding(f"{images[0]}: pixels", "differs", str(error))
        return
    regions = regions_of(origin["page"])
    height, width = grey.shape
    for region in regions:
        if region.box != region.box.clipped(width, height) or not _inside(region, width, height):
            found = f"lies outside the page, which has {width} x {height} pixels"
            yield Finding(f"{images[0]}: {region.id}: region", "differs", found)
            return
    for place, (region, cut) in enumerate(zip(regions, cut_lines(grey, regions), strict=True)):
        name = f"{images[0]}: {region.id or place}"
        if isinstance(cut, BadImage):
            yield _answered(name, origin["outputs"][place], cut)
            continue
        digest, then = array_sha256(cut), origin["inputs"][place]
        if digest != then:
            yield Finding(f"{name}: pixels", "differs", f"{digest} here, {then} then: the page was decoded differently")
        yield from _compared(name, origin, place, cut, reader)


def _inside(region: Region, width: int, height: int) -> bool:
    return all(0 <= x < width and 0 <= y < height for x, y in region.polygon)


def _compared(
    name: str, origin: Mapping[str, Any], place: int, image: bytes | Grey, reader: _Reader
) -> Iterator[Finding]:
    """One image's frames and answer."""
    frames, line = reader.read(image)
    then = origin["frames"][place]
    if frames == then:
        yield Finding(f"{name}: frames", "same", str(frames or "none"))
    else:
        yield Finding(f"{name}: frames", "differs", f"{frames} here, {then} then: decoded or normalised differently")
    yield _answered(name, origin["outputs"][place], line)


def _answered(name: str, then: str, line: Line | BadImage) -> Finding:
    output = hashlib.sha256(canonical(line)).hexdigest()
    said = str(line) if isinstance(line, BadImage) else json.dumps(line.text, ensure_ascii=False)
    if output == then:
        return Finding(f"{name}: answer", "same", f"{output} {said}")
    return Finding(f"{name}: answer", "differs", f"{output} here, {then} then; here it reads {said}")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadData(f"{path}: cannot be read ({error.strerror}); give the image as it was sent") from None
