# SPDX-License-Identifier: Apache-2.0
"""Every error as problem details (RFC 9457), by one table from error class to HTTP status."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from zeile.errors import (
    BadData,
    BadDocument,
    BadImage,
    BadManifest,
    BadSettings,
    DeviceError,
    ImageTooLarge,
    ZeileError,
    bare,
)

MEDIA_TYPE = "application/problem+json"
_MAX_PATH = 200  # characters of a path in a problem

log = logging.getLogger(__name__)


class BodyTooLarge(ZeileError):
    """The request body is longer than the limit."""


class TooManyFiles(ZeileError):
    """The form has more parts than the limit."""


class BadForm(ZeileError):
    """The form cannot be parsed, or its fields are not the ones that are read."""


class BadTensors(ZeileError):
    """An inference request of the Open Inference Protocol that cannot be used."""


class UnsupportedBody(ZeileError):
    """The body's media type is none that is read."""


class NotAcceptable(ZeileError):
    """None of the media types that the client accepts is written."""


class TooSlow(ZeileError):
    """The client did not send its request in time."""

    headers: ClassVar[Mapping[str, str]] = {"connection": "close"}  # the rest of it is not waited for either


class BadArchive(ZeileError):
    """A zip file is damaged, or holds what is not read."""


class ArchiveTooLarge(ZeileError):
    """A zip file has more in it than the limits allow."""


class NotKnown(ZeileError):
    """No model, alias, job or page of that name."""


class Conflict(ZeileError):
    """It cannot be done in the present state."""


class NoKey(ZeileError):
    """An API key is needed, and none or an unknown one was sent."""

    headers: ClassVar[Mapping[str, str]] = {"www-authenticate": 'Bearer realm="zeile"'}


class NotAllowed(ZeileError):
    """The API key does not have the scope that is needed."""


class Busy(ZeileError):
    """It cannot be done now; it can be soon.

    Args:
        message: what is full, its limit, and the remedy.
        retry_after_s: when to ask again, from the rate that was measured; at least 1.
    """

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.headers = {"retry-after": str(max(1, math.ceil(retry_after_s)))}


class Overloaded(Busy):
    """The queue or the number of requests is at its limit, or the service is stopping."""


class Unlogged(Busy):
    """The audit log cannot be written, and nothing is answered that is not in it."""


class TooFast(Busy):
    """The client asks for more than its share."""


class NotReady(Busy):
    """The service is starting or stopping, failed its self-test, or its engine hangs."""


class Expired(ZeileError):
    """The deadline passed before the line was read."""


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
    BadTensors: Kind(400, "bad-tensors", "Inference request cannot be used"),
    UnsupportedBody: Kind(415, "unsupported-body", "Media type is not read"),
    NotAcceptable: Kind(406, "not-acceptable", "Format is not written"),
    BadDocument: Kind(422, "bad-document", "Layout document cannot be used"),
    BadArchive: Kind(422, "bad-archive", "Zip file cannot be used"),
    ArchiveTooLarge: Kind(413, "archive-too-large", "Zip file too large"),
    TooSlow: Kind(408, "too-slow", "Request took too long to arrive"),
    NoKey: Kind(401, "no-key", "API key needed"),
    NotAllowed: Kind(403, "not-allowed", "API key lacks the scope"),
    NotKnown: Kind(404, "not-known", "There is none of that name"),
    Conflict: Kind(409, "conflict", "Not possible in this state"),
    TooFast: Kind(429, "too-fast", "Too many requests of this client"),
    NotReady: Kind(503, "not-ready", "Service is not ready"),
    Busy: Kind(503, "overloaded", "Service is full"),
    Unlogged: Kind(503, "unlogged", "Audit log cannot be written"),
    Expired: Kind(504, "expired", "Deadline passed"),
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
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.BAD_REQUEST:  # FastAPI, of a JSON body
        error = BadSettings("the body cannot be parsed; send JSON in UTF-8, with Content-Type application/json")
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


def response(error: Exception, scope: Scope | None = None) -> Response:
    """An error as an answer.

    Args:
        error: any.
        scope: of the request, whose state is told the kind of problem for the metrics and the log.
    """
    body = problem(error)
    if scope is not None:
        if isinstance(error, HTTPException) and (said := _misdirected(error, scope)):
            body["detail"] = said
        known = body["type"].startswith("urn:")
        scope.setdefault("state", {})["problem"] = body["type"].rpartition(":")[2] if known else "http"
        if scope["path"].startswith("/v2"):  # where clients of the Open Inference Protocol look for it
            body["error"] = body["detail"]
    headers = dict(getattr(error, "headers", None) or {})
    content = json.dumps(body, ensure_ascii=False).encode()
    return Response(content, body["status"], headers, MEDIA_TYPE)


def _misdirected(error: HTTPException, scope: Scope) -> str:
    """What the framework says of a wrong path or method with no more than the status; empty for anything else."""
    path = repr(scope["path"][:_MAX_PATH])
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "other methods")
        return f"{path} takes {allowed}, not {scope['method']}; /openapi.json describes every endpoint"
    if error.status_code == HTTPStatus.NOT_FOUND:
        return f"there is nothing at {path}; /openapi.json describes every endpoint, the page is at /"
    return ""


def install(app: FastAPI) -> None:
    """Let every error of the app end as problem details; the unforeseen ones are answered by ``record.Record``."""
    for error in (ZeileError, RequestValidationError, HTTPException, ClientDisconnect):
        app.add_exception_handler(error, answer)


async def answer(request: Request, error: Exception) -> Response:
    """An error as an answer, and in the log if it is the service's."""
    answer = response(error, request.scope)
    # Of who had to go away for the load the line of the request says enough.
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, Busy | Expired):
        log.error("%s %r: %s: %s", request.method, request.url.path, type(error).__name__, error)
    bare(error)
    return answer


def _validation(entry: Mapping[str, Any]) -> str:
    where = " ".join(str(part) for part in entry.get("loc", ()))
    return f"{where}: {entry.get('msg', '')}, got {str(entry.get('input'))[:80]!r}"
