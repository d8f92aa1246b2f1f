# SPDX-License-Identifier: Apache-2.0
"""What a client can know of a model before asking for it."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from pathlib import Path

from zeile.alphabet import DIPLOMATIC
from zeile.errors import BadManifest
from zeile.manifest import load_model
from zeile.schema import MAX_FILES
from zeile.service import schemas
from zeile.service.problems import problem


def name_of(folder: Path) -> str:
    """The "name/version" of a model's folder."""
    return f"{folder.parent.name}/{folder.name}"


def facts_of(folder: Path) -> schemas.ModelFacts:
    """Facts of a model folder, which is read and checked if it has changed since the last call."""
    return _facts(folder, disk_state(folder))


def disk_state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of a model's files: two states that are equal hold the same model."""
    files = sorted(islice(folder.rglob("*"), 2 * MAX_FILES))
    try:
        stats = [(str(path.relative_to(folder)), path.lstat()) for path in files]
    except OSError:
        return ()  # it is changing just now
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


@lru_cache(maxsize=256)
def _facts(folder: Path, state: object) -> schemas.ModelFacts:
    try:
        model = load_model(folder)
    except BadManifest as error:
        entry = schemas.Problem(**problem(error))
        return schemas.ModelFacts(name=folder.parent.name, version=folder.name, sha256=None, default=False, error=entry)
    return schemas.ModelFacts(
        name=model.name,
        version=model.version,
        sha256=model.sha256,
        default=False,
        description=model.manifest["description"],
        license=model.manifest["license"],
        readings=list(dict.fromkeys([*model.alphabet.readings, DIPLOMATIC])),
        characters=[c for c in model.alphabet.characters if c],
        evaluation=model.manifest["evaluation"],
    )
