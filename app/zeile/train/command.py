# SPDX-License-Identifier: Apache-2.0
"""``zeile train``: from a recipe, or from a shipped model and a folder of lines, to a model folder."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from zeile import __version__
from zeile.alphabet import Alphabet
from zeile.errors import BadData, BadSettings, DeviceError
from zeile.manifest import Model, find_model, load_model, write_model
from zeile.network import Layer, layer_to_json
from zeile.train.check import quick_cer
from zeile.train.data import Batches, Source
from zeile.train.export import LATENT, curve_plot, facts, latent_weights, load_latent, network_of
from zeile.train.loop import Phase, Trainer, load_weights
from zeile.train.model import Trainee
from zeile.train.pool import Pool, labelled_lines, with_variants, write_pool
from zeile.train.recipe import Recipe, SourceSpec, load_recipe, shipped_recipes
from zeile.train.synthesise import Synthesiser

EXAMPLES = """examples:
  zeile train latin-print --data ../shared/data/lines          train a shipped recipe from scratch
  zeile train latin-print --data ../shared/data/lines --resume go on after an interruption
  zeile train --from fraktur --lines my_lines/ --name my-fraktur
                                                               fine-tune on NNN.png + NNN.gt.txt
"""

_CHECK_LINES = 150
_FINE_TUNE_EPOCHS = 8
_HELD_OUT = 10  # every tenth line of a fine-tuning folder is kept for measuring


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
    sources, held_out = _pools(recipe, args, work)
    batches = Batches(
        sources,
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
    folder = export(recipe, trainee.cpu(), target, work, held_out, trainer.progress.total)
    print(f"{folder}: written; zeile models verify {name}, zeile read --model {name} FILE")
    return 0


def export(
    recipe: Recipe, trainee: Trainee, target: Path, work: Path, held_out: dict[str, Pool], lines_seen: int
) -> Path:
    """Measure on the held-out lines and write the model folder."""
    reading = recipe.alphabet.default_reading
    trainee.eval()
    trainee.quantise = True
    quantised = {n: quick_cer(trainee, p, recipe.alphabet, reading) for n, p in held_out.items()}
    evaluation: dict[str, Any] = {
        "measure": "CER in percent on all val lines, best path, code points, blanks counted, integer network",
        "val": {n: {"cer": round(c, 3), "lines": len(held_out[n])} for n, c in quantised.items()},
    }
    if (work / "float.pt").exists():
        floating = Trainee(trainee.height_px, trainee.columns_per_frame, trainee.pixel_bits, trainee.specs)
        load_weights(floating, work / "float.pt")
        floating.eval()
        for n, p in held_out.items():
            evaluation["val"][n]["cer_float"] = round(quick_cer(floating, p, recipe.alphabet, reading), 3)
    network = network_of(trainee)
    sources = [{"name": s.set, "share": s.share, "license": s.license, "source": s.source} for s in recipe.sources]
    training = {
        "data": sources,
        "synthetic": None if recipe.synthetic is None else {**vars(recipe.synthetic)},
        "command": f"zeile train {recipe.name}",
        "code_version": __version__,
        "seed": recipe.seed,
        "lines_seen": lines_seen,
        "phases": [vars(p) for p in recipe.phases],
        "facts": facts(network),
    }
    return write_model(
        target,
        name=target.parent.name,
        version=target.name,
        description=recipe.description,
        license=recipe.license,
        network=network,
        alphabet=recipe.alphabet,
        text={"normalisation": recipe.text},
        training=training,
        evaluation=evaluation,
        files={LATENT: latent_weights(trainee), "training.csv": (work / "log.csv").read_bytes(), "training.png": curve_plot(work / "log.csv")},
    )


def _trainee(recipe: Recipe, model: Model | None, args: argparse.Namespace, work: Path) -> Trainee:
    torch.manual_seed(recipe.seed)
    shape = recipe.network
    trainee = Trainee(shape["height_px"], shape["columns_per_frame"], shape["pixel_bits"], recipe.layers)
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
    texts = [text for _, text in labelled_lines(args.lines, None)]
    known = set(model.alphabet.characters) - {""}
    used = {c for text in texts for c in text}
    layers: list[Layer] = list(model.network.layers)
    entries = [layer_to_json(layer) for layer in layers]
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
            "layers": entries,
        },
        characters="".join(sorted(known | used)),
        readings=model.alphabet.readings,
        sources=[SourceSpec(set=str(args.lines), share=1.0, reading=model.alphabet.default_reading)],
        phases=[Phase(name="quantised", lines=max(2_000, _FINE_TUNE_EPOCHS * len(texts)), rate=5e-4)],
        validate=[str(args.lines)],
    )


def _pools(recipe: Recipe, args: argparse.Namespace, work: Path) -> tuple[list[Source], dict[str, Pool]]:
    """Prepare what is not prepared yet; returns the sources and the held-out pools by name."""
    height, folder = int(recipe.network["height_px"]), (args.work or work).parent / "pools"
    sources, held_out = [], {}
    for number, spec in enumerate(recipe.sources):
        origin = Path(spec.set) if Path(spec.set).is_dir() else _zip_of(spec.set, args.data)
        stem = f"{origin.stem}-{height}px"
        path = folder / f"{stem}-train-{recipe.variants}.npz"
        if origin.is_dir():
            lines = list(labelled_lines(origin, None))
            kept = [line for i, line in enumerate(lines) if i % _HELD_OUT or len(lines) < _HELD_OUT]
            write_pool(path, with_variants(kept, recipe.variants, recipe.seed + number), height)
            write_pool(folder / f"{stem}-val.npz", lines[::_HELD_OUT], height)
            held_out[origin.name] = Pool(folder / f"{stem}-val.npz")
        elif not path.exists():
            write_pool(path, with_variants(labelled_lines(origin, "train"), recipe.variants, recipe.seed + number), height)
        sources.append(Source(Pool(path), spec.share, spec.reading))
    for name in (n for n in recipe.validate if not Path(n).is_dir()):
        path = folder / f"{name}-{height}px-val.npz"
        if not path.exists():
            write_pool(path, labelled_lines(_zip_of(name, args.data), "val"), height)
        held_out[name] = Pool(path)
    if recipe.synthetic and not args.no_synthetic:
        sources.append(Source(_synthetic_pool(recipe, folder, height), recipe.synthetic.share))
    return sources, held_out


def _synthetic_pool(recipe: Recipe, folder: Path, height: int) -> Pool:
    spec = recipe.synthetic
    assert spec is not None
    path = folder / f"synthetic-{'-'.join(spec.languages)}{'-fraktur' * spec.fraktur}-{height}px-{spec.lines}.npz"
    if not path.exists():
        drawer = Synthesiser(dict(spec.languages), recipe.characters, recipe.seed + 1000, folder / "cache", spec.fraktur)
        write_pool(path, (drawer.line() for _ in range(spec.lines)), height, spec.lines)
    return Pool(path)


def _zip_of(name: str, data: Path | None) -> Path:
    if data is None:
        raise BadSettings("this recipe needs --data, the folder that holds its <set>.zip files")
    path = data / f"{name}.zip"
    if not path.exists():
        raise BadData(f"{path} is missing; --data must be the folder that holds {name}.zip")
    return path
