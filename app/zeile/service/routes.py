# SPDX-License-Identifier: Apache-2.0
"""The endpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

import zeile
from zeile.errors import BadImage
from zeile.service import answers, models, schemas
from zeile.service.batch import BATCH_LINES, Stages
from zeile.service.engines import Options, folder_of
from zeile.service.measure import measure_files
from zeile.service.problems import KINDS, MEDIA_TYPE
from zeile.service.uploads import FIELDS, uploads
from zeile.service.worker import Worker

router = APIRouter()

MAX_BEAM = 64


def options(
    request: Request,
    model: Annotated[str | None, Query(description="name or name/version of /v1/models")] = None,
    reading: Annotated[str | None, Query(description="reading of the model; default: its first")] = None,
    beam: Annotated[int, Query(ge=0, le=MAX_BEAM, description="width of the beam search; 0: the best path")] = 0,
) -> Options:
    """Query parameters of /v1/recognize and /v1/measure; run in a thread, because it looks at the models on disk."""
    return Options(folder_of(model, request.app.state.settings), reading, beam)


def _worker(request: Request) -> Worker:
    worker: Worker = request.app.state.worker
    return worker


Asked = Annotated[Options, Depends(options)]
Working = Annotated[Worker, Depends(_worker)]


def _body(media_types: Mapping[str, str]) -> dict[str, Any]:
    """OpenAPI of a body: a form of files, or one file of the media types given with their descriptions."""
    binary = {"type": "string", "format": "binary"}
    fields = {name: {"type": "array", "items": binary} for name in FIELDS}
    form = {"schema": {"type": "object", "properties": fields, "additionalProperties": False}}
    raw = {name: {"schema": binary | {"description": text}} for name, text in media_types.items()}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": form} | raw}}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI of the errors of an endpoint."""
    titles = {s: " / ".join(sorted({k.title for k in KINDS.values() if k.status == s})) for s in statuses}
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": title, "content": content} for status, title in titles.items()}


def _example(answer: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI of a good answer."""
    return {200: {"content": {"application/json": {"example": answer}}}}


@router.post(
    "/v1/recognize",
    response_model=schemas.Recognition,
    responses=_example(schemas.RECOGNITION) | _problems(413, 415, 422, 500, 503),
    openapi_extra=_body({"image/*": "an image of one text line"}),
)
async def recognize(request: Request, asked: Asked, worker: Working) -> Response:
    """Read images of text lines.

    Of several files, a bad one is reported in its place and the others are read; a single bad one is the answer.
    """
    parts: list[bytes] = []
    stages = Stages()
    async with uploads(request, ["image/*"]) as files:
        began = time.perf_counter()
        for first in range(0, len(files), BATCH_LINES):
            chunk = files[first : first + BATCH_LINES]
            answer = await worker.read([await file.read() for file in chunk], asked)
            if len(files) == 1 and isinstance(answer.lines[0], BadImage):
                raise answer.lines[0]
            parts.extend(
                answers.encoded(answers.line(f.name, line)) for f, line in zip(chunk, answer.lines, strict=True)
            )
            stages += answer.stages
        total = time.perf_counter() - began
    facts = {
        "model": answers.model(answer.model),
        "engine": answer.engine,
        "time_ms": answers.times(stages, total),
    }
    body = b'{"lines":[' + b",".join(parts) + b"]," + answers.encoded(facts)[1:]
    return Response(body, media_type="application/json")


@router.post(
    "/v1/measure",
    response_model=schemas.Measurement,
    responses=_problems(413, 415, 422, 500, 503),
    openapi_extra=_body({"application/zip": "NNN.png with NNN.gt.txt, or manifest.tsv with <id>.png"}),
)
async def measure(
    request: Request,
    asked: Asked,
    worker: Working,
    split: Annotated[str | None, Query(description="only lines of this split of a manifest.tsv")] = None,
) -> Response:
    """Read lines with ground truth and count the errors.

    Send a zip file of NNN.png and NNN.gt.txt, one of manifest.tsv and <id>.png, or images and their .gt.txt as the
    files of a form.
    """
    async with uploads(request, ["application/zip", "application/x-zip-compressed"]) as files:
        measurement = await measure_files(files, split, worker, asked)
    return Response(answers.encoded(measurement), media_type="application/json")


@router.get("/v1/models")
async def list_models(request: Request) -> schemas.Models:
    """Models that can be asked for, by name and version, lowest first."""
    return await run_in_threadpool(models.facts, request.app.state.settings)


@router.get("/healthz", response_model=schemas.Health, responses=_problems(503))
async def healthz(worker: Working) -> schemas.Health:
    """Whether the default model can read."""
    if worker.fault is not None or worker.opened is None:
        raise worker.fault or RuntimeError("the worker was never started")
    return schemas.Health(
        status="ok",
        version=zeile.__version__,
        model=schemas.ModelName(**answers.model(worker.opened.model)),
        engine=worker.opened.engine,
        waiting=worker.waiting,
    )
