# SPDX-License-Identifier: Apache-2.0
"""What the stream and the description of the service say."""

from __future__ import annotations

import platform
from typing import Any

from pydantic import BaseModel, Field

import zeile
from zeile.formats import MEDIA_TYPES
from zeile.service.uploads import FIELDS
from zeile.settings import Settings


class Snapshot(BaseModel):
    """The service at one moment."""

    id: int = Field(description="counts up from 1 while the service runs")
    time: float = Field(description="seconds since 1970")
    lines_per_second: float = Field(description="over the last seconds, as the next two")
    answers_per_second: float
    rejected_per_second: float
    latency_ms: dict[str, float] | None = Field(
        description="p50 and p95 of the last answers with lines; null without any", examples=[{"p50": 8.1, "p95": 21.4}]
    )
    queue_lines: int = Field(description="that wait")
    in_flight: int = Field(description="requests that are worked on, streams like this one left out")
    watts: float | None = Field(description="of all rails; null without a sensor")
    ready: bool
    because: str | None = Field(description="why it is not ready")
    self_test: dict[str, Any] | None = Field(description="the last one")
    circuit: dict[str, Any] | None = Field(description="of the board; null without one")
    totals: dict[str, int] = Field(description="since the start")


EXAMPLE = Snapshot(
    id=1,
    time=1795273168.845,
    lines_per_second=212.4,
    answers_per_second=53.1,
    rejected_per_second=0,
    latency_ms={"p50": 8.1, "p95": 21.4},
    queue_lines=12,
    in_flight=4,
    watts=None,
    ready=True,
    because=None,
    self_test={"ok": True, "time": "2026-11-21T14:55:00+00:00", "lines": 3, "model": "latin-print/1", "engine": "cpu"},
    circuit=None,
    totals={"lines": 4711, "answers": 1200, "rejected": 0},
).model_dump_json()
"""Data of an event."""


class ServiceLimits(BaseModel):
    """What is accepted, each at most."""

    body_bytes: int
    image_bytes: int
    image_pixels: int
    image_width: int
    image_height: int
    requests: int = Field(description="that are worked on at a time")
    queue_lines: int
    deadline_s: int = Field(description="of a request that names none")
    rate: int = Field(description="lines a second of one client; 0: no limit")


class Info(BaseModel):
    """Answer of /v1/info."""

    version: str = Field(description="of Zeile", examples=[zeile.__version__])
    python: str
    machine: str = Field(examples=["aarch64"])
    started: str = Field(description="UTC")
    engine: dict[str, Any] = Field(description="that reads the default model", examples=[{"engine": "cpu"}])
    threads: int = Field(description="of the engine")
    limits: ServiceLimits
    fields: list[str] = Field(description="form fields that hold files; all mean the same")
    formats: list[str]
    keys: bool = Field(description="whether an API key is asked for")
    audit: bool = Field(description="whether answers are written into the audit log")
    audit_text: bool = Field(description="whether their texts are, too")
    checked: int = Field(description="of 1000 lines of the board, so many are read again by the CPU")
    self_test_s: int = Field(description="seconds between self-tests")


def information(settings: Settings, engine: dict[str, Any], started: str) -> Info:
    """Facts of a service; no paths, which are nobody's business."""
    limits = {name: getattr(settings, name) for name in ServiceLimits.model_fields}
    return Info(
        version=zeile.__version__,
        python=platform.python_version(),
        machine=platform.machine(),
        started=started,
        engine=engine,
        threads=settings.threads,
        limits=ServiceLimits(**limits),
        fields=list(FIELDS),
        formats=list(MEDIA_TYPES),
        keys=settings.keys is not None,
        audit=settings.audit is not None,
        audit_text=settings.audit_text,
        checked=settings.checked,
        self_test_s=settings.self_test_s,
    )
