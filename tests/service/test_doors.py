# SPDX-License-Identifier: Apache-2.0
"""What the service does not let in, or not for long."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Response
from tests.models import line_png
from tests.service.raw import answer, connect, until
from tests.service.serving import counted, engine_held, refused, running, serving

from zeile.service.app import create_app
from zeile.service.connections import HEAD_BYTES
from zeile.service.keys import made, write_keys
from zeile.service.problems import TooFast
from zeile.service.rates import MAX_CLIENTS, Rates
from zeile.settings import Settings

PNG = {"content-type": "image/png"}
POST = b"POST /v1/recognize HTTP/1.1\r\nhost: zeile\r\ncontent-type: image/png\r\n"


@pytest.fixture(scope="module")
def hasty(models: Path) -> Iterator[httpx.Client]:
    """A service that waits a second for whatever should come."""
    with serving(Settings(models=models, model="tiny/1", send_s=1)) as client:
        yield client


def problem_of(raw: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), raw[:300]
    return int(head.split()[1]), json.loads(body)


def test_who_hangs_up_is_not_read_for(models: Path) -> None:
    app = create_app(Settings(models=models, model="tiny/1"))
    with running(app) as client:
        with engine_held(app):
            body = line_png(1)
            with connect(client) as connection:
                connection.sendall(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
                until(lambda: bool(app.state.worker._readings))  # the worker has it, and cannot finish it
            until(lambda: counted(app, "requests_total", endpoint="/v1/recognize", outcome="canceled") == 1)
        until(lambda: counted(app, "dropped_lines_total", reason="canceled") == 1)
        assert client.post("/v1/recognize", content=body, headers=PNG).status_code == 200
    assert counted(app, "lines_total", engine="cpu", model="tiny/1") == 1
    assert counted(app, "requests_in_flight") == 0


def test_a_body_cut_off_is_no_answer_and_no_fault(models: Path) -> None:
    app = create_app(Settings(models=models, model="tiny/1"))
    with running(app) as client:
        with connect(client) as connection:
            connection.sendall(POST + b"content-length: 1000\r\n\r\nabc")
            until(lambda: counted(app, "requests_in_flight") == 1)
        until(lambda: counted(app, "requests_total", endpoint="/v1/recognize", outcome="canceled") == 1)
    assert counted(app, "requests_total", endpoint="/v1/recognize", outcome="failed") == 0


@pytest.mark.parametrize("kind", ["content-length: 1000\r\n\r\n--x", "transfer-encoding: chunked\r\n\r\n3\r\n--x\r\n"])
@pytest.mark.parametrize("media_type", ["image/png", "multipart/form-data; boundary=x", "application/zip"])
def test_a_body_that_does_not_come_is_not_waited_for(hasty: httpx.Client, kind: str, media_type: str) -> None:
    with connect(hasty) as connection:
        connection.sendall(POST.replace(b"image/png", media_type.encode()) + kind.encode())
        status, problem = problem_of(_first_answer(connection))
    assert (status, problem["type"]) == (408, "urn:zeile:problem:too-slow")
    assert "ZEILE_SEND_S" in problem["detail"]


def _first_answer(connection: socket.socket) -> bytes:
    """The answer to one request on a connection that stays open."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = connection.recv(65536)
        assert data, received
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length"))
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def test_a_connection_that_says_nothing_is_closed(hasty: httpx.Client) -> None:
    with connect(hasty) as connection:
        assert answer(connection) == b""


def test_a_head_that_does_not_end_is_closed_with_a_problem(hasty: httpx.Client) -> None:
    with connect(hasty) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: zeile\r\nx-slow: ")
        assert problem_of(answer(connection))[0] == 408
    with connect(hasty) as connection:  # also the second head of a connection
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: zeile\r\n\r\n")
        assert _first_answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost:")
        assert problem_of(answer(connection))[0] == 408
    with connect(hasty) as connection:  # nor do empty lines hold a connection
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: zeile\r\n\r\n")
        assert _first_answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(b"\r\n")
        assert problem_of(answer(connection))[0] == 408


def is_reset(connection: socket.socket) -> bool:
    """Whether the service has closed it; shows without any reading."""
    watched = select.poll()
    watched.register(connection, 0)
    return any(events & select.POLLHUP for _, events in watched.poll(0))


def test_a_client_that_does_not_listen_is_closed(models: Path) -> None:
    app = create_app(Settings(models=models, model="tiny/1", send_s=1))

    @app.get("/long")
    async def long() -> Response:
        return Response(bytes(30_000_000))

    with running(app) as client, connect(client) as connection:
        connection.sendall(b"GET /long HTTP/1.1\r\nhost: zeile\r\n\r\n")
        until(lambda: is_reset(connection))


