# SPDX-License-Identifier: Apache-2.0
"""Requests of ``/v1/recognize``, made before the first is sent."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from PIL import Image

from zeile.errors import BadData
from zeile.samples import IMAGE_SUFFIXES, MAX_IMAGE_BYTES
from zeile.zips import DAMAGE

Thing = TypeVar("Thing")

PATH = "/v1/recognize"
MAX_BYTES = 1 << 28
"""All images together."""

_BOUNDARY = "zeile-load-7d1c9a"
_MEDIA_TYPES = {".jpg": "image/jpeg", ".tif": "image/tiff"}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of a line.

    Attributes:
        name: of its file.
        data: the file.
    """

    name: str
    data: bytes

    @property
    def media_type(self) -> str:
        """By the name."""
        suffix = PurePosixPath(self.name).suffix.lower()
        return _MEDIA_TYPES.get(suffix, f"image/{suffix[1:]}")


def drawn(count: int = 49) -> list[Picture]:
    """PNG files of 32 to 80 by 300 to 1500 pixels with strokes on them: as much work as a line of text."""
    rng, pictures = np.random.default_rng(1), []
    for number in range(count):
        height, width = int(rng.integers(32, 81)), int(rng.integers(300, 1501))
        page = np.full((height, width), 235, np.uint8)
        for left in range(5, width - 8, 9):
            top = int(rng.integers(height // 5, height // 2))
            page[top : 4 * height // 5, left : left + 2] = 30
            page[top : top + 2, left : left + int(rng.integers(3, 9))] = 30
        buffer = io.BytesIO()
        Image.fromarray(page).save(buffer, "PNG")
        pictures.append(Picture(f"{number:03}.png", buffer.getvalue()))
    return pictures


def found(path: Path, most: int) -> list[Picture]:
    """Images of a folder or a zip file, spread evenly over it.

    Raises:
        BadData: there are none, it cannot be read, or they are too large.
    """
    try:
        pictures = [Picture(PurePosixPath(name).name, data) for name, data in _read(path, most)]
    except DAMAGE as error:
        raise BadData(f"{path}: cannot be read as a folder or zip file of images: {error}") from None
    if not pictures:
        raise BadData(f"{path}: holds no images; wanted are files that end in {', '.join(IMAGE_SUFFIXES)}")
    return pictures


def _read(path: Path, most: int) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        files = _spread(sorted(file for file in path.iterdir() if _is_image(file.name) and file.is_file()), most)
        yield from _bounded(path, [(file.name, file.stat().st_size, file.read_bytes) for file in files])
        return
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist() if _is_image(member.filename)}
        chosen = [members[name] for name in _spread(sorted(members), most)]
        yield from _bounded(path, [(m.filename, m.file_size, partial(archive.read, m)) for m in chosen])


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _spread(things: Sequence[Thing], most: int) -> list[Thing]:
    count = min(most, len(things))
    return [things[i * len(things) // count] for i in range(count)]


def _bounded(path: Path, files: Sequence[tuple[str, int, Callable[[], bytes]]]) -> Iterator[tuple[str, bytes]]:
    total = 0
    for name, size, read in files:
        total += size
        if size > MAX_IMAGE_BYTES or total > MAX_BYTES:
            limits = f"{MAX_IMAGE_BYTES} for one, {MAX_BYTES} for all"
            raise BadData(f"{path}: {name} has {size} bytes, {total} with those before it; the limits are {limits}")
        yield name, read()


def requests(host: str, target: str, pictures: Sequence[Picture], files: int, keys: Sequence[str]) -> list[bytes]:
    """Whole requests: each picture is in one of them, and each key is used in turn.

    Args:
        host: for the header of that name.
        target: path and query.
        pictures: what is sent.
        files: of a request; a single one is sent as the body, several as a form.
        keys: API keys; may be empty.

    Returns:
        Requests; as many for each key as it takes to send each picture once.
    """
    groups = [
        [pictures[i % len(pictures)] for i in range(first, first + files)] for first in range(0, len(pictures), files)
    ]
    made = []
    for group in groups:
        for key in keys or ("",):
            body, kind = (group[0].data, group[0].media_type) if files == 1 else _form(group)
            head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            head += f"Authorization: Bearer {key}\r\n" if key else ""
            made.append(f"{head}\r\n".encode() + body)
    return made


def get(host: str, target: str, key: str = "") -> bytes:
    """A whole GET request."""
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n".encode()


def _form(group: Sequence[Picture]) -> tuple[bytes, str]:
    parts = []
    for picture in group:
        name = picture.name.translate({ord('"'): "%22", 13: "%0D", 10: "%0A"})
        disposition = f'form-data; name="files"; filename="{name}"'
        head = f"--{_BOUNDARY}\r\nContent-Disposition: {disposition}\r\nContent-Type: {picture.media_type}\r\n\r\n"
        parts += [head.encode(), picture.data, b"\r\n"]
    return b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={_BOUNDARY}"
