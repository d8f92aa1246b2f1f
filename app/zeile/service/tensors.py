# SPDX-License-Identifier: Apache-2.0
"""Inference requests and answers of the Open Inference Protocol: JSON, with tensors in it or in binary behind it.

    image       BYTES [n]   in: image files; base64 in JSON, as they are in binary
    text        BYTES [n]   out: what each says; empty where it could not be read
    confidence  INT32 [n]   out: 0 ... 10000; -1 for a line without characters
    characters  BYTES [n]   out: JSON, [[text, left, right, confidence], ...]
    error       BYTES [n]   out: why an image could not be read; empty for the others

In binary each element of BYTES is its length, four bytes, lowest first, and then itself.

Source: https://github.com/kserve/open-inference-protocol, and its extension
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from zeile.errors import BadImage
from zeile.pipeline import Line
from zeile.service.problems import BadTensors
from zeile.service.uploads import MAX_FILES

INPUT = "image"

Read = Line | BadImage


def _text(read: Read) -> str:
    return "" if isinstance(read, BadImage) else read.text


def _confidence(read: Read) -> int:
    return -1 if isinstance(read, BadImage) or read.confidence is None else read.confidence


def _characters(read: Read) -> str:
    return "[]" if isinstance(read, BadImage) else json.dumps(read.characters, ensure_ascii=False)


def _error(read: Read) -> str:
    return str(read) if isinstance(read, BadImage) else ""


OUTPUTS: Mapping[str, tuple[str, Callable[[Read], str | int]]] = {
    "text": ("BYTES", _text),
    "confidence": ("INT32", _confidence),
    "characters": ("BYTES", _characters),
    "error": ("BYTES", _error),
}
"""Name, type and contents of the tensors of an answer."""

_PARAMETERS = {
    "reading": str,
    "beam": int,
    "timeout": int,
    "priority": int,
    "binary_data_output": bool,
    "sequence_id": int,
    "sequence_start": bool,
    "sequence_end": bool,
}
"""Parameters of a request. ``timeout`` is in microseconds; sequences mean nothing here, and clients send them."""

MAX_VALUES = 50_000
"""Commas and brackets in the JSON of a request; images in base64 have none."""


@dataclass(frozen=True)
class Inference:
    """A request.

    Attributes:
        id: given back in the answer.
        images: files.
        outputs: names of the tensors that are wanted, and whether in binary.
        parameters: those of ``_PARAMETERS`` that it has.
        strict: it did not ask for ``error``, so that a bad image must be an error of the request.
    """

    id: str | None
    images: Sequence[bytes]
    outputs: Mapping[str, bool]
    parameters: Mapping[str, Any]

    @property
    def strict(self) -> bool:
        return "error" not in self.outputs


def parsed(body: bytes, json_bytes: int | None) -> Inference:
    """Parse a request.

    Args:
        body: of it.
        json_bytes: length of the JSON, if tensors in binary follow it.

    Raises:
        BadTensors: it cannot be used.
    """
    if json_bytes is not None and not 0 <= json_bytes <= len(body):
        raise BadTensors(f"Inference-Header-Content-Length is {json_bytes}, the body has {len(body)} bytes")
    head, rest = (body, b"") if json_bytes is None else (body[:json_bytes], body[json_bytes:])
    if sum(head.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:  # parsing these would keep everybody waiting
        raise BadTensors(f"the JSON has more than {MAX_VALUES} values; send fewer images a request")
    try:
        request = json.loads(head)
    except (ValueError, RecursionError) as error:
        raise BadTensors(f"the request is not well-formed JSON: {error}") from None
    request = _object(request, "the request", ("id", "parameters", "inputs", "outputs"))
    name = request.get("id")
    if name is not None and not (isinstance(name, str) and len(name) <= 200):
        raise BadTensors("id must be a text of at most 200 characters")
    parameters = _parameters(request.get("parameters"))
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1:
        raise BadTensors(f"inputs must be an array of one tensor, {INPUT!r} of BYTES [n]")
    outputs = _outputs(request.get("outputs"), bool(parameters.get("binary_data_output")))
    return Inference(name, _images(inputs[0], rest), outputs, parameters)


def answered(facts: Mapping[str, Any], lines: Sequence[Read], wanted: Mapping[str, bool]) -> tuple[bytes, int | None]:
    """An answer's body, and the length of its JSON if tensors in binary follow it.

    Args:
        facts: what it says beside its tensors.
        lines: that were read.
        wanted: names of tensors, and whether in binary.
    """
    tensors, binary = [], []
    for name, in_binary in wanted.items():
        datatype, value = OUTPUTS[name]
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": [len(lines)]}
        values = [value(line) for line in lines]
        if in_binary:
            binary.append(b"".join(map(_packed, values)))
            tensor["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            tensor["data"] = values
        tensors.append(tensor)
    head = json.dumps({**facts, "outputs": tensors}, ensure_ascii=False, separators=(",", ":")).encode()
    return head + b"".join(binary), len(head) if binary else None


def _packed(value: str | int) -> bytes:
    if isinstance(value, int):
        return struct.pack("<i", value)
    data = value.encode()
    return struct.pack("<I", len(data)) + data


def _object(value: object, what: str, known: Sequence[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadTensors(f"{what} must be an object")
    if unknown := sorted(set(value) - set(known)):
        raise BadTensors(f"{what} has {unknown[0][:40]!r}, which is not read; known are {', '.join(known)}")
    return value


def _parameters(value: object) -> dict[str, Any]:
    parameters = _object({} if value is None else value, "parameters", tuple(_PARAMETERS))
    for name, given in parameters.items():
        if type(given) is not _PARAMETERS[name]:
            raise BadTensors(
                f"the parameter {name} is {str(given)[:40]!r}; it must be of type {_PARAMETERS[name].__name__}"
            )
    return parameters


def _outputs(value: object, binary: bool) -> dict[str, bool]:
    """Names of the tensors that are wanted, all of them if none is named, and whether in binary."""
    if value is None:
        return dict.fromkeys(OUTPUTS, binary)
    if not isinstance(value, list) or not 1 <= len(value) <= len(OUTPUTS):
        raise BadTensors(f"outputs must be an array of 1 to {len(OUTPUTS)} objects with a name: {', '.join(OUTPUTS)}")
    wanted: dict[str, bool] = {}
    for each in value:
        entry = _object(each, "an output", ("name", "parameters"))
        asked = _object(entry.get("parameters") or {}, "an output's parameters", ("binary_data",))
        name, in_binary = entry.get("name"), asked.get("binary_data", binary)
        if not isinstance(name, str) or name not in OUTPUTS or type(in_binary) is not bool:
            raise BadTensors(f"the output {str(name)[:40]!r} does not exist; there are {', '.join(OUTPUTS)}")
        wanted[name] = in_binary
    return wanted


def _images(value: object, rest: bytes) -> list[bytes]:
    tensor = _object(value, "the input", ("name", "shape", "datatype", "parameters", "data"))
    shape = tensor.get("shape")
    if tensor.get("name") != INPUT or tensor.get("datatype") != "BYTES":
        raise BadTensors(
            f"the input is {str(tensor.get('name'))[:40]!r} of {str(tensor.get('datatype'))[:40]!r}; "
            f"it must be {INPUT!r} of BYTES, image files"
        )
    if not isinstance(shape, list) or not all(type(side) is int for side in shape) or shape[1:] not in ([], [1]):
        raise BadTensors(f"the shape of the input is {str(shape)[:40]}; it must be [n] or [n, 1]")
    if not shape or not 1 <= shape[0] <= MAX_FILES:
        raise BadTensors(f"the input has the shape {shape}, allowed are 1 to {MAX_FILES} images; send several requests")
    parameters = _object(tensor.get("parameters") or {}, "its parameters", ("binary_data_size", "content_type"))
    if "binary_data_size" in parameters:
        if parameters["binary_data_size"] != len(rest) or "data" in tensor:
            raise BadTensors(
                f"binary_data_size is {str(parameters['binary_data_size'])[:20]}, {len(rest)} bytes follow the JSON; "
                "they must be equal, with no data beside them"
            )
        images = list(_unpacked(rest))
    else:
        images = [_decoded(element, number) for number, element in enumerate(_flat(tensor.get("data")), 1)]
    if len(images) != shape[0]:
        raise BadTensors(f"the input has the shape {shape} and {len(images)} elements; they must be equal")
    return images


def _flat(data: object) -> Iterator[object]:
    if not isinstance(data, list):
        raise BadTensors("the input has no data; send an array of image files in base64, or binary_data_size")
    return chain.from_iterable(each if isinstance(each, list) else [each] for each in data)


def _decoded(element: object, number: int) -> bytes:
    try:
        return base64.b64decode(element, validate=True) if isinstance(element, str) else _no_text(number)
    except (binascii.Error, ValueError) as error:
        raise BadTensors(f"image {number} is not base64: {error}; encode the file, or send it in binary") from None


def _no_text(number: int) -> bytes:
    raise BadTensors(f"image {number} is no text; in JSON image files are texts in base64")


def _unpacked(rest: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(rest):
        end = place + 4 + int.from_bytes(rest[place : place + 4], "little")
        if place + 4 > len(rest) or end > len(rest):
            raise BadTensors(f"an element of BYTES reaches to byte {end} of {len(rest)}; is its length right?")
        yield rest[place + 4 : end]
        place = end
