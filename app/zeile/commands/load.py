# SPDX-License-Identifier: Apache-2.0
"""``zeile load``: how many lines a second a service reads, and how long they take."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zeile.errors import BadSettings
from zeile.http import MAX_CONNECTIONS, Host, NoAnswer, Reply, allow_connections
from zeile.load import bodies, loop, report, scrape
from zeile.load.drive import Closed, Drive, Open, measure
from zeile.load.levels import levels
from zeile.load.windows import NO_ANSWER, Level, Outcome, Rule
from zeile.service.memory import leave_alone
from zeile.settings import Settings

MAX_RATE, MAX_FILES = 100_000, 1000

EXAMPLES = """examples:
  zeile load http://127.0.0.1:8000                        1, 2, 4 ... 64 clients that wait for their answers
  zeile load http://board:8000 --rate 50:400:x2           requests at random times, whether or not answers come
  zeile load http://127.0.0.1:8000 --lines my_lines.zip --files-per-request 8 --concurrency 4 --out results

A level ends when the rate and the mean latency of the last three windows lie within 10 % of their means, or after
--windows. With --rate, latency counts from the time that a request was meant to be sent. client CPU is the share of one
core that this command took; above 80 % it says so.

exit code: 0 every request got an answer that a good service gives (200, 429, 503), 1 some did not, 2 wrong usage"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``zeile load``."""
    parser.add_argument("url", metavar="URL", help="of the service, as http://127.0.0.1:8000")
    loop = parser.add_mutually_exclusive_group()
    clients = "closed loop: clients, as 8, 1,4,16, 1:64:x2 or 2:10:+2 (default 1:64:x2)"
    loop.add_argument("--concurrency", metavar="LEVELS", help=clients)
    loop.add_argument("--rate", metavar="LEVELS", help="open loop: requests a second at random times, written alike")
    images = "folder or zip file of images (default: drawn ones)"
    parser.add_argument("--lines", type=Path, metavar="DIR_OR_ZIP", help=images)
    parser.add_argument("--images", type=int, default=256, metavar="N", help="taken of them at most (default 256)")
    parser.add_argument("--files-per-request", type=int, default=1, metavar="N", help="lines of a request (default 1)")
    parser.add_argument("--query", default="", metavar="TEXT", help="added to the URL, as model=fraktur&beam=8")
    parser.add_argument("--keys", type=Path, metavar="FILE", help="API keys, one a line, used in turn")
    same = "compare each answer with the first for the same images; takes CPU of the client"
    parser.add_argument("--check", action="store_true", help=same)
    parser.add_argument("--warmup", type=float, default=1.0, metavar="S", help="before each level (default 1)")
    parser.add_argument("--window", type=float, default=2.0, metavar="S", help="length of a window (default 2)")
    parser.add_argument("--windows", type=int, default=10, metavar="N", help="of a level at most (default 10)")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="for an answer (default 60)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the random times (default 1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write load.json, .txt, .csv and .png there")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Load the service and print what was found; returns the exit code.

    Raises:
        ZeileError: wrong usage, or images that cannot be used.
    """
    numbers = (args.images, args.files_per_request, args.windows, args.warmup, args.window, args.timeout)
    if not all(number > 0 for number in numbers) or args.files_per_request > MAX_FILES:
        raise BadSettings(f"images, windows and seconds must be above 0, files of a request 1 to {MAX_FILES}")
    drives: list[Drive]
    if args.rate is not None:
        drives = [Open(rate, args.seed) for rate in levels(args.rate, MAX_RATE)]
    else:
        drives = [Closed(int(c)) for c in levels(args.concurrency or "1:64:x2", MAX_CONNECTIONS)]
    pictures = bodies.found(args.lines, args.images) if args.lines is not None else bodies.drawn()
    allow_connections()
    leave_alone()
    found = loop.run(_load(args, drives, pictures, _keys(args.keys)))
    if args.out is not None:
        try:
            report.write(found, args.out)
        except BadSettings as error:  # no matplotlib: the figures matter more than the plot
            print(f"zeile load: {error}", file=sys.stderr)
    print(report.as_json(found) if args.json else report.as_text(found))
    fine = {"200", "429", "503"}
    totals = [level["total"] for level in found["levels"]]
    return int(any(total["problems"] or not fine.issuperset(total["statuses"]) for total in totals))


def _keys(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        keys = path.read_text("ascii").split()
    except (OSError, ValueError) as error:
        raise BadSettings(f"{path}: cannot be read as API keys, one a line: {error}") from None
    if not keys:
        raise BadSettings(f"{path}: holds no API key; write one a line")
    return keys


async def _load(
    args: argparse.Namespace, drives: Sequence[Drive], pictures: Sequence[bodies.Picture], keys: Sequence[str]
) -> dict[str, Any]:
    host = Host(args.url, timeout_s=args.timeout)
    path = host.path.rstrip("/")
    target = (path or bodies.PATH) + (f"?{args.query}" if args.query else "")
    requests = bodies.requests(host.name, target, pictures, args.files_per_request, keys)
    sender = Sender(host, requests, args.files_per_request, check=args.check)
    rule = Rule(warmup_s=args.warmup, window_s=args.window, most=args.windows)
    scraped = bodies.get(host.name, "/metrics", keys[0] if keys else "")
    done = []
    try:
        for drive in drives:
            before = await _metrics(host, scraped)
            level = await measure(drive, sender.send, rule)
            after = await _metrics(host, scraped)
            if before and after:
                level.server.update(scrape.between(before, after))
            done.append(level)
            _progress(level)
    finally:
        host.close()
    return {
        "url": args.url,
        "loop": "open" if args.rate is not None else "closed",
        "target": target,
        "pictures": len(pictures),
        "files_per_request": args.files_per_request,
        "rule": {"warmup_s": rule.warmup_s, "window_s": rule.window_s, "windows": rule.most, "within": rule.within},
        "levels": [level.to_json() for level in done],
    }


def _progress(level: Level) -> None:
    if sys.stderr.isatty():
        print(f"{level.load:g}: {level.measured.rate:.1f} requests/s", file=sys.stderr, flush=True)


async def _metrics(host: Host, request: bytes) -> scrape.Samples:
    """What /metrics says; nothing if it says nothing that can be used."""
    try:
        reply = await host.ask(request)
        return scrape.parse(reply.body.decode()) if reply.status == 200 else {}
    except (NoAnswer, ValueError):
        return {}


class Sender:
    """Sends requests in turn, and looks at the answers.

    Args:
        host: where to.
        requests: whole requests.
        lines: of each.
        check: whether an answer's lines are compared with the first answer to the same request.
    """

    def __init__(self, host: Host, requests: Sequence[bytes], lines: int, check: bool = False) -> None:
        self._host, self._requests, self._lines = host, requests, lines
        self._first: dict[int, Any] | None = {} if check else None

    async def send(self, number: int) -> Outcome:
        """Send request ``number``, counted over and over."""
        index = number % len(self._requests)
        try:
            reply = await self._host.ask(self._requests[index])
        except NoAnswer as error:
            return Outcome(NO_ANSWER, problem=str(error))
        if reply.status != 200:
            return Outcome(reply.status, problem=_problem(reply))
        return Outcome(200, self._lines, self._compared(index, reply) if self._first is not None else "")

    def _compared(self, index: int, reply: Reply) -> str:
        assert self._first is not None
        try:
            lines = json.loads(reply.body)["lines"]
        except (ValueError, KeyError, TypeError):
            return "200, but not the JSON of /v1/recognize"
        if len(lines) != self._lines:
            return f"{len(lines)} lines for {self._lines} images"
        same: bool = self._first.setdefault(index, lines) == lines
        return "" if same else "other lines than before for the same images"


def _problem(reply: Reply) -> str:
    """What is wrong with an answer that turns the request down; nothing if it is as it should be."""
    if reply.status in (429, 503) and not reply.header("retry-after"):
        return f"{reply.status} without Retry-After"
    if reply.status >= 400 and not reply.header("content-type").startswith("application/problem+json"):
        return f"{reply.status} without problem+json"
    return ""
