# SPDX-License-Identifier: Apache-2.0
"""Labelled lines for measuring, from a folder or a zip file.

Three forms are read:

- a folder of ``NNN.png`` beside ``NNN.gt.txt`` (kraken, ocropus, calamari); other image formats as well;
- a zip file of the same pairs;
- a zip file of ``manifest.tsv`` and ``<id>.png``: a header line, tabs, no quoting, at least the
  columns ``id`` and ``norm`` (the text to compare with), better also ``doc`` and ``split``.

A pair's document is its file name up to the last ``_`` or ``-``: OCR-D's and archiscribe's names put page and
line behind it. Zip files are read in place; nothing is unpacked to disk, and sizes are bounded before
anything is read.
"""

from __future__ import annotations

import csv
import io
import re
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from zeile.errors import BadData
from zeile.zips import DAMAGE

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
"""Images that may stand beside a ``.gt.txt``, by preference."""

MAX_LINES = 1_000_000
MAX_IMAGE_BYTES = 32 * 2**20
MAX_TEXT_BYTES = 64 * 2**10
MAX_MANIFEST_BYTES = 256 * 2**20

_TEXT = ".gt.txt"
_MANIFEST = "manifest.tsv"
_DRIVE = re.compile(r"[A-Za-z]:")
_DOCUMENT = re.compile(r"(.+)[_-][^_-]*")


@dataclass(frozen=True, slots=True)
class Sample:
    """A labelled line.

    Attributes:
        id: unique in its set.
        doc: book, volume or page that it is from, or None if that is not known.
        data: the image file, still encoded.
        text: ground truth, without a line end.
    """

    id: str
    doc: str | None
    data: bytes = field(repr=False)
    text: str


def open_lines(path: Path, split: str | None = None) -> Iterator[Sample]:
    """Read the lines of a folder or zip file, in order of their names or of the manifest.

    Args:
        path: a folder or a zip file.
        split: take only the manifest's lines of this split, such as "val"; None takes all.

    Yields:
        The lines, one at a time.

    Raises:
        BadData: no such file, no lines, a text without an image, text that is not UTF-8, or a limit is
        exceeded.
    """
    if path.is_dir():
        lines = _pairs(_Folder(path), split)
    elif path.is_file():
        lines = _from_zip(path, split)
    else:
        raise BadData(
            f"{path}: there is no such folder or zip file; name a folder of NNN.png with NNN.gt.txt, or a zip"
        )
    found = False
    for sample in lines:
        found = True
        yield sample
    if not found:
        of_split = "" if split is None else f" of split {split!r}"
        raise BadData(f"{path}: holds no labelled lines{of_split}; wanted are NNN.png with NNN.gt.txt, or manifest.tsv")


def count_lines(path: Path, split: str | None = None) -> int:
    """How many lines ``open_lines`` will give; no image is read for it.

    Raises:
        BadData: as ``open_lines``, as far as it is seen without the images.
    """
    if path.is_dir():
        return sum(name.endswith(_TEXT) for name in _Folder(path).names)
    try:
        with zipfile.ZipFile(path) as file:
            members = Zip(path, file)
            manifest = next((name for name in members.names if PurePosixPath(name).name == _MANIFEST), None)
            if manifest is None:
                return sum(name.endswith(_TEXT) for name in members.names)
            rows = _rows(members, manifest)
            return sum(split is None or row.get("split") == split for row in rows)
    except DAMAGE as error:
        raise BadData(f"{path}: is neither a folder nor a zip file ({error})") from None


