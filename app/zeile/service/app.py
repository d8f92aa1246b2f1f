# SPDX-License-Identifier: Apache-2.0
"""The app: settings in, an ASGI application out; nothing is read before it starts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

import zeile
from zeile.service import problems
from zeile.service.limits import BodyLimit, SafeHeaders
from zeile.service.routes import router
from zeile.service.worker import Worker
from zeile.settings import Settings

PAGE = Path(__file__).parent / "static"


def create_app(settings: Settings) -> FastAPI:
    """The service with its page.

    Models are opened when the app starts. A default model that cannot be used does not keep it from starting:
    /healthz and every request say what is wrong.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.worker = Worker(settings, settings.image_limits())
        await app.state.worker.start()
        yield
        await app.state.worker.close()

    app = FastAPI(
        title="Zeile",
        version=zeile.__version__,
        description="Reads images of text lines, in integers: the same answer to the last bit on every engine.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        # FastAPI's own pages load scripts from elsewhere; a service for archives works without a network.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.settings = settings
    problems.install(app)
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=PAGE), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.add_middleware(BodyLimit, limit=settings.body_bytes)
    app.add_middleware(SafeHeaders)
    return app
