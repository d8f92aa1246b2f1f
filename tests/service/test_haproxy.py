# SPDX-License-Identifier: Apache-2.0
"""The fleet profile: HAProxy accepts it, and a service that goes away under load costs no request."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.device.brokers import PATIENCE_S, until
from tests.fleet import services as fakes
from tests.models import line_png
from tests.service.serving import files, serving

from zeile.settings import Settings

PROFILE = Path(__file__).resolve().parents[2] / "deploy" / "haproxy.cfg"
BOARDS = ("10.0.0.11:8000", "10.0.0.12:8000", "10.0.0.13:8000")

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def balancing(folder: Path, services: list[str], metrics: int) -> Iterator[httpx.Client]:
    """A client of an HAProxy with the profile, before these services."""
    port = free_port()
    text = PROFILE.read_text("utf-8").replace("bind :8080", f"bind 127.0.0.1:{port}")
    text = text.replace("127.0.0.1:8404", f"127.0.0.1:{metrics}")
    text = text.replace("  user haproxy\n  group haproxy\n", "")  # tests need not be root's
    for board, service in zip(BOARDS, services, strict=True):
        assert board in text
        text = text.replace(board, service)
    (folder / "haproxy.cfg").write_text(text, "utf-8")
    process = subprocess.Popen(["haproxy", "-f", str(folder / "haproxy.cfg")], stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:

            def answers() -> bool:
                try:
                    return client.get("/livez").status_code == 200
                except httpx.TransportError:
                    return False

            until(answers, "HAProxy serves")
            yield client
    finally:
        process.terminate()
        process.wait()


def address(client: httpx.Client) -> str:
    return f"{client.base_url.host}:{client.base_url.port}"


def test_haproxy_accepts_the_profile() -> None:
    done = subprocess.run(["haproxy", "-c", "-f", str(PROFILE)], capture_output=True, text=True, check=False)
    if "cannot find user" in done.stderr or "cannot find group" in done.stderr:
        pytest.skip("there is no user haproxy here")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()


def test_a_service_that_goes_away_costs_no_request(models: Path, tmp_path: Path) -> None:
    settings = Settings(models=models, model="tiny/1")
    statuses: Counter[int] = Counter()
    texts: set[str] = set()
    refusals: list[str] = []
    stop = threading.Event()

    with ExitStack() as stack:
        going = ExitStack()
        stack.push(going)
        services = [address(going.enter_context(serving(settings)))]
        services += [address(stack.enter_context(serving(settings))) for _ in range(2)]
        for service in services:  # one by one: pydantic completes its models at first use
            first = httpx.post(f"http://{service}/v1/recognize", files=files(a_png=line_png(1)), timeout=PATIENCE_S)
            assert first.status_code == 200
        metrics = free_port()
        client = stack.enter_context(balancing(tmp_path, services, metrics))

        def ask() -> None:
            with httpx.Client(base_url=client.base_url, timeout=PATIENCE_S) as own:
                while not stop.is_set():
                    answer = own.post("/v1/recognize", files=files(a_png=line_png(1)))
                    statuses[answer.status_code] += 1
                    if answer.status_code == 200:
                        texts.add(answer.json()["lines"][0]["text"])
                    elif answer.status_code == 429:  # the profile's own limit
                        time.sleep(1)
                    else:
                        refusals.append(answer.text)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: statuses[200] > 20, "answers of all three")
            going.close()
            before = statuses[200]
            until(lambda: statuses[200] > before + 20, "answers of the other two")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert refusals == []
        assert len(texts) == 1
        assert client.get("/metrics").status_code == 403
        assert "haproxy_server_status" in httpx.get(f"http://127.0.0.1:{metrics}/metrics").text


def test_a_service_that_is_not_ready_finishes_what_it_has(tmp_path: Path) -> None:
    """Its request waits for an answer while HAProxy asks three times and more whether the service is ready."""

    async def test() -> None:
        begun = asyncio.Event()

        async def ready(asked: fakes.Asked) -> Any:
            return fakes.answer("503 Stopping", b"") if begun.is_set() else fakes.answer()

        async def first(asked: fakes.Asked) -> Any:
            if "livez" not in asked.line:
                begun.set()
                before = service.probes
                await fakes.until(lambda: service.probes > before + 5)
            return fakes.answer(body=b"first")

        service = fakes.Service(first, ready)
        others = [fakes.Service(ready=fakes.says(fakes.answer("503 Starting", b""))) for _ in range(2)]
        async with fakes.running(service, *others) as urls:
            hosts = [url.partition("//")[2] for url in urls]
            with ExitStack() as stack:
                client = await asyncio.to_thread(stack.enter_context, balancing(tmp_path, hosts, free_port()))
                await fakes.until(lambda: all(each.probes > 2 for each in others))
                given = await asyncio.to_thread(client.post, "/v1/recognize", content=b"image")
                assert (given.status_code, given.content) == (200, b"first")

    fakes.run(test())


def test_without_any_service_haproxy_answers_as_they_would(tmp_path: Path, models: Path) -> None:
    nowhere = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    with ExitStack() as stack:
        last = ExitStack()
        stack.push(last)
        service = address(last.enter_context(serving(Settings(models=models, model="tiny/1"))))
        client = stack.enter_context(balancing(tmp_path, [service, *nowhere], free_port()))
        last.close()
        answer = client.post("/v1/recognize", files=files(a_png=line_png(1)))
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:zeile:problem:overloaded"
        assert answer.headers["retry-after"] == "1"
