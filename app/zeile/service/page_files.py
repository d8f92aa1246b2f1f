# SPDX-License-Identifier: Apache-2.0
"""The page and what it is made of, asked for again each time.

Browsers keep files without a word on caching for as long as they like: after an update, old scripts would meet a new
page. So they ask whether a file has changed, and are told in a few bytes that it has not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response

PAGE = Path(__file__).parent / "static"

ASK_AGAIN = {"cache-control": "no-cache"}


class _Files(StaticFiles):
    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(ASK_AGAIN)
        return response


def mount(app: FastAPI) -> None:
    """Serve the page at / and its files below /static."""
    app.mount("/static", _Files(directory=PAGE), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers=ASK_AGAIN)
