# SPDX-License-Identifier: Apache-2.0
"""/v2: what the Open Inference Protocol asks of a server, item by item, and Triton's own client."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.models import line_png, write_tiny_model
from tests.service.serving import serving

import zeile
from zeile.service.provenance_schema import Provenance
from zeile.service.tensors import OUTPUTS
from zeile.settings import Settings

BAD = b"no image"
HEAD = "inference-header-content-length"


def read(service: httpx.Client, image: bytes, query: str = "") -> dict[str, Any]:
    """The same line by /v1."""
    response = service.post(f"/v1/recognize{query}", content=image, headers={"content-type": "image/png"})
    line: dict[str, Any] = response.json()["lines"][0]
    return line


def request(images: Sequence[bytes], **more: Any) -> dict[str, Any]:
    data = [base64.b64encode(image).decode() for image in images]
    return {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [len(images)], "data": data}], **more}


def infer(service: httpx.Client, body: Any, model: str = "tiny/versions/1") -> httpx.Response:
    return service.post(f"/v2/models/{model}/infer", json=body)


def tensors(response: httpx.Response) -> dict[str, list[Any]]:
    assert response.status_code == 200, response.text
    outputs = response.json()["outputs"]
    for tensor in outputs:
        assert tensor["shape"] == [len(tensor["data"])]
        assert tensor["datatype"] == OUTPUTS[tensor["name"]][0]
    return {tensor["name"]: tensor["data"] for tensor in outputs}


def binary(images: Sequence[bytes], **more: Any) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request with its tensor in binary."""
    data = b"".join(struct.pack("<I", len(image)) + image for image in images)
    body = request(images, **more)
    del body["inputs"][0]["data"]
    body["inputs"][0]["parameters"] = {"binary_data_size": len(data)}
    head = json.dumps(body).encode()
    return head + data, {HEAD: str(len(head)), "content-type": "application/octet-stream"}


def refused(response: httpx.Response, status: int) -> str:
    """Check that the answer is a problem that says the same where the protocol wants it."""
    problem = response.json()
    assert (response.status_code, problem["status"]) == (status, status), problem
    assert problem["error"] == problem["detail"]
    error: str = problem["error"]
    return error


def test_server_lives_and_is_ready(service: httpx.Client) -> None:
    assert service.get("/v2/health/live").json() == {"live": True}
    assert service.get("/v2/health/ready").json() == {"ready": True}


def test_server_metadata(service: httpx.Client) -> None:
    facts = service.get("/v2").json()
    assert (facts["name"], facts["version"]) == ("zeile", zeile.__version__)
    assert "binary_tensor_data" in facts["extensions"]


