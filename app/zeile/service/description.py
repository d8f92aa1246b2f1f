# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI description, with what FastAPI cannot see: bodies, errors, examples."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from zeile.service import live_schema, schemas
from zeile.service.key_door import OPEN
from zeile.service.problems import KINDS, MEDIA_TYPE
from zeile.service.uploads import FIELDS

AT_THE_DOOR = (401, 408, 413, 429, 500, 503)
"""Statuses of what stands before every endpoint: keys, limits and the last resort."""

EXAMPLES: Mapping[str, Mapping[str, Any]] = {"/v1/recognize": schemas.RECOGNITION, "/v1/pages": schemas.PAGE}
"""Good answers, by the path that is posted to."""

KEYS: Mapping[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "a key of zeile keys"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "the same"},
}

_building = threading.Lock()
"""Held while FastAPI builds schemas: it silences warnings meanwhile, in filters that belong to all threads."""

_NOWHERE: Mapping[str, Any] = {"type": "http", "method": "GET", "path": "", "root_path": "", "headers": []}
"""A request that no route takes."""

_BINARY = {"type": "string", "format": "binary"}


def form(fields: Mapping[str, str]) -> dict[str, Any]:
    """A form of one file in each of these fields, with their descriptions."""
    return {name: _BINARY | {"description": text} for name, text in fields.items()}


def files() -> dict[str, Any]:
    """A form of any number of files."""
    return {name: {"type": "array", "items": _BINARY} for name in FIELDS}


def body(fields: Mapping[str, Any], media_types: Mapping[str, str]) -> dict[str, Any]:
    """A body: a form of ``fields``, or one file of the media types given with their descriptions."""
    schema = {"type": "object", "properties": fields, "additionalProperties": False}
    raw = {name: {"schema": _BINARY | {"description": text}} for name, text in media_types.items()}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}} | raw}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an endpoint."""
    titles = {s: " / ".join(sorted({k.title for k in KINDS.values() if k.status == s})) for s in statuses}
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": title, "content": content} for status, title in titles.items()}


def answer(example: Mapping[str, Any] | None, media_types: Mapping[str, str] | None = None) -> dict[int | str, Any]:
    """A good answer: JSON with an example, and what else the endpoint writes, with an example each."""
    content = {name: {"schema": {"type": "string"}, "example": shown} for name, shown in (media_types or {}).items()}
    if example is not None:
        content["application/json"] = {"example": example}
    return {200: {"content": content}}


def install(app: FastAPI) -> None:
    """Let the app describe itself with the errors that any endpoint may answer with, all of them problems.

    Its routes are there; what FastAPI would build for them at the first request it builds now, for one app at a time.
    """
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        with _building:
            if app.openapi_schema is None:
                _complete(describe(), app.state.settings.keys is not None)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
    with _building:
        for route in app.routes:
            route.matches(dict(_NOWHERE))


def _complete(described: dict[str, Any], keys: bool) -> None:
    """Add what is missing, in place; with keys, that they are asked for."""
    if keys:
        described["components"]["securitySchemes"] = KEYS
    for path, operations in described["paths"].items():
        for operation in operations.values():
            if keys and path not in OPEN:
                operation["security"] = [{name: []} for name in KEYS]
            answers = operation["responses"]
            own = (422,) if "422" in answers else ()  # which FastAPI describes in a form of its own
            answers |= {str(status): text for status, text in problems(*AT_THE_DOOR, *own).items()}
    for path, example in EXAMPLES.items():  # FastAPI leaves out what is null in them
        described["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["example"] = example
    components = described["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    schema = live_schema.Snapshot.model_json_schema(ref_template="#/components/schemas/{model}")
    components |= schema.pop("$defs", {}) | {"Snapshot": schema}  # of a stream, which FastAPI does not look into
