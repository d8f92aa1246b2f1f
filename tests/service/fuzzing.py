# SPDX-License-Identifier: Apache-2.0
"""Good files made bad by chance: the same ones for the same seed."""

from __future__ import annotations

import io
import json
import random
import struct
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tests.models import line_png, write_tiny_model
from tests.service.hostile import END, FORM, part
from tests.service.hostile_archives import zipped

from zeile.errors import ZeileError
from zeile.formats import read_regions
from zeile.manifest import load_model
from zeile.service.keys import made, read_keys, write_keys

INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(data: bytes, chance: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """A file with one to eight changes."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(8)
        if kind == 0 and changed:
            at %= len(changed)
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            order = chance.choice("<>") + chance.choice("BHI")
            value = chance.choice(INTERESTING) & ((1 << 8 * struct.calcsize(order)) - 1)
            changed[at : at + struct.calcsize(order)] = struct.pack(order, value)
        elif kind == 2:
            del changed[at : at + chance.choice((1, 4, 16, 256))]
        elif kind == 3:
            changed[at:at] = chance.randbytes(chance.choice((1, 4, 16, 256)))
        elif kind == 4:
            piece = changed[at : at + chance.choice((4, 16, 256))]
            changed[at:at] = piece * chance.choice((1, 2, 50))
        elif kind == 5:
            del changed[at:]
        elif kind == 6 and others:
            other = chance.choice(others)
            start = chance.randrange(len(other) + 1)
            changed[at:] = other[start:]
        else:
            changed[at : at + 4] = chance.randbytes(4)
    return bytes(changed)


def repaired_png(data: bytes) -> bytes:
    """With right checksums again, so that what is behind them is reached."""
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        length = min(int.from_bytes(data[at : at + 4], "big"), len(data) - at - 12)
        body = data[at + 4 : at + 8 + length]
        out += struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return bytes(out)


def pictures() -> list[bytes]:
    """A line in each format that is read."""
    grey = Image.open(io.BytesIO(line_png(1))).convert("L")
    kinds: list[tuple[str, str, dict[str, object]]] = [
        ("PNG", "L", {}),
        ("PNG", "1", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {}),
        ("JPEG", "L", {}),
        ("JPEG", "RGB", {"progressive": True}),
        ("TIFF", "L", {}),
        ("TIFF", "L", {"compression": "tiff_lzw"}),
        ("TIFF", "1", {"compression": "group4"}),
        ("TIFF", "RGB", {"compression": "jpeg"}),
        ("TIFF", "L", {"compression": "tiff_deflate"}),
        ("WEBP", "RGB", {}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("BMP", "L", {}),
        ("BMP", "P", {}),
        ("PPM", "L", {}),
        ("PPM", "1", {}),
    ]
    files = []
    for kind, mode, how in kinds:
        buffer = io.BytesIO()
        grey.convert(mode).save(buffer, kind, **how)
        files.append(buffer.getvalue())
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    buffer = io.BytesIO()
    deep.save(buffer, "PNG")
    return [*files, buffer.getvalue()]


def archives() -> list[bytes]:
    """Of lines with their texts, and of lines alone."""
    pairs = [(f"{i}.png", line_png(i)) for i in range(3)] + [(f"{i}.gt.txt", b"text") for i in range(3)]
    manifest = ("manifest.tsv", b"id\ttext\tsplit\n0\ttext\tval\n1\ttext\tval\n")
    return [zipped(pairs), zipped([*pairs[:3], manifest]), zipped([("a/b/c.png", line_png(1))], 0)]


def forms() -> list[bytes]:
    """Bodies of multipart/form-data."""
    one = part(line_png(1))
    return [one + END, one * 3 + END, part(b"x", 'form-data; name="a"') + one + END]


def documents() -> list[bytes]:
    """Of the lines of a page: ALTO, PAGE and JSON."""
    alto = (
        '<?xml version="1.0" encoding="UTF-8"?><alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Description>'
        "<MeasurementUnit>pixel</MeasurementUnit></Description><Layout><Page ID='p' PHYSICAL_IMG_NR='1' WIDTH='300' "
        "HEIGHT='40'><PrintSpace><TextBlock ID='b'><TextLine ID='l' HPOS='0' VPOS='0' WIDTH='300' HEIGHT='40'>"
        "<String CONTENT='a' HPOS='0' VPOS='0' WIDTH='9' HEIGHT='9'/></TextLine></TextBlock></PrintSpace></Page>"
        "</Layout></alto>"
    )
    page = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"><Metadata><Creator>a</Creator>'
        "</Metadata><Page imageFilename='p.png' imageWidth='300' imageHeight='40'><TextRegion id='r'>"
        "<Coords points='0,0 300,0 300,40 0,40'/><TextLine id='l'><Coords points='0,0 300,0 300,40 0,40'/>"
        "<TextEquiv><Unicode>a</Unicode></TextEquiv></TextLine></TextRegion></Page></PcGts>"
    )
    return [alto.encode(), page.encode(), b'{"lines": [{"box": [0, 0, 300, 40]}, {"box": [0, 0, 150, 40]}]}']


def inferences() -> list[bytes]:
    """Bodies of the Open Inference Protocol."""
    tensor = '{"name":"image","datatype":"BYTES","shape":[1],"data":["aGVsbG8="]}'
    return [f'{{"id":"1","inputs":[{tensor}],"outputs":[{{"name":"text"}}]}}'.encode()]


@dataclass(frozen=True)
class Surface:
    """Where what is mutated is sent.

    Attributes:
        path: of the endpoint.
        media_type: of the body.
        seeds: good bodies.
        wrapped: makes a body of a mutated seed.
    """

    path: str
    media_type: str
    seeds: Callable[[], list[bytes]]
    wrapped: Callable[[bytes], bytes] = bytes


def _with_page(document: bytes) -> bytes:
    image = part(line_png(1), 'form-data; name="image"; filename="p.png"')
    return image + part(document, 'form-data; name="regions"; filename="r.xml"') + END


SURFACES: Mapping[str, Surface] = {
    "image": Surface("/v1/recognize", "image/png", pictures),
    "zip": Surface("/v1/recognize", "application/zip", archives),
    "measured zip": Surface("/v1/measure", "application/zip", archives),
    "form": Surface("/v1/recognize", FORM, forms),
    "regions": Surface("/v1/pages", FORM, documents, _with_page),
    "infer": Surface("/v2/models/tiny/infer", "application/json", inferences),
}
"""Of the service."""


def mutant(surface: Surface, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """A body for a surface."""
    body = mutated(chance.choice(seeds), chance, seeds)
    if body.startswith(b"\x89PNG") and chance.random() < 0.7:
        body = repaired_png(body)
    return surface.wrapped(body)


def open_model(chance: random.Random, folder: Path) -> None:
    """Open a model of which one file was mutated; raises a ZeileError, or nothing where the change does not matter."""
    model = write_tiny_model(folder)
    file = chance.choice(sorted(path for path in model.iterdir() if path.is_file()))
    file.write_bytes(mutated(file.read_bytes(), chance))
    load_model(model)


def open_manifest(chance: random.Random, folder: Path) -> None:
    """Open a model whose manifest has other values, while it is sound JSON."""
    model = write_tiny_model(folder)
    path = model / "manifest.json"
    content = json.loads(path.read_bytes())
    at = content
    while isinstance(at, dict) and at and chance.random() < 0.7:
        name = chance.choice(sorted(at))
        if isinstance(at[name], dict | list) and at[name] and chance.random() < 0.6:
            at = at[name] if isinstance(at[name], dict) else at
            continue
        at[name] = chance.choice((None, -1, 0, 1e308, 2**63, "", "../x", "\0", [], {}, [[]], True, "a" * 10_000))
    path.write_bytes(json.dumps(content).encode())
    load_model(model)


def open_keys(chance: random.Random, folder: Path) -> None:
    """Read a mutated file of keys."""
    path = folder / "keys.json"
    write_keys(path, [made("a", ["read"])[1], made("b", ["admin", "measure"])[1]])
    path.write_bytes(mutated(path.read_bytes(), chance))
    read_keys(path)


def open_document(chance: random.Random, folder: Path) -> None:
    """Read a mutated document of regions."""
    read_regions(mutated(chance.choice(documents()), chance, documents()), (300, 40))


FILES: Mapping[str, Callable[[random.Random, Path], None]] = {
    "model": open_model,
    "manifest": open_manifest,
    "keys": open_keys,
    "document": open_document,
}
"""Read in the process that fuzzes."""


def refused_or_read(read: Callable[[random.Random, Path], None], seed: int) -> str:
    """What became of one: "read", or the name of the error of ours that refused it; any other error is raised."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            read(random.Random(seed), Path(folder))
        except ZeileError as error:
            return type(error).__name__
    return "read"
