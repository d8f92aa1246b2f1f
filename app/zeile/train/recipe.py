# SPDX-License-Identifier: Apache-2.0
"""Recipes: everything that decides a training run, as one JSON file. Unknown keys are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from zeile.alphabet import Alphabet, alphabet_of
from zeile.errors import BadSettings
from zeile.network import Dense, Layer, layer_from_json
from zeile.train.loop import Phase


@dataclass(frozen=True, kw_only=True)
class SourceSpec:
    """A set of labelled lines: ``<set>.zip`` of the data folder, or the path of a folder.

    Attributes:
        set: name or path.
        share: its share of the lines drawn.
        reading: the reading in which its texts are written, None if they say exactly what is printed.
        license: of the lines.
        source: where they come from.
    """

    set: str
    share: float
    reading: str | None = None
    license: str = "unknown"
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """Lines to draw: how many, their share, languages, and whether in blackletter."""

    lines: int
    share: float
    languages: Mapping[str, float]
    fraktur: bool = False


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run.

    Attributes:
        name, description, license, text: go into the model's manifest.
        network: height_px, columns_per_frame, pixel_bits, layers and, if not 100, stretch_percent; the dense layer's
            classes follow from characters.
        characters: the alphabet without the blank.
        readings: name to {character: character read instead}.
        sources, variants: real lines, and how often each is degraded anew.
        synthetic: drawn lines, or None.
        phases: of training.
        validate: sets whose val lines are measured.
        batch, seed: of training.
        start_from: name of the recipe whose float weights are the start.
    """

    name: str
    description: str
    license: str
    text: str
    network: Mapping[str, Any]
    characters: str
    readings: Mapping[str, Mapping[str, str]]
    sources: Sequence[SourceSpec]
    phases: Sequence[Phase]
    validate: Sequence[str]
    variants: int = 2
    synthetic: Synthetic | None = None
    batch: int = 24
    seed: int = 1
    start_from: str | None = None

    @property
    def alphabet(self) -> Alphabet:
        """Blank at label 0, then the characters by code point."""
        return alphabet_of(self.characters, self.readings)

    @property
    def stretch_percent(self) -> int:
        """How wide lines are made, percent of their own proportions."""
        return int(self.network.get("stretch_percent", 100))

    @property
    def layers(self) -> list[Layer]:
        """The network's layers, the dense one with as many classes as the alphabet has."""
        layers: list[Layer] = []
        for entry in self.network["layers"]:
            full = {"classes": len(self.alphabet)} | entry if entry.get("kind") == Dense.kind else entry
            layers.append(layer_from_json(full, f"recipe {self.name}"))
        return layers


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with Zeile."""
    return sorted(p.name.removesuffix(".json") for p in resources.files(__package__).joinpath("recipes").iterdir())


def load_recipe(name: str) -> Recipe:
    """Load a recipe by the name of a shipped one or the path of a JSON file.

    Raises:
        BadSettings: there is none of that name, or it is damaged.
    """
    path = Path(name)
    if path.suffix == ".json" and path.exists():
        text = path.read_text("utf-8")
    elif name in shipped_recipes():
        text = resources.files(__package__).joinpath("recipes").joinpath(f"{name}.json").read_text("utf-8")
    else:
        raise BadSettings(f"recipe {name!r} is unknown; there are {', '.join(shipped_recipes())}, or name a .json file")
    try:
        return recipe_from_json(json.loads(text))
    except json.JSONDecodeError as error:
        raise BadSettings(f"recipe {name}: is not JSON: {error}") from None


def recipe_from_json(entry: Mapping[str, Any]) -> Recipe:
    """Build a recipe from its JSON object."""
    values = dict(entry)
    values["sources"] = [_build(SourceSpec, s, "source") for s in values.get("sources", ())]
    values["phases"] = [_build(Phase, p, "phase") for p in values.get("phases", ())]
    if values.get("synthetic") is not None:
        values["synthetic"] = _build(Synthetic, values["synthetic"], "synthetic")
    recipe: Recipe = _build(Recipe, values, "recipe")
    return recipe


def _build(kind: type, values: Mapping[str, Any], what: str) -> Any:
    known = {f.name for f in fields(kind)}
    if unknown := sorted(set(values) - known):
        raise BadSettings(f"{what}: unknown keys {unknown}; known are {sorted(known)}")
    try:
        return kind(**values)
    except TypeError as error:
        raise BadSettings(f"{what}: {error}") from None
