# SPDX-License-Identifier: Apache-2.0
"""An image as browsers show it: archives keep TIFF, which no browser does."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from PIL import Image
from starlette.concurrency import run_in_threadpool

from zeile.service import description
from zeile.service.asking import Asking, Watched, requires
from zeile.service.batch import Grey
from zeile.service.options import Working
from zeile.service.problems import TooManyFiles
from zeile.service.uploads import uploads

router = APIRouter(dependencies=[Depends(requires("read"))])

_PNG: dict[int | str, Any] = {200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}}

_FAST = 1
"""Of PNG's levels of compression: the image goes to the page and is thrown away."""


@router.post(
    "/v1/preview",
    response_class=Response,
    responses=_PNG | description.problems(401, 403, 408, 413, 415, 422, 429, 500, 503),
    openapi_extra=description.body(description.files(), {"image/*": "an image"}),
)
async def preview(request: Request, worker: Working, issued: Asking) -> Response:
    """The grey pixels of one image as PNG, of the same size, turned as it is read."""
    worker.check(issued)
    async with uploads(request, ["image/*"]) as files:
        if len(files) != 1:
            raise TooManyFiles(f"{len(files)} images were sent, one is shown; send each alone")
        data = await files[0].read()
    async with Watched(request, issued):
        limits = request.app.state.settings.image_limits()
        side = max(limits.width, limits.height)  # a page may be as high as a line may be long
        grey = await worker.decode(data, replace(limits, width=side, height=side))
        png = await run_in_threadpool(_png, grey)
    return Response(png, media_type="image/png", headers={"cache-control": "no-store"})


def _png(grey: Grey) -> bytes:
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG", compress_level=_FAST)
    return file.getvalue()
