# SPDX-License-Identifier: Apache-2.0
"""``zeile models``: list the model folders, or check every byte of them."""

from __future__ import annotations

import argparse
import sys

from zeile.errors import BadManifest, BadSettings
from zeile.manifest import find_model, list_models, verify
from zeile.settings import Settings


def run(args: argparse.Namespace, settings: Settings) -> int:
    """List or verify; returns 0, or 1 if a model is not sound."""
    folders = [find_model(name, settings.models) for name in args.names] or list_models(settings.models)
    if not folders:
        remedy = "set ZEILE_MODELS or --models to the folder of yours"
        raise BadSettings(f"{settings.models} holds no models; {remedy}")
    failures = 0
    for folder in folders:
        name = f"{folder.parent.name}/{folder.name}"
        try:
            if args.action == "verify":
                verify(folder)
            print(name if args.action == "list" else f"{name}: sound", flush=True)
        except BadManifest as error:
            failures += 1
            print(f"zeile: {error}", file=sys.stderr)
    return 1 if failures else 0
