# SPDX-License-Identifier: Apache-2.0
"""Every error as problem details (RFC 9457), by one table from error class to HTTP status."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from zeile.errors import BadData, BadImage, BadManifest, BadSettings, DeviceError, ImageTooLarge, ZeileError

MEDIA_TYPE = "application/problem+json"

log = logging.getLogger(__name__)


class BodyTooLarge(ZeileError):
    """The request body is longer than the limit."""


class TooManyFiles(ZeileError):
    """The form has more parts than the limit."""


class BadForm(ZeileError):
    """The form cannot be parsed, or its fields are not the ones that are read."""


class UnsupportedBody(ZeileError):
    """The body's media type is none that is read."""


@dataclass(frozen=True)
class Kind:
    """What a class of errors is over HTTP.

    Attributes:
        status: HTTP status code.
        name: last part of the problem's ``type``, stable across versions.
        title: for people.
    """

    status: int
    name: str
    title: str


KINDS: Mapping[type[Exception], Kind] = {
    ImageTooLarge: Kind(413, "image-too-large", "Image too large"),
    BadImage: Kind(422, "bad-image", "Image cannot be read"),
    BadSettings: Kind(422, "bad-option", "Option cannot be used"),
    BadData: Kind(422, "bad-data", "Ground truth cannot be used"),
    BadManifest: Kind(503, "bad-model", "Model cannot be used"),
    DeviceError: Kind(503, "engine", "Engine cannot be used"),
    BodyTooLarge: Kind(413, "body-too-large", "Body too large"),
    TooManyFiles: Kind(413, "too-many-files", "Too many files"),
    BadForm: Kind(422, "bad-form", "Form cannot be used"),
    UnsupportedBody: Kind(415, "unsupported-body", "Media type is not read"),
    RequestValidationError: Kind(422, "bad-option", "Option cannot be used"),
    ClientDisconnect: Kind(400, "cut-off", "Body cut off"),
    Exception: Kind(500, "internal", "Internal error"),
}
"""An error's class or the nearest of its bases decides."""


def kind_of(error: Exception) -> Kind:
    """The entry of the table for an error."""
    return next(KINDS[base] for base in type(error).__mro__ if base in KINDS)


def problem(error: Exception) -> dict[str, Any]:
    """An error as problem details; the inside of an unforeseen one is not shown."""
    if isinstance(error, HTTPException):
        title = HTTPStatus(error.status_code).phrase
        return {"type": "about:blank", "title": title, "status": error.status_code, "detail": str(error.detail)}
    kind = kind_of(error)
    if isinstance(error, ZeileError):
        detail = str(error)
    elif isinstance(error, RequestValidationError):
        detail = "; ".join(_validation(entry) for entry in error.errors())
    elif isinstance(error, ClientDisconnect):
        detail = "the connection ended before the body did"  # for the log: nobody is there to read it
    else:
        detail = "this is a fault of the service; its log says more"
    return {"type": f"urn:zeile:problem:{kind.name}", "title": kind.title, "status": kind.status, "detail": detail}


def response(error: Exception) -> Response:
    """An error as an answer."""
    body = problem(error)
    headers = dict(getattr(error, "headers", None) or {})
    content = json.dumps(body, ensure_ascii=False).encode()
    return Response(content, body["status"], headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let every error of the app end as problem details."""
    for error in (ZeileError, RequestValidationError, HTTPException, ClientDisconnect, Exception):
        app.add_exception_handler(error, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    answer = response(error)
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s %r: %s: %s", request.method, request.url.path, type(error).__name__, error)
    return answer


def _validation(entry: Mapping[str, Any]) -> str:
    where = " ".join(str(part) for part in entry.get("loc", ()))
    return f"{where}: {entry.get('msg', '')}, got {str(entry.get('input'))[:80]!r}"
