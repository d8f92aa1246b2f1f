# SPDX-License-Identifier: Apache-2.0
"""``zeile bulk``: a great many lines, read by any number of workers, each once, whatever ends them meanwhile."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from zeile.bulk import export
from zeile.bulk.images import Images, open_images
from zeile.bulk.job import Job
from zeile.bulk.ledger import FILE, Ledger, create
from zeile.bulk.presence import Presence
from zeile.bulk.readers import Local, Reader
from zeile.bulk.status import as_text, status
from zeile.bulk.worker import Patience, again, complaint, work
from zeile.errors import BadJob, BadSettings, ReadingsDiffer
from zeile.manifest import Model, find_model, load_model
from zeile.settings import Settings

EXAMPLES = """examples:
  zeile bulk run job scans/                        read every image of a line in a folder, or in a zip
  zeile bulk run job                               go on: after a crash, or as one more worker
  zeile bulk run job scans/ --to http://board1:8000 http://board2:8000
  zeile bulk status job
  zeile bulk export job -o lines.tsv               or .ndjson, .txt, or texts/ for a file beside each name
  zeile bulk verify job --images                   files, keys, and the images again

Start zeile bulk run JOB as often as there are cores, on one host or several that share the folder. A worker that dies
costs at most the shard that it was reading.

exit code: 0 all shards are read (bad images are results too), 1 some are not, or something is wrong, 2 wrong usage,
3 two readings of a shard differ"""

_MAX_SHARD = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``zeile bulk``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    run = actions.add_parser("run", help="begin a job, go on with it, or help with it")
    _add_job(run)
    images = "folder (with those below it) or zip of images of lines; not needed to go on"
    run.add_argument("images", nargs="?", type=Path, metavar="IMAGES", help=images)
    run.add_argument("--to", nargs="+", metavar="URL", help="services that read (default: an engine of this process)")
    run.add_argument("--key", type=Path, metavar="FILE", help="API key of the services, in a file")
    in_flight = "requests to one service at a time (default 4)"
    run.add_argument("--in-flight", type=int, default=4, metavar="N", help=in_flight)
    deadline = "seconds that a request may take, all its tries together (default 300)"
    run.add_argument("--deadline", type=float, default=300.0, metavar="S", help=deadline)
    run.add_argument(
        "--model", metavar="NAME", help="name, name/version or folder (default: the job's, or ZEILE_MODEL)"
    )
    run.add_argument("--models", type=Path, metavar="DIR", help="folder of models (default: ZEILE_MODELS)")
    run.add_argument("--engine", metavar="NAME", help="cpu, reference, fpga or broker (default: ZEILE_ENGINE or cpu)")
    run.add_argument("--threads", type=int, metavar="N", help="of the engine (default: ZEILE_THREADS or 1)")
    run.add_argument("--reading", metavar="NAME", help="reading of the text (default: the model's first)")
    run.add_argument("--beam", type=int, metavar="N", help="beam search of width N instead of the best path")
    run.add_argument(
        "--shard", type=int, default=1000, metavar="N", help="lines of a shard of a new job (default 1000)"
    )
    lease = "seconds without progress until others read a worker's shard (default 120)"
    run.add_argument("--lease", type=float, default=120.0, metavar="S", help=lease)
    attempts = "workers that a shard may end before it is given up (default 10)"
    run.add_argument("--attempts", type=int, default=10, metavar="N", help=attempts)
    anew = "read shards anew that were given up, or whose files are damaged"
    run.add_argument("--again", action="store_true", help=anew)
    shown = actions.add_parser("status", help="say how far a job is")
    _add_job(shown)
    shown.add_argument("--json", action="store_true", help="as JSON")
    exported = actions.add_parser("export", help="write the results into one file, or texts into a folder")
    _add_job(exported)
    kinds = "FILE.tsv, FILE.ndjson, FILE.txt, or a folder"
    exported.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help=kinds)
    exported.add_argument("--partial", action="store_true", help="what there is of a job that is not done")
    verified = actions.add_parser("verify", help="check that the results are what was published")
    _add_job(verified)
    same = "hash the images again too: of this folder or zip (default: the job's)"
    verified.add_argument("--images", nargs="?", type=Path, const=Path(), metavar="IMAGES", help=same)


def _add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", type=Path, metavar="JOB", help="folder of the job")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do what is asked; returns the exit code."""
    warnings.filterwarnings("ignore", module="PIL")  # on oddities of files: we read them or say why not
    if args.action == "run":
        try:
            return _run(args, settings)
        except ReadingsDiffer as error:
            print(f"zeile: {error}", file=sys.stderr)
            return 3
    with contextlib.closing(Ledger(args.job)) as ledger:
        if args.action == "export":
            return _export(args, ledger)
        if args.action == "verify":
            return _verify(args, ledger, settings)
        found = status(ledger)
    print(json.dumps(found, ensure_ascii=False, indent=1) if args.json else as_text(found))
    return 0


