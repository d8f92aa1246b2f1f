# SPDX-License-Identifier: Apache-2.0
"""/v2: the Open Inference Protocol of KServe and Triton, so that their clients can read lines.

Errors are problem details with the protocol's ``error`` beside them.

Source: https://github.com/kserve/open-inference-protocol; for /v2/repository
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from starlette.concurrency import run_in_threadpool

import zeile
from zeile.errors import BadImage, BadSettings
from zeile.service import answers, description, tensors
from zeile.service import kserve_schema as protocol
from zeile.service.acknowledge import acknowledged, changed
from zeile.service.asking import Asking, Watched, requires
from zeile.service.engines import Options
from zeile.service.options import MAX_BEAM, Working
from zeile.service.problems import BadTensors, NotKnown, NotReady, UnsupportedBody
from zeile.service.registry import Registry
from zeile.service.ticket import Ticket

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

READ = [Depends(requires("read"))]
MODELS = [Depends(requires("models"))]
EXTENSIONS = ["binary_tensor_data", "model_repository"]
PLATFORM = "zeile"

_LARGE = 1 << 18  # bytes of a request that is parsed in a thread
_MODEL_ERRORS = description.problems(401, 403, 404, 503)


@router.get("/health/live", responses=description.problems(503))
async def live(request: Request) -> protocol.ServerLive:
    """Whether the process is of any use."""
    if request.app.state.health.dead is not None:
        raise NotReady(request.app.state.health.dead)
    return protocol.ServerLive(live=True)


@router.get("/health/ready", responses=description.problems(503))
async def ready(request: Request) -> protocol.ServerReady:
    """Whether to send lines here, as /readyz."""
    if request.app.state.health.fault is not None:
        raise NotReady(request.app.state.health.fault)
    return protocol.ServerReady(ready=True)


@router.get("", dependencies=READ, responses=description.problems(401, 403))
async def server() -> protocol.ServerMetadata:
    """What this is."""
    return protocol.ServerMetadata(name="zeile", version=zeile.__version__, extensions=EXTENSIONS)


@router.get("/models/{name}", dependencies=READ, responses=_MODEL_ERRORS)
@router.get("/models/{name}/versions/{version}", dependencies=READ, responses=_MODEL_ERRORS)
async def metadata(request: Request, name: str, version: str = "") -> protocol.ModelMetadata:
    """What a model takes and gives; a name of /v1/models, or an alias."""
    registry: Registry = request.app.state.registry
    model = await run_in_threadpool(lambda: registry.model(_folder(registry, name, version)))
    known = (await run_in_threadpool(registry.facts)).models
    return protocol.ModelMetadata(
        name=model.name,
        versions=[each.version for each in known if each.name == model.name and each.error is None],
        platform=PLATFORM,
        inputs=[protocol.TensorMetadata(name=tensors.INPUT, datatype="BYTES", shape=[-1])],
        outputs=[
            protocol.TensorMetadata(name=each, datatype=datatype, shape=[-1])
            for each, (datatype, _) in tensors.OUTPUTS.items()
        ],
    )


@router.get("/models/{name}/ready", dependencies=READ, responses=_MODEL_ERRORS)
@router.get("/models/{name}/versions/{version}/ready", dependencies=READ, responses=_MODEL_ERRORS)
async def model_ready(request: Request, name: str, version: str = "") -> protocol.ModelReady:
    """Whether a model can read."""
    registry: Registry = request.app.state.registry
    model = await run_in_threadpool(lambda: registry.model(_folder(registry, name, version)))
    await ready(request)
    return protocol.ModelReady(name=model.name, ready=True)


_INFER: dict[str, Any] = {
    "response_model": protocol.InferenceAnswer,
    "responses": description.answer(protocol.ANSWER)
    | description.problems(400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504),
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": protocol.REQUEST,
                    "example": protocol.EXAMPLE,
                },
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
    "dependencies": READ,
}


@router.post("/models/{name}/infer", **_INFER)
@router.post("/models/{name}/versions/{version}/infer", **_INFER)
async def infer(
    request: Request,
    worker: Working,
    issued: Asking,
    name: str,
    version: str = "",
    inference_header_content_length: Annotated[
        int | None, Header(ge=0, description="length of the JSON, if tensors in binary follow it")
    ] = None,
) -> Response:
    """Read image files.

    If ``error`` is among the outputs, as it is when none are named, a bad image is reported there and the others are
    read; else it is the answer.
    """
    worker.check(issued)
    request.app.state.audit.check()
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedBody("a compressed body is not read; send it as it is")
    body = await request.body()
    if len(body) > _LARGE:
        asked = await run_in_threadpool(tensors.parsed, body, inference_header_content_length)
    else:
        asked = tensors.parsed(body, inference_header_content_length)
    del body
    registry: Registry = request.app.state.registry
    options = _options(asked, await run_in_threadpool(_folder, registry, name, version))
    _limit(asked, issued)
    async with Watched(request, issued):
        answer = await worker.read(asked.images, options, issued)
        bad = next((line for line in answer.lines if isinstance(line, BadImage)), None)
        if bad is not None and (asked.strict or len(answer.lines) == 1):
            raise bad
        known = await acknowledged(request, "infer", answer, options, issued)
    facts: dict[str, Any] = {"model_name": answer.model.name, "model_version": answer.model.version}
    if asked.id is not None:
        facts["id"] = asked.id
    facts["parameters"] = {"engine": str(answer.engine.get("engine", "")), "model_sha256": answer.model.sha256}
    facts["parameters"]["provenance"] = answers.encoded(known.origin).decode()
    if known.receipt:
        facts["parameters"]["audit"] = answers.encoded(asdict(known.receipt)).decode()
    content, head = tensors.answered(facts, answer.lines, asked.outputs)
    if head is None:
        return Response(content, media_type="application/json")
    headers = {"inference-header-content-length": str(head)}
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.post("/repository/index", dependencies=READ, responses=description.problems(401, 403))
async def index(request: Request, asked: protocol.IndexRequest | None = None) -> list[protocol.IndexEntry]:
    """Every model and whether it can be used."""
    registry: Registry = request.app.state.registry
    entries = [
        protocol.IndexEntry(
            name=each.name,
            version=each.version,
            state="READY" if each.state in ("open", "ready") else "UNAVAILABLE",
            reason=each.error.detail if each.error else "unloaded" if each.state == "unloaded" else "",
        )
        for each in (await run_in_threadpool(registry.facts)).models
    ]
    return [entry for entry in entries if entry.state == "READY" or not (asked and asked.ready)]


_CHANGES: dict[str, Any] = {
    "dependencies": MODELS,
    "responses": description.problems(401, 403, 404, 409, 503),
}


@router.post("/repository/models/{name}/load", **_CHANGES)
async def load(request: Request, name: str) -> protocol.RepositoryDone:
    """Read a model again from its folder and test it; of a name its highest version."""
    await changed(request, "model", request.app.state.registry.load, name)
    return protocol.RepositoryDone()


@router.post("/repository/models/{name}/unload", **_CHANGES)
async def unload(request: Request, name: str) -> protocol.RepositoryDone:
    """Refuse a model until it is loaded again; of a name its highest version."""
    await changed(request, "model", request.app.state.registry.unload, name)
    return protocol.RepositoryDone()


def _folder(registry: Registry, name: str, version: str) -> Path:
    """The folder of a model; that there is none is the path's fault here, not an option's."""
    try:
        return registry.resolve(f"{name}/{version}" if version else name)
    except BadSettings as error:
        raise NotKnown(str(error)) from None


def _options(asked: tensors.Inference, folder: Path) -> Options:
    beam = asked.parameters.get("beam", 0)
    if not 0 <= beam <= MAX_BEAM:
        raise BadTensors(f"the parameter beam is {beam}; it must be 0 to {MAX_BEAM}")
    return Options(folder, asked.parameters.get("reading"), beam)


def _limit(asked: tensors.Inference, issued: Ticket) -> None:
    """Let the request's own parameters shorten its deadline and give it a lower priority."""
    microseconds = asked.parameters.get("timeout", 0)
    if microseconds > 0:
        issued.deadline = min(issued.deadline, time.monotonic() + microseconds / 1e6)
    if asked.parameters.get("priority", 0) > 1:  # 1 is the highest, 0 the usual one
        issued.bulk = True
