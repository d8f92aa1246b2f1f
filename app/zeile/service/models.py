# SPDX-License-Identifier: Apache-2.0
"""What a client can know of the models before asking for one."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from zeile.alphabet import DIPLOMATIC
from zeile.errors import BadManifest
from zeile.manifest import list_models, load_model
from zeile.schema import MANIFEST
from zeile.service import schemas
from zeile.service.engines import folder_of
from zeile.service.problems import problem
from zeile.settings import Settings


def facts(settings: Settings) -> schemas.Models:
    """Every model of the service; reads and checks those that changed since the last call.

    The default comes first if it lies outside the folder of models.
    """
    folders = list_models(settings.models)
    try:
        default = folder_of(None, settings)
    except BadManifest:
        default = None
    if default is not None and default not in folders:
        folders.insert(0, default)
    known = [_facts(folder, (folder / MANIFEST).stat().st_mtime_ns) for folder in folders]
    return schemas.Models(
        models=[m.model_copy(update={"default": f == default}) for f, m in zip(folders, known, strict=True)]
    )


@lru_cache(maxsize=256)
def _facts(folder: Path, changed_ns: int) -> schemas.ModelFacts:
    """Facts of a model folder; ``changed_ns`` tells one state of its manifest from the next."""
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
