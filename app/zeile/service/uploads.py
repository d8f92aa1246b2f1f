# SPDX-License-Identifier: Apache-2.0
"""The files of a request: parts of a form, or the body itself."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO, cast

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from zeile.service.problems import BadForm, Overloaded, TooManyFiles, UnsupportedBody

FIELDS = ("files", "file", "image", "images", "image_file")
"""Form fields that are read; all mean the same."""

ZIP_TYPES = ("application/zip", "application/x-zip-compressed")
"""Media types of a zip file as the body."""

MAX_FILES = 1000
"""Files of a form."""

IN_MEMORY = 1 << 20
"""Bytes of a file that are kept in memory; the rest lies on disk, without a name."""

_ZIP = (b"PK\3\4", b"PK\5\6")


@dataclass(frozen=True)
class Upload:
    """A file of the request.

    Attributes:
        name: as the client calls it, without folders; "" for a body without a form.
        field: of the form that it came in; "" for a body without a form.
        size: its bytes.
        read: gives its bytes. Large files lie on disk until then.
        file: itself, seekable, for whoever does not want it whole.
    """

    name: str
    field: str
    size: int
    read: Callable[[], Awaitable[bytes]]
    file: BinaryIO

    @property
    def is_zip(self) -> bool:
        """Whether it begins as zip files do, whatever it is called."""
        self.file.seek(0)
        start = self.file.read(4)
        self.file.seek(0)
        return start in _ZIP


async def short_body(request: Request) -> bytes | None:
    """The body, if it is a single image that need not lie on disk; None if ``uploads`` is to look at it."""
    headers = request.headers
    kind, announced = headers.get("content-type", ""), headers.get("content-length", "")[:20]
    if not (kind.startswith(("image/", "application/octet-stream")) and announced.isdecimal()):
        return None
    if int(announced) > IN_MEMORY or "content-encoding" in headers:
        return None
    body = await request.body()
    return None if body.startswith(_ZIP) else body


@asynccontextmanager
async def uploads(
    request: Request, bodies: Sequence[str], fields: Sequence[str] = FIELDS
) -> AsyncIterator[list[Upload]]:
    """The files of a request, at least one; all of them have arrived.

    Args:
        request: with multipart/form-data, or a file as its body.
        bodies: media types of a file as the body, "image/*" for all images.
        fields: of the form that are read.

    Raises:
        BadForm: the form is damaged, or has fields that are not read or are not files.
        TooManyFiles: more than ``MAX_FILES``.
        UnsupportedBody: neither a form nor one of ``bodies``, or compressed.
        Overloaded: the disk is full.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedBody(f"content encoding {encoding[:40]!r} is not read; send the body as it is")
    if media_type == "multipart/form-data":
        try:
            form = await request.form(max_files=MAX_FILES, max_fields=MAX_FILES)
        except HTTPException as error:
            if "Too many" in str(error.detail):
                message = f"the form has more than {MAX_FILES} files; send them in several requests, or as a zip"
                raise TooManyFiles(message) from None
            raise BadForm(f"the form cannot be parsed: {error.detail}; is its boundary right?") from None
        except OSError as error:
            raise _full(error) from None
        try:
            if not form:
                raise BadForm(f"the form is empty; put the files into {_named(fields)}")
            yield [_part(name, value, fields) for name, value in form.multi_items()]
        finally:
            await form.close()
    elif media_type.startswith(tuple(body.rstrip("*") for body in bodies)):
        async with _body(request, request.app.state.settings.spool) as whole:
            yield [whole]
    else:
        raise UnsupportedBody(
            f"media type {media_type[:80]!r} is not read; send multipart/form-data with the field {fields[0]!r} "
            f"(curl -F {fields[0]}=@line.png ...), or a file as the body with Content-Type {' or '.join(bodies)}"
        )


@asynccontextmanager
async def _body(request: Request, spool: Path) -> AsyncIterator[Upload]:
    """The body as a file."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(spool)) as file:
        whole = UploadFile(cast(BinaryIO, file), size=0)  # writes and reads in a thread once it lies on disk
        try:
            async for piece in request.stream():
                await whole.write(piece)
        except OSError as error:
            raise _full(error) from None
        await whole.seek(0)
        yield Upload("", "", whole.size or 0, whole.read, whole.file)


def _part(name: str, value: UploadFile | str, fields: Sequence[str]) -> Upload:
    if name not in fields:
        raise BadForm(
            f"form field {name[:80]!r} is not read; files go into {_named(fields)}, "
            "options like model, reading and beam into the query: ?model=..."
        )
    if isinstance(value, str):
        raise BadForm(f"form field {name!r} holds text, not a file; with curl write -F {name}=@line.png, with the @")
    plain = PurePath((value.filename or "").replace("\\", "/")).name[:255]
    return Upload(plain, name, value.size or 0, value.read, value.file)


def _named(fields: Sequence[str]) -> str:
    return f"the field {fields[0]!r} (also read: {', '.join(fields[1:])})"


def _full(error: OSError) -> Overloaded:
    return Overloaded(
        f"the upload cannot be kept on disk: {error.strerror}; have room made in ZEILE_SPOOL and the system's folder "
        "for temporary files, or send less at a time"
    )
