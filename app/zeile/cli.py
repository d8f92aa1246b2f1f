# SPDX-License-Identifier: Apache-2.0
"""The command ``zeile``: read, bulk, serve, broker, load, keys, audit, replay, bench, train, lm, info, doctor, ...

Only the module of the command that is given is imported, so that help is instant and an extra that is not installed
is named in a sentence.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from zeile import __version__
from zeile.errors import BadSettings, ZeileError
from zeile.settings import Settings

_SUMMARIES = {
    "read": "read images of text lines",
    "bulk": "read a great many lines with any number of workers, each once",
    "serve": "serve over HTTP, with a page to try",
    "broker": "own the device, for services that ask over a unix socket",
    "load": "send lines to a service, and measure its rate and latency",
    "keys": "make, list and revoke the API keys of a service",
    "audit": "verify the audit log of a service",
    "replay": "read an answer's images again, and compare every hash",
    "bench": "measure accuracy and speed, beside other engines",
    "train": "train a model, or fine-tune one",
    "lm": "train a character language model for the beam search",
    "info": "show models, engines and machine",
    "doctor": "say what is missing here for an engine, and the remedy",
    "models": "list or verify model folders",
    "hw": "estimate, fold and configure hardware designs",
}
_EXAMPLES = {
    "read": """examples:
  zeile read line.png                          the text, one line a file
  zeile read --format json scans/*.png         an array with an object a file
  zeile read --model fraktur --reading diplomatic old.png
  zeile read line.png --beam --language-model german.arpa.gz
  scanimage | zeile read -                     an image on standard input
  zeile read --page --format alto scan.png     a clean page of one column, with its lines
  zeile read --regions layout.xml --format page scan.png

exit code: 0 all files were read, 1 some were not (the others are), 2 wrong usage""",
    "serve": """examples:
  zeile serve                                  http://127.0.0.1:8000
  zeile serve --host 0.0.0.0 --port 9000 --model fraktur
  curl -F files=@line.png http://127.0.0.1:8000/v1/recognize""",
    "broker": """examples:
  zeile broker --socket /run/zeile/broker.sock --engine fpga --user zeile-web
  ZEILE_BROKER=/run/zeile/broker.sock zeile serve --engine broker

The broker reads models from its own folder, and needs no network. Who may ask: root, the broker's own user, and those
named with --user. When it is gone, the service reads on the CPU until it is back.""",
    "bench": """examples:
  zeile bench lines.zip --split val            accuracy, speed, and every peer that is installed
  zeile bench my_lines/ --peers none --lines 0 --out results""",
    "lm": """examples:
  zeile lm train my_lines/*.gt.txt -o german.arpa.gz
  zeile lm train --order 5 --minimum 2 corpus.txt -o small.arpa.gz
  zeile read line.png --beam --language-model german.arpa.gz

Texts are UTF-8, a line of text a line, with the characters of the model's reading: latin-print writes straight quotes,
fraktur the long s. Some 400 bytes of memory are needed for each different n-gram: 2.8 MB of English have 640,000.""",
    "info": """examples:
  zeile info
  zeile info --json""",
    "doctor": """examples:
  zeile doctor                                 what the engine of ZEILE_ENGINE needs
  zeile doctor --engine fpga                   what the board needs
  ZEILE_EMULATE=1 zeile doctor --engine fpga   what the emulated board needs

exit code: 0 nothing is missing, 1 something is""",
    "models": """examples:
  zeile models list
  zeile models verify                          check every file of every model
  zeile models verify fraktur latin-print/1""",
}
_OWN_ARGUMENTS = ("audit", "bulk", "hw", "keys", "load", "replay")
"""Commands whose modules bring their arguments and examples."""

_BEAM = 8  # as in zeile.beam, which is not imported here: help costs no NumPy
_EXTRAS = {
    "serve": ("service", ("fastapi", "uvicorn", "python_multipart")),
    "train": ("train", ("torch", "matplotlib", "fontTools")),
}
"""The extra that a command needs, and what is imported of it."""


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser of all commands.

    Args:
        command: the one that will be given; options of bench, load, keys, train and hw are there only if it is theirs,
            because they come from modules that the others need not load.
    """
    parser = argparse.ArgumentParser(
        prog="zeile",
        description="Reads images of text lines, in integers throughout.",
        epilog="zeile COMMAND --help shows a command's options and examples.",
    )
    parser.add_argument("--version", action="version", version=f"zeile {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    parsers = {
        name: commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=_EXAMPLES.get(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for name, summary in _SUMMARIES.items()
    }
    _add_read(parsers["read"])
    _add_serve(parsers["serve"])
    _add_broker(parsers["broker"])
    _add_lm(parsers["lm"])
    for each in (parsers["info"], parsers["doctor"]):
        each.add_argument("--json", action="store_true", help="as JSON")
    _add_engine(parsers["doctor"])
    models = parsers["models"]
    models.add_argument("action", choices=("list", "verify"))
    models.add_argument("names", nargs="*", metavar="NAME", help="name, name/version or folder (default: all)")
    for each in (parsers["info"], parsers["doctor"], models):
        each.add_argument("--models", type=Path, metavar="DIR", help="folder of models (default: ZEILE_MODELS)")
    if command == "bench":
        importlib.import_module("zeile.bench").add_arguments(parsers["bench"])
    if command in _OWN_ARGUMENTS:
        module = importlib.import_module(f"zeile.commands.{command}")
        parsers[command].epilog = module.EXAMPLES
        module.add_arguments(parsers[command])
    if command == "train":
        train = importlib.import_module("zeile.train.command")
        parsers["train"].epilog = train.EXAMPLES
        train.add_arguments(parsers["train"])
    return parser


def _add_read(parser: argparse.ArgumentParser) -> None:
    formats = "PNG, JPEG, TIFF, WebP, BMP or PNM; - is standard input"
    parser.add_argument("files", nargs="+", metavar="FILE", help=formats)
    _add_model(parser)
    kinds = ("text", "json", "tsv", "hocr", "alto", "page")  # as in zeile.formats, which is not imported here either
    parser.add_argument("--format", choices=kinds, default="text", help="of the output (default text)")
    found = "the files are whole pages: find the lines of a clean page of one column"
    parser.add_argument("--page", action="store_true", help=found)
    given = "the file is a whole page with the lines of an ALTO, PAGE or JSON document"
    parser.add_argument("--regions", type=Path, metavar="DOCUMENT", help=given)
    parser.add_argument("--reading", metavar="NAME", help="reading of the text (default: the model's first)")
    beam = f"beam search of width N (default {_BEAM}) instead of the best path"
    parser.add_argument("--beam", nargs="?", type=_width, const=_BEAM, metavar="N", help=beam)
    weighed = "character language model, ARPA or ARPA.gz, see zeile lm; needs --beam"
    parser.add_argument("--language-model", "--lm", type=Path, metavar="FILE", help=weighed)


def _width(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no width; write --beam behind the files, or --beam N") from None


def _add_lm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("train",))
    parser.add_argument("texts", nargs="+", type=Path, metavar="TEXT", help="text files; - is standard input")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FILE", help="ARPA file to write, gzipped if named .gz"
    )
    parser.add_argument(
        "--order", type=int, default=6, metavar="N", help="characters of the longest n-gram, 1 to 20 (default 6)"
    )
    fewer = "leave out n-grams of three and more characters that occur fewer than N times (default 1: none)"
    parser.add_argument("--minimum", type=int, default=1, metavar="N", help=fewer)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("--host", help="address to listen on (default: ZEILE_HOST or 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port, 0 takes a free one (default: ZEILE_PORT or 8000)")


def _add_broker(parser: argparse.ArgumentParser) -> None:
    at = "unix socket to listen on (default: ZEILE_BROKER)"
    parser.add_argument("--socket", dest="broker", type=Path, metavar="PATH", help=at)
    parser.add_argument("--user", action="append", default=[], metavar="NAME", help="a user that may ask; repeatable")
    _add_model(parser)


def _add_model(parser: argparse.ArgumentParser) -> None:
    named = "name, name/version or folder (default: ZEILE_MODEL or latin-print)"
    parser.add_argument("--model", metavar="NAME", help=named)
    parser.add_argument("--models", type=Path, metavar="DIR", help="folder of models (default: ZEILE_MODELS)")
    _add_engine(parser)
    parser.add_argument("--threads", type=int, metavar="N", help="of the engine (default: ZEILE_THREADS or 1)")


def _add_engine(parser: argparse.ArgumentParser) -> None:
    named = "cpu, reference, fpga or broker (default: ZEILE_ENGINE or cpu)"
    parser.add_argument("--engine", metavar="NAME", help=named)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: without the program's name; None takes the process's.

    Returns:
        The exit code: 0 done, 1 failed or failed in part, 2 wrong usage, 130 interrupted, 141 if
        nobody reads the output any more.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = given[0] if given and given[0] in _SUMMARIES else None
    for stream in (sys.stdout, sys.stderr):  # texts are Unicode, whatever the locale; file names may be any bytes
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        _need_extras(command)
        return _run(build_parser(command).parse_args(given))
    except ZeileError as error:
        print(f"zeile: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadSettings) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `zeile read ... | head` ends quietly, also when Python flushes what is left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _run(args: argparse.Namespace) -> int:
    if args.command in ("bench", "train"):
        module = importlib.import_module("zeile.bench" if args.command == "bench" else "zeile.train.command")
        return int(module.run(args))
    names = ("models", "model", "engine", "threads", "host", "port", "broker")
    settings = Settings(**{n: v for n in names if (v := getattr(args, n, None)) is not None})
    return int(importlib.import_module(f"zeile.commands.{args.command}").run(args, settings))


def _need_extras(command: str | None) -> None:
    extra, modules = _EXTRAS.get(command or "", ("", ()))
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise BadSettings(f"zeile {command} needs {', '.join(missing)}: pip install 'zeile[{extra}]'")


if __name__ == "__main__":
    sys.exit(main())
