# SPDX-License-Identifier: Apache-2.0
"""Models change places under load: no request fails, and each is answered by one version, whole."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.models import line_png, write_tiny_model
from tests.service.flaky import sample
from tests.service.serving import files, refused, serving

from zeile.service.engines import MAX_OPEN
from zeile.settings import Settings

SWAPS = 100
CLIENTS = 3
PAGE = files(**{f"l{index}_png": line_png(index, width=120) for index in range(5)})


def ask(client: httpx.Client, model: str | None = None) -> tuple[str, Any]:
    """The version that read the page, and its lines."""
    answer = client.post("/v1/recognize", params={"model": model} if model else {}, files=PAGE)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return body["model"]["sha256"], body["lines"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for version in range(1, 7):
        write_tiny_model(tmp_path, version=str(version), seed=version)
    return tmp_path


@pytest.mark.slow
def test_100_swaps_under_load_and_every_answer_is_of_one_version(folder: Path) -> None:
    write_tiny_model(folder, version="9", seed=9)
    (folder / "tiny" / "9" / "weights.npz").write_bytes(b"")
    with serving(Settings(models=folder, model="tiny/1")) as client:
        right = dict(ask(client, f"tiny/{version}") for version in range(1, 7))
        assert len(right) == 6
        before = sample(client.get("/metrics").text, "zeile_model_swaps_total")
        over = threading.Event()

        def load() -> list[tuple[str, Any]]:
            answers = []
            with httpx.Client(base_url=client.base_url, timeout=60) as own:
                while not over.is_set():
                    answers.append(ask(own))
            return answers

        with ThreadPoolExecutor(CLIENTS) as pool:
            loads = [pool.submit(load) for _ in range(CLIENTS)]
            try:
                for swap in range(SWAPS):
                    target = f"tiny/{2 + swap % 5}"
                    client.put("/v1/aliases/default", json={"target": target}).raise_for_status()
                    if swap % 10 == 0:
                        refused(client.put("/v1/aliases/default", json={"target": "tiny/9"}), 409, "conflict")
                        client.post("/v1/models/tiny/1/load").raise_for_status()
                        client.post("/v1/models/tiny/1/unload").raise_for_status()
            finally:
                over.set()
            answers = [answer for future in loads for answer in future.result()]
        assert all(lines == right[sha256] for sha256, lines in answers)
        assert len({sha256 for sha256, _ in answers}) > 1
        text = client.get("/metrics").text
        assert sample(text, "zeile_model_swaps_total") == before + SWAPS
        assert sample(text, "zeile_models_open") <= MAX_OPEN


def test_requests_that_began_with_a_model_are_finished_with_it(folder: Path) -> None:
    with serving(Settings(models=folder, model="tiny/1")) as client:
        old = ask(client, "tiny/2")

        def asks(_: int) -> tuple[str, Any]:
            with httpx.Client(base_url=client.base_url, timeout=60) as own:
                return ask(own, "mine")

        client.put("/v1/aliases/mine", json={"target": "tiny/2"}).raise_for_status()
        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(asks, range(8))
            client.put("/v1/aliases/mine", json={"target": "tiny/3"}).raise_for_status()
            client.post("/v1/models/tiny/2/unload").raise_for_status()
            assert {old[0]} | {sha256 for sha256, _ in answers} <= {old[0], ask(client, "tiny/3")[0]}


def test_a_model_that_is_made_anew_takes_the_place_of_the_old_one_under_load(folder: Path) -> None:
    with serving(Settings(models=folder, model="tiny/1")) as client:
        right = dict([ask(client)])
        over = threading.Event()

        def load() -> list[tuple[str, Any]]:
            answers = []
            with httpx.Client(base_url=client.base_url, timeout=60) as own:
                while not over.is_set():
                    answers.append(ask(own))
            return answers

        with ThreadPoolExecutor(1) as pool:
            answers = pool.submit(load)
            try:
                for seed in range(20, 30):
                    (folder / "tiny" / "1").rename(folder / f"old{seed}")
                    write_tiny_model(folder, version="1", seed=seed)
                    client.post("/v1/models/tiny/1/load").raise_for_status()
                    right |= dict([ask(client)])
            finally:
                over.set()
            assert all(lines == right[sha256] for sha256, lines in answers.result())
        assert len(right) == 11
