# SPDX-License-Identifier: Apache-2.0
"""A full service: who is turned away, what they are told, and that they all are told the same."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.models import line_png
from tests.service.raw import connect, one_answer, until
from tests.service.serving import counted, engine_held, in_background, refused, running

from zeile.service import connections, refusals
from zeile.service.app import create_app
from zeile.settings import Settings

PNG = {"content-type": "image/png"}
POST = b"POST /v1/recognize HTTP/1.1\r\nhost: zeile\r\ncontent-type: image/png\r\n"
LINE = line_png(1)
WHOLE = POST + b"content-length: %d\r\n\r\n" % len(LINE) + LINE


@contextmanager
def full(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FastAPI, httpx.Client, socket.socket]]:
    """A service without a place, and a connection that has been turned away once, as parsed requests are."""
    monkeypatch.setattr(refusals, "LOGGED", 1)
    monkeypatch.setattr(refusals, "LOGGED_S", 1e9)
    app = create_app(Settings(models=models, model="tiny/1", requests=1))
    with running(app) as client, connect(client) as connection, ExitStack() as held:
        let = held.enter_context(ExitStack())
        let.enter_context(engine_held(app))
        held.callback(in_background(lambda: client.post("/v1/recognize", content=LINE, headers=PNG)).join)
        held.callback(let.close)
        until(lambda: counted(app, "requests_in_flight") == 1)
        connection.sendall(WHOLE)
        one_answer(connection)
        yield app, client, connection


@pytest.fixture
def unparsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The requests that are answered without being parsed."""
    found: list[bytes] = []
    answer = refusals.Refusals.answer_unparsed

    def noted(self: refusals.Refusals, data: bytes, *rest: Any) -> bytes | None:
        given = answer(self, data, *rest)
        if given is not None:
            found.append(data)
        return given

    monkeypatch.setattr(refusals.Refusals, "answer_unparsed", noted)
    return found


def test_requests_beyond_the_limit_are_turned_away_and_operators_are_not(models: Path) -> None:
    app, statuses = create_app(Settings(models=models, model="tiny/1", requests=2)), []

    def post() -> None:
        statuses.append(client.post("/v1/recognize", content=line_png(1), headers=PNG).status_code)

    with running(app) as client:
        with engine_held(app):
            waiting = [in_background(post) for _ in range(2)]
            until(lambda: counted(app, "requests_in_flight") == 2)
            full = client.post("/v1/recognize", content=line_png(1), headers=PNG)
            assert "2 requests" in refused(full, 503, "overloaded")
            assert int(full.headers["retry-after"]) >= 1
            for path in ("/livez", "/metrics"):
                assert client.get(path).status_code == 200
        for thread in waiting:
            thread.join()
        assert statuses == [200, 200]
        assert client.post("/v1/recognize", content=line_png(1), headers=PNG).status_code == 200
    assert counted(app, "rejected_total", reason="overloaded") == 1


def test_a_connection_lives_on_after_a_refusal(models: Path) -> None:
    app, statuses = create_app(Settings(models=models, model="tiny/1", requests=1)), []
    # More than the pieces in which a body arrives, so that much of it comes after the refusal.
    request = POST + b"x-request-id: mine\r\ncontent-length: 1000000\r\n\r\n" + bytes(1_000_000)
    small = line_png(1)

    def post() -> None:
        statuses.append(client.post("/v1/recognize", content=small, headers=PNG).status_code)

    with running(app) as client, connect(client) as connection:
        with engine_held(app):
            waiting = in_background(post)
            until(lambda: counted(app, "requests_in_flight") == 1)
            for _ in range(3):
                connection.sendall(request)
                head, problem = one_answer(connection)
                assert head["x-request-id"] == "mine"
                assert head["x-content-type-options"] == "nosniff"
                assert int(head["retry-after"]) >= 1
                assert problem["type"] == "urn:zeile:problem:overloaded"
        waiting.join()
        connection.sendall(POST + b"content-length: %d\r\n\r\n" % len(small) + small)
        head, read = one_answer(connection)
        assert [line["confidence"] for line in read["lines"]] != []
    assert counted(app, "rejected_total", reason="overloaded") == 3
    assert counted(app, "requests_total", endpoint="/v1/recognize", outcome="overloaded") == 3


