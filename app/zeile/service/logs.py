# SPDX-License-Identifier: Apache-2.0
"""The log: a line a record, as JSON or as text, in which nothing that a client sends can begin a line of its own.

Lines of requests say who asked for what and what became of it; never keys, texts, file names or queries.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

REQUESTS = "zeile.requests"
"""Logger of the requests; its records carry their facts as ``record.request``."""


def install(kind: str, stream: TextIO | None = None) -> None:
    """Log this process's warnings, and what Zeile tells, to a stream; whoever embeds the service leaves this out.

    Args:
        kind: json, text or off, as ZEILE_LOG.
        stream: standard error, if None.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    if kind == "off":
        root.addHandler(logging.NullHandler())
        root.setLevel(logging.CRITICAL + 1)
        return
    out = logging.StreamHandler(stream or sys.stderr)
    out.setFormatter(JsonLines() if kind == "json" else TextLines())
    root.addHandler(out)
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)  # of Pillow about odd files: lines like all others
    logging.getLogger("zeile").setLevel(logging.INFO)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a form that is wrong is its client's fault


def _time(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


class JsonLines(logging.Formatter):
    """A record as a JSON object on one line of ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        request: Mapping[str, Any] | None = getattr(record, "request", None)
        facts |= {"message": record.getMessage()} if request is None else request
        if record.exc_info:
            facts["exception"] = self.formatException(record.exc_info)
        return json.dumps(facts)


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
