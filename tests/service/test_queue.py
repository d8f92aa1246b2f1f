# SPDX-License-Identifier: Apache-2.0
"""The queue's bounds: who gets in, who is refused and told when to come back, who is given up, and that all end."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.models import line_png
from tests.service.working import Held, Service, stopped, until, with_worker

from zeile.errors import BadImage, BadSettings, DeviceError
from zeile.service.batch import Answer
from zeile.service.engines import Options
from zeile.service.problems import Expired, Overloaded, TooFast


def test_a_deadline_ends_a_request_while_the_engine_hangs_and_its_lines_are_not_read(
    models: Path, devices: list[Held]
) -> None:
    async def test(service: Service) -> None:
        device = devices[0]
        device.let.clear()
        first = service.begun(1)
        await until(lambda: len(device.batches) == 2)
        with pytest.raises(Expired, match="0 of 200 lines"):
            await service.read(200, service.ticket(deadline=time.monotonic() + 0.05))
        device.let.set()
        await first
        await until(lambda: service.sample("dropped_lines_total", reason="expired") == 200)
        await service.read(1)
        assert sum(device.batches) == 3

    with_worker(models, test)


@pytest.mark.parametrize("how", ["the task is cancelled", "the ticket is dropped"])
def test_lines_of_a_client_that_has_gone_are_not_read(models: Path, devices: list[Held], how: str) -> None:
    async def test(service: Service) -> None:
        device, ticket = devices[0], service.ticket("gone")
        device.let.clear()
        first = service.begun(1)
        await until(lambda: len(device.batches) == 2)
        gone = [service.begun(50, ticket), service.begun(150, ticket)]
        await until(lambda: ticket.lines == 200)
        if how == "the task is cancelled":
            for task in gone:
                task.cancel()
        else:
            service.worker.drop(ticket)
        for task in gone:
            with pytest.raises(asyncio.CancelledError):
                await task
        device.let.set()
        await first
        await until(lambda: service.sample("dropped_lines_total", reason="canceled") == 200)
        await service.read(1)
        assert sum(device.batches) == 3

    with_worker(models, test)


def test_a_full_queue_refuses_requests_and_lets_accepted_ones_wait(models: Path, devices: list[Held]) -> None:
    async def test(service: Service) -> None:
        tasks = await stopped(service, devices[0])
        tasks += [service.begun(20, service.ticket(f"client {i}")) for i in range(20)]
        await until(lambda: service.worker.waiting == 400)
        with pytest.raises(Overloaded, match=r"400 lines of .* bytes wait, nothing is added to 400") as refused:
            service.worker.check(service.ticket("late"))
        assert int(refused.value.headers["retry-after"]) >= 1
        with pytest.raises(Overloaded):
            await service.read(1, service.ticket("late"))
        accepted = tasks[2]
        ticket = service.ticket("accepted")
        ticket.admitted = True
        more = service.begun(50, ticket)
        devices[0].let.set()
        assert len((await accepted).lines) == 20
        assert len((await more).lines) == 50
        await asyncio.gather(*tasks)
        assert len((await service.read(1, service.ticket("late"))).lines) == 1

    with_worker(models, test, queue_lines=400)


def test_a_single_large_request_leaves_room_for_others(models: Path, devices: list[Held]) -> None:
    async def test(service: Service) -> None:
        tasks = await stopped(service, devices[0])
        large = service.begun(600, service.ticket("large", bulk=True))
        await until(lambda: service.worker.waiting > 0)
        others = [service.begun(1, service.ticket(f"other {i}")) for i in range(200)]
        await until(lambda: service.worker.waiting > 200)
        assert service.worker.waiting < 200 + 600
        devices[0].let.set()
        assert len((await large).lines) == 600
        assert all(len(answer.lines) for answer in await asyncio.gather(*others, *tasks))

    with_worker(models, test, queue_lines=512)


def test_an_accepted_request_goes_on_while_others_fill_the_queue(models: Path, devices: list[Held]) -> None:
    async def test(service: Service) -> None:
        refused = 0

        async def ask_again_and_again(client: str) -> None:
            nonlocal refused
            while not large.done():
                try:
                    await service.read(1, service.ticket(client))
                except (Overloaded, TooFast):
                    refused += 1
                    await asyncio.sleep(0.001)

        tasks = await stopped(service, devices[0])
        large = service.begun(300, service.ticket("large"))
        await until(lambda: service.worker.waiting > 0)
        others = [asyncio.create_task(ask_again_and_again(f"other {i}")) for i in range(100)]
        await until(lambda: refused > 0)
        devices[0].let.set()
        assert len((await large).lines) == 300
        await asyncio.gather(*others, *tasks)

    with_worker(models, test, queue_lines=64)


def test_the_last_places_are_kept_for_clients_that_have_few(models: Path, devices: list[Held]) -> None:
    async def test(service: Service) -> None:
        check = service.worker.check
        tasks = await stopped(service, devices[0])
        tasks += [service.begun(10, service.ticket("greedy")) for _ in range(9)]
        await until(lambda: service.worker.waiting == 90)
        with pytest.raises(TooFast, match="client 'greedy' has 90 of the 90 lines that wait") as refused:
            check(service.ticket("greedy"))
        assert int(refused.value.headers["retry-after"]) >= 1
        check(service.ticket("modest"))
        with pytest.raises(Overloaded, match="nothing is added to 50 lines when it is a bulk request"):
            check(service.ticket("modest", bulk=True))
        devices[0].let.set()
        await asyncio.gather(*tasks)

    with_worker(models, test, queue_lines=100)


def test_what_cannot_be_read_in_time_is_refused_at_once(models: Path, devices: list[Held]) -> None:
    async def test(service: Service) -> None:
        devices[0].let.clear()
        task = service.begun(200)
        await until(lambda: service.worker.waiting > 0)
        with pytest.raises(Overloaded, match="and the deadline is in"):
            service.worker.check(service.ticket(deadline=time.monotonic()), 100)
        devices[0].let.set()
        await task

    with_worker(models, test)


@pytest.mark.parametrize("seed", range(8))
def test_every_request_ends_whatever_happens_to_it(models: Path, devices: list[Held], seed: int) -> None:
    rng = random.Random(seed)
    images = [line_png(i, width=rng.choice((30, 100, 400))) for i in range(20)] + [b"no image"]

    async def ask(service: Service) -> Answer:
        deadline = time.monotonic() + rng.choice((0.0, 0.01, 0.1, 1e6))
        ticket = service.ticket(f"client {rng.randrange(4)}", bulk=rng.random() < 0.4, deadline=deadline)
        given = rng.choices(images, k=rng.choice((0, 1, 5, 60)))
        reading = rng.choice((None, None, None, "none of that name"))
        await asyncio.sleep(rng.random() / 10)
        options = Options(service.options.folder, reading)
        return await service.worker.read(given, options, ticket)

    async def test(service: Service) -> None:
        device = devices[0]
        tasks = [asyncio.create_task(ask(service)) for _ in range(120)]
        for _ in range(30):
            await asyncio.sleep(rng.random() / 50)
            rng.choice(tasks).cancel()
            device.fault = rng.choice((None, None, DeviceError("broken"), BadImage("odd"), ValueError("a bug")))
        device.fault = None
        ends = Counter(type(end) for end in await asyncio.gather(*tasks, return_exceptions=True))
        allowed = {Answer, Expired, Overloaded, TooFast, BadSettings, DeviceError, ValueError, asyncio.CancelledError}
        assert set(ends) <= allowed
        assert len(ends) > 3
        assert len((await service.read(images)).lines) == len(images)
        assert service.worker.waiting == 0
        await service.worker.close()
        assert not service.worker.alive

    with_worker(models, test, threads=3, queue_lines=500)