def test_a_full_queue_is_told_at_the_door_as_it_is_inside(models: Path) -> None:
    app = create_app(Settings(models=models, model="tiny/1", queue_lines=32))

    def post() -> None:
        client.post("/v1/recognize", files=[("files", (f"{i}.png", line_png(1))) for i in range(32)])

    with running(app) as client:
        with engine_held(app):
            # Two batches are prepared and wait for the engine, the third is the queue.
            waiting = []
            for lines in (0, 0, 32):
                waiting.append(in_background(post))
                until(lambda: (len(app.state.worker._readings), app.state.worker.waiting) == (len(waiting), lines))  # noqa: B023
            told = [
                refused(
                    client.post(f"/v1/recognize{query}", content=line_png(1), headers=PNG | headers), 503, "overloaded"
                )
                for query, headers in (("", {}), ("?beam=0", {}), ("", {"x-forwarded-for": "127.0.0.1"}))
            ]
            assert len(set(told)) == 1
            assert "nothing is added to 32 lines" in told[0]
        for thread in waiting:
            thread.join()
    assert counted(app, "requests_total", endpoint="/v1/recognize", outcome="overloaded") == 3


@pytest.mark.parametrize(("lines", "status", "kind"), [(28, 429, "too-fast"), (32, 503, "overloaded")])
def test_many_are_told_of_a_full_queue_without_being_parsed(
    models: Path, monkeypatch: pytest.MonkeyPatch, unparsed: list[bytes], lines: int, status: int, kind: str
) -> None:
    monkeypatch.setattr(refusals, "LOGGED", 1)
    monkeypatch.setattr(refusals, "LOGGED_S", 1e9)
    app = create_app(Settings(models=models, model="tiny/1", queue_lines=32))

    def post(count: int) -> None:
        assert client.post("/v1/recognize", files=count * [("files", ("a.png", LINE))]).status_code == 200

    with running(app) as client, connect(client) as connection, ExitStack() as held:
        let = held.enter_context(ExitStack())
        let.enter_context(engine_held(app))
        for number, (sent, waiting) in enumerate(((32, 0), (32, 0), (lines, lines)), 1):
            held.callback(in_background(partial(post, sent)).join)
            held.callback(let.close)
            until(lambda: (len(app.state.worker._readings), app.state.worker.waiting) == (number, waiting))  # noqa: B023
        told = []
        for _ in range(3):
            connection.sendall(WHOLE)
            head, problem = one_answer(connection)
            assert (problem["status"], problem["type"]) == (status, f"urn:zeile:problem:{kind}")
            told.append((head.pop("x-request-id") and head, problem))
        assert told[1:] == told[:1] * 2
        assert counted(app, "rejected_total", reason=kind) == 3
        assert counted(app, "requests_total", endpoint="/v1/recognize", outcome="overloaded") == 3
        if status == 429:  # it is said to the one that has the lines, and to nobody else
            with socket.create_connection(
                (client.base_url.host, client.base_url.port or 80), 60, ("127.0.0.2", 0)
            ) as other:
                other.sendall(WHOLE)
                until(lambda: len(app.state.worker._readings) == 4)
                let.close()
                assert len(one_answer(other)[1]["lines"]) == 1
    assert unparsed == [WHOLE, WHOLE]


