# SPDX-License-Identifier: Apache-2.0
"""The audit log of a service: what is answered was logged first, on the disk.

One thread writes. Requests that wait while it does share its next write and its next fsync, so that a slow disk
costs a request its latency once, and not the others their turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zeile.errors import BadImage
from zeile.pipeline import Line
from zeile.service.audit_log import BadLog, Mark
from zeile.service.audit_writer import Writer
from zeile.service.metrics import Metrics
from zeile.service.problems import Unlogged
from zeile.service.provenance import decoder_facts, now, software_facts
from zeile.settings import Settings

log = logging.getLogger(__name__)

PAUSE_S = 1.0
"""After a failure the log is opened again no sooner than that."""

_RETRY_AFTER_S = 5.0


@dataclass(frozen=True)
class Receipt:
    """Proof that an answer was logged: ``zeile audit verify --head SHA256`` shows that the record is still there."""

    number: int
    sha256: str


@dataclass(eq=False)
class _Entry:
    facts: Mapping[str, Any]
    future: asyncio.Future[Receipt]


class Audit:
    """Records what was answered, in the file ``settings.audit``; without one it does nothing.

    Args:
        settings: of the service: audit, audit_bytes, audit_text.
        metrics: counts records and failures.

    Attributes:
        fault: why nothing can be logged, and so nothing answered; None if all is well.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._path, self._full, self._texts = settings.audit, settings.audit_bytes, settings.audit_text
        self._metrics = metrics
        self._waiting: list[_Entry] = []
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="zeile-audit", daemon=True)
        self._writer: Writer | None = None
        self._again = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self.fault: str | None = None

    async def start(self) -> None:
        """Open the log; ``fault`` says if that failed, and the next record tries again."""
        self._loop = asyncio.get_running_loop()
        # Hashes of the code are wanted by the first answer: here they keep nobody waiting.
        await self._loop.run_in_executor(None, software_facts)
        if self._path is not None:
            await self._loop.run_in_executor(None, self._open_or_say_why)
            self._thread.start()

    async def close(self) -> None:
        """Write what waits, then let go of the log."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread.is_alive():
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def check(self) -> None:
        """Turn a request away before any work is done on it, while nothing can be logged.

        Raises:
            Unlogged: that is so.
        """
        if self.fault is not None and time.monotonic() < self._again:
            raise self._unlogged()

    async def record(
        self, kind: str, provenance: Mapping[str, Any], lines: Sequence[Line | BadImage]
    ) -> Receipt | None:
        """Log an answer; call it before the answer is sent.

        Args:
            kind: of request: recognize, measure, page, infer.
            provenance: of the answer, see ``provenance.py``; its time is the record's.
            lines: of the answer; their texts are logged only if the settings say so.

        Returns:
            Where it stands in the log; None without a log.

        Raises:
            Unlogged: it cannot be written, so the answer must not be sent.
        """
        if self._path is None:
            return None
        facts: dict[str, Any] = {
            "kind": kind,
            "lines": len(lines),
            "bad": sum(isinstance(line, BadImage) for line in lines),
            "provenance": provenance,
        }
        if self._texts:
            facts["texts"] = [None if isinstance(line, BadImage) else line.text for line in lines]
        return await self._written(facts)

    async def event(self, kind: str, facts: Mapping[str, Any]) -> Receipt | None:
        """Log something else that decides what is answered: another model, a drained device, an alarm.

        Raises:
            Unlogged: it cannot be written.
        """
        return None if self._path is None else await self._written({"kind": kind, "time": now(), "facts": facts})

    async def _written(self, facts: Mapping[str, Any]) -> Receipt:
        self.check()
        entry = _Entry(facts, asyncio.get_running_loop().create_future())
        with self._wake:
            if self._closing or not self._thread.is_alive():
                raise Unlogged("the service is stopping, and its audit log is closed; ask again later", _RETRY_AFTER_S)
            self._waiting.append(entry)
            self._wake.notify()
        return await entry.future

    def _run(self) -> None:
        while True:
            group, closing = self._taken()
            if group:
                self._write(group)
            elif closing:
                break
            elif self._writer is None:  # mended meanwhile? Nobody asks a service that says that it is not ready
                self._open_or_say_why()
        if self._writer is not None:
            self._writer.close()

    def _taken(self) -> tuple[list[_Entry], bool]:
        """Everything that waits, and whether the log is to be closed; nothing after a while without a log."""
        with self._wake:
            pause = PAUSE_S if self._writer is None else None
            self._wake.wait_for(lambda: self._waiting or self._closing, pause)
            group, self._waiting = self._waiting, []
            return group, self._closing

    def _write(self, group: Sequence[_Entry]) -> None:
        outcome: list[Mark] | None = None
        try:
            outcome = self._append(group)
            self._metrics.audit_records.inc(len(group))
        except Exception as error:  # whatever it is: nobody may wait for ever, and nothing go unlogged
            self._failed(error)
            self._metrics.audit_failures.inc(len(group))
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._told, group, outcome)

    def _append(self, group: Sequence[_Entry]) -> list[Mark]:
        if self._writer is None:
            self._writer = self._opened()
        return self._writer.append([entry.facts for entry in group])

    def _told(self, group: Sequence[_Entry], outcome: Sequence[Mark] | None) -> None:
        for index, entry in enumerate(group):
            if entry.future.done():  # the request was given up meanwhile
                continue
            if outcome is None:
                entry.future.set_exception(self._unlogged())
            else:
                entry.future.set_result(Receipt(outcome[index].number, outcome[index].sha256))

    def _open_or_say_why(self) -> None:
        try:
            self._writer = self._opened()
        except (OSError, BadLog) as error:
            self._failed(error)

    def _opened(self) -> Writer:
        """The log, opened, which is its first record."""
        assert self._path is not None
        writer = Writer(self._path, self._full)
        try:
            facts = {"software": software_facts(), "decoder": decoder_facts(), "repaired": writer.repaired}
            writer.append([{"kind": "opened", "time": now(), "facts": facts}])
        except BaseException:
            writer.close()
            raise
        self._metrics.audit_records.inc()
        self.fault = None
        if writer.repaired:
            torn = writer.repaired["bytes"]
            log.warning("audit log %s: took away %d bytes of a record that a crash cut off", self._path, torn)
        return writer

    def _failed(self, error: Exception) -> None:
        fault = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if fault != self.fault:
            log.error("audit log %s cannot be written: %s", self._path, fault)
        self.fault = fault
        self._again = time.monotonic() + PAUSE_S
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _unlogged(self) -> Unlogged:
        return Unlogged(
            f"the audit log cannot be written ({self.fault}), and nothing is answered that is not in it; make room on "
            "its disk, or mend it, then ask again",
            _RETRY_AFTER_S,
        )
