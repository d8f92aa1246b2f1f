# SPDX-License-Identifier: Apache-2.0
"""Whether the service lives, is ready, and what it counts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

import zeile
from zeile.service import answers, description, metrics, schemas
from zeile.service.acknowledge import changed
from zeile.service.asking import requires
from zeile.service.audit import Audit
from zeile.service.health import Health
from zeile.service.problems import NotReady

router = APIRouter()


def _health(request: Request) -> Health:
    health: Health = request.app.state.health
    return health


Asked = Annotated[Health, Depends(_health)]


@router.get("/livez", responses=description.problems(503))
async def livez(health: Asked) -> schemas.Alive:
    """Whether the process is of any use: its engine's thread runs and does not hang. If not, restart it."""
    if health.dead is not None:
        raise NotReady(health.dead)
    return schemas.Alive(status="alive")


@router.get("/readyz", responses=description.problems(503))
async def readyz(request: Request, health: Asked) -> schemas.Ready:
    """Whether to send lines here: the last self-test gave the expected integers, and the service is not stopping.

    With a board that is left alone the service is ready: the CPU gives the same answers, more slowly.
    """
    if (fault := _fault(request, health)) is not None or health.self_test is None:
        raise NotReady(fault or "the service is starting; ask again in a moment")
    return schemas.Ready(status="ready", self_test=schemas.SelfTest(**health.self_test), circuit=_circuit(health))


@router.get("/healthz", responses=description.problems(503))
async def healthz(request: Request, health: Asked) -> schemas.Health:
    """As /readyz, with what else people want to know."""
    if (fault := _fault(request, health)) is not None or health.self_test is None or health.model is None:
        raise NotReady(fault or "the service is starting; ask again in a moment")
    return schemas.Health(
        status="ok",
        version=zeile.__version__,
        model=schemas.ModelName(**answers.model(health.model)),
        engine=health.engine,
        waiting=request.app.state.worker.waiting,
        self_test=schemas.SelfTest(**health.self_test),
        circuit=_circuit(health),
        watts=health.power.watts,
    )


@router.get(
    "/metrics",
    dependencies=[Depends(requires("metrics"))],
    responses=description.problems(401, 403) | {200: {"content": {metrics.MEDIA_TYPE: {}}}},
    response_class=Response,
)
async def show_metrics(request: Request) -> Response:
    """Counters, gauges and histograms for Prometheus."""
    return Response(request.app.state.metrics.text(), media_type=metrics.MEDIA_TYPE)


@router.post(
    "/v1/device/close-circuit",
    dependencies=[Depends(requires("admin"))],
    responses=description.problems(401, 403, 409, 503),
)
async def close_circuit(request: Request, health: Asked) -> schemas.Circuit:
    """Have a board that is left alone tested at once, also one that gave wrong integers; ask /readyz how it went."""
    return schemas.Circuit(**await changed(request, "circuit", health.close_circuit))


def _fault(request: Request, health: Health) -> str | None:
    """Why nothing should be sent here: the engine's reason, or an audit log without which nothing is answered."""
    audit: Audit = request.app.state.audit
    if health.fault is None and audit.fault is not None:
        return f"the audit log cannot be written: {audit.fault}; make room on its disk, or mend it"
    return health.fault


def _circuit(health: Health) -> schemas.Circuit | None:
    facts = health.circuit()
    return None if facts is None else schemas.Circuit(**facts)
