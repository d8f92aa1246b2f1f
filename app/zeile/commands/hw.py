# SPDX-License-Identifier: Apache-2.0
"""``zeile hw``: what a hardware design costs and reads, its folding, its headers, its netlist, and its overlay."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from zeile.errors import BadSettings
from zeile.hw.config import write_headers
from zeile.hw.design import Design, design_text, find_design, hw_source
from zeile.hw.estimate import COLUMNS, check_fits, estimate, usual_columns
from zeile.hw.fold import fold
from zeile.hw.table import describe
from zeile.settings import Settings

EXAMPLES = """examples:
  zeile hw estimate zeile-print                cycles, lines/s, bottleneck, share of the part
  zeile hw estimate finn-l-w4a4 --columns 520 --classes 146 --json
  zeile hw fold zeile-print --target 5000 --columns 660 -o my-print.json
  zeile hw explore finn-l-w4a4 --columns 520 -o trade    lines/s against LUT, DSP, BRAM: JSON and PNG
  zeile hw config my-print.json -o build/my-print
  zeile hw area tiny                           LUT, FF, DSP, BRAM, URAM of the SystemVerilog, counted by Yosys
  zeile hw area zeile-print -o hw_src/area/zeile-print.json
  zeile hw pack zeile-print                    an overlay folder for the emulated board
  zeile hw pack zeile-print --build hw_src/build/zeile-print
  zeile hw report hw_src/build/zeile-print     what the tools say about a build

A model is a name in ZEILE_MODELS, or a folder. A design is the name of a file in the folder designs of ZEILE_HW
(default: hw_src of a checkout, else /opt/zeile/hw_src), or the path of a .json file."""

_ACTIONS = {
    "estimate": "predict cycles, lines/s and resources of a design",
    "fold": "find the smallest folding that reaches a speed",
    "explore": "fold a model's layers in every way, speed against resources",
    "config": "write the headers and facts that a build starts from",
    "area": "synthesise the SystemVerilog of a design and count",
    "pack": "write the overlay folder of a design, or of a build of it",
    "report": "read the reports of a build",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    parsers = {
        name: actions.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog="\n".join(["examples:", *(line for line in EXAMPLES.splitlines() if f"zeile hw {name}" in line)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for name, summary in _ACTIONS.items()
    }
    for name in ("estimate", "fold", "config", "area", "pack"):
        parsers[name].add_argument("design", metavar="DESIGN", help="name of a design, or its .json file")
    parsers["explore"].add_argument("model", metavar="MODEL", help="name of a model, or its folder")
    for name in ("estimate", "fold", "explore"):
        columns = f"columns of a line (default {COLUMNS}, or the design's longest)"
        parsers[name].add_argument("--columns", type=int, metavar="N", help=columns)
    each = parsers["estimate"]
    each.add_argument("--classes", type=int, metavar="K", help="classes of the model (default: the design's most)")
    each.add_argument("--json", action="store_true", help="as JSON, with the model's constants and their origins")
    each = parsers["fold"]
    each.add_argument("--target", type=float, required=True, metavar="N", help="lines/s to reach")
    each.add_argument("-o", "--output", type=Path, metavar="FILE", help="design file to write (default: print it)")
    each = parsers["explore"]
    each.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder for explore-MODEL.json and .png")
    each = parsers["area"]
    each.add_argument("-o", "--output", type=Path, metavar="FILE", help="JSON to write, for the tests to hold")
    parsers["config"].add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write, made where it is missing"
    )
    each = parsers["pack"]
    each.add_argument("--build", type=Path, metavar="DIR", help="a finished build (default: no bitstream)")
    each.add_argument("--overlays", type=Path, default=Path("overlays"), metavar="DIR", help="(default: overlays)")
    parsers["report"].add_argument("build", type=Path, metavar="BUILD", help="folder of a build")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do what is asked; returns 0."""
    actions: dict[str, Callable[[argparse.Namespace], None]] = {
        "estimate": _estimate,
        "fold": _fold,
        "explore": lambda args: _explore(args, settings.models),
        "config": _config,
        "area": _area,
        "pack": _pack,
        "report": _report,
    }
    actions[args.action](args)
    return 0


def _estimate(args: argparse.Namespace) -> None:
    design = find_design(args.design)
    found = estimate(design, _columns(args, design), args.classes)
    print(json.dumps(found.to_json(), indent=1) if args.json else describe(found))
    check_fits(found)  # behind the table, which shows what is too much


def _fold(args: argparse.Namespace) -> None:
    design = find_design(args.design)
    columns = _columns(args, design)
    folded = fold(design, args.target, columns)
    if args.output is None:
        print(design_text(folded), end="")
        return
    _write(args.output, design_text(folded))
    found = estimate(folded, columns)
    print(
        f"{args.output}: written, {found.lines_per_s:,.0f} lines/s of {columns} columns; "
        f"zeile hw estimate {args.output}"
    )


def _explore(args: argparse.Namespace, models: Path) -> None:
    from zeile.hw.explore import explore
    from zeile.hw.explore_report import describe as described
    from zeile.hw.explore_report import to_text
    from zeile.manifest import find_model, load_model

    model = load_model(find_model(args.model, models))
    found = explore(model, models, hw_source(), COLUMNS if args.columns is None else args.columns)
    print(described(found))
    if args.output is not None:
        from zeile.hw.explore_plot import draw

        for suffix, data in ((".json", to_text(found).encode()), (".png", draw(found))):
            path = args.output / f"explore-{model.name}{suffix}"
            _write(path, data)
            print(path)


def _area(args: argparse.Namespace) -> None:
    from zeile.hw.area import area, to_text
    from zeile.hw.area import describe as described

    entry = area(find_design(args.design), hw_source())
    print(described(entry))
    if args.output is not None:
        _write(args.output, to_text(entry))


def _config(args: argparse.Namespace) -> None:
    from zeile.hw.pack import design_tcl
    from zeile.hw.rtl import core_text

    design: Design = find_design(args.design)
    texts = (("core.sv", core_text), ("design.tcl", design_tcl), ("design.json", design_text))
    try:
        written = write_headers(design, args.output)
        for name, text in texts:
            _write(args.output / name, text(design))
            written.append(args.output / name)
    except OSError as error:
        raise BadSettings(f"--output {args.output}: {error.strerror}; name a folder that can be written") from None
    for path in written:
        print(path)


def _pack(args: argparse.Namespace) -> None:
    from zeile.hw.pack import pack

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "design.json"
        path.write_text(design_text(find_design(args.design)), "utf-8")
        print(pack(path, args.overlays, args.build))


def _report(args: argparse.Namespace) -> None:
    from zeile.hw.report import describe as described
    from zeile.hw.report import read_build

    print(described(read_build(args.build)))


def _columns(args: argparse.Namespace, design: Design) -> int:
    return usual_columns(design) if args.columns is None else args.columns


def _write(path: Path, content: str | bytes) -> None:
    """Write a file at once, so that a reader sees the old or the new one."""
    data = content.encode() if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() == data:
        return
    if not path.parent.is_dir():
        raise BadSettings(f"--output {path}: its folder does not exist; make it first")
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise BadSettings(f"--output {path}: {error.strerror}; name a file that can be written") from None
