# SPDX-License-Identifier: Apache-2.0
"""The files of a request: parts of a form, or the body itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePath

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from zeile.service.problems import BadForm, TooManyFiles, UnsupportedBody

FIELDS = ("files", "file", "image", "images", "image_file")
"""Form fields that are read; all mean the same."""

MAX_FILES = 1000
"""Files of a request."""

_FIELDS = f"the field 'files' (also read: {', '.join(FIELDS[1:])})"


@dataclass(frozen=True)
class Upload:
    """A file of the request.

    Attributes:
        name: as the client calls it, without folders; "" for a body without a form.
        read: gives its bytes. Large parts of a form lie on disk until then.
    """

    name: str
    read: Callable[[], Awaitable[bytes]]


@asynccontextmanager
async def uploads(request: Request, bodies: Sequence[str]) -> AsyncIterator[list[Upload]]:
    """The files of a request, at least one.

    Args:
        request: with multipart/form-data, or a file as its body.
        bodies: media types of a file as the body, "image/*" for all images.

    Raises:
        BadForm: the form is damaged, or has fields that are not read or are not files.
        TooManyFiles: more than ``MAX_FILES``.
        UnsupportedBody: neither a form nor one of ``bodies``.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        try:
            form = await request.form(max_files=MAX_FILES, max_fields=MAX_FILES)
        except HTTPException as error:
            if "Too many" in str(error.detail):
                message = f"the form has more than {MAX_FILES} files; send them in several requests"
                raise TooManyFiles(message) from None
            raise BadForm(f"the form cannot be parsed: {error.detail}; is its boundary right?") from None
        try:
            if not form:
                raise BadForm(f"the form is empty; put the files into {_FIELDS}")
            yield [_part(name, value) for name, value in form.multi_items()]
        finally:
            await form.close()
    elif media_type.startswith(tuple(body.rstrip("*") for body in bodies)):
        yield [Upload("", request.body)]
    else:
        raise UnsupportedBody(
            f"media type {media_type[:80]!r} is not read; send multipart/form-data with the field 'files' "
            f"(curl -F files=@line.png ...), or a file as the body with Content-Type {' or '.join(bodies)}"
        )


def _part(name: str, value: UploadFile | str) -> Upload:
    if name not in FIELDS:
        raise BadForm(
            f"form field {name[:80]!r} is not read; files go into {_FIELDS}, "
            "options like model, reading and beam into the query: ?model=..."
        )
    if isinstance(value, str):
        raise BadForm(f"form field {name!r} holds text, not a file; with curl write -F {name}=@line.png, with the @")
    return Upload(PurePath((value.filename or "").replace("\\", "/")).name[:255], value.read)
