# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI description: complete, consistent, and true of what is answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from zeile.service.outputs import MEDIA_TYPES
from zeile.service.schemas import PAGE, RECOGNITION, PageRecognition, Recognition

PATHS = {
    "/v1/recognize",
    "/v1/pages",
    "/v1/measure",
    "/v1/jobs",
    "/v1/models",
    "/v1/aliases/{alias}",
    "/v2",
    "/v2/models/{name}/infer",
    "/v2/models/{name}/versions/{version}/infer",
    "/v2/repository/index",
    "/livez",
    "/readyz",
    "/metrics",
}


@pytest.fixture(scope="module")
def described(service: httpx.Client) -> dict[str, Any]:
    description: dict[str, Any] = service.get("/openapi.json").json()
    return description


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_endpoint_is_there_and_says_what_it_does(described: dict[str, Any]) -> None:
    assert set(described["paths"]) >= PATHS
    assert [name for name, operation in operations(described) if not operation.get("description")] == []


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    found = set(references(described))
    assert found
    for reference in found:
        value: Any = described
        for part in reference.removeprefix("#/").split("/"):
            value = value[part]
    assert not [name for name in described["components"]["schemas"] if "__" in name], "two schemas of one name"


def test_every_error_is_a_problem(described: dict[str, Any]) -> None:
    for name, operation in operations(described):
        errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert {"401", "429", "500", "503"} <= set(errors), name
        for status, answer in errors.items():
            assert list(answer["content"]) == ["application/problem+json"], (name, status)


def test_bodies_and_formats_of_recognize(described: dict[str, Any]) -> None:
    recognize = described["paths"]["/v1/recognize"]["post"]
    assert {"multipart/form-data", "image/*", "application/zip"} <= set(recognize["requestBody"]["content"])
    names = {parameter["name"] for parameter in recognize["parameters"]}
    assert {"model", "reading", "beam", "alternatives", "format", "deadline_ms", "priority"} <= names
    written = {media_type.partition(";")[0] for media_type in MEDIA_TYPES.values()}
    assert set(recognize["responses"]["200"]["content"]) == written
    assert {"400", "406", "413", "415", "422", "504"} - {"400"} <= set(recognize["responses"])


def test_examples_are_answers(described: dict[str, Any]) -> None:
    for path, example, schema in (
        ("/v1/recognize", RECOGNITION, Recognition),
        ("/v1/pages", PAGE, PageRecognition),
    ):
        content = described["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]
        assert content["example"] == _as_json(example)
        given = {name: field.annotation for name, field in schema.model_fields.items() if name in example}
        assert set(schema.model_fields) - set(given) == {"provenance", "audit"}


def test_endpoints_of_the_wrong_method_or_name_are_problems(service: httpx.Client) -> None:
    for response in (service.get("/v1/pages"), service.put("/v2/models/tiny/infer"), service.get("/v2/nothing")):
        assert response.headers["content-type"] == "application/problem+json"


def _as_json(value: Any) -> Any:
    """The value as it comes out of JSON, where there are no tuples."""
    return [_as_json(v) for v in value] if isinstance(value, list | tuple) else value
