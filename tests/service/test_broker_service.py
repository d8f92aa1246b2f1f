# SPDX-License-Identifier: Apache-2.0
"""A service in two processes: the broker may be killed and started again, and no request is lost over it."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.device.brokers import Process, socket_path, until
from tests.models import line_png
from tests.service.serving import files, serving

from zeile.settings import Settings

IMAGES = {f"l{seed}_png": line_png(seed) for seed in range(4)}


def read(client: httpx.Client) -> dict[str, Any]:
    answer = client.post("/v1/recognize", files=files(**IMAGES))
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    return body


def by_broker(client: httpx.Client) -> bool:
    return bool(read(client)["engine"].get("through") == "broker")


def test_the_answer_is_that_of_one_process(models: Path, service: httpx.Client) -> None:
    with socket_path() as path, Process(path, models) as broker:
        broker.start()
        with serving(Settings(models=models, model="tiny/1", engine="broker", broker=path)) as client:
            answer = read(client)
            assert answer["lines"] == read(service)["lines"]
            assert (answer["engine"]["engine"], answer["engine"]["through"]) == ("cpu", "broker")
            assert client.get("/readyz").status_code == 200


def test_without_a_broker_the_service_reads_and_finds_it_later(models: Path, service: httpx.Client) -> None:
    with socket_path() as path, Process(path, models) as broker:
        with serving(Settings(models=models, model="tiny/1", engine="broker", broker=path)) as client:
            answer = read(client)
            assert answer["lines"] == read(service)["lines"]
            assert answer["engine"]["instead_of"] == "broker"
            assert "no broker at" in answer["engine"]["because"]
            broker.start()
            until(lambda: by_broker(client), "the broker is used")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_broker_that_ends_under_load_costs_no_request(models: Path, service: httpx.Client, end: int) -> None:
    wanted, stop = read(service)["lines"], threading.Event()
    seen: Counter[str] = Counter()
    failed: list[Any] = []

    def ask(base: str) -> None:
        with httpx.Client(base_url=base, timeout=60) as own:
            while not stop.is_set():
                try:
                    answer = read(own)
                except httpx.HTTPError as error:
                    failed.append(error)
                    continue
                seen["through" if "through" in answer["engine"] else "instead"] += 1
                if answer["lines"] != wanted:
                    failed.append(answer["lines"])

    with socket_path() as path, Process(path, models) as broker:
        broker.start()
        with serving(Settings(models=models, model="tiny/1", engine="broker", broker=path)) as client:
            threads = [threading.Thread(target=ask, args=(str(client.base_url),)) for _ in range(3)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(2):
                    before = seen["through"]
                    until(lambda before=before: seen["through"] > before + 5, "lines through the broker")
                    broker.end(end)
                    before = seen["instead"]
                    until(lambda before=before: seen["instead"] > before + 5, "lines on the CPU")
                    broker.start()
                before = seen["through"]
                until(lambda: seen["through"] > before + 5, "lines through the broker again")
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
    assert failed == []
