# SPDX-License-Identifier: Apache-2.0
"""Which models there are, what they are called, and which of them read.

    name, name/version, alias, nothing -> folder -> model, read once and checked -> engines (``engines.py``)

A model is read from its folder when it is first asked for and then kept: what happens to its files afterwards changes
nothing until it is loaded again. Names point to folders; pointing one elsewhere is a single assignment, made only after
the new model has been loaded and has passed its self-test. So a request finds one version or the other, whole, and what
cannot be loaded never takes the place of what works. Aliases and unloaded models are kept in memory: a service that
starts again has its settings, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Protocol

from zeile.errors import BadManifest, BadSettings, DeviceError
from zeile.manifest import Model, find_model, list_models, load_model
from zeile.schema import MANIFEST, NAME, VERSION
from zeile.service import schemas
from zeile.service.metrics import Metrics
from zeile.service.models import disk_state, facts_of, name_of
from zeile.service.problems import Conflict, NotKnown
from zeile.settings import Settings

DEFAULT = "default"
"""Alias of the model that reads when a request names none."""

MAX_KEPT = 8
"""Models kept in memory; the one unused for longest is let go, and read again when it is asked for."""

MAX_ALIASES = 256


class Opener(Protocol):
    """Whoever has the engines."""

    def prove(self, model: Model) -> None:
        """Open a model on the engine, beside the one of its folder that may be open, test it, and take it over.

        Raises:
            DeviceError: the engine cannot run it, or does not give the expected integers.
        """

    def drop(self, folder: Path) -> None:
        """Close the engine of a model."""

    def opened(self) -> frozenset[Path]:
        """Folders of the models on an engine."""


class Registry:
    """The models of a service; every method may be called in any thread.

    Args:
        settings: names the folder of models and the default.
        metrics: counts swaps.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._lock = threading.Lock()  # of the tables below; held for a moment only
        self._changing = threading.Lock()  # of whoever loads, unloads or points an alias elsewhere: one at a time
        self._aliases: dict[str, Path] = {}
        self._unloaded: set[Path] = set()
        self._models: OrderedDict[Path, Model] = OrderedDict()
        self._damaged: dict[Path, tuple[object, BadManifest]] = {}
        self._opener: Opener | None = None

    def attach(self, opener: Opener) -> None:
        """From now on a model is tested on its engine before a name points to it."""
        self._opener = opener

    def resolve(self, asked: str | None) -> Path:
        """Folder of the model that a request asks for, to be called once a request.

        Whoever starts the service may name any folder as its default. A request may name only what lies in the folder
        of models, so that it cannot probe or open other paths.

        Args:
            asked: alias, "name" (its highest version that can be read), "name/version", or None for the default.

        Raises:
            BadSettings: there is no such model, or it is unloaded.
            BadManifest: the default does not exist, or no version of a name can be read.
        """
        if asked is None or asked == DEFAULT:
            return self._default()
        with self._lock:
            folder = self._aliases.get(asked)
        if folder is not None:
            return folder
        folders = self._named(asked)
        if not folders:
            raise BadSettings(f"model {asked[:80]!r} is unknown; this service has {self._known()}")
        with self._lock:
            there = [folder for folder in folders if folder not in self._unloaded]
        if not there:
            raise BadSettings(f"model {asked[:80]!r} is unloaded; load it first, or ask for another: {self._known()}")
        return there[0] if len(there) == 1 else self._newest(there)

    def model(self, folder: Path) -> Model:
        """The model of a folder, as it was when it was first asked for or last loaded.

        Raises:
            BadManifest: it is damaged.
        """
        with self._lock:
            model = self._models.get(folder)
            if model is not None:
                self._models.move_to_end(folder)
                return model
        model = load_model(folder)
        with self._lock:
            if folder not in self._models:
                self._keep(folder, model)
            return self._models[folder]

    async def kept(self, folder: Path) -> None:
        """Have a model in memory, so that ``model`` takes no time; the event loop goes on while it is read.

        Raises:
            BadManifest: it is damaged.
        """
        with self._lock:
            there = folder in self._models
        if not there:
            await asyncio.to_thread(self.model, folder)

    def facts(self) -> schemas.Models:
        """Every model and alias; what lies in the folder of models is read again where it has changed.

        The default comes first if it lies outside the folder of models.
        """
        folders = list_models(self._settings.models)
        with contextlib.suppress(BadManifest):
            self._default()  # from now on an alias like the others
        with self._lock:
            aliases, unloaded = dict(self._aliases), set(self._unloaded)
        default = aliases.get(DEFAULT)
        if default is not None and default not in folders:
            folders.insert(0, default)
        opened = self._opener.opened() if self._opener is not None else frozenset()
        models = []
        for folder in folders:
            entry = facts_of(folder)
            state = "unloaded" if folder in unloaded else "open" if folder in opened else "ready"
            update = {
                "default": folder == default,
                "aliases": sorted(alias for alias, target in aliases.items() if target == folder),
                "state": "damaged" if state == "ready" and entry.error is not None else state,
            }
            models.append(entry.model_copy(update=update))
        return schemas.Models(models=models, aliases={a: name_of(target) for a, target in sorted(aliases.items())})

    def load(self, asked: str) -> Model:
        """Read a model again from its folder, test it on its engine, and only then let it read.

        Raises:
            NotKnown: there is no such model.
            Conflict: it is damaged or fails its test; whatever it would have replaced still reads.
        """
        with self._changing:
            folder = self._existing(asked)
            return self._load(folder, f"{name_of(folder)} is not loaded")

    def unload(self, asked: str) -> None:
        """Refuse a model from now on, until it is loaded again; requests that had it already are still answered.

        Raises:
            NotKnown: there is no such model.
            Conflict: it is the default, or an alias points to it.
        """
        with self._changing:
            folder = self._existing(asked)
            with self._lock:
                names = sorted(alias for alias, target in self._aliases.items() if target == folder)
                if names:
                    raise Conflict(
                        f"{name_of(folder)} is what {', '.join(names)} points to and stays loaded; "
                        "point that to another model first"
                    )
                self._unloaded.add(
                    folder
                )  # the model stays in memory for those that had it, until others take its place
            if self._opener is not None:
                self._opener.drop(folder)

    def alias(self, alias: str, target: str | None) -> Path | None:
        """Point an alias to a model, which is loaded and tested first, or take the alias away.

        Args:
            alias: "default", or any name that no model has.
            target: "name", "name/version" or another alias; None takes the alias away.

        Returns:
            The model's folder.

        Raises:
            NotKnown: there is no such model, or no such alias to be taken away.
            Conflict: the name is a model's or no name, the default was to be taken away, or the model cannot be used;
                the alias points to where it did.
        """
        with self._changing:
            if target is None:
                self._forget(alias)
                return None
            if alias != DEFAULT and (not NAME.fullmatch(alias) or self._named(alias)):
                why = "is a model's name" if NAME.fullmatch(alias) else "is no name of lower-case letters and digits"
                raise Conflict(f"the alias {alias[:80]!r} {why}; choose another")
            folder = self._existing(target)
            opened = self._opener.opened() if self._opener is not None else frozenset([folder])
            with self._lock:
                loaded = folder in self._models and folder in opened
                full = alias not in self._aliases and len(self._aliases) >= MAX_ALIASES
            if full:
                raise Conflict(f"there are {MAX_ALIASES} aliases, no more are kept; delete one")
            if not loaded:
                self._load(folder, f"{alias!r} still points to where it did")
            with self._lock:
                moved = self._aliases.get(alias) not in (None, folder)
                self._aliases[alias] = folder
                self._unloaded.discard(folder)
            if moved:
                self._metrics.swaps.inc()
            return folder

    def _load(self, folder: Path, otherwise: str) -> Model:
        try:
            model = load_model(folder)
            if self._opener is not None:
                self._opener.prove(model)
        except (BadManifest, DeviceError) as error:
            raise Conflict(f"{error}; {otherwise}") from None
        with self._lock:
            self._keep(folder, model)
            self._unloaded.discard(folder)
        return model

    def _keep(self, folder: Path, model: Model) -> None:
        self._models[folder] = model
        self._models.move_to_end(folder)
        if len(self._models) > MAX_KEPT:
            self._models.popitem(last=False)

    def _forget(self, alias: str) -> None:
        if alias == DEFAULT:
            raise Conflict("the default cannot be taken away; point it to another model")
        with self._lock:
            if self._aliases.pop(alias, None) is None:
                known = ", ".join(sorted(self._aliases)) or "none"
                raise NotKnown(f"there is no alias {alias[:80]!r}; there are {known}")

    def _default(self) -> Path:
        """Where the default points; found when first asked for, since a missing one keeps no service from starting."""
        with self._lock:
            folder = self._aliases.get(DEFAULT)
        if folder is not None:
            return folder
        try:
            folder = find_model(self._settings.model, self._settings.models)
        except BadSettings as error:
            raise BadManifest(str(error)) from None
        with self._lock:
            return self._aliases.setdefault(DEFAULT, folder)

    def _existing(self, asked: str) -> Path:
        """Folder of a model that may be unloaded."""
        with self._lock:
            folder = self._aliases.get(asked)
        found = [folder] if folder is not None else self._named(asked)
        if not found:
            raise NotKnown(f"model {asked[:80]!r} is unknown; this service has {self._known()}")
        return found[0]

    def _named(self, asked: str) -> list[Path]:
        """Folders of "name", the highest version first, or of "name/version"; looks at no other path."""
        name, slash, version = asked.partition("/")
        if not NAME.fullmatch(name):
            return []
        if slash:
            folder = self._settings.models / name / version
            return [folder] if VERSION.fullmatch(version) and (folder / MANIFEST).is_file() else []
        return [f for f in reversed(list_models(self._settings.models)) if f.parent.name == name]

    def _newest(self, folders: list[Path]) -> Path:
        """The first that can be read; one that cannot is not tried again until its files change."""
        first: BadManifest | None = None
        for folder in folders:
            with self._lock:
                known = self._damaged.get(folder)
            try:
                if known is not None and known[0] == disk_state(folder):
                    raise known[1]
                self.model(folder)
                return folder
            except BadManifest as error:
                first = first or error
                with self._lock:
                    self._damaged[folder] = (disk_state(folder), error)
        assert first is not None
        raise BadManifest(str(first))

    def _known(self) -> str:
        return ", ".join(name_of(folder) for folder in list_models(self._settings.models)) or "none"