def test_many_are_told_without_being_parsed_what_the_first_one_is_told(
    models: Path, monkeypatch: pytest.MonkeyPatch, unparsed: list[bytes]
) -> None:
    spaced = WHOLE.replace(b": ", b":").replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\nUser-Agent: x y/1\r\n\r\n")
    with full(models, monkeypatch) as (app, _, connection):
        # A name of the client's must be in its answer, and has it parsed.
        connection.sendall(WHOLE.replace(b"host", b"x-request-id: mine\r\nhost"))
        parsed, problem = one_answer(connection)
        assert (parsed.pop("x-request-id"), unparsed) == ("mine", [])
        names = set()
        for request in (WHOLE, spaced, WHOLE):
            connection.sendall(request)
            head, said = one_answer(connection)
            names.add(head.pop("x-request-id"))
            assert (head, said) == (parsed, problem)
        assert unparsed == [WHOLE, spaced, WHOLE]
        assert (len(names), {len(name) for name in names}) == (3, {32})
        assert counted(app, "requests_total", endpoint="/v1/recognize", outcome="overloaded") == 5
        assert counted(app, "rejected_total", reason="overloaded") == 5
        assert counted(app, "request_seconds_count") == 5
    assert unparsed == [WHOLE, spaced, WHOLE]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(WHOLE.replace(b"host", b"x-zeile-deadline-ms: 5000\r\nhost"), id="a header that asks for more"),
        pytest.param(WHOLE.replace(b"recognize", b"recognize?beam=4"), id="a query"),
        pytest.param(POST + b"transfer-encoding: chunked\r\n\r\n2\r\nxx\r\n0\r\n\r\n", id="chunks"),
        pytest.param(POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\nxx", id="two lengths"),
        pytest.param(b"post" + WHOLE[4:], id="no method"),
        pytest.param(POST + 60 * b"accept: */*\r\n" + b"x: y\r\ncontent-length: 1\r\n\r\nx", id="a long head"),
    ],
)
def test_whatever_is_not_plain_is_parsed(
    models: Path, monkeypatch: pytest.MonkeyPatch, unparsed: list[bytes], given: bytes
) -> None:
    with full(models, monkeypatch) as (_, _, connection):
        connection.sendall(given)
        assert one_answer(connection)[1]["status"] in (503, 400)
    assert unparsed == []


def test_two_requests_at_once_are_parsed(models: Path, monkeypatch: pytest.MonkeyPatch, unparsed: list[bytes]) -> None:
    with full(models, monkeypatch) as (_, _, connection):
        connection.sendall(WHOLE + WHOLE)
        told = b""
        while told.count(b"HTTP/1.1 503 ") < 2:
            told += connection.recv(65536)
    assert unparsed == []


def test_a_connection_is_not_kept_for_ever_after_the_rest_of_a_refused_body(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "KEEP_S", 0.5)
    with full(models, monkeypatch) as (_, _, connection):
        connection.sendall(WHOLE[:-1])
        time.sleep(0.05)
        connection.sendall(WHOLE[-1:])
        assert one_answer(connection)[1]["status"] == 503
        assert connection.recv(1) == b""


def test_a_request_in_pieces_is_parsed(models: Path, monkeypatch: pytest.MonkeyPatch, unparsed: list[bytes]) -> None:
    with full(models, monkeypatch) as (_, _, connection):
        for cut in (1, 30, len(POST) + 40, len(WHOLE) - 1):
            connection.sendall(WHOLE[:cut])
            time.sleep(0.05)
            connection.sendall(WHOLE[cut:])
            assert one_answer(connection)[1]["status"] == 503
        assert unparsed == []
        time.sleep(0.05)
        connection.sendall(WHOLE)  # and the connection is where it was
        assert one_answer(connection)[1]["status"] == 503
        assert unparsed == [WHOLE]


def test_who_is_only_turned_away_keeps_the_connection(
    models: Path, monkeypatch: pytest.MonkeyPatch, unparsed: list[bytes]
) -> None:
    monkeypatch.setattr(connections, "KEEP_S", 1)
    with full(models, monkeypatch) as (_, _, connection):
        for _ in range(15):
            connection.sendall(WHOLE)
            assert one_answer(connection)[1]["status"] == 503
            time.sleep(0.1)
        assert len(unparsed) == 15
        assert connection.recv(1) == b"", "and it is closed when nothing comes"


def test_who_does_not_listen_is_not_written_to_for_ever(
    models: Path, monkeypatch: pytest.MonkeyPatch, unparsed: list[bytes]
) -> None:
    with full(models, monkeypatch) as (_, _, connection):
        connection.settimeout(1)

        def send() -> None:
            while True:
                connection.sendall(WHOLE)

        with pytest.raises(OSError, match=r"timed out|reset"):  # nothing is taken any more, or it is closed
            send()
        assert len(unparsed) * 700 < 20_000_000, "what the kernel takes, and little more"
