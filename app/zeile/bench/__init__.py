# SPDX-License-Identifier: Apache-2.0
"""``zeile bench``: accuracy and speed of a model on labelled lines, with peers in the same run.

zeile bench lines.zip --split val --model latin-print --lines 300 --peers all --out results
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from zeile.errors import BadSettings
from zeile.manifest import find_model
from zeile.settings import Settings

DEFAULT_LINES = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``zeile bench``."""
    parser.add_argument(
        "path",
        type=Path,
        metavar="DIR_OR_ZIP",
        help="labelled lines: NNN.png with NNN.gt.txt, or a zip file of these or of manifest.tsv and images",
    )
    parser.add_argument("--split", help="lines of this split of the manifest only, such as val")
    parser.add_argument(
        "--lines",
        type=int,
        default=DEFAULT_LINES,
        dest="count",
        metavar="N",
        help="lines spread evenly over the set, 0 for all (default %(default)s)",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="model name, name/version or folder (default: ZEILE_MODEL)",
    )
    parser.add_argument("--models", type=Path, help="folder of models (default: ZEILE_MODELS)")
    parser.add_argument("--engine", help="cpu, reference or fpga (default: ZEILE_ENGINE)")
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        metavar="N",
        help="threads and processes when all cores are measured, 0 for one a core (default %(default)s)",
    )
    parser.add_argument("--reading", help="reading of the text (default: the model's first)")
    parser.add_argument(
        "--peers",
        default="all",
        help="all, none, or some of tesseract,onnx,rapidocr,torch "
        "(default %(default)s); what is not installed is named as not run",
    )
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default %(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write bench.json, bench.txt and plots there")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Measure, and print what was found.

    Raises:
        ZeileError: wrong settings, unusable lines or model.
    """
    from zeile.bench import report  # the parser of every command imports this file: it loads no engine
    from zeile.bench.measure import Options, measure

    if args.rounds < 1 or args.count < 0 or args.threads < 0:
        given = f"--rounds {args.rounds}, --lines {args.count}, --threads {args.threads}"
        raise BadSettings(f"{given}: rounds must be at least 1, lines and threads at least 0")
    settings = Settings()
    options = Options(
        path=args.path,
        split=args.split,
        count=args.count,
        model=find_model(args.model or settings.model, args.models or settings.models),
        engine=args.engine or settings.engine,
        threads=args.threads or len(os.sched_getaffinity(0)),
        reading=args.reading,
        peers=args.peers,
        rounds=args.rounds,
    )
    found = measure(options)
    if args.out is not None:
        try:
            report.write(found, args.out)
        except BadSettings as error:  # no matplotlib: the figures matter more than the plots
            print(f"zeile bench: {error}", file=sys.stderr)
    print(report.as_json(found) if args.json else report.as_text(found))
    return 0
