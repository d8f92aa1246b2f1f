# SPDX-License-Identifier: Apache-2.0
"""``zeile train``: from a recipe, or from a shipped model and a folder of lines, to a model folder."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

from zeile import __version__
from zeile.device import open_device
from zeile.errors import BadData, BadSettings, DeviceError
from zeile.evaluate import evaluate
from zeile.manifest import Model, find_model, load_model, write_model
from zeile.network import layer_to_json
from zeile.pipeline import Recognizer
from zeile.report import report_files
from zeile.samples import open_lines
from zeile.train.check import quick_cer
from zeile.train.data import Batches
from zeile.train.export import LATENT, curve_plot, facts, latent_weights, load_latent, network_of
from zeile.train.loop import Phase, Trainer, load_weights
from zeile.train.model import Trainee
from zeile.train.pool import clean_text
from zeile.train.prepare import Prepared, prepare
from zeile.train.recipe import Recipe, SourceSpec, load_recipe, shipped_recipes

EXAMPLES = """examples:
  zeile train latin-print --data ../shared/data/lines          train a shipped recipe from scratch
  zeile train latin-print --data ../shared/data/lines --resume go on after an interruption
  zeile train --from fraktur --lines my_lines/ --name my-fraktur
                                                               fine-tune on NNN.png + NNN.gt.txt
"""

_CHECK_LINES = 150
_FINE_TUNE_EPOCHS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``zeile train``."""
    parser.add_argument("recipe", nargs="?", help=f"{', '.join(shipped_recipes())}, or a .json file")
    parser.add_argument("--data", type=Path, help="folder with the recipe's <set>.zip files")
    parser.add_argument("--from", dest="start", metavar="MODEL", help="fine-tune this model instead")
    parser.add_argument("--lines", type=Path, help="folder of NNN.png + NNN.gt.txt to fine-tune on")
    parser.add_argument("--name", help="name of the new model (default: the recipe's, or MODEL-tuned)")
    parser.add_argument("--version", default="1", help="version of the new model (default 1)")
    parser.add_argument("--models", type=Path, default=Path("models"), help="where model folders lie (default models)")
    parser.add_argument("--work", type=Path, help="pools, checkpoints and logs (default train-work/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the lines of every phase (default 1)")
    parser.add_argument("--no-synthetic", action="store_true", help="real lines only")
    parser.add_argument("--check-every", type=int, default=10_000, metavar="N", help="lines between two checks")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="CPU threads")


def run(args: argparse.Namespace) -> int:
    """Train and write the model folder; returns the exit code."""
    torch.set_num_threads(args.threads)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("--device cuda: torch sees no CUDA device; use --device cpu")
    if (args.recipe is None) == (args.start is None):
        raise BadSettings("name a recipe, or --from MODEL with --lines FOLDER; see zeile train --help")
    model = load_model(find_model(args.start, args.models)) if args.start else None
    recipe = _fine_tuning(model, args) if model else load_recipe(args.recipe)
    recipe = replace(recipe, phases=[replace(p, lines=max(1, round(p.lines * args.scale))) for p in recipe.phases])
    name = args.name or recipe.name
    target = args.models / name / args.version
    if target.exists():
        raise BadSettings(f"{target} exists; choose another --name or --version, or remove it")
    work = args.work or Path("train-work") / name
    trainee = _trainee(recipe, model, args, work)
    folder = work.parent / "pools"
    prepared = prepare(recipe, args.data, folder, synthetic=not args.no_synthetic)
    held_out = {n: pool for n, (pool, _) in prepared.measured.items()}
    batches = Batches(
        prepared.sources,
        recipe.alphabet,
        batch=recipe.batch,
        columns_per_frame=trainee.columns_per_frame,
        pixel_bits=trainee.pixel_bits,
        seed=recipe.seed,
    )
    reading = recipe.alphabet.default_reading

    def check(trainee: Trainee) -> dict[str, float]:
        return {n: quick_cer(trainee, p, recipe.alphabet, reading, _CHECK_LINES) for n, p in held_out.items()}

    trainer = Trainer(
        trainee,
        batches,
        list(recipe.phases),
        work,
        fresh=model is None and recipe.start_from is None,
        check_every=args.check_every,
        on_check=check,
        device=args.device,
    )
    if args.resume and not trainer.resume():
        print(f"{work}: no checkpoint yet, starting afresh", file=sys.stderr)
    elif not args.resume and (work / "checkpoint.pt").exists():
        raise BadSettings(f"{work} holds a checkpoint; add --resume to go on with it, or choose another --work")
    trainer.run()
    export(recipe, trainee.cpu(), target, work, prepared, trainer.progress.total)
    print(f"{target}: written; zeile models verify {name}, zeile read --model {name} FILE")
    return 0


