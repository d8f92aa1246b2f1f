# SPDX-License-Identifier: Apache-2.0
"""Requests that nobody sends in good faith are refused with a sentence, and the service reads on.

What they cost is measured by deploy/hostile.py; here only what is answered counts.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from tests.models import line_png
from tests.service.hostile import ALL
from tests.service.raw import until
from tests.service.serving import serving

from zeile.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

# Starlette leaves the file of an unfinished form to the garbage collector, which closes it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def service(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    spool = tmp_path_factory.mktemp("spool")
    with serving(Settings(models=models, model="tiny/1", spool=spool)) as client:
        yield client
    assert list(spool.iterdir()) == [], "a refused request has left something behind"


@pytest.mark.parametrize("name", ALL)
def test_hostile_requests_are_refused_with_a_sentence(service: httpx.Client, name: str) -> None:
    asked = ALL[name]
    headers = {"content-type": asked.media_type} if asked.media_type else {}
    response = service.request(asked.method, asked.path, content=asked.body(), headers=headers | dict(asked.headers))
    if asked.read and response.status_code == 200:
        return
    assert 400 <= response.status_code < 500, response.text[:500]
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert 0 < len(problem["detail"]) < 2000
    assert "Traceback" not in problem["detail"]


def test_the_service_reads_on_after_all_of_them(service: httpx.Client) -> None:
    response = service.post("/v1/recognize", content=line_png(1), headers={"content-type": "image/png"})
    assert response.status_code == 200
    assert json.loads(response.content)["lines"][0]["text"]


def test_a_refused_image_is_not_kept_until_the_next_garbage_collection(service: httpx.Client) -> None:
    def pictures() -> int:
        # Not isinstance: it asks each object for its class, and some of other libraries warn when they are asked.
        return sum(issubclass(type(each), Image.Image) for each in gc.get_objects())

    tall = ALL["png a million high"].body()
    gc.collect()
    gc.disable()
    try:
        before = pictures()
        for _ in range(5):
            response = service.post("/v1/recognize", content=tall, headers={"content-type": "image/png"})
            assert response.status_code == 413
        until(lambda: pictures() <= before)
    finally:
        gc.enable()


def test_there_are_at_least_sixty_of_them() -> None:
    assert len(ALL) >= 60


@pytest.mark.parametrize(
    ("script", "words", "says"),
    [
        (
            "hostile.py",
            ["gif", "climbs", "--times", "1", "--cpu-ms", "10000", "--growth-mib", "1000"],
            "0 answered wrongly",
        ),
        (
            "fuzz.py",
            ["--inputs", "8", "--only", "form", "keys", "--cpu-ms", "10000", "--growth-mib", "1000"],
            "0 of them wrongly answered",
        ),
    ],
)
def test_the_scripts_that_measure_the_cost_run(script: str, words: list[str], says: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "deploy" / script, *words], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert says in done.stdout