class _Folder:
    """Files of a folder, not of the folders below it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = sorted(entry.name for entry in path.iterdir() if entry.is_file())

    def read(self, name: str, limit: int) -> bytes:
        size = (self.path / name).stat().st_size
        _check_size(self.path / name, size, limit)
        return (self.path / name).read_bytes()


class Zip:
    """Plain members of a zip file, whatever folder inside it they lie in."""

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        self.path, self.file = path, file
        members = [m for m in file.infolist() if not m.is_dir()]
        if len(members) > 2 * MAX_LINES + 1:
            raise BadData(f"{path}: has {len(members)} members, at most {2 * MAX_LINES + 1} are read; split the set")
        for member in members:
            _check_member(path, member)
        self.names = sorted(m.filename for m in members)
        if len(set(self.names)) != len(self.names):
            raise BadData(f"{path}: a member's name occurs twice; build the zip file anew")

    def read(self, name: str, limit: int) -> bytes:
        member = self.file.getinfo(name)
        _check_size(Path(f"{self.path}/{name}"), member.file_size, limit)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadData(
                f"{self.path}: member {name} is stored by method {member.compress_type}; build it with deflate"
            )
        try:
            with self.file.open(member) as stream:
                data = stream.read(limit + 1)  # the header's size is only a claim
        except DAMAGE as error:
            raise BadData(f"{self.path}: member {name} cannot be read: {error}") from None
        _check_size(Path(f"{self.path}/{name}"), len(data), limit)
        return data


def _check_member(path: Path, member: zipfile.ZipInfo) -> None:
    parts = PurePosixPath(member.filename.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or _DRIVE.match(member.filename):
        raise BadData(f"{path}: member {member.filename!r} leads out of the zip file; build it with plain names")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise BadData(f"{path}: member {member.filename!r} is a link; put the file itself there")


def _check_size(where: Path, size: int, limit: int) -> None:
    if size > limit:
        raise BadData(f"{where}: has {size} bytes or more, at most {limit} are read; is it a line image or its text?")


def _from_zip(path: Path, split: str | None) -> Iterator[Sample]:
    try:
        file = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise BadData(f"{path}: is neither a folder nor a zip file ({error})") from None
    with file:
        members = Zip(path, file)
        manifests = [name for name in members.names if PurePosixPath(name).name == _MANIFEST]
        if len(manifests) > 1:
            raise BadData(f"{path}: has {len(manifests)} files {_MANIFEST}, one is wanted")
        yield from _listed(members, manifests[0], split) if manifests else _pairs(members, split)


def _listed(members: Zip, manifest: str, split: str | None) -> Iterator[Sample]:
    """Lines named in a manifest."""
    folder, known = PurePosixPath(manifest).parent, set(members.names)
    rows = _rows(members, manifest)
    wanted = {"id", "norm"} | ({"split"} if split is not None else set())
    if missing := sorted(wanted - set(rows.fieldnames or ())):
        raise BadData(f"{members.path}/{manifest}: lacks the columns {missing}; it has {rows.fieldnames}")
    seen: set[str] = set()
    for number, row in enumerate(rows, 2):
        where = f"{members.path}/{manifest} line {number}"
        if None in row or None in row.values():
            raise BadData(f"{where}: does not have the {len(rows.fieldnames or ())} columns of the header")
        if split is not None and row["split"] != split:
            continue
        name = str(folder / f"{row['id']}.png")
        if row["id"] in seen or name not in known:
            raise BadData(f"{where}: id {row['id']!r} occurs twice, or {name} is not in the zip file")
        seen.add(row["id"])
        yield Sample(row["id"], row.get("doc") or None, members.read(name, MAX_IMAGE_BYTES), row["norm"])


def _rows(members: Zip, manifest: str) -> csv.DictReader[str]:
    text = _decoded(f"{members.path}/{manifest}", members.read(manifest, MAX_MANIFEST_BYTES))
    return csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)


def _pairs(files: _Folder | Zip, split: str | None) -> Iterator[Sample]:
    """Images with their ``.gt.txt``."""
    if split is not None:
        raise BadData(f"{files.path}: has no {_MANIFEST}, so it has no split {split!r}; leave the split out")
    known = set(files.names)
    for name in files.names:
        if not name.endswith(_TEXT):
            continue
        stem = name[: -len(_TEXT)]
        image = next((stem + suffix for suffix in IMAGE_SUFFIXES if stem + suffix in known), None)
        if image is None:
            raise BadData(
                f"{files.path}: {name} has no image beside it; wanted is {stem}.png (or {IMAGE_SUFFIXES[1:]})"
            )
        text = _decoded(f"{files.path}/{name}", files.read(name, MAX_TEXT_BYTES)).rstrip("\r\n")
        if "\n" in text:
            raise BadData(f"{files.path}/{name}: has several lines of text; one line belongs to one image")
        yield Sample(stem, _document(stem), files.read(image, MAX_IMAGE_BYTES), text)


def _document(stem: str) -> str | None:
    """The name up to the last ``_`` or ``-``."""
    match = _DOCUMENT.fullmatch(stem)
    return match[1] if match else None


def _decoded(where: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadData(f"{where}: is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
