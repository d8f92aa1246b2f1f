# SPDX-License-Identifier: Apache-2.0
"""Threads read for all requests: the loop stays free, lines that wait share a batch, and nobody waits in vain."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.models import line_pixels, line_png
from tests.service.serving import files, refused, serving
from tests.service.working import PATIENCE_S, PNG, Held, Service, until, with_worker

from zeile.device import open_device
from zeile.errors import BadImage, BadSettings, DeviceError, LineTooWide
from zeile.image import Limits
from zeile.manifest import load_model
from zeile.pipeline import Line, Recognizer
from zeile.service import crew, engines, worker
from zeile.service.engines import Options
from zeile.service.problems import NotReady, Overloaded
from zeile.settings import Settings


@pytest.fixture
def held(models: Path, devices: list[Held]) -> Iterator[tuple[httpx.Client, Held]]:
    with serving(Settings(models=models, model="tiny/1")) as client:
        assert post(client, PNG).status_code == 200
        devices[0].batches.clear()
        devices[0].threads.clear()
        yield client, devices[0]
        devices[0].let.set()


def post(client: httpx.Client, image: bytes) -> httpx.Response:
    return client.post("/v1/recognize", files=files(a_png=image))


def until_waiting(client: httpx.Client, lines: int) -> None:
    """Return once so many lines wait; the service must answer while its engine is busy."""
    end = time.monotonic() + PATIENCE_S
    while f"\nzeile_queue_lines {lines}.0\n" not in client.get("/metrics").text:
        assert time.monotonic() < end, "the requests never reached the queue"


def test_the_loop_is_free_and_waiting_lines_share_a_batch(held: tuple[httpx.Client, Held]) -> None:
    client, device = held
    images = [line_png(i, width=50 + 90 * (i % 5)) for i in range(13)]
    device.let.clear()
    with ThreadPoolExecutor(len(images)) as pool:
        first = pool.submit(post, client, images[0])
        while not device.batches:
            client.get("/v1/models").raise_for_status()
        others = [pool.submit(post, client, image) for image in images[1:]]
        ready = time.monotonic() + PATIENCE_S
        while client.get("/metrics").text.count("zeile_requests_in_flight 14.0") == 0:  # 13, and this one
            assert time.monotonic() < ready
        until_waiting(client, 0)  # all are prepared, beside the engine
        device.let.set()
        together = [answer.result().json()["lines"] for answer in (first, *others)]
    assert device.batches[0] == 1
    assert sum(device.batches) == 13
    assert max(device.batches) >= 8
    assert together == [post(client, image).json()["lines"] for image in images]
    assert len(device.threads) == 1
    assert threading.get_ident() not in device.threads


def test_the_thread_outlives_a_fault(held: tuple[httpx.Client, Held]) -> None:
    client, device = held
    device.fault = DeviceError("the board has gone")
    assert "board" in refused(post(client, PNG), 503, "engine")
    device.fault = ZeroDivisionError("a secret")
    assert "secret" not in refused(post(client, PNG), 500, "internal")
    device.fault = None
    assert post(client, PNG).status_code == 200


def test_a_model_that_cannot_be_used_is_explained(models: Path) -> None:
    with serving(Settings(models=models, model="missing")) as client:
        assert "tiny/1" in refused(post(client, PNG), 503, "bad-model")
        named = client.post("/v1/recognize?model=tiny/2", files=files(a_png=PNG))
        assert named.json()["model"]["version"] == "2"
        assert [m["default"] for m in client.get("/v1/models").json()["models"]] == [False, False]


def test_more_models_than_are_kept_open(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "MAX_OPEN", 1)
    with serving(Settings(models=models, model="tiny/1")) as client:
        for version in ("1", "2", "1", "2"):
            answer = client.post(f"/v1/recognize?model=tiny/{version}", files=files(a_png=PNG))
            assert answer.json()["model"]["version"] == version


def test_any_number_of_images_comes_back_in_order_with_its_facts(models: Path) -> None:
    images: list[Any] = [line_png(i, width=40 + 13 * (i % 30)) for i in range(300)]
    images[7], images[200] = b"no image", line_pixels(3, 30, 77)
    model = load_model(models / "tiny" / "1")
    with open_device("cpu", model.network) as device:
        expected = Recognizer(model, device).read_batch([line_pixels(i, 40, 40 + 13 * (i % 30)) for i in range(300)])

    async def test(service: Service) -> None:
        ticket = service.ticket()
        answer = await service.read(images, ticket)
        assert isinstance(answer.lines[7], BadImage)
        same = [i for i in range(300) if i not in (7, 200)]
        assert [answer.lines[i] for i in same] == [expected[i] for i in same]
        assert [answer.sizes[i] for i in (0, 7, 29, 200)] == [(40, 40), (0, 0), (417, 40), (77, 30)]
        assert answer.inputs[7] == hashlib.sha256(b"no image").hexdigest()
        assert answer.inputs[200] == hashlib.sha256(b"30 77\n" + images[200].tobytes()).hexdigest()
        assert (answer.model.sha256, answer.engine["engine"]) == (model.sha256, "cpu")
        assert answer.engines == (answer.engine,)
        stages = answer.stages
        assert min(stages.queue, stages.decode, stages.preprocess, stages.network, stages.ctc) > 0
        assert (ticket.lines, ticket.model) == (300, "tiny/1")
        assert service.sample("lines_total", engine="cpu", model="tiny/1") == 300  # 299 and the first one
        assert service.sample("bad_images_total") == 1
        assert service.sample("batch_lines_sum") == 300
        assert service.sample("queue_lines") == service.sample("queue_bytes") == 0

    with_worker(models, test)


def test_a_line_that_the_engine_cannot_take_does_not_spoil_its_batch(models: Path, devices: list[Held]) -> None:
    async def test(service: Service) -> None:
        devices[0].widest = 100
        answer = await service.read([line_png(1, width=100), line_png(2, width=900), line_png(3, width=90)])
        assert [type(line) for line in answer.lines] == [Line, LineTooWide, Line]

    with_worker(models, test)


def test_a_service_that_stops_finishes_what_it_has_and_takes_nothing_new(models: Path, devices: list[Held]) -> None:
    async def test(service: Service) -> None:
        devices[0].let.clear()
        tasks = [service.begun(n) for n in (1, 40, 700)]
        await until(lambda: service.worker.waiting > 0)
        closing = asyncio.create_task(service.worker.close())
        await until(lambda: service.worker.stopping)
        with pytest.raises(Overloaded, match="stopping"):
            await service.read(1)
        devices[0].let.set()
        assert [len((await task).lines) for task in tasks] == [1, 40, 700]
        await closing
        assert not service.worker.alive
        admitted = service.ticket()
        admitted.admitted = True
        with pytest.raises(Overloaded, match="thread has ended"):
            await service.read(1, admitted)

    with_worker(models, test)


def test_what_was_accepted_is_refused_too_once_the_engine_is_not_trusted(models: Path, devices: list[Held]) -> None:
    async def test(service: Service) -> None:
        devices[0].let.clear()
        accepted = [service.begun(n) for n in (1, 40, 700)]
        await until(lambda: service.worker.waiting > 0)
        service.worker.distrust("its integers are wrong")
        for task in accepted:
            with pytest.raises(NotReady, match="its integers are wrong"):
                await task
        admitted = service.ticket()
        admitted.admitted = True
        with pytest.raises(NotReady, match="its integers are wrong"):
            await service.read(1, admitted)
        devices[0].let.set()
        service.worker.distrust(None)
        assert len((await service.read(40)).lines) == 40

    with_worker(models, test)


def test_an_engine_that_hangs_does_not_keep_the_service_from_stopping(
    models: Path, devices: list[Held], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "DRAIN_S", 0.1)

    async def test(service: Service) -> None:
        devices[0].let.clear()
        task = service.begun(50)
        await until(lambda: len(devices[0].batches) == 2)
        await service.worker.close()
        with pytest.raises(Overloaded, match="stops before"):
            await task
        assert service.worker.busy_s > 0
        devices[0].let.set()

    with_worker(models, test)
    assert "hangs" in caplog.text


def test_errors_of_a_request_are_its_own(models: Path, devices: list[Held]) -> None:
    async def test(service: Service) -> None:
        good = service.begun(100)
        wrong = Options(service.options.folder, reading="sideways")
        with pytest.raises(BadSettings, match="sideways"):
            await service.worker.read([PNG] * 100, wrong, service.ticket())
        assert len((await good).lines) == 100
        devices[0].fault = DeviceError("broken")
        with pytest.raises(DeviceError, match="broken"):
            await service.read(100)
        devices[0].fault = None
        assert len((await service.read(100)).lines) == 100

    with_worker(models, test)


def test_large_images_are_read_too_one_at_a_time(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "LARGE_PIXELS", 5000)

    async def test(service: Service) -> None:
        images = [line_png(i, width=100 + 50 * (i % 3)) for i in range(40)]  # 4000 to 8000 pixels
        together = await service.read(images)
        alone = [(await service.read([image])).lines[0] for image in images]
        assert list(together.lines) == alone
        assert all(isinstance(line, Line) for line in alone)

    with_worker(models, test, threads=3)


def test_pages_are_decoded_beside_the_engine_within_limits_of_their_own(models: Path, devices: list[Held]) -> None:
    async def test(service: Service) -> None:
        devices[0].let.clear()
        busy = service.begun(1)
        page = await service.worker.decode(line_png(2, 50, 60))
        assert np.array_equal(page, line_pixels(2, 50, 60))
        with pytest.raises(BadImage, match="at most 59 x"):
            await service.worker.decode(line_png(2, 50, 60), Limits(width=59))
        devices[0].let.set()
        await busy

    with_worker(models, test)


def test_what_wants_the_engines_for_itself_gets_them_between_batches(models: Path, devices: list[Held]) -> None:
    async def test(service: Service) -> None:
        task = service.begun(500)

        def look(engines: engines.Engines) -> tuple[int, int]:
            return threading.get_ident(), len(engines.folders)

        thread, opened = await asyncio.wrap_future(service.worker.submit_exclusive(look))
        await task
        assert {thread} == devices[0].threads
        assert opened == 1

    with_worker(models, test)
