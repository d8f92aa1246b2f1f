# SPDX-License-Identifier: Apache-2.0
"""The data of a training run, prepared once: pools of lines, and the held-out lines it is measured on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from zeile.errors import BadData, BadSettings
from zeile.samples import Sample, open_lines
from zeile.train.data import Source
from zeile.train.pool import Grey, Pool, decoded, with_variants, write_pool
from zeile.train.recipe import Recipe
from zeile.train.synthesise import Synthesiser

_HELD_OUT = 10  # every tenth line of a folder is kept for measuring


class Geometry(NamedTuple):
    """What lines are prepared to: height in pixels, and how wide, percent of their own proportions."""

    height_px: int
    stretch_percent: int

    @property
    def name(self) -> str:
        """Part of a pool's name."""
        return f"{self.height_px}px" + (f"-{self.stretch_percent}" if self.stretch_percent != 100 else "")


@dataclass
class Prepared:
    """What a run trains and is measured on.

    Attributes:
        sources: pools with their shares.
        line_counts: real lines of each of the recipe's sources, variants not counted.
        measured: set to its held-out lines, as a pool and as files.
    """

    sources: list[Source] = field(default_factory=list)
    line_counts: list[int] = field(default_factory=list)
    measured: dict[str, tuple[Pool, Sequence[Sample]]] = field(default_factory=dict)


def prepare(recipe: Recipe, data: Path | None, folder: Path, *, synthetic: bool) -> Prepared:
    """Prepare what is not prepared yet.

    Args:
        recipe: names the sources.
        data: folder of the <set>.zip files, needed if the recipe names sets.
        folder: where pools are kept.
        synthetic: whether to draw lines, if the recipe says so.

    Raises:
        BadData: a set is missing or has no usable lines.
        BadSettings: the recipe needs ``data``.
    """
    prepared, geometry = Prepared(), Geometry(recipe.network["height_px"], recipe.stretch_percent)
    for number, spec in enumerate(recipe.sources):
        origin = Path(spec.set)
        if origin.is_dir():
            path, count = _folder_pool(origin, recipe, folder, geometry, prepared)
        else:
            path, count = _set_pool(spec.set, data, recipe, folder, geometry, number)
        prepared.sources.append(Source(Pool(path), spec.share, spec.reading))
        prepared.line_counts.append(count)
    for name in (n for n in recipe.validate if not Path(n).is_dir()):
        samples = list(open_lines(_zip_of(name, data), "val"))
        path = folder / f"{name}-{geometry.name}-val.npz"
        if not path.exists():
            _write(path, decoded(samples), geometry, len(samples))
        prepared.measured[name] = (Pool(path), samples)
    if recipe.synthetic and synthetic:
        prepared.sources.append(Source(_synthetic_pool(recipe, folder, geometry), recipe.synthetic.share))
    return prepared


def _set_pool(
    name: str, data: Path | None, recipe: Recipe, folder: Path, geometry: Geometry, number: int
) -> tuple[Path, int]:
    path = folder / f"{name}-{geometry.name}-train-{recipe.variants}.npz"
    if not path.exists():
        samples = list(open_lines(_zip_of(name, data), "train"))
        lines = with_variants(decoded(samples), recipe.variants, recipe.seed + number)
        _write(path, lines, geometry, len(samples) * (1 + recipe.variants))
    return path, len(Pool(path)) // (1 + recipe.variants)


def _folder_pool(
    origin: Path, recipe: Recipe, folder: Path, geometry: Geometry, prepared: Prepared
) -> tuple[Path, int]:
    """A user's folder: every tenth line is measured on and not trained on; always prepared anew."""
    samples = list(open_lines(origin))
    held_out = samples[::_HELD_OUT]
    kept = [s for i, s in enumerate(samples) if i % _HELD_OUT]
    if not kept:
        raise BadData(f"{origin}: holds {len(samples)} line, at least 2 are needed to train and to measure")
    path = folder / f"{origin.name}-{geometry.name}-train.npz"
    lines = with_variants(decoded(kept), recipe.variants, recipe.seed)
    _write(path, lines, geometry, len(kept) * (1 + recipe.variants))
    val = folder / f"{origin.name}-{geometry.name}-val.npz"
    _write(val, decoded(held_out), geometry, len(held_out))
    prepared.measured[origin.name] = (Pool(val), held_out)
    return path, len(kept)


def _synthetic_pool(recipe: Recipe, folder: Path, geometry: Geometry) -> Pool:
    spec = recipe.synthetic
    assert spec is not None
    path = folder / f"synthetic-{'-'.join(spec.languages)}{'-fraktur' * spec.fraktur}-{geometry.name}-{spec.lines}.npz"
    if not path.exists():
        drawer = Synthesiser(
            dict(spec.languages), recipe.characters, recipe.seed + 1000, folder / "cache", spec.fraktur
        )
        _write(path, (drawer.line() for _ in range(spec.lines)), geometry, spec.lines)
    return Pool(path)


def _write(path: Path, lines: Iterable[tuple[Grey, str]], geometry: Geometry, total: int) -> None:
    write_pool(path, lines, geometry.height_px, total, stretch_percent=geometry.stretch_percent)


def _zip_of(name: str, data: Path | None) -> Path:
    if data is None:
        raise BadSettings("this recipe needs --data, the folder that holds its <set>.zip files")
    path = data / f"{name}.zip"
    if not path.exists():
        raise BadData(f"{path} is missing; --data must be the folder that holds {name}.zip")
    return path
