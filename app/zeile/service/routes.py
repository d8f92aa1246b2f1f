# SPDX-License-Identifier: Apache-2.0
"""/v1/recognize: images of lines in, texts out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from zeile.errors import BadImage, BadSettings
from zeile.formats import line_page
from zeile.service import answers, description, outputs, schemas
from zeile.service.acknowledge import Acknowledged, acknowledged
from zeile.service.asking import OnTerms, Terms, Watched, requires, ticket
from zeile.service.batch import Answer
from zeile.service.engines import Options
from zeile.service.images import Image, Part, fetched, joined, read_chunks, sent_images
from zeile.service.options import Wished, Wishes, options
from zeile.service.outputs import Format, Streamed, Wanted
from zeile.service.problems import TooManyFiles
from zeile.service.remembering import worked_out
from zeile.service.streaming import Acknowledge, rows
from zeile.service.ticket import Ticket
from zeile.service.uploads import MAX_FILES, ZIP_TYPES, short_body
from zeile.service.worker import Worker

may_read = requires("read")
router = APIRouter(dependencies=[Depends(may_read)])

PATH = "/v1/recognize"
HEADERS = ("accept", "x-zeile-deadline-ms")
"""What the answer depends on besides the query and the body."""

_BODIES = {
    "image/*": "an image of one text line",
    **dict.fromkeys(ZIP_TYPES, "images of text lines"),
    "application/octet-stream": "either of them",
}


@router.post(
    PATH,
    response_model=schemas.Recognition,
    responses=description.answer({}, outputs.OTHERS)
    | description.problems(401, 403, 406, 408, 413, 415, 422, 429, 500, 503, 504),
    openapi_extra=description.body(description.files(), _BODIES),
)
async def recognize(request: Request, wished: Wished, terms: OnTerms, wanted: Wanted) -> Response:
    """Read images of text lines.

    Send them as the files of a form, one as the body, or any number as a zip file in either place. The answer has a
    line for each image, in the order of the form and of each zip file's directory.

    Of several images, a bad one is reported in its place and the others are read; a single bad one is the answer.
    """
    return await worked_out(request, _recognize, wished, terms, wanted)


async def _recognize(request: Request, wished: Wishes, terms: Terms, wanted: Format) -> Response:
    worker: Worker = request.app.state.worker
    issued = await ticket(request, terms)
    worker.check(issued)
    asked = await options(request, wished)
    request.app.state.audit.check()
    if wanted == "json" and (image := await short_body(request)) is not None:
        return await _single(request, image, asked, issued)
    async with AsyncExitStack() as held:
        images = await held.enter_async_context(sent_images(request))
        began = time.perf_counter()
        _check(images, wanted)
        await held.enter_async_context(Watched(request, issued))
        parts = await held.enter_async_context(aclosing(read_chunks(fetched(images), worker, asked, issued)))

        async def acknowledge(answer: Answer) -> Acknowledged:
            return await acknowledged(request, "recognize", answer, asked, issued)

        if wanted == "ndjson":
            first = await anext(parts)
            _raise_single(images, first.answer)
            known = await acknowledge(first.answer)
            pieces = rows(first, known, parts, _head, acknowledge, issued, began)
            return Streamed(pieces, held.pop_all(), outputs.NDJSON, outputs.headers(first.answer))
        if wanted == "json":
            return await _json(images, parts, acknowledge, began)
        whole = joined([part async for part in parts])
        _raise_single(images, whole.answer)
        answer = whole.answer
        known = await acknowledge(answer)
        read = zip(whole.names, answer.sizes, answer.lines, answer.inputs, strict=True)
        pages = [line_page(*each) for each in read]
        return await outputs.document(wanted, pages, known.origin, outputs.headers(answer) | known.headers())
    raise AssertionError("nothing in the block swallows an error")


async def _single(request: Request, image: bytes, asked: Options, issued: Ticket) -> Response:
    """What follows for one image as the body and JSON, which most requests are; without what many images need."""
    worker: Worker = request.app.state.worker
    began = time.perf_counter()
    async with Watched(request, issued):
        answer = await worker.read([image], asked, issued)
        line = answer.lines[0]
        if isinstance(line, BadImage):
            raise line
        known = await acknowledged(request, "recognize", answer, asked, issued)
        return _document([answers.encoded_line({"file": ""}, line)], answer, known, began)


def _check(images: Sequence[Image], wanted: Format) -> None:
    """Refuse more than the format can hold."""
    if wanted == "page" and len(images) != 1:
        raise BadSettings(
            f"a PAGE document describes one image, {len(images)} were sent; send each alone, or ask for alto"
        )
    if wanted != "ndjson" and len(images) > MAX_FILES:
        raise TooManyFiles(
            f"the request has {len(images)} images, at most {MAX_FILES} are answered in one piece; "
            "ask for ?format=ndjson, which is sent line by line"
        )


def _raise_single(images: Sequence[Image], answer: Answer) -> None:
    if len(images) == 1 and isinstance(answer.lines[0], BadImage):
        raise answer.lines[0]


def _head(index: int, name: str) -> Mapping[str, Any]:
    return {"index": index, "file": name}


async def _json(
    images: Sequence[Image], parts: AsyncIterator[Part], acknowledge: Acknowledge, began: float
) -> Response:
    """The lines are encoded while others are read."""
    got: list[Part] = []
    lines: list[bytes] = []
    async for part in parts:
        _raise_single(images, part.answer)
        got.append(part)
        named = zip(part.names, part.answer.lines, strict=True)
        lines += [answers.encoded_line({"file": name}, line) for name, line in named]
    answer = joined(got).answer
    return _document(lines, answer, await acknowledge(answer), began)


def _document(lines: Sequence[bytes], answer: Answer, known: Acknowledged, began: float) -> Response:
    """A ``schemas.Recognition`` of lines that are encoded already."""
    facts = answers.facts(answer, time.perf_counter() - began) | known.facts()
    body = b'{"lines":[' + b",".join(lines) + b"]," + answers.encoded(facts)[1:]
    return Response(body, media_type="application/json", headers=outputs.headers(answer) | known.headers())
