# SPDX-License-Identifier: Apache-2.0
"""Requests to several services of which some fail: each gets its answer, or a clear error."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from tests.fleet.services import NEVER, TEXT, Asked, Service, answer, reads, run, running, says, until

from zeile.errors import BadSettings, ZeileError
from zeile.fleet import Fleet, FleetAnswer, FleetError

PNG = {"content-type": "image/png"}
FULL = answer("503 Full", b'{"detail":"no place"}', "Content-Type: application/problem+json", "Retry-After: 1")


def nowhere() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}"


def quick(urls: list[str], in_flight: int = 8) -> Fleet:
    """A fleet that looks often how its services are."""
    return Fleet(urls, in_flight=in_flight, deadline_s=50, probe_s=0.05)


async def posted(fleet: Fleet, count: int) -> list[FleetAnswer]:
    return list(await asyncio.gather(*(fleet.post("/v1/recognize", b"image", PNG) for _ in range(count))))


def test_services_share_the_requests_and_none_gets_more_than_it_may_at_a_time() -> None:
    async def slow(asked: Asked) -> Any:
        await asyncio.sleep(0.01)
        return answer()

    async def test() -> None:
        services = [Service(slow) for _ in range(3)]
        async with running(*services) as urls, Fleet(urls, in_flight=3) as fleet:
            answers = await posted(fleet, 120)
            assert {(each.status, each.body, each.tries) for each in answers} == {(200, TEXT, 1)}
            assert {each.url for each in answers} == set(urls)
            assert sum(fleet.shares.values()) == sum(len(each.asked) for each in services) == 120
            assert [each.most for each in services] == [3, 3, 3]

    run(test())


def test_a_slower_service_gets_fewer_requests() -> None:
    async def slow(asked: Asked) -> Any:
        await asyncio.sleep(0.05)
        return answer()

    async def test() -> None:
        async def client(fleet: Fleet) -> None:
            for _ in range(40):
                await fleet.post("/v1/recognize", b"", {})

        slower, faster = Service(slow), Service()
        async with running(slower, faster) as urls, Fleet(urls) as fleet:
            await asyncio.gather(*(client(fleet) for _ in range(5)))
            assert 4 * fleet.shares[slower.url] < fleet.shares[faster.url]

    run(test())


def test_who_asks_again_and_again_does_not_pass_those_who_wait() -> None:
    async def test() -> None:
        done = [0] * 5

        async def client(number: int, fleet: Fleet) -> None:
            for _ in range(20):
                await fleet.post("/v1/recognize", b"", {})
                done[number] += 1
                assert max(done) - min(done) <= 2

        async with running(Service()) as urls, Fleet(urls, in_flight=1) as fleet:
            await asyncio.gather(*(client(number, fleet) for number in range(5)))

    run(test())


def test_a_service_that_is_not_there_costs_nothing() -> None:
    async def test() -> None:
        async with running(Service()) as urls, quick([nowhere(), *urls]) as fleet:
            assert {each.url for each in await posted(fleet, 50)} == set(urls)

    run(test())


@pytest.mark.parametrize(
    "broken",
    [
        None,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf ",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of a body that has no length",
        b"220 mail.example ESMTP\r\n\r\n",
        answer("500 Oh", b""),
        answer("502 Bad Gateway", b""),
        answer("504 Late", b""),
        FULL,
        answer("429 Fast", b"", "Retry-After: 1"),
        answer("408 Slow", b""),
    ],
    ids=["ended", "cut", "cut chunk", "no length", "no HTTP", "500", "502", "504", "503", "429", "408"],
)
def test_what_one_service_does_not_answer_another_one_does(broken: bytes | None) -> None:
    async def test() -> None:
        bad, good = Service(says(broken)), Service()
        async with running(bad, good) as urls, quick(urls) as fleet:
            answers = await posted(fleet, 40)
            assert {(each.status, each.body, each.url) for each in answers} == {(200, TEXT, good.url)}
            assert bad.asked
            assert fleet.shares[bad.url] == 0

    run(test())


def test_a_service_whose_machine_says_nothing_is_given_up() -> None:
    async def test() -> None:
        silent, good = Service(says(NEVER), ready=says(NEVER)), Service()
        async with running(silent, good) as urls, quick(urls) as fleet:
            answers = await posted(fleet, 12)
            assert {each.url for each in answers} == {good.url}
            assert silent.asked
            assert max(each.tries for each in answers) == 2

    run(test())


def test_a_service_that_is_silent_for_a_moment_is_not_given_up() -> None:
    async def test() -> None:
        hesitating = Service(ready=says(NEVER, NEVER, answer()))

        async def long(asked: Asked) -> Any:
            await until(lambda: hesitating.probes > 5)
            return answer()

        hesitating.reply = long
        async with running(hesitating, Service(long)) as urls, quick(urls) as fleet:
            assert [each.tries for each in await posted(fleet, 2)] == [1, 1]

    run(test())


def test_a_long_request_to_a_service_that_is_well_is_waited_for() -> None:
    async def test() -> None:
        services = [Service(), Service()]

        async def long(asked: Asked) -> Any:
            await until(lambda: all(service.probes > 10 for service in services))
            return answer()

        for service in services:
            service.reply = long
        async with running(*services) as urls, quick(urls) as fleet:
            assert [each.tries for each in await posted(fleet, 2)] == [1, 1]

    run(test())


def test_while_every_service_is_silent_nothing_is_asked_twice() -> None:
    async def test() -> None:
        silent = Service(ready=says(NEVER))

        async def long(asked: Asked) -> Any:
            await until(lambda: silent.probes > 8)
            return answer()

        silent.reply = long
        async with running(silent) as urls, quick(urls) as fleet:
            assert (await fleet.post("/v1/recognize", b"", {})).tries == 1

    run(test())


def test_a_service_rests_as_long_as_it_says() -> None:
    async def test() -> None:
        times = []

        async def reply(asked: Asked) -> Any:
            times.append(asyncio.get_running_loop().time())
            return FULL if len(times) == 1 else answer()

        async with running(Service(reply)) as urls, quick(urls) as fleet:
            given = await fleet.post("/v1/recognize", b"", {})
            assert (given.status, given.tries) == (200, 2)
            assert times[1] - times[0] >= 1

    run(test())


def test_a_service_that_refuses_gets_no_more_at_a_time_than_it_took() -> None:
    async def test() -> None:
        refused, gate = 0, asyncio.Event()
        service = Service()

        async def reply(asked: Asked) -> Any:
            nonlocal refused
            if service.working > 3:
                refused += 1
                return FULL
            await gate.wait()
            await asyncio.sleep(0.01)
            return answer()

        service.reply = reply
        async with running(service) as urls, quick(urls) as fleet:
            reads = asyncio.ensure_future(posted(fleet, 60))
            await until(lambda: refused == 5)
            gate.set()
            assert {each.status for each in await reads} == {200}
            assert refused == 5  # of the first eight

    run(test())


@pytest.mark.parametrize("status", ["204 Nothing", "303 There", "400 Bad", "404 Not", "413 Large", "422 No"])
def test_what_the_request_is_to_blame_for_is_an_answer(status: str) -> None:
    async def test() -> None:
        body = b"" if status.startswith("204") else b"why"
        async with running(Service(says(answer(status, body, "X-Two: 2")))) as urls, Fleet(urls) as fleet:
            given = await fleet.post("/v1/recognize", b"", {})
            assert (given.status, given.body, given.headers["x-two"]) == (int(status[:3]), body, "2")
            assert (given.url, given.tries) == (urls[0], 1)

    run(test())


@pytest.mark.parametrize("broken", [None, answer("500 Oh", b"")], ids=["ended", "500"])
def test_a_request_that_breaks_every_service_is_given_up_and_the_others_are_answered(broken: bytes | None) -> None:
    async def reply(asked: Asked) -> Any:
        return broken if asked.body == b"poison" else answer()

    async def test() -> None:
        services = [Service(reply) for _ in range(3)]
        async with running(*services) as urls, quick(urls) as fleet:
            others = asyncio.ensure_future(posted(fleet, 60))
            with pytest.raises(FleetError, match="may be the request"):
                await fleet.post("/v1/recognize", b"poison", {})
            assert sum(asked.body == b"poison" for each in services for asked in each.asked) <= 12
            assert {each.status for each in await others} == {200}  # 12: a kept connection may have ended by itself

    run(test())


def test_without_any_service_the_error_names_each_and_what_it_said() -> None:
    async def test() -> None:
        gone = nowhere()
        async with running(Service(says(FULL)), Service(says(None), ready=says(FULL))) as urls:
            async with Fleet([gone, *urls], probe_s=0.05, deadline_s=1) as fleet:
                with pytest.raises(FleetError) as caught:
                    await fleet.post("/v1/recognize", b"", {})
        said = str(caught.value)
        assert isinstance(caught.value, ZeileError)
        assert "POST /v1/recognize within 1 s" in said
        assert f"{gone}: no connection (ConnectionRefusedError)" in said
        assert all(f"{url}: 503 no place" in said for url in urls)

    run(test())


def test_a_service_that_comes_back_is_used_again() -> None:
    async def test() -> None:
        url = nowhere()
        async with quick([url]) as fleet:
            waiting = asyncio.ensure_future(fleet.post("/v1/recognize", b"", {}))
            await asyncio.sleep(0)
            async with running(Service(), port=int(url.rpartition(":")[2])):
                assert (await waiting).status == 200
                assert len(await posted(fleet, 5)) == 5

    run(test())


def test_a_service_that_is_not_ready_finishes_and_gets_nothing_new() -> None:
    async def test() -> None:
        probes = 0

        async def ready(asked: Asked) -> Any:
            nonlocal probes
            probes += 1
            return answer() if probes == 1 else FULL

        async def told(asked: Asked) -> Any:
            await until(lambda: probes > 3)
            return answer()

        stopping = Service(told, ready)
        async with running(stopping, Service(told)) as urls, quick(urls, in_flight=2) as fleet:
            answers = await posted(fleet, 20)
            assert {(each.status, each.tries) for each in answers} == {(200, 1)}
            assert len(stopping.asked) == 2

    run(test())


def test_key_deadline_and_headers_are_sent() -> None:
    async def test() -> None:
        service = Service()
        async with running(service) as urls, Fleet([f"{urls[0]}/ocr/"], key="zeile_k", deadline_s=9) as fleet:
            await fleet.post("/v1/recognize?format=json", b"image", PNG)
            await fleet.post("/v1/recognize", b"", {"X-Zeile-Deadline-Ms": "77"})
            await fleet.get("/v1/info")
        first, second, third = service.asked
        assert (first.line, first.body) == ("POST /ocr/v1/recognize?format=json HTTP/1.1", b"image")
        assert (first.headers["authorization"], first.headers["content-type"]) == ("bearer zeile_k", "image/png")
        assert 0 < int(first.headers["x-zeile-deadline-ms"]) <= 9000
        assert second.headers["x-zeile-deadline-ms"] == "77"
        assert third.line == "GET /ocr/v1/info HTTP/1.1"

    run(test())


def test_a_client_that_gives_up_leaves_its_place() -> None:
    async def test() -> None:
        service = Service(says(NEVER, answer()))
        async with running(service) as urls, Fleet(urls, in_flight=1) as fleet:
            first, second = (asyncio.ensure_future(fleet.post("/", b"", {})) for _ in range(2))
            third = asyncio.ensure_future(fleet.post("/", b"", {}))
            await until(lambda: len(service.asked) == 1)
            second.cancel()
            first.cancel()
            assert (await third).status == 200

    run(test())


def test_who_gives_up_the_moment_that_a_place_is_free_passes_it_on() -> None:
    async def test() -> None:
        service = Service(says(NEVER, answer()))
        async with running(service) as urls, Fleet(urls, in_flight=1) as fleet:
            first, second, third = (asyncio.ensure_future(fleet.post("/", b"", {})) for _ in range(3))
            await until(lambda: len(service.asked) == 1)
            first.add_done_callback(lambda _: second.cancel())  # second has been given the place, and not yet seen it
            first.cancel()
            assert (await third).status == 200
            assert second.cancelled()

    run(test())


def test_a_closed_fleet_has_no_connections() -> None:
    async def test() -> None:
        service = Service()
        async with running(service) as urls:
            async with Fleet(urls) as fleet:
                await posted(fleet, 10)
                assert service.connections
            await until(lambda: not service.connections)

    run(test())


@pytest.mark.parametrize(
    "given",
    [
        {"urls": []},
        {"urls": ["http://a", "http://a"]},
        {"urls": ["a:8000"]},
        {"urls": ["http://a"], "in_flight": 0},
        {"urls": ["http://a"], "deadline_s": 0},
    ],
)
def test_fleets_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    async def test() -> None:
        with pytest.raises(BadSettings):
            Fleet(**given)

    run(test())


@pytest.mark.parametrize(("path", "name"), [("v1", "a"), ("/v1 x", "a"), ("/v1", "a\r\nb"), ("/v1\r\n", "a")])
def test_what_would_be_another_request_is_not_sent_and_the_key_not_told(path: str, name: str) -> None:
    async def test() -> None:
        service = Service(reads)
        async with running(service) as urls, Fleet(urls, key="zeile_secret") as fleet:
            with pytest.raises(BadSettings, match="cannot be sent") as caught:
                await fleet.post(path, b"", {name: "1"})
            assert "secret" not in str(caught.value)
            assert service.asked == []
            assert (await fleet.get("/")).status == 200

    run(test())