def _is_kept(connection: socket.socket) -> bool:
    """Whether the kernel still has the service's end of a connection; one given up is not announced to the client."""
    ours, theirs = connection.getsockname()[1], connection.getpeername()[1]
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()]
    return any(row[1].endswith(f":{theirs:04X}") and row[2].endswith(f":{ours:04X}") for row in rows)


def test_an_answer_that_nobody_takes_is_not_kept_by_the_kernel(hasty: httpx.Client) -> None:
    """It is short enough for the kernel's buffers, so the service itself does not notice."""
    held = [socket.socket() for _ in range(4)]  # of which a kernel that rearranges its buffers may spare one
    try:
        for connection in held:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((hasty.base_url.host, hasty.base_url.port))
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: zeile\r\n\r\n")
        until(lambda: not all(map(_is_kept, held)))
    finally:
        for connection in held:
            connection.close()


def test_a_connection_cannot_ask_for_more_and_more_without_waiting(service: httpx.Client) -> None:
    with connect(service) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nhost: zeile\r\n\r\n" * 1000)
        until(lambda: is_reset(connection))


def test_whoever_asks_for_the_pulse_and_does_not_listen_is_closed(service: httpx.Client) -> None:
    def ask() -> None:
        for _ in range(1000):
            connection.sendall(b"GET /livez HTTP/1.1\r\nhost: zeile\r\n\r\n" * 1000)

    with connect(service) as connection, pytest.raises(OSError, match=r"reset|Broken pipe"):
        ask()


def test_a_few_requests_may_follow_each_other(service: httpx.Client) -> None:
    with connect(service) as connection:
        more = b"GET /livez HTTP/1.1\r\nhost: zeile\r\n\r\n" * 9
        connection.sendall(more + b"GET /livez HTTP/1.1\r\nhost: zeile\r\nconnection: close\r\n\r\n")
        assert answer(connection).count(b"HTTP/1.1 200") == 10


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 2 * HEAD_BYTES + b" HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"a" * 2 * HEAD_BYTES,
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * HEAD_BYTES,
        b"GET / HTTP/1.1\r\n" + b"a" * 2 * HEAD_BYTES,
        b"GET / HTTP/1.1\r\nhost: zeile\r\nx: " + b"a" * HEAD_BYTES + b"\r\n\r\n",
    ],
    ids=["path", "endless-value", "many", "endless-name", "whole"],
)
def test_a_head_that_is_too_long_is_refused(service: httpx.Client, head: bytes) -> None:
    with connect(service) as connection:
        try:
            connection.sendall(head)
        except (ConnectionResetError, BrokenPipeError):
            return
        received = answer(connection)
    if received:  # else the service closed it with something of ours unread
        assert problem_of(received)[0] == 431


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"HELO zeile\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nx\x00y: z\r\n\r\n",
    ],
    ids=["tls", "version", "smtp", "length", "smuggled", "nul"],
)
def test_what_is_no_http_is_a_problem_too(service: httpx.Client, garbage: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(garbage)
        assert problem_of(answer(connection))[0] == 400


def test_a_refused_body_may_be_sent_to_its_end_and_the_connection_used_again(models: Path) -> None:
    with serving(Settings(models=models, model="tiny/1", body_bytes=1024)) as client, connect(client) as connection:
        connection.sendall(POST + b"content-length: 5000\r\n\r\n" + bytes(2000))
        assert problem_of(_first_answer(connection))[0] == 413
        connection.sendall(bytes(3000) + b"GET /livez HTTP/1.1\r\nhost: zeile\r\n\r\n")
        assert _first_answer(connection).startswith(b"HTTP/1.1 200")


def test_a_client_is_held_to_its_rate_and_others_are_not(models: Path, tmp_path: Path) -> None:
    (fast, fast_key), (other, other_key) = made("fast", ["read"]), made("other", ["read"])
    write_keys(tmp_path / "keys.json", [fast_key, other_key])
    form = [("files", (f"{i}.png", line_png(1))) for i in range(200)]
    with serving(Settings(models=models, model="tiny/1", rate=1, keys=tmp_path / "keys.json")) as client:

        def post(secret: str) -> httpx.Response:
            return client.post("/v1/recognize", files=form, headers={"x-api-key": secret})

        assert post(fast).status_code == 200  # a request is never cut in two
        late = post(fast)
        assert "'fast'" in refused(late, 429, "too-fast")
        assert int(late.headers["retry-after"]) > 100
        assert post(other).status_code == 200


def test_a_bucket_fills_at_the_rate_and_no_higher_than_ten_seconds_worth() -> None:
    now = 100.0
    rates = Rates(5, clock=lambda: now)
    rates.check("a")
    rates.charge("a", 60)  # ten more than there were
    with pytest.raises(TooFast, match="10 lines more than its share of 5 a second") as refusal:
        rates.check("a")
    assert refusal.value.headers == {"retry-after": "2"}
    rates.check("b")
    now += 2
    rates.check("a")
    now += 1000
    rates.charge("a", 50)
    rates.check("a")
    rates.charge("a", 1)
    with pytest.raises(TooFast):
        rates.check("a")


def test_buckets_of_clients_that_come_once_are_not_kept_for_ever() -> None:
    rates = Rates(1, clock=lambda: 0.0)
    for i in range(MAX_CLIENTS + 10):
        rates.charge(str(i), 1)
    assert len(rates._buckets) == MAX_CLIENTS


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_of_other_origins_are_refused(service: httpx.Client, method: str) -> None:
    path = "/v1/models" if method == "GET" else "/v1/recognize"
    for origin in ("https://evil.example", "null", "http://[", "http://127.0.0.1"):
        response = service.request(method, path, headers={"origin": origin})
        assert "ZEILE_CORS" in refused(response, 403, "not-allowed")
        assert "access-control-allow-origin" not in response.headers
    own = f"http://{service.base_url.host}:{service.base_url.port}"
    assert service.get("/v1/models", headers={"origin": own}).status_code == 200


def test_listed_origins_may_ask_and_see_the_answer(models: Path) -> None:
    origin = "https://archive.example"
    with serving(Settings(models=models, model="tiny/1", cors=f"{origin} http://other.example")) as client:
        asked = {"origin": origin, "access-control-request-method": "POST"}
        preflight = client.options("/v1/recognize", headers=asked | {"access-control-request-headers": "x-api-key"})
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, origin)
        response = client.post("/v1/recognize", content=line_png(1), headers=PNG | {"origin": origin})
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, origin)
        assert "x-request-id" in response.headers["access-control-expose-headers"]
        evil = client.post("/v1/recognize", content=line_png(1), headers=PNG | {"origin": "https://evil.example"})
        refused(evil, 403, "not-allowed")
        assert "access-control-allow-origin" not in evil.headers


