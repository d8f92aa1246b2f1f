# SPDX-License-Identifier: Apache-2.0
"""What /v2 takes and answers, as the Open Inference Protocol names it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class ServerLive(BaseModel):
    """Answer of /v2/health/live."""

    live: bool


class ServerReady(BaseModel):
    """Answer of /v2/health/ready."""

    ready: bool


class ServerMetadata(BaseModel):
    """Answer of /v2."""

    name: str = Field(examples=["zeile"])
    version: str = Field(examples=["0.1.0"])
    extensions: list[str] = Field(examples=[["binary_tensor_data", "model_repository"]])


class TensorMetadata(BaseModel):
    """A tensor that goes in or comes out; -1 is any length."""

    name: str = Field(examples=["image"])
    datatype: str = Field(examples=["BYTES"])
    shape: list[int] = Field(examples=[[-1]])


class ModelMetadata(BaseModel):
    """Answer of /v2/models/{name}."""

    name: str
    versions: list[str] = Field(description="that can be read")
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReady(BaseModel):
    """Answer of /v2/models/{name}/ready."""

    name: str
    ready: bool


class OutputTensor(BaseModel):
    """A tensor of the answer."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] = {}
    data: list[Any] = []


class InferenceAnswer(BaseModel):
    """What /v2/models/{name}/infer answers; in binary tensors follow the JSON."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, Any] = Field(description="engine, model_sha256, provenance as JSON in a text")
    outputs: list[OutputTensor]


class IndexRequest(BaseModel):
    """What /v2/repository/index takes."""

    ready: bool = Field(default=False, description="only what can be used")


class IndexEntry(BaseModel):
    """A model in the answer of /v2/repository/index."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = Field(description="why it is unavailable")


class RepositoryDone(BaseModel):
    """Answer of /v2/repository/models/{name}/load and unload: nothing more to say."""


_PARAMETERS = {"type": "object", "additionalProperties": True}

REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "maxLength": 200, "description": "given back"},
        "parameters": _PARAMETERS | {"description": "reading, beam, timeout (microseconds), priority"},
        "inputs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "datatype", "shape"],
                "additionalProperties": False,
                "properties": {
                    "name": {"const": "image"},
                    "datatype": {"const": "BYTES"},
                    "shape": {"type": "array", "items": {"type": "integer"}, "description": "[n] or [n, 1]"},
                    "parameters": _PARAMETERS | {"description": "binary_data_size: bytes of it behind the JSON"},
                    "data": {"type": "array", "items": {}, "description": "image files in base64"},
                },
            },
        },
        "outputs": {
            "type": "array",
            "minItems": 1,
            "description": "all, if none is named",
            "items": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {
                    "name": {"enum": ["text", "confidence", "characters", "error"]},
                    "parameters": _PARAMETERS | {"description": "binary_data: whether it comes behind the JSON"},
                },
            },
        },
    },
}
"""Schema of what /v2/models/{name}/infer takes; it is checked by ``tensors.parsed``."""

EXAMPLE: dict[str, Any] = {
    "id": "1",
    "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["iVBORw0KGgo="]}],
    "outputs": [{"name": "text"}, {"name": "confidence"}],
}
"""Of a request."""

ANSWER: dict[str, Any] = {
    "model_name": "latin-print",
    "model_version": "1",
    "id": "1",
    "parameters": {"engine": "cpu", "model_sha256": "8f43" * 16, "provenance": "{...}"},
    "outputs": [
        {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["Zeile"]},
        {"name": "confidence", "datatype": "INT32", "shape": [1], "data": [9871]},
    ],
}
"""Of its answer."""
