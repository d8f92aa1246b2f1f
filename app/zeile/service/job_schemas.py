# SPDX-License-Identifier: Apache-2.0
"""What measurements and their jobs answer, for the OpenAPI description and for whoever checks answers against it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from zeile.service.provenance_schema import Provenance
from zeile.service.schemas import AuditReceipt, Evaluation, ModelName, Problem, Times


class StagesMs(BaseModel):
    """Mean milliseconds of a line."""

    queue: float = Field(description="its wait")
    decode: float = Field(description="image file to grey pixels")
    preprocess: float = Field(description="grey pixels to a line of the model's height")
    network: float = Field(description="the engine, of the whole batch that it was in")
    ctc: float = Field(description="scores to text")


class SweepLevel(BaseModel):
    """Rate and latency with so many lines of the set on their way at a time, without HTTP."""

    concurrency: int = Field(examples=[16])
    stable: bool = Field(description="rate and mean latency of the last three windows lie within 10 % of their means")
    lines: int = Field(description="that were read in these windows")
    lines_per_second: float
    latency_ms: dict[str, float | None] = Field(
        description="p50, p90, p95, p99, p99.9, mean and max", examples=[{"p50": 21.3, "p99": 40.2}]
    )
    stages_ms: StagesMs


class Measurement(BaseModel):
    """Answer of /v1/measure."""

    evaluation: Evaluation
    lines_per_second: float = Field(description="while reading, with whatever else the service did meanwhile")
    characters_per_second: float = Field(description="code points that were read, likewise")
    model: ModelName
    engine: dict[str, Any]
    time_ms: Times
    provenance: Provenance
    audit: AuditReceipt | None = Field(default=None, description="the last record of it, if there is an audit log")
    sweep: list[SweepLevel] | None = Field(default=None, description="if the job was asked for it")


class Progress(BaseModel):
    """How far something is."""

    done: int = Field(examples=[96])
    total: int | None = Field(description="null until it is known", examples=[411])


class Job(BaseModel):
    """A measurement that goes on while nobody waits; it is kept in memory, and gone when the service ends."""

    id: str = Field(examples=["8f434346648f6b96df89dda901c5176b"])
    kind: Literal["measure"]
    state: Literal["waiting", "reading", "sweeping", "done", "failed", "canceled"] = Field(
        description="waiting: for another job to end; the last three are ends"
    )
    created: str = Field(description="UTC, RFC 3339", examples=["2026-11-21T14:55:00.000Z"])
    began: str | None
    ended: str | None
    lines: Progress
    sweep: Progress = Field(description="levels of the sweep")
    result: Measurement | None = Field(default=None, description="once it is done")
    error: Problem | None = Field(default=None, description="why it failed or was canceled")


class Jobs(BaseModel):
    """Answer of GET /v1/jobs."""

    jobs: list[Job] = Field(description="of this client, newest first, without their results")
