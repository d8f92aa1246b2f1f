# SPDX-License-Identifier: Apache-2.0
"""Answers as NDJSON: every line as soon as it is read, in the order of the request.

    {"page": {"file": "p.png", "width": ...}}      the first row, of a page
    {"index": 0, "file": "a.png", "text": ...}     a line, as in the JSON answer
    {"provenance": {...}}                          of the lines since the last one of these
    {"end": {"lines": 2, "errors": 0, ...}}        the last row of an answer that is whole
    {"error": {...}}                               the last row of one that is not: a problem

What is sent has been logged, so that a client that counts rows and the audit log agree.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect

from zeile.errors import BadImage
from zeile.service import answers
from zeile.service.acknowledge import Acknowledged
from zeile.service.batch import Answer, Stages
from zeile.service.images import Part
from zeile.service.problems import problem
from zeile.service.ticket import Ticket

log = logging.getLogger(__name__)

Acknowledge = Callable[[Answer], Awaitable[Acknowledged]]
"""Logs an answer."""

Head = Callable[[int, str], Mapping[str, Any]]
"""What a row says before its reading, from its place and its name."""


async def rows(
    first: Part,
    first_known: Acknowledged,
    rest: AsyncIterator[Part],
    head: Head,
    acknowledge: Acknowledge,
    ticket: Ticket,
    began: float,
    title: Mapping[str, Any] | None = None,
) -> AsyncIterator[bytes]:
    """The answer, some rows at a time.

    The request's deadline counts anew from each row: it says how long its client waits, not how long the answer may be.

    Args:
        first: part of the answer.
        first_known: that it was logged; while nothing is sent, a log that cannot be written is still a status.
        rest: of it.
        head: see Head.
        acknowledge: see Acknowledge.
        ticket: of the request.
        began: when the request had arrived, seconds of ``time.perf_counter``.
        title: a row before all others.
    """
    patience = ticket.left_s
    lines = errors = 0
    stages = Stages()
    part: Part | None = first
    known = first_known
    before = [answers.encoded(title)] if title else []
    try:
        while part is not None:
            answer = part.answer
            named = enumerate(zip(part.names, answer.lines, strict=True), lines)
            sent = [answers.encoded_line(head(index, name), line) for index, (name, line) in named]
            yield b"\n".join([*before, *sent, answers.record(known.facts())])
            before = []
            ticket.deadline = time.monotonic() + patience
            lines, errors = lines + len(sent), errors + sum(isinstance(line, BadImage) for line in answer.lines)
            stages += answer.stages
            part = await anext(rest, None)
            if part is not None:
                known = await acknowledge(part.answer)
    except ClientDisconnect:
        raise
    except Exception as error:  # too late for a status: the answer has begun
        log.error("the answer to %s ends after %d lines: %s: %s", ticket.request_id, lines, type(error).__name__, error)
        yield answers.record({"error": problem(error)})
        return
    facts = {"model": answers.model(answer.model), "engine": answer.engine}
    facts["time_ms"] = answers.times(stages, time.perf_counter() - began)
    yield answers.record({"end": {"lines": lines, "errors": errors} | facts})
