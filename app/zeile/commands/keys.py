# SPDX-License-Identifier: Apache-2.0
"""``zeile keys``: the API keys of a service."""

from __future__ import annotations

import argparse
from pathlib import Path

from zeile.errors import BadSettings
from zeile.service.keys import SCOPES, made, read_keys, write_keys
from zeile.settings import Settings

EXAMPLES = """examples:
  zeile keys add archive --file keys.json              shows the key, once; it may read lines
  zeile keys add lab --scopes read,measure,models --file keys.json
  zeile keys list --file keys.json
  zeile keys revoke archive --file keys.json           from the next request on

A service that is started with ZEILE_KEYS=keys.json asks for one of them: Authorization: Bearer zeile_...
Only hashes are kept in the file. A service that runs reads it again when it changes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="make a key and show it, once")
    add.add_argument("name", metavar="NAME", help="of whoever gets it")
    named = f"comma-separated: {', '.join(SCOPES)} (default read)"
    add.add_argument("--scopes", default="read", metavar="LIST", help=named)
    revoke = actions.add_parser("revoke", help="take a key away")
    revoke.add_argument("name", metavar="NAME")
    shown = actions.add_parser("list", help="names, scopes and when they were made")
    for each in (add, revoke, shown):
        each.add_argument("--file", type=Path, metavar="FILE", help="of the keys (default: ZEILE_KEYS)")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Add, revoke or list; returns 0."""
    path: Path | None = args.file or settings.keys
    if path is None:
        raise BadSettings("no file of keys is named; give --file FILE or set ZEILE_KEYS")
    keys = () if args.action == "add" and not path.exists() else read_keys(path)
    names = [key.name for key in keys]
    if args.action == "list":
        for key in keys:
            print(f"{key.name}\t{','.join(key.scopes)}\t{key.created}")
    elif args.action == "add":
        if args.name in names:
            raise BadSettings(f"{path} has a key {args.name!r} already; revoke it first, or choose another name")
        secret, key = made(args.name, [scope.strip() for scope in args.scopes.split(",")])
        write_keys(path, [*keys, key])
        print(secret)
    else:
        if args.name not in names:
            raise BadSettings(f"{path} has no key {args.name!r}; it has {', '.join(names) or 'none'}")
        write_keys(path, [key for key in keys if key.name != args.name])
        print(f"{args.name}: revoked")
    return 0
