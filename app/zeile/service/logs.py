# SPDX-License-Identifier: Apache-2.0
"""The log: a line a record, as JSON or as text, in which nothing that a client sends can begin a line of its own.

Lines of requests say who asked for what and what became of it; never keys, texts, file names or queries.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TextIO

import orjson

REQUESTS = "zeile.requests"
"""Logger of the requests; its records carry their facts as ``record.request``."""

_requests = logging.getLogger(REQUESTS)


GATHERED_S = 0.05
"""Seconds after which a line is written; a warning is written at once, with those before it."""


def install(kind: str, stream: TextIO | None = None) -> None:
    """Log this process's warnings, and what Zeile tells, to a stream; whoever embeds the service leaves this out.

    Args:
        kind: json, text or off, as ZEILE_LOG.
        stream: standard error, if None.
    """
    # Not in our lines, and dear to find out for each of them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    if kind == "off":
        root.addHandler(logging.NullHandler())
        root.setLevel(logging.CRITICAL + 1)
        return
    out = Gathered(stream or sys.stderr)
    out.setFormatter(JsonLines() if kind == "json" else TextLines())
    root.addHandler(out)
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)  # of Pillow about odd files: lines like all others
    logging.getLogger("zeile").setLevel(logging.INFO)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a form that is wrong is its client's fault


def request(facts: Mapping[str, Any]) -> None:
    """Log a request's line; ``Logger.info`` would look for the place in the code that it was called from."""
    record = logging.LogRecord(REQUESTS, logging.INFO, "", 0, "request", None, None)
    record.request = facts
    _requests.handle(record)


class Gathered(logging.Handler):
    """Writes the lines of a moment together: each write gives up the GIL, and the event loop waits to have it back.

    Args:
        stream: that is written to.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []
        self._some = threading.Event()
        threading.Thread(target=self._write, name="zeile-log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record) + "\n")
        except Exception:
            self.handleError(record)
        if record.levelno >= logging.WARNING:
            self.flush()
        elif len(self._lines) == 1:
            self._some.set()

    def flush(self) -> None:
        """Write what there is."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            if lines:
                self._stream.write("".join(lines))
                self._stream.flush()
        except (OSError, ValueError):  # nobody listens any more, or the disk is full: that must not stop the service
            pass
        finally:
            self.release()

    def _write(self) -> None:
        while self._some.wait():
            time.sleep(GATHERED_S)
            self._some.clear()
            self.flush()


def _time(record: logging.LogRecord) -> str:
    return f"{second(int(record.created))}.{int(record.msecs):03d}Z"


@lru_cache(maxsize=4)
def second(at: int) -> str:
    """A second since the epoch, UTC, as RFC 3339 writes it, without the Z; the same one is asked for many times."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


_encode = json.JSONEncoder().encode


class JsonLines(logging.Formatter):
    """A record as a JSON object on one line of ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        request: Mapping[str, Any] | None = getattr(record, "request", None)
        facts |= {"message": record.getMessage()} if request is None else request
        if record.exc_info:
            facts["exception"] = self.formatException(record.exc_info)
        try:
            line = orjson.dumps(facts)
        except TypeError:  # of what cannot be UTF-8
            return _encode(facts)
        return line.decode() if line.isascii() else _encode(facts)


class TextLines(logging.Formatter):
    """A record for people, also on one line; what cannot be printed is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        request: Mapping[str, Any] | None = getattr(record, "request", None)
        if request is None:
            text = record.getMessage()
        else:
            text = " ".join(f"{name}={value}" for name, value in request.items() if value != "")
        if record.exc_info:
            text += " | " + self.formatException(record.exc_info)
        printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        return f"{_time(record)} {record.levelname.lower()} {record.name}: {printable}"
