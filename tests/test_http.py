# SPDX-License-Identifier: Apache-2.0
"""HTTP of the load generator, over real sockets."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable

import pytest
from tests.load.fake_service import TEXT, Asked, answer, faking

from zeile.errors import BadSettings
from zeile.http import Host, NoAnswer, Reply
from zeile.load.bodies import get

REQUEST = get("host", "/")


def asked(url: str, times: int = 1, together: bool = False, connections: int = 8, timeout_s: float = 60) -> list[Reply]:
    async def ask() -> list[Reply]:
        host = Host(url, connections, timeout_s)
        try:
            if together:
                return list(await asyncio.gather(*(host.ask(REQUEST) for _ in range(times))))
            return [await host.ask(REQUEST) for _ in range(times)]
        finally:
            host.close()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "raw",
    [
        answer(),
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n" + TEXT[:5] + b"\r\n"
        + f"{len(TEXT) - 5:x}\r\n".encode() + TEXT[5:] + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + TEXT,
    ],
    ids=["length", "after 100", "chunked", "until the end"],
)  # fmt: skip
def test_bodies_of_every_framing_are_read(raw: bytes) -> None:
    with faking(lambda asked: raw) as service:
        assert [reply.body for reply in asked(service.url, times=3)] == [TEXT] * 3


def test_connections_are_kept_and_headers_found_whatever_their_case() -> None:
    with faking(lambda asked: answer("503 Full", b"", "RETRY-after:  2\r\n")) as service:
        replies = asked(service.url, times=20)
    assert service.connections == 1
    assert {(reply.status, reply.headers["retry-after"]) for reply in replies} == {(503, "2")}
    assert (replies[0].header("retry-after"), replies[0].header("after"), replies[0].header("x")) == ("2", "", "")


def test_answers_without_a_body_end_at_once() -> None:
    with faking(lambda asked: b"HTTP/1.1 204 No Content\r\n\r\n") as service:
        assert [reply.status for reply in asked(service.url, times=2)] == [204, 204]


def test_a_kept_connection_that_the_server_closed_costs_no_request() -> None:
    with faking(lambda asked: answer(), close_after=2) as service:
        assert [reply.status for reply in asked(service.url, times=7)] == [200] * 7
        assert service.connections == 4


def test_there_are_no_more_connections_than_allowed() -> None:
    with faking(lambda asked: answer()) as service:
        assert len(asked(service.url, times=30, together=True, connections=3)) == 30
        assert service.connections == 3


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (lambda asked: None, "ended"),
        (lambda asked: b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhalf", "ended"),
        (lambda asked: b"220 mail.example ESMTP\r\n\r\n", "not HTTP"),
        (lambda asked: b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "not HTTP"),
        (lambda asked: bytes(100_000), "not HTTP"),
    ],
)
def test_what_is_no_answer_is_said(reply: Callable[[Asked], bytes | None], told: str) -> None:
    with faking(reply) as service, pytest.raises(NoAnswer, match=told):
        asked(service.url)


def test_a_server_that_never_answers_is_given_up() -> None:
    with faking(lambda asked: b"") as service, pytest.raises(NoAnswer, match=r"no answer within 0\.[12] s"):
        asked(service.url, timeout_s=0.2)


def test_a_server_that_is_not_there_is_said() -> None:
    with faking(lambda asked: answer()) as service:
        pass
    with pytest.raises(NoAnswer, match="no connection"):
        asked(service.url)


def test_who_gives_up_leaves_no_answer_to_the_next() -> None:
    async def ask(url: str) -> Reply:
        host = Host(url)
        first = asyncio.ensure_future(host.ask(REQUEST))
        while not service.asked:
            await asyncio.sleep(0.001)
        first.cancel()
        await asyncio.wait((first,))
        reply = await host.ask(REQUEST)
        host.close()
        return reply

    with faking(
        lambda asked: answer(body=str(len(service.asked)).encode()) if len(service.asked) > 1 else b""
    ) as service:
        assert asyncio.run(ask(service.url)).body == b"2"
        assert service.connections == 2


def test_a_closed_connection_is_not_kept_until_its_time_would_be_over() -> None:
    async def ask(url: str) -> bool:
        host = Host(url, timeout_s=600)
        await host.ask(REQUEST)
        connection = weakref.ref(host._free[0])
        host.close()
        await asyncio.sleep(0.01)
        gc.collect()
        return connection() is None

    with faking(lambda asked: answer()) as service:
        assert asyncio.run(ask(service.url))


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", "http://host:port", "http://host:70000"])
def test_urls_that_are_none_of_http(url: str) -> None:
    async def make() -> None:
        Host(url)

    with pytest.raises(BadSettings, match="is no URL"):
        asyncio.run(make())
