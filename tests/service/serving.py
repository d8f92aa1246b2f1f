# SPDX-License-Identifier: Apache-2.0
"""The service as users meet it: over a socket, from a server in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from zeile.service.app import create_app
from zeile.service.connections import connection
from zeile.settings import Settings


@contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a running service."""
    with running(create_app(settings)) as client:
        yield client


@contextmanager
def running(app: FastAPI) -> Iterator[httpx.Client]:
    """The same for an app whose inside the test holds on to."""
    config = uvicorn.Config(app, http=connection(app.state), port=0, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def files(**named: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    """A form's files; ``_`` in a name stands for its last dot."""
    return [("files", (".".join(name.rsplit("_", 1)), data)) for name, data in named.items()]


def refused(response: httpx.Response, status: int, kind: str) -> str:
    """Check that the answer is a problem of this status and kind; returns its detail."""
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (response.status_code, problem["status"]) == (status, status), problem
    assert problem["type"] == f"urn:zeile:problem:{kind}"
    assert set(problem) == {"type", "title", "status", "detail"}
    detail: str = problem["detail"]
    return detail


@contextmanager
def engine_held(app: FastAPI) -> Iterator[None]:
    """Meanwhile no line is read."""
    go = threading.Event()
    app.state.worker.submit_exclusive(lambda engines: go.wait(60))
    try:
        yield
    finally:
        go.set()


def counted(app: FastAPI, name: str, **labels: str) -> float:
    """What a metric stands at."""
    return app.state.metrics.registry.get_sample_value(f"zeile_{name}", labels) or 0.0


def in_background(ask: Any) -> threading.Thread:
    """Have something asked while the test goes on."""
    thread = threading.Thread(target=ask)
    thread.start()
    return thread
