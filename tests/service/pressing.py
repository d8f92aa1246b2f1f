# SPDX-License-Identifier: Apache-2.0
"""Faults of a device under load: several clients ask, and every answer must be right."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from tests.models import line_png
from tests.service.serving import files

from zeile.service import breaker, circuit, health

FAULTS = 1000
CLIENTS = 4
PATIENCE_S = 600.0
"""For all of them, on a busy machine."""

PAGES = [files(**{f"l{i}_png": line_png(10 * p + i, width=60 + 10 * p) for i in range(1 + p)}) for p in range(6)]


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of milliseconds: a thousand faults would otherwise take hours."""
    for module, name, seconds in (
        (circuit, "FIRST_PAUSE_S", 0.001),
        (circuit, "LONGEST_PAUSE_S", 0.004),
        (breaker, "LONGEST_PAUSE_S", 0.004),
        (health, "TICK_S", 0.02),
        (health, "RETRY_S", 0.05),
    ):
        monkeypatch.setattr(module, name, seconds)


def ask(client: httpx.Client, page: int) -> Any:
    answer = client.post("/v1/recognize", files=PAGES[page])
    assert answer.status_code == 200, answer.text
    return answer.json()


def under_load(
    client: httpx.Client, right: list[Any], enough: Callable[[], bool], each: Callable[[], None]
) -> Counter[str]:
    """Ask from several clients until there was enough; every answer must be right. Returns which engines read."""
    over = threading.Event()

    def load(seed: int) -> Counter[str]:
        rng, engines = random.Random(seed), Counter[str]()
        with httpx.Client(base_url=client.base_url, timeout=120) as own:
            while not over.is_set():
                page = rng.randrange(len(PAGES))
                answer = ask(own, page)
                assert answer["lines"] == right[page]
                engines[answer["engine"]["engine"]] += 1
        return engines

    with ThreadPoolExecutor(CLIENTS) as pool:
        loads = [pool.submit(load, seed) for seed in range(CLIENTS)]
        end = time.monotonic() + PATIENCE_S
        try:
            while not enough() and not any(future.done() for future in loads):
                assert time.monotonic() < end
                each()
                time.sleep(0.005)
        finally:
            over.set()
        return sum((future.result() for future in loads), Counter[str]())


def operate(client: httpx.Client) -> None:
    """What an operator does with a board that was wrong, or a balancer with one that was not: look at it again."""
    ready = client.get("/readyz")
    assert ready.status_code == 200, ready.text
    if ready.json()["circuit"]["state"] == "held":
        client.post("/v1/device/close-circuit").raise_for_status()


def heals(client: httpx.Client, page: int = 0) -> None:
    """Ask until the board reads again."""
    end = time.monotonic() + PATIENCE_S
    while ask(client, page)["engine"]["engine"] != "fpga":
        assert time.monotonic() < end
        operate(client)
