# SPDX-License-Identifier: Apache-2.0
"""A line's answer is the same to the last byte, whatever is read beside it, in which order, for whom, under load."""

from __future__ import annotations

import io
import json
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.models import line_pixels
from tests.service.serving import serving

from zeile.device import open_device
from zeile.image import decode
from zeile.manifest import load_model
from zeile.pipeline import Recognizer
from zeile.service import answers
from zeile.settings import Settings

ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
QUERIES = ("", "?reading=diplomatic", "?beam=3", "?model=tiny/2")


def encoded(pixels: Any, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def images() -> list[bytes]:
    """Short and long, high and low, blank, inverted, compressed with losses, and none at all."""
    lines = [line_pixels(i, height=20 + 7 * (i % 5), width=30 + 37 * (i % 9)) for i in range(24)]
    some = [encoded(line) for line in lines[:18]] + [encoded(line, "JPEG") for line in lines[18:]]
    blank = encoded(np.full((40, 60), 255, np.uint8))
    return [*some, blank, encoded(255 - lines[3]), encoded(line_pixels(40, width=1500)), b"no image"]


IMAGES = images()


@dataclass(frozen=True)
class Request:
    """What one client asks for at a time."""

    images: Sequence[int]
    query: str
    bulk: bool
    address: str


REQUESTS = st.builds(
    Request,
    images=st.lists(st.integers(0, len(IMAGES) - 1), min_size=1, max_size=12),
    query=st.sampled_from(QUERIES),
    bulk=st.booleans(),
    address=st.sampled_from(ADDRESSES),
)


class Clients:
    """Clients of one service, each from an address of its own."""

    def __init__(self, service: httpx.Client) -> None:
        self.by_address = {
            address: httpx.Client(
                base_url=service.base_url, transport=httpx.HTTPTransport(local_address=address), timeout=60
            )
            for address in ADDRESSES
        }

    def ask(self, request: Request) -> list[bytes]:
        """The lines of the answer as they are sent, without the files' names."""
        query = request.query + ("&" if request.query else "?") + ("priority=bulk" if request.bulk else "")
        sent = [("files", (f"{i}.png", IMAGES[i])) for i in request.images]
        sent.append(("files", ("last.png", IMAGES[0])))  # a single bad image would be the whole answer
        response = self.by_address[request.address].post(f"/v1/recognize{query}", files=sent)
        assert response.status_code == 200, response.text
        return [plain(line) for line in response.json()["lines"][:-1]]

    def close(self) -> None:
        for client in self.by_address.values():
            client.close()


def plain(line: dict[str, Any]) -> bytes:
    """A line of an answer without its file's name, keys sorted."""
    return json.dumps({name: line[name] for name in sorted(line) if name != "file"}, ensure_ascii=False).encode()


@pytest.fixture(scope="module")
def clients(models: Path) -> Iterator[Clients]:
    with serving(Settings(models=models, model="tiny/1", threads=2)) as service:
        clients = Clients(service)
        yield clients
        clients.close()


@pytest.fixture(scope="module")
def alone(clients: Clients) -> dict[tuple[str, int], bytes]:
    """What each image gives when nothing else is asked for."""
    return {
        (query, i): clients.ask(Request([i], query, False, ADDRESSES[0]))[0]
        for query in QUERIES
        for i in range(len(IMAGES))
    }


@pytest.fixture(scope="module")
def load(clients: Clients, alone: dict[tuple[str, int], bytes]) -> Iterator[list[str]]:
    """Others who ask all the time; yields what was wrong with their answers."""
    wrong: list[str] = []
    stop = threading.Event()

    def ask(seed: int) -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            chosen = [rng.randrange(len(IMAGES)) for _ in range(rng.randint(1, 40))]
            request = Request(chosen, rng.choice(QUERIES), rng.random() < 0.5, rng.choice(ADDRESSES))
            if clients.ask(request) != [alone[request.query, i] for i in request.images]:
                wrong.append(str(request))

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask, seed) for seed in range(3)]
        yield wrong
        stop.set()
    for done in asking:
        done.result()


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests=st.lists(REQUESTS, min_size=1, max_size=4))
def test_answers_do_not_depend_on_batch_mates_order_client_priority_or_load(
    requests: list[Request], clients: Clients, alone: dict[tuple[str, int], bytes], load: list[str]
) -> None:
    with ThreadPoolExecutor(len(requests)) as pool:
        together = list(pool.map(clients.ask, requests))
    assert together == [[alone[request.query, i] for i in request.images] for request in requests]
    assert load == []


def test_the_service_gives_what_the_reference_engine_gives(models: Path, alone: dict[tuple[str, int], bytes]) -> None:
    model = load_model(models / "tiny" / "1")
    with open_device("reference", model.network) as device:
        recognizer = Recognizer(model, device)
        for i, image in enumerate(IMAGES[:-1]):
            assert alone["", i] == plain(answers.reading(recognizer.read(decode(image))))
