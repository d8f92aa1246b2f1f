# SPDX-License-Identifier: Apache-2.0
"""``zeile audit``: whether an audit log is whole, where it ends, and single records of it. Changes nothing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from zeile.errors import BadSettings
from zeile.service.audit_log import all_records, full_files, verify
from zeile.settings import Settings

EXAMPLES = """examples:
  zeile audit verify /var/lib/zeile/audit.jsonl            every record of all its files
  zeile audit head /var/lib/zeile/audit.jsonl              number and hash of the last record: keep them elsewhere
  zeile audit verify audit.jsonl --head 3f79bb7b4a...      ... and see later that the record is still there
  zeile audit verify audit.jsonl --first 50001             older files were taken away
  zeile audit show audit.jsonl --record 17 | zeile replay - line.png

exit code: 0 the log is whole, 1 it is not, and the message names the first record that is wrong, 2 wrong usage"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``zeile audit``."""
    parser.add_argument("action", choices=("verify", "head", "show"))
    written = "the file that is written; full ones, FILE.1 and so on, are found beside it (default: ZEILE_AUDIT)"
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help=written)
    begins = "verify: number of the first record that must be there (default 1)"
    parser.add_argument("--first", type=int, default=1, metavar="N", help=begins)
    parser.add_argument("--head", metavar="SHA256", help="verify: hash of a record that must be there")
    parser.add_argument("--record", type=int, metavar="N", help="show: the record of this number")
    parser.add_argument("--request", metavar="ID", help="show: the records of this request")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Verify or show; returns 0, or 1 if there is no such record."""
    path = args.file or settings.audit
    if path is None:
        raise BadSettings(f"zeile audit {args.action} needs a FILE, or ZEILE_AUDIT")
    if args.action == "show":
        return _show(path, args.record, args.request)
    if args.record is not None or args.request is not None:
        raise BadSettings(f"--record and --request are for zeile audit show, not {args.action}")
    last = verify(path, args.first, args.head)
    if args.action == "head":
        print(f"{last.number} {last.sha256}")
    else:
        files = len(full_files(path)) + 1
        print(f"{path}: whole, records {args.first} to {last.number} in {files} file{'s' * (files > 1)}")
        print(f"last record: {last.sha256}")
    return 0


def _show(path: Path, number: int | None, request: str | None) -> int:
    """Print records; the chain is checked on the way to them."""
    if (number is None) == (request is None):
        raise BadSettings("zeile audit show needs --record N or --request ID, one of them")
    found = False
    for entry, mark in all_records(path):
        if mark.number == number or (request and entry.get("provenance", {}).get("request_id") == request):
            print(json.dumps(entry, ensure_ascii=False))
            found = True
        if mark.number == number:
            break
    if not found:
        raise BadSettings(f"{path} has no record {number if request is None else 'of request ' + request}")
    return 0
