# SPDX-License-Identifier: Apache-2.0
"""An answer gets its provenance and its record in the audit log, in this order, before any of it is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from zeile.formats import Region
from zeile.service.audit import Receipt
from zeile.service.batch import Answer
from zeile.service.engines import Options
from zeile.service.provenance import provenance
from zeile.service.ticket import Ticket

Result = TypeVar("Result")

MANY = 32
"""Lines whose hashes are computed in a thread, so that the event loop stays free."""


@dataclass(frozen=True)
class Acknowledged:
    """An answer's provenance, and where it stands in the audit log, if there is one."""

    origin: dict[str, Any]
    receipt: Receipt | None

    def facts(self) -> dict[str, Any]:
        """Both, as the JSON answers have them."""
        return {"provenance": self.origin} | ({"audit": asdict(self.receipt)} if self.receipt else {})

    def headers(self) -> dict[str, str]:
        """The place in the log, for formats that have none for it."""
        return {"x-zeile-audit": f"{self.receipt.number}; sha256={self.receipt.sha256}"} if self.receipt else {}


async def acknowledged(
    request: Request,
    kind: str,
    answer: Answer,
    asked: Options,
    ticket: Ticket,
    page: tuple[str, Sequence[Region]] | None = None,
) -> Acknowledged:
    """Give an answer its provenance and log it.

    Args:
        request: any of the app.
        kind: of request: recognize, page, infer.
        answer: of the worker.
        asked: how the lines were read.
        ticket: of the request.
        page: that the lines were cut from, see ``provenance``.

    Raises:
        Unlogged: the log cannot be written; then nothing of the answer may be sent.
    """
    state = request.app.state

    def origin() -> dict[str, Any]:
        return provenance(answer, asked, ticket, self_test=state.health.self_test, page=page)

    found = await run_in_threadpool(origin) if len(answer.lines) > MANY else origin()
    return Acknowledged(found, await state.audit.record(kind, found, answer.lines))


async def changed(request: Request, kind: str, change: Callable[..., Result], *arguments: str | None) -> Result:
    """Make a change that later answers depend on, in a thread, and log it with who asked for it.

    Args:
        request: that asks for it.
        kind: of the record: model, circuit.
        change: makes it.
        arguments: of the change.

    Raises:
        Unlogged: the log cannot be written; the change may have been made, and can be asked for again.
    """
    state = request.app.state
    state.audit.check()
    result = await run_in_threadpool(change, *arguments)
    asked_by = {"client": request.state.client, "request_id": request.state.request_id}
    await state.audit.event(kind, {"change": change.__name__, "arguments": arguments, **asked_by})
    return result
