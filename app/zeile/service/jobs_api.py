# SPDX-License-Identifier: Apache-2.0
"""/v1/measure and /v1/jobs: lines with ground truth in, error rates and speed out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from zeile.service import answers, description, job_schemas
from zeile.service.acknowledge import Acknowledged, acknowledged
from zeile.service.asking import Asking, Watched, requires
from zeile.service.batch import Answer
from zeile.service.engines import Options
from zeile.service.images import limits_of
from zeile.service.jobs import Job, Jobs
from zeile.service.measure import Acknowledge, Measuring, saved
from zeile.service.options import Asked, Working
from zeile.service.outputs import NDJSON
from zeile.service.problems import Expired
from zeile.service.sweep import concurrencies
from zeile.service.ticket import Ticket
from zeile.service.uploads import ZIP_TYPES, uploads

router = APIRouter(dependencies=[Depends(requires("measure"))])

PROGRESS_S = 0.25
"""Between two looks at a job whose progress is watched."""

Split = Annotated[str | None, Query(max_length=100, description="only lines of this split of a manifest.tsv")]
_BODY = description.body(
    description.files(), dict.fromkeys(ZIP_TYPES, "NNN.png with NNN.gt.txt, or manifest.tsv with <id>.png")
)
_SENT = (400, 401, 403, 408, 413, 415, 422, 429, 500, 503)


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


Measurements = Annotated[Jobs, Depends(_jobs)]


def _client(request: Request) -> str | None:
    """Whose jobs may be seen; None for an administrator, who sees all."""
    keys = request.app.state.settings.keys
    admin = keys is not None and "admin" in request.state.scopes
    return None if admin else request.state.client


Client = Annotated[str | None, Depends(_client)]


@router.post(
    "/v1/measure",
    response_model=job_schemas.Measurement,
    responses=description.problems(*_SENT, 504) | {202: {"model": job_schemas.Job}},
    openapi_extra=_BODY,
)
async def measure(
    request: Request,
    asked: Asked,
    worker: Working,
    issued: Asking,
    jobs: Measurements,
    split: Split = None,
    wait: Annotated[bool, Query(description="0: do not wait; the answer is that of /v1/jobs/measure")] = True,
) -> Response:
    """Read lines with ground truth and count the errors.

    Send a zip file of NNN.png and NNN.gt.txt, one of manifest.tsv and <id>.png, or images and their .gt.txt as the
    files of a form. A set that takes longer than the request may is for /v1/jobs/measure.
    """
    if not wait:
        return await begin(request, asked, issued, jobs, split)
    worker.check(issued)
    async with jobs.folder() as folder:
        async with uploads(request, ZIP_TYPES) as files:
            source = await saved(files, folder, limits_of(request.app.state.settings))
        async with Watched(request, issued):
            measuring = Measuring(source, split, worker, asked, issued, _acknowledging(request, asked, issued))
            try:
                measured = await measuring.measured()
            except Expired:
                read = f"{measuring.done} of {measuring.total} lines were read when the deadline passed"
                raise Expired(f"{read}; send the set to /v1/jobs/measure, which has none") from None
    return Response(answers.encoded(measured), media_type="application/json")


@router.post(
    "/v1/jobs/measure",
    status_code=202,
    response_model=job_schemas.Job,
    responses=description.problems(*_SENT),
    openapi_extra=_BODY,
)
async def begin(
    request: Request,
    asked: Asked,
    issued: Asking,
    jobs: Measurements,
    split: Split = None,
    sweep: Annotated[
        str, Query(max_length=100, description="also measure the speed, with so many lines on their way: 1,4,16,64")
    ] = "",
) -> Response:
    """Begin to measure, and answer at once; Location says where the job can be asked for.

    Jobs give way to all other requests. They are kept in memory: when the service ends, they are canceled and gone.
    """
    levels = concurrencies(sweep) if sweep else ()
    jobs.check(issued.client)
    ticket = Ticket(issued.request_id, issued.client, bulk=True, charge=issued.charge)
    async with jobs.folder() as folder:
        async with uploads(request, ZIP_TYPES) as files:
            source = await saved(files, folder, limits_of(request.app.state.settings))
        job = Job(ticket, folder, source, split, asked, levels, _acknowledging(request, asked, ticket))
        jobs.add(job)
    return Response(
        answers.encoded(job.facts()), 202, {"location": f"/v1/jobs/{job.id}"}, media_type="application/json"
    )


@router.get("/v1/jobs", response_model=job_schemas.Jobs, responses=description.problems(401, 403))
async def list_jobs(jobs: Measurements, client: Client) -> Response:
    """Measurements of this client, newest first, without their results."""
    return _json({"jobs": [job.facts(whole=False) for job in jobs.of(client)]})


@router.get("/v1/jobs/{id}", response_model=job_schemas.Job, responses=description.problems(401, 403, 404))
async def job(id: str, jobs: Measurements, client: Client) -> Response:
    """A measurement: how far it is, and what was found once it is done."""
    return _json(jobs.get(id, client).facts())


@router.get(
    "/v1/jobs/{id}/progress",
    responses=description.answer(None, {NDJSON: '{"id":...,"state":"reading","lines":{"done":96,"total":411},...}\n'})
    | description.problems(401, 403, 404),
    response_class=StreamingResponse,
)
async def progress(request: Request, id: str, jobs: Measurements, client: Client) -> StreamingResponse:
    """A row of NDJSON whenever a measurement has come further, until it ends: the job without its result."""
    return StreamingResponse(_rows(jobs.get(id, client), request.app.state.worker), media_type=NDJSON)


@router.delete("/v1/jobs/{id}", response_model=job_schemas.Job, responses=description.problems(401, 403, 404))
async def cancel(id: str, jobs: Measurements, client: Client) -> Response:
    """Cancel a measurement; one that has ended is forgotten instead."""
    found = jobs.get(id, client)
    await jobs.cancel(found)
    return _json(found.facts())


async def _rows(job: Job, worker: Working) -> AsyncIterator[bytes]:
    sent: Mapping[str, Any] = {}
    while not worker.stopping:
        facts = job.facts(whole=False)
        if facts != sent:
            yield answers.record(facts)
            sent = facts
        if job.over:
            return
        await asyncio.sleep(PROGRESS_S)


def _acknowledging(request: Request, asked: Options, ticket: Ticket) -> Acknowledge:
    async def acknowledge(answer: Answer) -> Acknowledged:
        return await acknowledged(request, "measure", answer, asked, ticket)

    return acknowledge


def _json(value: object) -> Response:
    return Response(answers.encoded(value), media_type="application/json")