def export(recipe: Recipe, trainee: Trainee, target: Path, work: Path, prepared: Prepared, lines_seen: int) -> Path:
    """Measure the integer network on the held-out lines and write the model folder.

    Args:
        recipe: what was trained.
        trainee: the trained network, on the CPU.
        target: the model folder to write.
        work: folder of the run, with log.csv and float.pt.
        prepared: its data.
        lines_seen: lines seen in training.
    """
    trainee.eval()
    trainee.quantise = True
    network = network_of(trainee)
    name, version = target.parent.name, target.name
    model = Model(name, version, target, network, recipe.alphabet, "", {})
    with open_device("cpu", network) as device:
        recognizer = Recognizer(model, device)
        evaluations = {n: evaluate(recognizer, samples) for n, (_, samples) in prepared.measured.items()}
    figures = {n: {"cer": round(e.cer, 6), "lines": e.totals.lines} for n, e in evaluations.items()}
    for n, rate in _float_rates(recipe, trainee, work, prepared).items():
        figures[n]["cer_float"] = round(rate, 6)
    training = {
        "data": [
            {"name": s.set, "license": s.license, "source": s.source, "lines": lines, "share": s.share}
            for s, lines in zip(recipe.sources, prepared.line_counts, strict=True)
        ],
        "synthetic": None if recipe.synthetic is None else dict(vars(recipe.synthetic)),
        "command": f"zeile train {recipe.name}",
        "code_version": __version__,
        "seed": recipe.seed,
        "lines_seen": lines_seen,
        "phases": [vars(p) for p in recipe.phases],
        "facts": facts(network),
    }
    log = work / "log.csv"
    files = {
        LATENT: latent_weights(trainee),
        "training.csv": log.read_bytes(),
        "plots/training.png": curve_plot(log),
    }
    return write_model(
        target,
        name=name,
        version=version,
        description=recipe.description,
        license=recipe.license,
        network=network,
        alphabet=recipe.alphabet,
        text={"normalisation": recipe.text},
        training=training,
        evaluation={"val": figures},
        files=files | report_files(evaluations),
    )


def _float_rates(recipe: Recipe, trainee: Trainee, work: Path, prepared: Prepared) -> dict[str, float]:
    """CER of the float network at the end of its phase, code points; nothing if there was no such phase."""
    if not (work / "float.pt").exists():
        return {}
    floating = Trainee(trainee.height_px, trainee.columns_per_frame, trainee.pixel_bits, trainee.specs)
    load_weights(floating, work / "float.pt")
    floating.eval()
    reading = recipe.alphabet.default_reading
    return {n: quick_cer(floating, pool, recipe.alphabet, reading) / 100 for n, (pool, _) in prepared.measured.items()}


def _trainee(recipe: Recipe, model: Model | None, args: argparse.Namespace, work: Path) -> Trainee:
    torch.manual_seed(recipe.seed)
    shape = recipe.network
    trainee = Trainee(
        shape["height_px"], shape["columns_per_frame"], shape["pixel_bits"], recipe.layers, recipe.stretch_percent
    )
    if model:
        load_latent(trainee, recipe.alphabet, model.folder / LATENT, model.alphabet)
    elif recipe.start_from:
        start = work.parent / recipe.start_from / "float.pt"
        if not start.exists():
            raise BadData(f"{start} is missing; run zeile train {recipe.start_from} first, with the same --work parent")
        load_weights(trainee, start)
    return trainee


def _fine_tuning(model: Model, args: argparse.Namespace) -> Recipe:
    """A recipe that goes on from a model with the user's lines."""
    if args.lines is None:
        raise BadSettings("--from MODEL needs --lines FOLDER, with NNN.png and NNN.gt.txt")
    texts = [clean_text(sample.text) for sample in open_lines(args.lines)]
    known = set(model.alphabet.characters) - {""}
    used = {c for text in texts for c in text}
    entries = [layer_to_json(layer) for layer in model.network.layers]
    entries[-1].pop("classes")
    return Recipe(
        name=args.name or f"{model.name}-tuned",
        description=f"{model.name} {model.version}, fine-tuned on {len(texts)} lines",
        license=str(model.manifest["license"]),
        text=str(model.manifest["text"]["normalisation"]),
        network={
            "height_px": model.network.height_px,
            "columns_per_frame": model.network.columns_per_frame,
            "pixel_bits": model.network.pixel_bits,
            "stretch_percent": model.network.stretch_percent,
            "layers": entries,
        },
        characters="".join(sorted(known | used)),
        readings=model.alphabet.readings,
        sources=[SourceSpec(set=str(args.lines), share=1.0, reading=model.alphabet.default_reading)],
        phases=[Phase(name="quantised", lines=max(2_000, _FINE_TUNE_EPOCHS * len(texts)), rate=5e-4)],
        validate=[str(args.lines)],
    )
