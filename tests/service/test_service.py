# SPDX-License-Identifier: Apache-2.0
"""What holds for the service as a whole: its limits, its models, its description."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.models import line_png, write_tiny_model
from tests.service.serving import refused, serving

import zeile
from zeile.errors import BadJob, FleetError, ZeileError
from zeile.service.app import create_app
from zeile.service.problems import KINDS, kind_of
from zeile.service.schemas import Health, Models
from zeile.settings import Settings

LIMIT = 100_000

OF_CLIENTS = (BadJob, FleetError)
"""Errors of those who ask services; none happens in one."""


@pytest.fixture(scope="module")
def small(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    spool = tmp_path_factory.mktemp("spool")
    with serving(Settings(models=models, model="tiny/1", body_bytes=LIMIT, spool=spool)) as client:
        yield client
    assert list(spool.iterdir()) == []


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 1000):
        yield bytes(1000)


@pytest.mark.parametrize("path", ["/v1/recognize", "/v1/measure"])
@pytest.mark.parametrize("media_type", ["image/png", "application/zip", "multipart/form-data; boundary=x"])
def test_long_bodies_are_refused(small: httpx.Client, path: str, media_type: str) -> None:
    headers = {"content-type": media_type}
    announced = small.post(path, content=bytes(LIMIT + 1), headers=headers)
    assert f"{LIMIT + 1} bytes" in refused(announced, 413, "body-too-large")
    if path == "/v1/measure" and media_type == "image/png":
        return  # refused for its media type before the body is read
    if path == "/v1/recognize" and media_type == "application/zip":
        return
    start = b'--x\r\ncontent-disposition: form-data; name="files"; filename="a"\r\n\r\n'

    def endless() -> Iterator[bytes]:
        yield start
        yield from chunks(3 * LIMIT)

    assert str(LIMIT) in refused(small.post(path, content=endless(), headers=headers), 413, "body-too-large")


def test_bodies_up_to_the_limit_are_read(small: httpx.Client) -> None:
    data = line_png(1)
    padded = data + bytes(LIMIT - len(data))  # what follows a PNG's end is not looked at
    response = small.post("/v1/recognize", content=padded, headers={"content-type": "image/png"})
    assert response.status_code == 200


def test_limits_on_images_can_be_set(models: Path) -> None:
    data = line_png(1, width=120)
    narrow = Settings(models=models, model="tiny/1", image_width=119)
    few = Settings(models=models, model="tiny/1", image_bytes=len(data) - 1)
    for settings, limit in ((narrow, "at most 119 x"), (few, f"at most {len(data) - 1} are allowed")):
        with serving(settings) as client:
            response = client.post("/v1/recognize", content=data, headers={"content-type": "image/png"})
            assert limit in refused(response, 413, "image-too-large")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("ZEILE_PORT", "http", "ZEILE_PORT is 'http'; it must be a whole number from 0 to 65535"),
        ("ZEILE_IMAGE_WIDTH", "0", "ZEILE_IMAGE_WIDTH is '0'; it must be a whole number from 1 to 2147483648"),
        ("ZEILE_MODLE", "x", "the environment has ZEILE_MODLE, which does not exist; did you mean ZEILE_MODEL?"),
    ],
)
def test_uvicorn_ends_with_a_sentence_about_a_bad_setting(name: str, value: str, sentence: str) -> None:
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("ZEILE_")}
    done = subprocess.run(
        [sys.executable, "-m", "uvicorn", "zeile.asgi:app", "--port", "0"],
        env=inherited | {"PYTHONPATH": str(Path(zeile.__file__).parents[1]), name: value},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (2, f"zeile: {sentence}\n")


def test_errors_of_the_framework_are_problems_too_and_say_what_there_is(service: httpx.Client) -> None:
    for response, status, says in (
        (service.get("/nothing"), 404, "there is nothing at '/nothing'; /openapi.json describes every endpoint"),
        (service.get("/v2/nothing"), 404, "there is nothing at '/v2/nothing'"),
        (service.put("/v1/recognize"), 405, "'/v1/recognize' takes POST, not PUT"),
    ):
        assert response.headers["content-type"] == "application/problem+json"
        assert (response.status_code, response.json()["status"]) == (status, status)
        assert says in response.json()["detail"]
    assert service.get("/v1/recognize").headers["allow"] == "POST"
    assert len(service.get(f"/{'a' * 5000}").json()["detail"]) < 400


def test_every_error_of_zeile_has_a_status() -> None:
    def below(kind: type[ZeileError]) -> Iterator[type[ZeileError]]:
        for sub in kind.__subclasses__():
            yield sub
            yield from below(sub)

    found = [e for e in below(ZeileError) if not issubclass(e, OF_CLIENTS)]
    assert [e.__name__ for e in found if kind_of(e("")) is KINDS[Exception]] == []


@pytest.mark.parametrize("media_type", [b"image/png", b"multipart/form-data; boundary=x"])
def test_a_client_that_hangs_up_is_no_fault(models: Path, media_type: bytes) -> None:
    app = create_app(Settings(models=models, model="tiny/1"))
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/recognize",
        "query_string": b"",
        "headers": [(b"content-type", media_type), (b"content-length", b"1000")],
    }
    received = [{"type": "http.request", "body": b"--x", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return received.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def call() -> None:
        async with app.router.lifespan_context(app):
            await app(scope, receive, send)

    asyncio.run(call())  # an error that reached the server would be raised here
    assert sent[0]["status"] == 400


def test_health(service: httpx.Client) -> None:
    health = Health.model_validate_json(service.get("/healthz").content)
    assert (health.status, health.version, health.model.name) == ("ok", zeile.__version__, "tiny")
    assert health.engine["engine"] == "cpu"


def test_models_with_a_damaged_one_among_them(tmp_path: Path) -> None:
    write_tiny_model(tmp_path, version="1")
    damaged = write_tiny_model(tmp_path, version="2")
    with serving(Settings(models=tmp_path, model="tiny/1")) as client:
        before = Models.model_validate_json(client.get("/v1/models").content).models
        assert [(m.version, m.default, m.error) for m in before] == [("1", True, None), ("2", False, None)]
        assert before[0].readings == ["plain", "diplomatic"]
        assert "ſ" in before[0].characters
        manifest = damaged / "manifest.json"
        manifest.write_bytes(manifest.read_bytes().replace(b"Random", b"R\xffndom"))
        _, after = Models.model_validate_json(client.get("/v1/models").content).models
        assert after.error is not None
        assert after.error.status == 503
        response = client.post("/v1/recognize?model=tiny/2", content=line_png(1), headers={"content-type": "image/png"})
        refused(response, 503, "bad-model")
        assert client.get("/healthz").status_code == 200


def test_answers_keep_the_page_to_itself(service: httpx.Client) -> None:
    for path in ("/", "/static/page.js", "/nothing"):
        headers = service.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
    assert service.get("/docs").status_code == 404  # it would load scripts from elsewhere
