# SPDX-License-Identifier: Apache-2.0
"""/v1/pages: the image of a page and where its lines stand in, the page with its texts out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from zeile import formats
from zeile.errors import BadSettings
from zeile.service import answers, description, outputs, schemas
from zeile.service.acknowledge import Acknowledged, acknowledged
from zeile.service.asking import Asking, Watched, requires
from zeile.service.batch import Answer
from zeile.service.images import joined, read_chunks
from zeile.service.options import Asked, Working
from zeile.service.outputs import MEDIA_TYPES, Format, Streamed
from zeile.service.pages import LIMITS, Laid, Pages
from zeile.service.problems import BadForm
from zeile.service.provenance import for_documents
from zeile.service.streaming import rows
from zeile.service.uploads import FIELDS, Upload, uploads

router = APIRouter(dependencies=[Depends(requires("read"))])

IMAGE, REGIONS = "image", "regions"

_FIELDS = (IMAGE, REGIONS, *(name for name in FIELDS if name != IMAGE))
_FORM = {IMAGE: "the page, one image", REGIONS: "its lines: ALTO 2 to 4, PAGE XML, or JSON"}
_BODIES = {"image/*": "an image of a page, with ?segment=1"}


@router.post(
    "/v1/pages",
    response_model=schemas.PageRecognition,
    responses=description.answer({}, outputs.OTHERS)
    | description.problems(401, 403, 406, 408, 413, 415, 422, 429, 500, 503, 504),
    openapi_extra=description.body(description.form(_FORM), _BODIES),
)
async def read_page(
    request: Request,
    asked: Asked,
    worker: Working,
    issued: Asking,
    wanted: outputs.Wanted,
    segment: Annotated[
        bool, Query(description="find the lines of a clean page of one column; a convenience, and marked as such")
    ] = False,
    fill: Annotated[
        bool, Query(description="answer with the ALTO or PAGE document that was sent, with its texts replaced")
    ] = False,
) -> Response:
    """Read the lines of a page.

    Send its image and a document of its lines as the fields ``image`` and ``regions`` of a form; or the image alone,
    also as the body, with ``?segment=1``. Columns of characters count from the left edge of their line's box.
    """
    worker.check(issued)
    request.app.state.audit.check()
    async with AsyncExitStack() as held:
        files = await held.enter_async_context(uploads(request, ["image/*"], _FIELDS))
        image, regions = _sent(files, segment, fill)
        data, document = await image.read(), await regions.read() if regions else None
        began = time.perf_counter()
        await held.enter_async_context(Watched(request, issued))
        pages: Pages = request.app.state.pages
        laid = await held.enter_async_context(pages.laid(image.name, data, document, issued))
        del data
        if fill and laid.kind not in ("alto", "page"):
            raise BadSettings(f"regions in {laid.kind} cannot be filled; send ALTO or PAGE, or leave fill out")
        parts = await held.enter_async_context(aclosing(read_chunks(laid.chunks(), worker, asked, issued)))
        seen = 0

        async def acknowledge(answer: Answer) -> Acknowledged:
            nonlocal seen
            cut = laid.regions[seen : seen + len(answer.lines)]
            seen += len(cut)
            return await acknowledged(request, "page", answer, asked, issued, (laid.sha256, cut))

        def head(index: int, _: str) -> Mapping[str, Any]:
            return {"index": index} | answers.place(laid.regions[index])

        if wanted == "ndjson" and not fill:
            first = await anext(parts)
            known = await acknowledge(first.answer)
            pieces = rows(first, known, parts, head, acknowledge, issued, began, {"page": _head(laid)})
            return Streamed(pieces, held.pop_all(), outputs.NDJSON, outputs.headers(first.answer))
        answer = joined([part async for part in parts]).answer
        known = await acknowledge(answer)
        headers = outputs.headers(answer) | known.headers()
        if fill and document is not None:
            filled = await run_in_threadpool(
                formats.fill, document, laid.page(answer), for_documents(known.origin), LIMITS
            )
            return Response(filled, media_type=MEDIA_TYPES[cast(Format, laid.kind)], headers=headers)
        if wanted == "json":
            facts = answers.facts(answer, time.perf_counter() - began) | known.facts()
            whole = await run_in_threadpool(_json, laid, answer, facts)
            return Response(whole, media_type="application/json", headers=headers)
        return await outputs.document(wanted, [laid.page(answer)], known.origin, headers)
    raise AssertionError("nothing in the block swallows an error")


def _sent(files: Sequence[Upload], segment: bool, fill: bool) -> tuple[Upload, Upload | None]:
    """The image, and the document if there is one."""
    images = [file for file in files if file.field != REGIONS]
    documents = [file for file in files if file.field == REGIONS]
    if len(images) != 1 or len(documents) > 1:
        raise BadForm(
            f"the form has {len(images)} images and {len(documents)} documents of regions; one page is read at a "
            f"time: send its image as the field {IMAGE!r} and its lines as the field {REGIONS!r}"
        )
    if bool(documents) == segment:
        raise BadForm(
            "the regions of the page were sent, and ?segment=1 would search for them; leave one of them out"
            if segment
            else f"where the lines stand is not said: send ALTO, PAGE or JSON as the field {REGIONS!r}, "
            "or have a clean page of one column searched with ?segment=1"
        )
    if fill and segment:
        raise BadSettings("?fill=1 puts texts into the document that was sent, and with ?segment=1 there is none")
    return images[0], documents[0] if documents else None


def _head(laid: Laid) -> dict[str, Any]:
    height, width = laid.grey.shape
    return {"file": laid.file, "width": width, "height": height, "segmented": laid.kind is None}


def _json(laid: Laid, answer: Answer, facts: Mapping[str, Any]) -> bytes:
    """A ``schemas.PageRecognition``."""
    read = zip(laid.regions, answer.lines, strict=True)
    lines = b",".join([answers.encoded_line(answers.place(region), line) for region, line in read])
    return answers.encoded(_head(laid))[:-1] + b',"lines":[' + lines + b"]," + answers.encoded(facts)[1:]