def test_a_deadline_that_passes_is_told_apart_from_a_full_service(models: Path) -> None:
    app = create_app(Settings(models=models, model="tiny/1"))
    with running(app) as client, engine_held(app):
        by_parameter = client.post("/v1/recognize?deadline_ms=50", content=line_png(1), headers=PNG)
        refused(by_parameter, 504, "expired")
        by_header = client.post("/v1/recognize", content=line_png(1), headers=PNG | {"x-zeile-deadline-ms": "50"})
        refused(by_header, 504, "expired")
        for wrong in ("0", "-1", "soon", "86400001"):
            refused(client.post(f"/v1/recognize?deadline_ms={wrong}", content=b"x", headers=PNG), 422, "bad-option")


def test_more_connections_than_there_may_be_are_closed_with_a_problem(models: Path) -> None:
    app = create_app(Settings(models=models, model="tiny/1", requests=1))
    with running(app) as client:
        held = [connect(client) for _ in range(16 + 64)]
        try:
            with connect(client) as connection:
                status, problem = problem_of(answer(connection))
            assert (status, "80 connections" in problem["detail"]) == (503, True)
            assert counted(app, "rejected_total", reason="connections") == 1
        finally:
            for connection in held:
                connection.close()
        until(lambda: _answers(client))


@pytest.mark.slow
def test_a_connection_is_kept_for_longer_than_clients_keep_theirs(service: httpx.Client) -> None:
    with connect(service) as connection:
        for pause_s in (6, 0):  # clients that keep theirs for 5 s may still ask after 5
            connection.sendall(b"GET /livez HTTP/1.1\r\nhost: zeile\r\n\r\n")
            assert _first_answer(connection).startswith(b"HTTP/1.1 200")
            time.sleep(pause_s)


def test_connections_that_wait_for_their_next_request_make_room(models: Path) -> None:
    app = create_app(Settings(models=models, model="tiny/1", requests=1))
    with running(app) as client:
        held = [connect(client) for _ in range(16 + 64)]
        try:
            for idle in held[:2]:
                idle.sendall(b"GET /livez HTTP/1.1\r\nhost: zeile\r\n\r\n")
                assert _first_answer(idle).startswith(b"HTTP/1.1 200")
            for _ in range(2):
                held.append(connect(client))
                held[-1].sendall(b"GET /livez HTTP/1.1\r\nhost: zeile\r\n\r\n")
                assert _first_answer(held[-1]).startswith(b"HTTP/1.1 200")
            assert [idle.recv(1) for idle in held[:2]] == [b"", b""]
        finally:
            for connection in held:
                connection.close()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/livez").status_code == 200
    except httpx.TransportError:
        return False
