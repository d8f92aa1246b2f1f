# SPDX-License-Identifier: Apache-2.0
"""The command ``zeile``: read, serve, bench, train, info, models.

Modules are imported where a command needs them, so that help is instant and an extra that is not installed is
named in a sentence.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeile import __version__
from zeile.errors import BadSettings, ZeileError
from zeile.settings import Settings

if TYPE_CHECKING:
    from zeile.pipeline import Line, Recognizer

_BATCH = 16  # lines read at a time
_EXTRAS = {"fastapi": "service", "uvicorn": "service", "starlette": "service", "multipart": "service"}
_EXTRAS |= {"torch": "train", "fontTools": "train", "ninja": "train", "matplotlib": "bench"}

READ_EXAMPLES = """examples:
  zeile read line.png                          the text, one line a file
  zeile read --format json scans/*.png         an array with an object a file
  zeile read --model fraktur --reading s-folded old.png
  zeile read --beam 16 --lm german.arpa.gz line.png
  scanimage | zeile read -                     an image on standard input"""
SERVE_EXAMPLES = """examples:
  zeile serve                                  http://127.0.0.1:8000
  zeile serve --host 0.0.0.0 --port 9000 --model fraktur
  curl -F files=@line.png http://127.0.0.1:8000/v1/recognize"""
BENCH_EXAMPLES = """examples:
  zeile bench lines.zip --split val            accuracy, speed, and every peer that is installed
  zeile bench my_lines/ --peers none --lines 0 --out results"""
INFO_EXAMPLES = """examples:
  zeile info
  zeile info --json"""
MODELS_EXAMPLES = """examples:
  zeile models list
  zeile models verify                          check every file of every model
  zeile models verify fraktur latin-print/1"""


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    parser = argparse.ArgumentParser(prog="zeile", description="Reads images of text lines, in integers throughout.")
    parser.add_argument("--version", action="version", version=f"zeile {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, summary: str, examples: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    read = command("read", "read images of text lines", READ_EXAMPLES)
    read.add_argument("files", nargs="+", metavar="FILE", help="PNG, JPEG, TIFF, WebP, BMP or PNM; - is standard input")
    _add_model_options(read)
    read.add_argument("--format", choices=("text", "json", "tsv"), default="text", help="of the answer (default text)")
    read.add_argument("--reading", help="reading of the text, as s-folded (default: the model's first)")
    read.add_argument("--beam", type=int, metavar="N", help="prefix beam search of this width instead of best path")
    read.add_argument("--lm", type=Path, metavar="FILE", help="character language model, ARPA; needs --beam")
    serve = command("serve", "serve over HTTP, with a page to try", SERVE_EXAMPLES)
    _add_model_options(serve)
    serve.add_argument("--host", help="address to listen on (default: ZEILE_HOST or 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port (default: ZEILE_PORT or 8000; 0 takes a free one)")
    bench = command("bench", "measure accuracy and speed, beside other engines", BENCH_EXAMPLES)
    if "bench" in sys.argv[1:2]:  # these options come from modules that the other commands need not load
        from zeile.bench import add_arguments as add_bench_arguments

        add_bench_arguments(bench)
    train = commands.add_parser(
        "train",
        help="train a model, or fine-tune one",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if "train" in sys.argv[1:2]:
        _need_extra("torch")
        from zeile.train import command as train_command

        train.description, train.epilog = "Train a model, or fine-tune one.", train_command.EXAMPLES
        train_command.add_arguments(train)
    info = command("info", "models, engines and machine", INFO_EXAMPLES)
    info.add_argument("--json", action="store_true", help="as JSON")
    models = command("models", "list or verify model folders", MODELS_EXAMPLES)
    models.add_argument("action", choices=("list", "verify"))
    models.add_argument("names", nargs="*", metavar="NAME", help="name, name/version or folder (default: all)")
    models.add_argument("--models", type=Path, help="folder of models (default: ZEILE_MODELS)")
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="name, name/version or folder (default: ZEILE_MODEL or latin-print)")
    parser.add_argument("--models", type=Path, help="folder of models (default: ZEILE_MODELS)")
    parser.add_argument("--engine", help="cpu or reference (default: ZEILE_ENGINE or cpu)")
    parser.add_argument("--threads", type=int, help="threads of the engine (default: ZEILE_THREADS or 1)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 done, 1 failed (in part), 2 wrong usage."""
    if arguments is not None:
        sys.argv[1:] = arguments
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `zeile read ... | head` ends quietly
    try:
        args = build_parser().parse_args()
        return _COMMANDS[args.command](args)
    except BadSettings as error:
        print(f"zeile: {error}", file=sys.stderr)
        return 2
    except ZeileError as error:
        print(f"zeile: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _settings(args: argparse.Namespace) -> Settings:
    """Settings of the environment, with what the command line says instead."""
    names = ("models", "model", "engine", "threads", "host", "port")
    return Settings(**{n: v for n in names if (v := getattr(args, n, None)) is not None})


def _need_extra(module: str) -> None:
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise BadSettings(f"{module} is not installed, which this needs: pip install 'zeile[{_EXTRAS[module]}]'")


# --- read ---------------------------------------------------------------------------------------------------------


def _read(args: argparse.Namespace) -> int:
    from zeile.device import open_device
    from zeile.manifest import find_model, load_model
    from zeile.pipeline import Recognizer

    if args.lm and not args.beam:
        raise BadSettings("--lm needs --beam N: only the beam search weighs a language model")
    settings = _settings(args)
    model = load_model(find_model(settings.model, settings.models))
    with open_device(settings.engine, model.network, settings.threads) as device:
        recognizer = Recognizer(model, device, reading=args.reading, beam=_beam(args))
        answers = _answers(recognizer, args.files)
        return _print_answers(answers, args.format)


def _beam(args: argparse.Namespace) -> Any:
    if args.beam is None:
        return None
    from zeile.beam import BeamOptions
    from zeile.language_model import load_language_model

    return BeamOptions(width=args.beam, language_model=load_language_model(args.lm) if args.lm else None)


def _answers(recognizer: Recognizer, files: Sequence[str]) -> Iterator[tuple[str, Line | ZeileError]]:
    """Each file with its line or its error, in order, read in batches."""
    from tqdm import tqdm

    from zeile.errors import BadImage
    from zeile.image import Limits, decode

    limits = Limits()
    with tqdm(total=len(files), unit="line", disable=len(files) < 50 or not sys.stderr.isatty()) as bar:
        for start in range(0, len(files), _BATCH):
            group = files[start : start + _BATCH]
            greys, failed = {}, {}
            for name in dict.fromkeys(group):
                try:
                    greys[name] = decode(_bytes(name, limits.bytes), limits)
                except ZeileError as error:
                    failed[name] = error
                except OSError as error:
                    failed[name] = BadImage(f"cannot be read: {error.strerror or error}")
            lines = dict(zip(greys, recognizer.read_batch(list(greys.values())), strict=True))
            for name in group:
                yield name, failed[name] if name in failed else lines[name]
            bar.update(len(group))


def _bytes(name: str, limit: int) -> bytes:
    """A file's contents, one byte more than the limit at most."""
    if name == "-":
        return sys.stdin.buffer.read(limit + 1)
    with Path(name).open("rb") as file:
        return file.read(limit + 1)


def _print_answers(answers: Iterator[tuple[str, Line | ZeileError]], form: str) -> int:
    failures, objects = 0, []
    if form == "tsv":
        print("file", "confidence", "text", sep="\t")
    for name, answer in answers:
        if isinstance(answer, ZeileError):
            failures += 1
            print(f"zeile: {name}: {answer}", file=sys.stderr)
            objects.append({"file": name, "error": str(answer)})
            continue
        confidence = None if answer.confidence is None else answer.confidence / 10_000
        if form == "text":
            print(answer.text, flush=True)
        elif form == "tsv":
            print(name, "" if confidence is None else f"{confidence:.4f}", answer.text, sep="\t", flush=True)
        else:
            characters = [
                {"text": c.text, "left": c.left_px, "right": c.right_px, "confidence": c.confidence / 10_000}
                for c in answer.characters
            ]
            objects.append({"file": name, "text": answer.text, "confidence": confidence, "characters": characters})
    if form == "json":
        print(json.dumps(objects, ensure_ascii=False, indent=1))
    return 1 if failures else 0


# --- the other commands -------------------------------------------------------------------------------------------


def _serve(args: argparse.Namespace) -> int:
    for module in ("fastapi", "uvicorn"):
        _need_extra(module)
    import uvicorn

    from zeile.service.app import create_app

    settings = _settings(args)
    application = create_app(settings)
    print(f"Zeile {__version__} serves {settings.model} on http://{settings.host}:{settings.port} (Ctrl-C stops it)")
    sys.stdout.flush()
    uvicorn.run(application, host=settings.host, port=settings.port, log_level="warning", workers=1)
    return 0


def _bench(args: argparse.Namespace) -> int:
    from zeile.bench import run

    return run(args)


def _train(args: argparse.Namespace) -> int:
    from zeile.train.command import run

    return run(args)


def _info(args: argparse.Namespace) -> int:
    import numpy as np

    from zeile.manifest import list_models, load_model

    settings = Settings()
    engines: dict[str, str] = {"reference": "NumPy, the definition of the datapath; slow"}
    try:
        from zeile.native import paths

        engines["cpu"] = f"native; instruction sets {', '.join(paths())} (the first is used)"
    except ImportError as error:
        engines["cpu"] = f"not available: {error}; build it with pip install ."
    models = {}
    for folder in list_models(settings.models):
        try:
            model = load_model(folder)
            macs = model.network.macs(600) / 1e6
            models[f"{model.name}/{model.version}"] = (
                f"{model.manifest['description']}; {macs:.0f} million MACs a line of 600 columns, "
                f"sha256 {model.sha256[:12]}"
            )
        except ZeileError as error:
            models[f"{folder.parent.name}/{folder.name}"] = f"unusable: {error}"
    facts = {
        "zeile": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_processor()}",
        "models folder": str(settings.models),
        "engines": engines,
        "models": models,
    }
    if args.json:
        print(json.dumps(facts, ensure_ascii=False, indent=1))
        return 0
    for key, value in facts.items():
        if isinstance(value, dict):
            print(f"{key}:" + ("" if value else " none"))
            for name, text in value.items():
                print(f"  {name}: {text}")
        else:
            print(f"{key}: {value}")
    return 0


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def _models(args: argparse.Namespace) -> int:
    from zeile.manifest import find_model, list_models, verify

    settings = _settings(args)
    folders = [find_model(n, settings.models) for n in args.names] or list_models(settings.models)
    if not folders:
        raise BadSettings(f"{settings.models} holds no models; set ZEILE_MODELS or --models to the folder of yours")
    failures = 0
    for folder in folders:
        name = f"{folder.parent.name}/{folder.name}"
        if args.action == "list":
            print(name)
            continue
        try:
            verify(folder)
            print(f"{name}: sound")
        except ZeileError as error:
            failures += 1
            print(f"{name}: {error}", file=sys.stderr)
    return 1 if failures else 0


_COMMANDS = {
    "read": _read,
    "serve": _serve,
    "bench": _bench,
    "train": _train,
    "info": _info,
    "models": _models,
}

if __name__ == "__main__":
    sys.exit(main())