@pytest.mark.parametrize("path", ["tiny", "tiny/versions/1"])
def test_model_metadata(service: httpx.Client, path: str) -> None:
    facts = service.get(f"/v2/models/{path}").json()
    assert (facts["name"], facts["versions"]) == ("tiny", ["1", "2"])
    assert facts["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    assert [tensor["name"] for tensor in facts["outputs"]] == list(OUTPUTS)
    assert service.get(f"/v2/models/{path}/ready").json() == {"name": "tiny", "ready": True}


@pytest.mark.parametrize("path", ["other", "tiny/versions/9", "tiny/versions/%2e%2e", "..%2fetc"])
def test_models_that_there_are_not(service: httpx.Client, path: str) -> None:
    for response in (service.get(f"/v2/models/{path}"), service.get(f"/v2/models/{path}/ready")):
        assert response.status_code == 404
    assert infer(service, request([line_png(1)]), path).status_code == 404


def test_a_model_that_is_missing_is_named_with_those_that_are_there(service: httpx.Client) -> None:
    assert "tiny/1, tiny/2" in refused(service.get("/v2/models/other"), 404)


def test_inference_says_what_v1_says(service: httpx.Client) -> None:
    images = [line_png(1), line_png(2)]
    response = infer(service, request(images, id="shelf 7"))
    read_tensors = tensors(response)
    wanted = [read(service, image) for image in images]
    assert read_tensors["text"] == [line["text"] for line in wanted]
    assert [n / 10_000 for n in read_tensors["confidence"]] == [line["confidence"] for line in wanted]
    assert [c[0] for c in json.loads(read_tensors["characters"][0])] == [c["text"] for c in wanted[0]["characters"]]
    assert read_tensors["error"] == ["", ""]
    answer = response.json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("shelf 7", "tiny", "1")
    origin = Provenance.model_validate_json(answer["parameters"]["provenance"])
    assert len(origin.inputs) == 2
    assert answer["parameters"]["model_sha256"] == origin.model.sha256


def test_only_the_outputs_that_are_named(service: httpx.Client) -> None:
    assert set(tensors(infer(service, request([line_png(1)], outputs=[{"name": "text"}])))) == {"text"}


def test_options_are_parameters(service: httpx.Client) -> None:
    for parameters, query in (
        ({"reading": "diplomatic"}, "?reading=diplomatic"),
        ({"beam": 4, "timeout": 60_000_000, "priority": 2}, "?beam=4"),
    ):
        found = tensors(infer(service, request([line_png(7)], parameters=parameters)))["text"]
        assert found == [read(service, line_png(7), query)["text"]]


def test_a_version_or_the_newest(service: httpx.Client) -> None:
    assert infer(service, request([line_png(1)]), "tiny").json()["model_version"] == "2"


def test_tensors_in_binary(service: httpx.Client) -> None:
    images = [line_png(1), line_png(2)]
    outputs = [{"name": "text", "parameters": {"binary_data": True}}, {"name": "confidence"}]
    content, headers = binary(images, outputs=outputs)
    response = service.post("/v2/models/tiny/versions/1/infer", content=content, headers=headers)
    head = int(response.headers[HEAD])
    text, confidence = json.loads(response.content[:head])["outputs"]
    data = response.content[head:]
    assert text["parameters"]["binary_data_size"] == len(data)
    found = []
    while data:
        size = int.from_bytes(data[:4], "little")
        found.append(data[4 : 4 + size].decode())
        data = data[4 + size :]
    wanted = [read(service, image) for image in images]
    assert found == [line["text"] for line in wanted]
    assert confidence["data"] == [round(10_000 * line["confidence"]) for line in wanted]


def test_a_blank_line_has_no_confidence(service: httpx.Client) -> None:
    found = tensors(infer(service, request([b"P5 60 40 255\n" + 2400 * b"\xff"])))
    assert (found["text"], found["confidence"], found["error"]) == ([""], [-1], [""])


def test_a_bad_image_is_in_error_if_that_is_wanted_and_else_the_answer(service: httpx.Client) -> None:
    both = request([line_png(1), BAD])
    found = tensors(infer(service, both))
    assert found["text"] == [read(service, line_png(1))["text"], ""]
    assert "no known image format" in found["error"][1]
    assert "image format" in refused(infer(service, both | {"outputs": [{"name": "text"}]}), 422)
    assert "image format" in refused(infer(service, request([BAD])), 422)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"inputs": []}, "one tensor"),
        ({"inputs": {}}, "one tensor"),
        ({"input": []}, "'input'"),
        ({"id": 7}, "id"),
        ({"outputs": [{"name": "logits"}]}, "text, confidence, characters, error"),
        ({"outputs": [{"name": "text", "parameters": {"classification": 3}}]}, "classification"),
        ({"outputs": []}, "outputs"),
        ({"parameters": {"beams": 4}}, "'beams'"),
        ({"parameters": {"beam": "4"}}, "of type int"),
        ({"parameters": {"beam": 65}}, "0 to 64"),
        ({"parameters": {"beam": True}}, "of type int"),
    ],
)
def test_requests_that_cannot_be_used(service: httpx.Client, change: dict[str, Any], told: str) -> None:
    assert told in refused(infer(service, request([line_png(1)]) | change), 400)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "pixels"}, "'image' of BYTES"),
        ({"datatype": "UINT8"}, "'image' of BYTES"),
        ({"shape": [2]}, "1 elements"),
        ({"shape": []}, "shape"),
        ({"shape": [1, 2]}, "shape"),
        ({"shape": ["1"]}, "shape"),
        ({"shape": [10**9]}, "1 to 1000"),
        ({"data": None}, "no data"),
        ({"data": "abc"}, "no data"),
        ({"data": [7]}, "no text"),
        ({"data": ["not base64!"]}, "not base64"),
        ({"data": ["\u00e4"]}, "not base64"),
        ({"parameters": {"shared_memory_region": "x"}}, "shared_memory_region"),
        ({"parameters": {"binary_data_size": 5}}, "binary_data_size"),
    ],
)
def test_tensors_that_cannot_be_used(service: httpx.Client, change: dict[str, Any], told: str) -> None:
    body = request([line_png(1)])
    body["inputs"][0] |= change
    assert told in refused(infer(service, body), 400)


