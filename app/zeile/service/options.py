# SPDX-License-Identifier: Apache-2.0
"""How a request wants its lines read: the query parameters that /v1/recognize, /v1/pages and /v1/measure share."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fastapi import Depends, Query, Request
from starlette.concurrency import run_in_threadpool

from zeile.errors import BadSettings
from zeile.service.engines import Options
from zeile.service.registry import Registry
from zeile.service.worker import Worker

MAX_BEAM = 64

Beam = Annotated[int, Query(ge=0, le=MAX_BEAM, description="width of the beam search; 0: the best path")]


class Wishes(NamedTuple):
    """What the parameters say; see ``Options`` for all but the model, which is a name here."""

    model: str | None
    reading: str | None
    beam: int
    alternatives: int


async def wishes(
    model: Annotated[str | None, Query(description="name, name/version or alias of /v1/models")] = None,
    reading: Annotated[str | None, Query(description="reading of the model; default: its first")] = None,
    beam: Beam = 0,
    alternatives: Annotated[
        int, Query(ge=0, le=MAX_BEAM, description="best readings of each line, with their scores; at most beam")
    ] = 0,
) -> Wishes:
    """The parameters.

    Raises:
        BadSettings: more alternatives than the beam search keeps.
    """
    if alternatives > beam:
        raise BadSettings(
            f"{alternatives} alternatives were asked for, with a beam of {beam} there are at most {beam}; "
            f"set beam={alternatives} or more"
        )
    return Wishes(model, reading, beam, alternatives)


Wished = Annotated[Wishes, Depends(wishes)]


async def options(request: Request, wished: Wished) -> Options:
    """The options of a request; its model is decided on here, once.

    Raises:
        BadSettings: no such model.
        BadManifest: the default does not exist.
    """
    registry: Registry = request.app.state.registry
    model = wished.model
    # A name may have to be looked up on the disk; the default is known.
    folder = registry.resolve(None) if model is None else await run_in_threadpool(registry.resolve, model)
    return Options(folder, wished.reading, wished.beam, wished.alternatives)


async def _worker(request: Request) -> Worker:  # a coroutine costs no thread
    worker: Worker = request.app.state.worker
    return worker


Asked = Annotated[Options, Depends(options)]
Working = Annotated[Worker, Depends(_worker)]
