# SPDX-License-Identifier: Apache-2.0
"""Models: which there are, loading them, and which names point to which.

A model is loaded and tested before anything points to it; requests that are under way are finished with the one that
they began with.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from zeile.service import description, schemas
from zeile.service.acknowledge import changed
from zeile.service.asking import requires
from zeile.service.registry import Registry

router = APIRouter()

MAY_CHANGE = [Depends(requires("models"))]
_ERRORS = description.problems(401, 403, 404, 409, 503)


def _registry(request: Request) -> Registry:
    registry: Registry = request.app.state.registry
    return registry


Asked = Annotated[Registry, Depends(_registry)]


@router.get("/v1/models", dependencies=[Depends(requires("read"))], responses=description.problems(401, 403))
async def list_models(registry: Asked) -> schemas.Models:
    """Models that can be asked for, by name and version, lowest first, and the aliases."""
    return await run_in_threadpool(registry.facts)


@router.post("/v1/models/{name}/{version}/load", dependencies=MAY_CHANGE, responses=_ERRORS)
async def load(request: Request, registry: Asked, name: str, version: str) -> schemas.ModelName:
    """Read a model again from its folder and test it; only then it takes the place of the one that was loaded."""
    model = await changed(request, "model", registry.load, f"{name}/{version}")
    return schemas.ModelName(name=model.name, version=model.version, sha256=model.sha256)


@router.post("/v1/models/{name}/{version}/unload", dependencies=MAY_CHANGE, responses=_ERRORS)
async def unload(request: Request, registry: Asked, name: str, version: str) -> schemas.Models:
    """Refuse a model from now on, until it is loaded again."""
    await changed(request, "model", registry.unload, f"{name}/{version}")
    return await run_in_threadpool(registry.facts)


@router.put("/v1/aliases/{alias}", dependencies=MAY_CHANGE, responses=_ERRORS | description.problems(422))
async def point(request: Request, registry: Asked, alias: str, to: schemas.AliasTarget) -> schemas.Models:
    """Point a name to a model, loaded and tested first; "default" reads when a request names none."""
    await changed(request, "model", registry.alias, alias, to.target)
    return await run_in_threadpool(registry.facts)


@router.delete("/v1/aliases/{alias}", dependencies=MAY_CHANGE, responses=_ERRORS)
async def forget(request: Request, registry: Asked, alias: str) -> schemas.Models:
    """Take an alias away; the default stays."""
    await changed(request, "model", registry.alias, alias, None)
    return await run_in_threadpool(registry.facts)