@pytest.mark.parametrize(
    ("content", "headers", "told"),
    [
        (b"", {}, "JSON"),
        (b"[" * 100_000, {}, "JSON"),
        (b"{}", {HEAD: "3"}, "2 bytes"),
        (b"{}", {HEAD: "-1"}, "greater than or equal to 0"),
        (b"[]", {}, "object"),
        (b'{"inputs": [7]}', {}, "object"),
    ],
)
def test_bodies_that_cannot_be_used(service: httpx.Client, content: bytes, headers: dict[str, str], told: str) -> None:
    response = service.post("/v2/models/tiny/infer", content=content, headers=headers)
    assert told in refused(response, 422 if "-1" in headers.values() else 400)


@pytest.mark.parametrize("data", [b"\5", b"\5\0\0\0abcd", b"\xff\xff\xff\xff", b"\0\0\0\0\0\0\0\0"])
def test_elements_that_do_not_fit(service: httpx.Client, data: bytes) -> None:
    body = request([b""])
    del body["inputs"][0]["data"]
    body["inputs"][0]["parameters"] = {"binary_data_size": len(data)}
    head = json.dumps(body).encode()
    response = service.post("/v2/models/tiny/infer", content=head + data, headers={HEAD: str(len(head))})
    refused(response, 400)


def test_a_time_that_is_up(service: httpx.Client) -> None:
    refused(infer(service, request([line_png(1)], parameters={"timeout": 1})), 504)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[httpx.Client]:
    """A service whose models the test may unload."""
    write_tiny_model(tmp_path, version="1")
    write_tiny_model(tmp_path, name="other", version="7", seed=3)
    with serving(Settings(models=tmp_path, model="tiny/1")) as client:
        yield client


def test_models_are_unloaded_and_loaded_again(own: httpx.Client) -> None:
    def states(**body: Any) -> dict[str, str]:
        index = own.post("/v2/repository/index", json=body).json()
        return {f"{entry['name']}/{entry['version']}": entry["state"] for entry in index}

    assert states() == {"other/7": "READY", "tiny/1": "READY"}
    assert own.post("/v2/repository/models/other/unload", json={}).status_code == 200
    assert states() == {"other/7": "UNAVAILABLE", "tiny/1": "READY"}
    assert states(ready=True) == {"tiny/1": "READY"}
    assert "unloaded" in refused(infer(own, request([line_png(1)]), "other"), 404)
    assert own.post("/v2/repository/models/other/load").status_code == 200
    assert infer(own, request([line_png(1)]), "other").json()["model_version"] == "7"
    assert "default" in refused(own.post("/v2/repository/models/tiny/unload"), 409)
    refused(own.post("/v2/repository/models/nothing/load"), 404)


@pytest.mark.parametrize("in_binary", [True, False])
def test_tritons_client(service: httpx.Client, in_binary: bool) -> None:
    http = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]", exc_type=ImportError)
    client = http.InferenceServerClient(f"{service.base_url.host}:{service.base_url.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny", "1")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["name"] == "zeile"
    assert client.get_model_metadata("tiny", "1")["inputs"][0]["name"] == "image"
    assert {entry["state"] for entry in client.get_model_repository_index()} == {"READY"}
    image = line_png(1)
    tensor = http.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(
        np.array([image if in_binary else base64.b64encode(image)], np.object_), binary_data=in_binary
    )
    outputs = [http.InferRequestedOutput(name, binary_data=in_binary) for name in ("text", "confidence")]
    result = client.infer("tiny", [tensor], model_version="1", outputs=outputs, request_id="7")
    wanted = read(service, image)
    (text,) = result.as_numpy("text").tolist()
    assert (text.decode() if isinstance(text, bytes) else text) == wanted["text"]
    assert result.as_numpy("confidence").tolist() == [round(10_000 * wanted["confidence"])]
    assert result.get_response()["id"] == "7"
    tensor.set_data_from_numpy(np.array([BAD], np.object_))
    with pytest.raises(Exception, match="no known image format"):
        client.infer("tiny", [tensor], outputs=outputs)
    client.close()
