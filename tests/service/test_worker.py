# SPDX-License-Identifier: Apache-2.0
"""One thread reads for all requests: the event loop stays free, and lines that wait share a batch."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.models import line_png
from tests.service.serving import files, refused, serving

from zeile.device import Device, Frames, Scores, open_device
from zeile.errors import DeviceError
from zeile.network import Network
from zeile.service import engines
from zeile.settings import Settings

PATIENCE_S = 60.0


class Held:
    """A device that works only while it is let; notes what it was given, and in which thread."""

    def __init__(self, device: Device) -> None:
        self.device, self.info = device, device.info
        self.let = threading.Event()
        self.fault: Exception | None = None
        self.batches: list[int] = []
        self.threads: set[int] = set()

    def run(self, frames: Frames) -> Scores:
        return self.run_batch([frames])[0]

    def run_batch(self, lines: Sequence[Frames]) -> list[Scores]:
        self.batches.append(len(lines))
        self.threads.add(threading.get_ident())
        assert self.let.wait(PATIENCE_S)
        if self.fault is not None:
            raise self.fault
        return self.device.run_batch(lines)

    def close(self) -> None:
        self.device.close()


@pytest.fixture
def held(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[httpx.Client, Held]]:
    devices: list[Held] = []

    def opened(name: str, network: Network, threads: int = 1, settings: Settings | None = None) -> Any:
        devices.append(Held(open_device(name, network, threads=threads)))
        return devices[-1]

    monkeypatch.setattr(engines, "open_device", opened)
    with serving(Settings(models=models, model="tiny/1")) as client:
        yield client, devices[0]
        devices[0].let.set()


def post(client: httpx.Client, image: bytes) -> httpx.Response:
    return client.post("/v1/recognize", files=files(a_png=image))


def until_waiting(client: httpx.Client, jobs: int) -> None:
    """Return once so many jobs wait; the service must answer while its engine is busy."""
    end = time.monotonic() + PATIENCE_S
    while client.get("/healthz").json()["waiting"] != jobs:
        assert time.monotonic() < end, "the requests never reached the queue"


def test_the_loop_is_free_and_waiting_lines_share_a_batch(held: tuple[httpx.Client, Held]) -> None:
    client, device = held
    images = [line_png(i, width=50 + 90 * (i % 5)) for i in range(13)]
    with ThreadPoolExecutor(len(images)) as pool:
        first = pool.submit(post, client, images[0])
        until_waiting(client, 0)
        while not device.batches:
            client.get("/v1/models").raise_for_status()
        others = [pool.submit(post, client, image) for image in images[1:]]
        until_waiting(client, len(others))
        device.let.set()
        together = [answer.result().json()["lines"] for answer in (first, *others)]
    assert device.batches == [1, 12]
    assert together == [post(client, image).json()["lines"] for image in images]
    assert len(device.threads) == 1
    assert threading.get_ident() not in device.threads


def test_the_thread_outlives_a_fault(held: tuple[httpx.Client, Held]) -> None:
    client, device = held
    device.let.set()
    device.fault = DeviceError("the board has gone")
    assert "board" in refused(post(client, line_png(1)), 503, "engine")
    device.fault = ZeroDivisionError("a secret")
    assert "secret" not in refused(post(client, line_png(1)), 500, "internal")
    device.fault = None
    assert post(client, line_png(1)).status_code == 200


def test_a_model_that_cannot_be_used_is_explained(models: Path) -> None:
    with serving(Settings(models=models, model="missing")) as client:
        assert "tiny/1" in refused(client.get("/healthz"), 503, "bad-model")
        assert "tiny/1" in refused(post(client, line_png(1)), 503, "bad-model")
        named = client.post("/v1/recognize?model=tiny/2", files=files(a_png=line_png(1)))
        assert named.json()["model"]["version"] == "2"
        assert [m["default"] for m in client.get("/v1/models").json()["models"]] == [False, False]


def test_more_models_than_are_kept_open(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "MAX_OPEN", 1)
    with serving(Settings(models=models, model="tiny/1")) as client:
        for version in ("1", "2", "1", "2"):
            answer = client.post(f"/v1/recognize?model=tiny/{version}", files=files(a_png=line_png(1)))
            assert answer.json()["model"]["version"] == version
