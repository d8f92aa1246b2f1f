# SPDX-License-Identifier: Apache-2.0
"""In which format an answer goes out: what the client asks for, and how it is sent."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Annotated, Any, Literal

from fastapi import Depends, Header, Query, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from zeile import formats
from zeile.formats import Page
from zeile.service.batch import Answer
from zeile.service.problems import NotAcceptable
from zeile.service.provenance import for_documents

Format = Literal["json", "text", "tsv", "hocr", "alto", "page", "ndjson"]

NDJSON = "application/x-ndjson"
MEDIA_TYPES: Mapping[Format, str] = {
    "json": "application/json",
    "text": formats.MEDIA_TYPES["text"],
    "tsv": formats.MEDIA_TYPES["tsv"],
    "hocr": formats.MEDIA_TYPES["hocr"],
    "alto": formats.MEDIA_TYPES["alto"],
    "page": formats.MEDIA_TYPES["page"],
    "ndjson": NDJSON,
}

_WITHOUT_PARAMETERS = {media_type.partition(";")[0]: name for name, media_type in MEDIA_TYPES.items()}
_ACCEPTED: Mapping[str, Format] = {
    "*/*": "json",
    "application/*": "json",
    "text/*": "text",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    **_WITHOUT_PARAMETERS,
}
_QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")

OTHERS: Mapping[str, str] = {
    _type.partition(";")[0]: _example
    for _type, _example in (
        (MEDIA_TYPES["text"], "Zeile\n"),
        (MEDIA_TYPES["tsv"], "file\tconfidence\ttext\terror\nline.png\t0.9871\tZeile\t\n"),
        (MEDIA_TYPES["hocr"], "<html>...</html>"),
        (MEDIA_TYPES["alto"], "<alto>...</alto>"),
        (MEDIA_TYPES["page"], "<PcGts>...</PcGts>"),
        (NDJSON, '{"index":0,"file":"line.png","text":"Zeile",...}\n{"provenance":{...}}\n{"end":{...}}\n'),
    )
}
"""Media types beside JSON, each with an example, for the description."""


async def wanted(  # a coroutine costs no thread
    format: Annotated[Format | None, Query(description="of the answer; without it, Accept decides")] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "*/*",  # every HTTP client has its own way to set it
) -> Format:
    """The format of the answer.

    Raises:
        NotAcceptable: there is no ?format=, and Accept names nothing that is written.
    """
    if format is not None:
        return format
    best, found = 0.0, None
    for entry in accept.split(",")[:50]:
        media_type, *parameters = [part.strip().lower() for part in entry.split(";")]
        quality = next((float(m[1]) for m in map(_QUALITY.fullmatch, parameters) if m), 1.0)
        if quality > best and media_type in _ACCEPTED:
            best, found = quality, _ACCEPTED[media_type]
    if found is None:
        raise NotAcceptable(
            f"of the media types {accept[:80]!r} none is written; accept one of "
            f"{', '.join(dict.fromkeys(_WITHOUT_PARAMETERS))}, or say ?format={'|'.join(MEDIA_TYPES)}"
        )
    return found


Wanted = Annotated[Format, Depends(wanted)]


def headers(answer: Answer) -> dict[str, str]:
    """What every format says in the same place: the model, the engine, and if that was a spare."""
    facts = {
        "x-zeile-model": f"{answer.model.name}/{answer.model.version}; sha256={answer.model.sha256}",
        "x-zeile-engine": ", ".join(dict.fromkeys(str(engine.get("engine", "")) for engine in answer.engines)),
        "vary": "accept",
    }
    spared = {str(e["instead_of"]): str(e["engine"]) for e in answer.engines if "instead_of" in e}
    if spared:
        said = "; ".join(
            f"read by {spare} in the place of {engine}, with the same result" for engine, spare in spared.items()
        )
        facts["warning"] = f'199 zeile "{said}"'
    return facts


async def document(
    kind: Format, pages: Sequence[Page], origin: Mapping[str, Any], facts: Mapping[str, str]
) -> Response:
    """Pages or images of lines in any format but JSON and NDJSON."""
    body = await run_in_threadpool(formats.write, kind, pages, for_documents(origin))
    return Response(body, media_type=MEDIA_TYPES[kind], headers=dict(facts))


class Streamed(StreamingResponse):
    """An answer that is sent piece by piece.

    Args:
        pieces: of the body.
        held: closed at the end, whether all was sent or not.
        media_type: of the body.
        headers: of the answer.
    """

    def __init__(
        self, pieces: AsyncIterator[bytes], held: AsyncExitStack, media_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Not the base class's way, which listens for the client's end itself: asking.Watched does that already.
        with contextlib.suppress(ClientDisconnect):  # the ticket says so too; no other answer can be begun here
            async with self._held:
                await self.stream_response(send)
