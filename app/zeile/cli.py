# SPDX-License-Identifier: Apache-2.0
"""The command ``zeile``: read, serve, bench, train, info, models.

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
    "serve": "serve over HTTP, with a page to try",
    "bench": "measure accuracy and speed, beside other engines",
    "train": "train a model, or fine-tune one",
    "info": "show models, engines and machine",
    "models": "list or verify model folders",
}
_EXAMPLES = {
    "read": """examples:
  zeile read line.png                          the text, one line a file
  zeile read --format json scans/*.png         an array with an object a file
  zeile read --model fraktur --reading diplomatic old.png
  zeile read --beam 16 --lm german.arpa.gz line.png
  scanimage | zeile read -                     an image on standard input

exit code: 0 all files were read, 1 some were not (the others are), 2 wrong usage""",
    "serve": """examples:
  zeile serve                                  http://127.0.0.1:8000
  zeile serve --host 0.0.0.0 --port 9000 --model fraktur
  curl -F files=@line.png http://127.0.0.1:8000/v1/recognize""",
    "bench": """examples:
  zeile bench lines.zip --split val            accuracy, speed, and every peer that is installed
  zeile bench my_lines/ --peers none --lines 0 --out results""",
    "info": """examples:
  zeile info
  zeile info --json""",
    "models": """examples:
  zeile models list
  zeile models verify                          check every file of every model
  zeile models verify fraktur latin-print/1""",
}
_EXTRAS = {
    "serve": ("service", ("fastapi", "uvicorn", "python_multipart")),
    "train": ("train", ("torch", "matplotlib", "fontTools")),
}
"""The extra that a command needs, and what is imported of it."""


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser of all commands.

    Args:
        command: the one that will be given; options of bench and train are there only if it is theirs, because they
            come from modules that the others need not load.
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
    parsers["info"].add_argument("--json", action="store_true", help="as JSON")
    models = parsers["models"]
    models.add_argument("action", choices=("list", "verify"))
    models.add_argument("names", nargs="*", metavar="NAME", help="name, name/version or folder (default: all)")
    for each in (parsers["info"], models):
        each.add_argument("--models", type=Path, metavar="DIR", help="folder of models (default: ZEILE_MODELS)")
    if command == "bench":
        importlib.import_module("zeile.bench").add_arguments(parsers["bench"])
    if command == "train":
        train = importlib.import_module("zeile.train.command")
        parsers["train"].epilog = train.EXAMPLES
        train.add_arguments(parsers["train"])
    return parser


def _add_read(parser: argparse.ArgumentParser) -> None:
    formats = "PNG, JPEG, TIFF, WebP, BMP or PNM; - is standard input"
    parser.add_argument("files", nargs="+", metavar="FILE", help=formats)
    _add_model(parser)
    parser.add_argument(
        "--format", choices=("text", "json", "tsv"), default="text", help="of the output (default text)"
    )
    parser.add_argument("--reading", metavar="NAME", help="reading of the text (default: the model's first)")
    parser.add_argument("--beam", type=int, metavar="N", help="beam search of width N instead of the best path")
    parser.add_argument("--lm", type=Path, metavar="FILE", help="character language model, ARPA; needs --beam")


def _add_serve(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("--host", help="address to listen on (default: ZEILE_HOST or 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port, 0 takes a free one (default: ZEILE_PORT or 8000)")


def _add_model(parser: argparse.ArgumentParser) -> None:
    named = "name, name/version or folder (default: ZEILE_MODEL or latin-print)"
    parser.add_argument("--model", metavar="NAME", help=named)
    parser.add_argument("--models", type=Path, metavar="DIR", help="folder of models (default: ZEILE_MODELS)")
    parser.add_argument("--engine", metavar="NAME", help="cpu or reference (default: ZEILE_ENGINE or cpu)")
    parser.add_argument("--threads", type=int, metavar="N", help="of the engine (default: ZEILE_THREADS or 1)")


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
    names = ("models", "model", "engine", "threads", "host", "port")
    settings = Settings(**{n: v for n in names if (v := getattr(args, n, None)) is not None})
    return int(importlib.import_module(f"zeile.commands.{args.command}").run(args, settings))


def _need_extras(command: str | None) -> None:
    extra, modules = _EXTRAS.get(command or "", ("", ()))
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise BadSettings(f"zeile {command} needs {', '.join(missing)}: pip install 'zeile[{extra}]'")


if __name__ == "__main__":
    sys.exit(main())
