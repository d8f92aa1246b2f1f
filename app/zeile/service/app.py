# SPDX-License-Identifier: Apache-2.0
"""The app: settings in, an ASGI application out; nothing is read before it starts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar

from fastapi import FastAPI, Response
from starlette.datastructures import State
from starlette.middleware.cors import CORSMiddleware

import zeile
from zeile.service import (
    description,
    health_api,
    jobs_api,
    kserve,
    live,
    models_api,
    page_files,
    pages_api,
    preview,
    problems,
    routes,
)
from zeile.service.audit import Audit
from zeile.service.health import Health
from zeile.service.jobs import Jobs
from zeile.service.key_door import KeyDoor
from zeile.service.keys import KeyFile
from zeile.service.limits import BodyLimit, InFlight, Places, SafeHeaders, SameOrigin
from zeile.service.live import Live
from zeile.service.metrics import Metrics
from zeile.service.pages import Pages
from zeile.service.rates import Rates
from zeile.service.record import Record
from zeile.service.registry import Registry
from zeile.service.remembering import Remembering
from zeile.service.watchdog import Watchdog
from zeile.service.worker import Worker
from zeile.settings import Settings

ROUTERS = (routes, pages_api, kserve, jobs_api, models_api, health_api, live, preview)

CORS: Mapping[str, Any] = {
    "allow_methods": ("GET", "POST", "PUT", "DELETE"),
    "allow_headers": ("authorization", "content-type", "x-api-key", "x-request-id", "x-zeile-deadline-ms"),
    "expose_headers": ("location", "retry-after", "x-request-id"),
}


QUIET: dict[str, Any] = (
    {"telemetry": {"tracing": False, "metrics": False, "logs": False}} if find_spec("fastapi.telemetry") else {}
)
"""FastAPI's own spans, where it has them, would carry what clients sent; ours are in ``telemetry``."""


def create_app(settings: Settings, *, apart: bool = False) -> FastAPI:
    """The service with its page.

    Args:
        settings: of the deployment.
        apart: whether a process of its own reads the lines; see ``crew_apart``.

    Models are opened when the app starts. A default model that cannot be used does not keep it from starting:
    /readyz and every request say what is wrong.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            await _start(app.state, settings, running, apart)
            yield

    app = FastAPI(
        title="Zeile",
        version=zeile.__version__,
        description="Reads images of text lines, in integers: the same answer to the last bit on every engine.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        # FastAPI's own pages load scripts from elsewhere; a service for archives works without a network.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # the same, made once
        lifespan=lifespan,
        **QUIET,
    )
    app.state.settings = settings
    app.state.metrics = Metrics()
    app.state.rates = Rates(settings.rate)
    app.state.places = Places(settings.requests)
    problems.install(app)
    for module in ROUTERS:
        app.include_router(module.router)
    description.install(app)
    description_json = b""
    page_files.mount(app)

    @app.get("/openapi.json", include_in_schema=False)
    async def described() -> Response:
        nonlocal description_json
        description_json = description_json or json.dumps(app.openapi(), ensure_ascii=False).encode()
        return Response(description_json, media_type="application/json")

    _close_doors(app, settings)
    return app


def _close_doors(app: FastAPI, settings: Settings) -> None:
    """What every request passes before the app; the last one added is the first one passed."""
    origins = settings.cors.split()
    app.add_middleware(Remembering, path=routes.PATH, headers=routes.HEADERS, first=routes.may_read)
    app.add_middleware(BodyLimit, limit=settings.body_bytes, seconds=settings.send_s)
    app.add_middleware(InFlight, places=app.state.places)
    if settings.keys is not None:
        app.add_middleware(KeyDoor, keys=KeyFile(settings.keys))
    app.add_middleware(SameOrigin, origins=frozenset(origins))
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins, **CORS)
    app.add_middleware(Record, metrics=app.state.metrics)
    app.add_middleware(SafeHeaders)


class _Part(Protocol):
    async def start(self) -> None: ...

    async def close(self) -> None: ...


_P = TypeVar("_P", bound=_Part)


async def _start(state: State, settings: Settings, running: AsyncExitStack, apart: bool) -> None:
    """Build and start the parts of the service; they are closed in reverse, so that what is accepted is finished."""

    async def started(part: _P) -> _P:
        await part.start()
        running.push_async_callback(part.close)
        return part

    metrics = state.metrics
    state.registry = registry = Registry(settings, metrics)
    state.worker = worker = await started(Worker(settings, metrics, registry, apart))
    state.pages = Pages(settings, worker)
    state.health = health = await started(Health(settings, metrics, registry, worker))
    state.audit = await started(Audit(settings, metrics))
    state.jobs = await started(Jobs(settings, worker))
    state.live = await started(Live(metrics, worker, health))
    await started(Watchdog(health))
