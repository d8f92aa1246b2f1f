# SPDX-License-Identifier: Apache-2.0
"""The images of a job: the files of a folder and the folders below it, or the members of a zip file.

Names are slash-separated paths inside the folder or zip, in an order that is the same everywhere. Of a folder, only the
names of one directory are held at a time.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from zeile.errors import BadData, BadImage, ImageTooLarge, bare
from zeile.samples import IMAGE_SUFFIXES, Zip
from zeile.zips import DAMAGE


@dataclass(frozen=True, slots=True)
class Fetched:
    """An image file, or why there is none.

    Attributes:
        data: the file.
        sha256: of it, hexadecimal; None if it could not be had whole.
    """

    data: bytes | BadImage = field(repr=False)
    sha256: str | None


class Missing(BadImage):
    """There is no such image any more."""


class Images(Protocol):
    """Where images come from; ``fetch`` may be called by several threads at a time."""

    def names(self) -> Iterator[str]:
        """All of them, in order.

        Raises:
            BadData: a folder cannot be read.
        """

    def fetch(self, name: str) -> Fetched:
        """Read one; whatever is wrong with it is its answer."""

    def close(self) -> None:
        """Let go of the files."""


def open_images(path: Path, most_bytes: int) -> Images:
    """The images of a folder or zip file.

    Args:
        path: of it.
        most_bytes: of an image file; a longer one is not read.

    Raises:
        BadData: it is neither, or the zip file has names that lead out of it.
    """
    if path.is_dir():
        return Folder(path, most_bytes)
    if path.is_file():
        return Archive(path, most_bytes)
    raise BadData(f"{path}: there is no such folder or zip file; name a folder of images of lines, or a zip of them")


class Folder:
    """Images of a folder and of those below it; links to folders are not followed."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        self._path, self._most = path, most_bytes

    def names(self) -> Iterator[str]:
        yield from self._below("")

    def fetch(self, name: str) -> Fetched:
        try:
            with open(self._path / name, "rb") as stream:
                return _whole(stream, self._most)
        except (FileNotFoundError, NotADirectoryError):
            return Fetched(
                Missing("the file is not there any more; put it back, or leave it out of the next job"), None
            )
        except OSError as error:
            return Fetched(BadImage(f"the file cannot be read: {error.strerror}"), None)

    def close(self) -> None:
        """Nothing is held."""

    def _below(self, folder: str) -> Iterator[str]:
        try:
            with os.scandir(self._path / folder) as found:
                entries = sorted((e.name, e.is_dir(follow_symlinks=False), e.is_file()) for e in found)
        except OSError as error:
            raise BadData(f"{self._path / folder}: cannot be listed: {error.strerror}; nothing was begun") from None
        for name, is_folder, is_file in entries:
            if is_folder:
                yield from self._below(f"{folder}{name}/")
            elif is_file and _is_image(name):  # a pipe would keep us waiting
                yield folder + name


class Archive:
    """Images of a zip file, read in place."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        self._most = most_bytes
        try:
            self._file = zipfile.ZipFile(path)
            self._members = Zip(path, self._file)
        except DAMAGE as error:
            raise BadData(f"{path}: is neither a folder nor a zip file ({error})") from None

    def names(self) -> Iterator[str]:
        return (name for name in self._members.names if _is_image(name))

    def fetch(self, name: str) -> Fetched:
        try:
            with self._file.open(name) as stream:
                return _whole(stream, self._most)
        except KeyError:
            return Fetched(Missing("the zip file has no such member any more; name the zip that the job has"), None)
        except DAMAGE as error:
            return Fetched(BadImage(f"the file is damaged in the zip: {error}"), None)

    def close(self) -> None:
        self._file.close()


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.rpartition("/")[2].startswith(".")


def _whole(stream: IO[bytes], most: int) -> Fetched:
    data = stream.read(most + 1)
    if len(data) > most:
        return Fetched(bare(ImageTooLarge(f"the image file has more than {most} bytes; raise ZEILE_IMAGE_BYTES")), None)
    return Fetched(data, hashlib.sha256(data).hexdigest())