def _run(args: argparse.Namespace, settings: Settings) -> int:
    if not (1 <= args.shard <= _MAX_SHARD and args.lease > 0 and args.attempts > 0 and args.in_flight > 0):
        raise BadSettings(
            f"--shard {args.shard} must be 1 to {_MAX_SHARD}; --lease {args.lease:g}, --attempts {args.attempts} and "
            f"--in-flight {args.in_flight} above 0"
        )
    if not (args.job / FILE).exists() and args.images is None:
        raise BadSettings(f"{args.job} is no bulk job yet; name the images: zeile bulk run {args.job} IMAGES")
    with contextlib.ExitStack() as held:
        presence = held.enter_context(contextlib.closing(Presence(args.job)))
        ledger, reader = _joined(args, settings, presence, held)
        path = args.images or Path(ledger.job.images)
        images = held.enter_context(contextlib.closing(open_images(path, settings.image_limits().bytes)))
        if args.again:
            again(args.job, ledger)
        with _bar(ledger) as bar:
            work(args.job, ledger, presence, reader, images, Patience(args.lease, args.attempts), bar)
        if wrong := complaint(ledger):
            raise wrong
        found = status(ledger)
        print(f"{found['read']} lines are read, {found['bad']} of them bad images: {args.job / 'shards'}")
    return 0


def _joined(
    args: argparse.Namespace, settings: Settings, presence: Presence, held: contextlib.ExitStack
) -> tuple[Ledger, Reader]:
    """The job, begun if there is none, and what reads for it."""
    if not (args.job / FILE).exists():
        reader = held.enter_context(contextlib.closing(_reader(args, settings, None)))
        with contextlib.closing(open_images(args.images, settings.image_limits().bytes)) as images:
            asked = _asked(args, settings, reader)
            job = Job(str(args.images.resolve()), asked, reader.facts, args.shard)
            create(args.job, job, images.names(), presence.worker)
        ledger = held.enter_context(contextlib.closing(Ledger(args.job)))
    else:
        ledger = held.enter_context(contextlib.closing(Ledger(args.job)))
        reader = held.enter_context(contextlib.closing(_reader(args, settings, ledger.job)))
    if difference := reader.facts.differences(ledger.job.facts):
        raise BadJob(f"{args.job}: would be read with {difference}; leave these options out, or begin another job")
    return ledger, reader


def _reader(args: argparse.Namespace, settings: Settings, job: Job | None) -> Reader:
    name = args.model or (job.asked if job else None)
    reading = args.reading or (job.facts.reading if job else None)
    beam = args.beam if args.beam is not None else (job.facts.beam if job else 0)
    if not args.to:
        if args.key:
            raise BadSettings("--key is for services; give them with --to")
        return Local(_model(name, settings), settings, reading, beam)
    from zeile.bulk.remote import Remote  # not at the top: reading here needs no network

    key = _key(args.key) if args.key else None
    return Remote(
        args.to,
        name,
        settings,
        reading=reading,
        beam=beam,
        key=key,
        in_flight=args.in_flight,
        deadline_s=args.deadline,
    )


def _model(name: str | None, settings: Settings) -> Model:
    return load_model(find_model(name or settings.model, settings.models))


def _asked(args: argparse.Namespace, settings: Settings, reader: Reader) -> str:
    """The model's name with its version, so that a newer one does not take its place; a folder where it has none."""
    name = reader.facts.model
    if args.to:
        return name
    with contextlib.suppress(BadSettings):
        if find_model(name, settings.models).is_dir() and _model(name, settings).sha256 == reader.facts.model_sha256:
            return name
    return str(Path(args.model or settings.model).resolve())


def _key(path: Path) -> str:
    try:
        keys = path.read_text("ascii").split()
    except (OSError, ValueError) as error:
        raise BadSettings(f"{path}: cannot be read as an API key: {error}") from None
    if len(keys) != 1:
        raise BadSettings(f"{path}: holds {len(keys)} words; put one API key into it")
    return keys[0]


@contextmanager
def _bar(ledger: Ledger) -> Iterator[Callable[[int], object]]:
    """Shows lines as they are read, on a terminal."""
    found = status(ledger)
    hidden = not sys.stderr.isatty()
    with tqdm(total=found["lines"], initial=found["read"], unit=" lines", disable=hidden, smoothing=0.05) as bar:
        yield bar.update


def _export(args: argparse.Namespace, ledger: Ledger) -> int:
    try:
        return _exported(args, ledger)
    except OSError as error:
        why = f"{error.filename or args.output}: cannot be written: {error.strerror}"
        raise BadJob(f"{why}; make room, or choose another place") from None


def _exported(args: argparse.Namespace, ledger: Ledger) -> int:
    found = export.results(args.job, ledger, args.partial)
    kind = args.output.suffix.removeprefix(".")
    if kind in export.FORMATS and not args.output.is_dir():
        draft = args.output.with_name(f".{args.output.name}.tmp")
        try:
            with draft.open("w", encoding="utf-8", newline="\n") as stream:
                export.FORMATS[kind](found, stream)
            draft.replace(args.output)
        finally:
            draft.unlink(missing_ok=True)
        return 0
    if kind and not args.output.is_dir():
        raise BadSettings(f"{args.output}: ends in none of .{', .'.join(export.FORMATS)}; a folder's name has no dot")
    count = export.text_files(found, args.output)
    print(f"{count} texts: {args.output}")
    return 0


def _verify(args: argparse.Namespace, ledger: Ledger, settings: Settings) -> int:
    with contextlib.ExitStack() as held:
        images: Images | None = None
        if args.images is not None:
            path = args.images if args.images != Path() else Path(ledger.job.images)
            images = held.enter_context(contextlib.closing(open_images(path, settings.image_limits().bytes)))
        wrong = 0
        for sentence in export.verify(args.job, ledger, images):
            print(sentence)
            wrong += 1
    found = status(ledger)
    if not wrong:
        left = found["lines"] - found["read"]
        print(f"{found['read']} lines are as they were published" + (f", {left} are not read yet" if left else ""))
    return int(wrong > 0)
