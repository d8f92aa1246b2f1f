# SPDX-License-Identifier: Apache-2.0
"""NDJSON: results in order, as they are ready, with little in memory, and an end that says whether all came."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.models import line_png
from tests.service.serving import files, refused, running
from tests.service.test_archives import zipped

from zeile.manifest import load_model
from zeile.pipeline import Line
from zeile.service import schemas
from zeile.service.acknowledge import Acknowledged
from zeile.service.app import create_app
from zeile.service.archives import Archive, Member
from zeile.service.batch import Answer, Stages
from zeile.service.images import AHEAD, CHUNK_LINES, Part
from zeile.service.problems import Unlogged
from zeile.service.streaming import rows
from zeile.service.ticket import Ticket
from zeile.settings import Settings

ZIP = {"content-type": "application/zip"}
LINES = 10 * CHUNK_LINES + 5
Message = dict[str, Any]


@pytest.fixture(scope="module")
def many() -> bytes:
    """A zip of lines of which every tenth is damaged."""
    images = [line_png(i, width=60 + i % 7) for i in range(10)]
    return zipped({f"page/{i:04}.png": b"damaged" if i % 10 == 9 else images[i % 10] for i in range(LINES)})


def split(body: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """Lines, provenances and the last row."""
    parsed = [json.loads(row) for row in body.splitlines()]
    assert body.endswith(b"\n")
    lines = [row for row in parsed if "index" in row]
    origins = [row["provenance"] for row in parsed if "provenance" in row]
    assert len(lines) + len(origins) + 1 == len(parsed)
    return lines, origins, parsed[-1]


def test_every_line_of_a_zip_in_order_and_then_the_end(service: httpx.Client, many: bytes) -> None:
    response = service.post("/v1/recognize?format=ndjson", content=many, headers=ZIP)
    assert response.headers["content-type"] == "application/x-ndjson"
    lines, origins, last = split(response.content)
    assert [line.pop("index") for line in lines] == list(range(LINES))
    assert [line["file"] for line in lines] == [f"page/{i:04}.png" for i in range(LINES)]
    bad = [i for i, line in enumerate(lines) if line["text"] is None]
    assert bad == list(range(9, LINES, 10))
    assert (last["end"]["lines"], last["end"]["errors"]) == (LINES, len(bad))
    assert last["end"]["model"]["version"] == "1"
    assert sum(len(origin["outputs"]) for origin in origins) == LINES
    for line in lines:
        schemas.Line.model_validate(line)


def test_the_lines_are_those_of_the_json_answer(service: httpx.Client, many: bytes) -> None:
    streamed, _, _ = split(service.post("/v1/recognize?format=ndjson", content=many, headers=ZIP).content)
    whole = service.post("/v1/recognize", content=many, headers=ZIP).json()["lines"]
    assert [{name: value for name, value in line.items() if name != "index"} for line in streamed] == whole


def test_a_form_is_streamed_as_well_and_accept_asks_for_it(service: httpx.Client) -> None:
    form = files(a_png=line_png(1), b_png=b"no image")
    response = service.post("/v1/recognize", files=form, headers={"accept": "application/x-ndjson"})
    lines, _, last = split(response.content)
    assert [line["file"] for line in lines] == ["a.png", "b.png"]
    assert lines[1]["error"]["status"] == 422
    assert last["end"]["errors"] == 1


def test_a_single_bad_image_has_the_status_that_it_has_everywhere(service: httpx.Client) -> None:
    refused(service.post("/v1/recognize?format=ndjson", files=files(a_png=b"no image")), 422, "bad-image")


def test_more_lines_than_one_piece_may_have_are_only_streamed(service: httpx.Client) -> None:
    data = zipped({f"{i}.png": b"damaged" for i in range(1001)})
    detail = refused(service.post("/v1/recognize", content=data, headers=ZIP), 413, "too-many-files")
    assert "1001 images" in detail
    assert "format=ndjson" in detail
    lines, _, last = split(service.post("/v1/recognize?format=ndjson", content=data, headers=ZIP).content)
    assert len(lines) == last["end"]["errors"] == 1001


class Conversation:
    """A request without a network, so that it is known what the service has done when it sends something."""

    def __init__(self, app: Any, body: bytes, gone: asyncio.Event) -> None:
        self._app, self._gone = app, gone
        self._received = [{"type": "http.request", "body": body, "more_body": False}]
        self.scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": "/v1/recognize",
            "query_string": b"format=ndjson",
            "headers": [(b"content-type", b"application/zip")],
        }

    async def run(self, send: Callable[[Message], Awaitable[None]]) -> None:
        await self._app(self.scope, self._receive, send)

    async def _receive(self) -> Message:
        if self._received:
            return self._received.pop()
        await self._gone.wait()
        return {"type": "http.disconnect"}


def held(models: Path, body: bytes, send: Callable[[Message, asyncio.Event], Awaitable[None]]) -> Any:
    """Run a request whose client does with the messages what ``send`` does; returns the app."""
    app = create_app(Settings(models=models, model="tiny/1"))

    async def call() -> None:
        async with app.router.lifespan_context(app):
            gone = asyncio.Event()
            await Conversation(app, body, gone).run(lambda message: send(message, gone))

    asyncio.run(call())
    return app


def test_no_more_is_unpacked_than_is_about_to_be_read(
    models: Path, many: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked, sent, most = 0, 0, 0
    original, lock = Archive.read, threading.Lock()

    def counted(self: Archive, member: Member) -> bytes:
        nonlocal unpacked
        with lock:
            unpacked += 1
        return original(self, member)

    monkeypatch.setattr(Archive, "read", counted)

    async def slow(message: Message, _: asyncio.Event) -> None:
        nonlocal sent, most
        for _turn in range(50):  # whoever would run ahead has every opportunity
            await asyncio.sleep(0)
        most = max(most, unpacked - sent)
        sent += message.get("body", b"").count(b'{"index"')

    held(models, many, slow)
    assert sent == unpacked == LINES
    assert most <= AHEAD * CHUNK_LINES


def test_a_client_that_leaves_ends_the_work(models: Path, many: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = bytearray()
    asked: list[Any] = []

    async def leave(message: Message, gone: asyncio.Event) -> None:
        sent.extend(message.get("body", b""))
        gone.set()
        await asyncio.sleep(0)

    original = Archive.read

    def noted(self: Archive, member: Member) -> bytes:
        asked.append(member)
        return original(self, member)

    monkeypatch.setattr(Archive, "read", noted)
    app = held(models, many, leave)
    assert b'"end"' not in sent
    assert len(asked) <= (AHEAD + 1) * CHUNK_LINES
    assert app.state.worker.waiting == 0


def test_an_error_in_the_middle_is_the_last_row(models: Path, many: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(Settings(models=models, model="tiny/1"))
    with running(app) as client:
        record, calls = app.state.audit.record, 0

        async def full(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise Unlogged("the disk is full")
            return await record(*arguments)

        monkeypatch.setattr(app.state.audit, "record", full)
        response = client.post("/v1/recognize?format=ndjson", content=many, headers=ZIP)
        assert response.status_code == 200
        lines, origins, last = split(response.content)
        assert last["error"]["type"] == "urn:zeile:problem:unlogged"
        assert len(lines) == 2 * CHUNK_LINES, "what could not be logged was not sent"
        assert len(origins) == 2
        calls = 2
        refused(client.post("/v1/recognize?format=ndjson", content=many, headers=ZIP), 503, "unlogged")


def test_the_deadline_counts_from_row_to_row(models: Path) -> None:
    """A zip may take longer than any of its lines may wait."""
    model = load_model(models / "tiny" / "1")
    answer = Answer([Line("a", 1, ())], [(1, 1)], ["0" * 64], Stages(), model, {}, ())
    issued = Ticket("request", "client", time.monotonic() + 1000)

    async def parts() -> AsyncIterator[Part]:
        for _ in range(3):
            issued.deadline = time.monotonic() + 1  # as if it had taken long
            yield Part(["a.png"], answer)

    async def acknowledge(_: Answer) -> Acknowledged:
        return Acknowledged({}, None)

    async def left() -> list[float]:
        known = Acknowledged({}, None)
        sent = rows(Part(["a.png"], answer), known, parts(), lambda i, *_: {"index": i}, acknowledge, issued, 0.0)
        return [issued.left_s async for _ in sent]

    first, *others, _ = asyncio.run(left())
    assert first > 900
    assert issued.left_s > 900
    assert len(others) == 3
