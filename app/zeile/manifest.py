# SPDX-License-Identifier: Apache-2.0
"""Model folders: what a model is, read from a manifest that pins every byte of it.

    models/<name>/<version>/manifest.json    facts, layers, alphabet, and the SHA-256 of every other file
                            weights.npz      integer tensors, "<layer index>.<tensor name>"
                            eval.json ...    whatever else the training wrote

A folder may come from anywhere, so nothing in it is believed: sizes are bounded before reading, nothing is
unpickled, names cannot leave the folder, and unknown keys and versions are refused rather than ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeile import weights
from zeile.alphabet import Alphabet
from zeile.errors import BadManifest, BadSettings
from zeile.network import Network, layer_from_json, layer_to_json
from zeile.schema import (
    ALPHABET_KEYS,
    FORMAT,
    FORMAT_VERSION,
    MANIFEST,
    NAME,
    NETWORK_KEYS,
    STRETCH,
    VERSION,
    WEIGHTS,
    check,
    parse,
    printable,
)

MAX_MANIFEST_BYTES = 1 << 20
MAX_COLUMNS_PER_STEP = 64
_RANGES = {
    "height_px": (1, 256),
    "columns_per_frame": (1, MAX_COLUMNS_PER_STEP),
    "pixel_bits": (1, 8),
    STRETCH: (25, 400),
}


@dataclass(frozen=True)
class Model:
    """A model, checked and ready for a device.

    Attributes:
        name: of the folder above, as ``latin-print``.
        version: one to three numbers, as ``1`` or ``1.2``.
        folder: where it was read.
        network: layers and tensors.
        alphabet: characters and readings.
        sha256: of manifest.json's bytes, hexadecimal; it pins every other file of the model.
        manifest: manifest.json as read.
    """

    name: str
    version: str
    folder: Path
    network: Network
    alphabet: Alphabet
    sha256: str
    manifest: Mapping[str, Any]


def load_model(folder: Path) -> Model:
    """Read a model folder and check all of it.

    Raises:
        BadManifest: a file is missing, damaged, too large, foreign or inconsistent.
    """
    data, tensors = _read(folder, MANIFEST, MAX_MANIFEST_BYTES), b""
    try:
        manifest = parse(data)
        for name, digest in manifest["files"].items():
            content = _pinned(folder, name, digest)
            tensors = content if name == WEIGHTS else tensors
        network = _network(manifest["network"], tensors)
        alphabet = _alphabet(manifest["alphabet"])
        if len(alphabet) != network.classes:
            raise BadManifest(f"alphabet has {len(alphabet)} characters, the network {network.classes} classes")
    except BadManifest as error:
        raise BadManifest(f"{folder}: {error}") from None
    digest = hashlib.sha256(data).hexdigest()
    return Model(manifest["name"], manifest["version"], folder, network, alphabet, digest, manifest)


def verify(folder: Path) -> None:
    """Check a model folder as ``load_model`` does, and that it holds no file that the manifest does not pin.

    Raises:
        BadManifest: as for ``load_model``, or a file is not in the manifest.
    """
    pinned = {MANIFEST, *load_model(folder).manifest["files"]}
    for root, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        for name in (*files, *links):
            path = (Path(root) / name).relative_to(folder).as_posix()
            if path not in pinned:
                raise BadManifest(f"{folder}: {path!r} is not in {MANIFEST}; remove it")


def list_models(models: Path) -> list[Path]:
    """Folders of all models, by name and then by version, lowest first; a missing ``models`` has none."""
    folders = [path.parent for path in models.glob(f"*/*/{MANIFEST}")]
    named = [f for f in folders if NAME.fullmatch(f.parent.name) and VERSION.fullmatch(f.name)]
    return sorted(named, key=lambda folder: (folder.parent.name, _order(folder.name)))


def find_model(name: str, models: Path) -> Path:
    """Folder of a model.

    Args:
        name: ``latin-print`` (its highest version), ``latin-print/1``, or the path of a model folder.
        models: folder of models.

    Raises:
        BadSettings: there is no such model.
    """
    known = list_models(models)
    wanted, _, version = name.partition("/")
    found = [f for f in known if f.parent.name == wanted and version in ("", f.name)]
    if found:
        return found[-1]
    if (Path(name) / MANIFEST).is_file():
        return Path(name)
    names = ", ".join(f"{f.parent.name}/{f.name}" for f in known) or "none"
    raise BadSettings(
        f"model {name!r} is neither in {models} (there: {names}) nor a folder with a {MANIFEST}; "
        "name one of these, or set ZEILE_MODELS to the folder of your models"
    )


def write_model(
    folder: Path,
    *,
    name: str,
    version: str,
    description: str,
    license: str,
    network: Network,
    alphabet: Alphabet,
    text: Mapping[str, str],
    training: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    files: Mapping[str, bytes],
) -> Path:
    """Write a model folder, all or nothing; the same arguments give the same bytes.

    Args:
        folder: to be created, as ``models/<name>/<version>``.
        name: lower-case letters, digits and hyphens.
        version: one to three numbers, joined by dots.
        description: a sentence or two for whoever chooses a model.
        license: SPDX expression.
        network: its tensors become weights.npz.
        alphabet: as many characters as the network has classes.
        text: ``normalisation``: what was done to the training texts.
        training: ``data`` (each with name, license, source, lines), ``command``, ``code_version``, ``seed``,
            ``lines_seen``, and any further facts that JSON can hold.
        evaluation: split to set to figures, as ``{"val": {"gt4histocr": {"cer": 0.02, "lines": 1000}}}``.
        files: further files by name, as eval.json or plots/cer.png.

    Returns:
        ``folder``.

    Raises:
        BadSettings: the folder exists, or ``files`` brings its own manifest or weights.
        BadManifest: what was to be written would not load.
    """
    if os.path.lexists(folder):
        raise BadSettings(f"{folder} exists and is not overwritten; choose another version")
    if reserved := sorted({MANIFEST, WEIGHTS} & set(files)):
        raise BadSettings(f"files may not bring {reserved}: they are written from the other arguments")
    contents = {WEIGHTS: weights.pack(network.tensors)} | {key: files[key] for key in sorted(files)}
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": name,
        "version": version,
        "description": description,
        "license": license,
        "network": {
            "height_px": network.height_px,
            "columns_per_frame": network.columns_per_frame,
            "pixel_bits": network.pixel_bits,
            "layers": [layer_to_json(layer) for layer in network.layers],
        }
        | ({} if network.stretch_percent == 100 else {STRETCH: network.stretch_percent}),
        "alphabet": {
            "characters": list(alphabet.characters),
            "blank": alphabet.blank,
            "readings": {key: dict(folds) for key, folds in alphabet.readings.items()},
        },
        "text": dict(text),
        "training": dict(training),
        "evaluation": dict(evaluation),
        "files": {key: hashlib.sha256(content).hexdigest() for key, content in contents.items()},
    }
    try:
        data = (json.dumps(manifest, ensure_ascii=False, allow_nan=False, indent=2) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise BadManifest(f"{folder}: the manifest's facts cannot be written as JSON: {error}") from None
    parse(data)  # refuses names that would leave the folder before anything is written
    _write_all(folder, contents | {MANIFEST: data})
    return folder


def _write_all(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write beside the folder, load that as a trial, then rename: nobody ever sees half a model."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    try:
        for name, content in contents.items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        load_model(draft)
        draft.chmod(0o755)
        try:
            draft.rename(folder)
        except OSError as error:
            why = f"{error.strerror}; choose another version"
            raise BadSettings(f"{folder} cannot be written: {why}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _read(folder: Path, name: str, limit: int) -> bytes:
    """Bytes of a file that lies in the folder, is a file, and is no longer than ``limit``."""
    try:
        base = folder.resolve(strict=True)
        path = (base / name).resolve(strict=True)
        if not path.is_relative_to(base):
            raise BadManifest(f"{name} is a link out of {folder}; a model must hold its own files")
        # O_NONBLOCK: a pipe in place of a file must not keep us waiting.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BadManifest(f"{name} in {folder} is not a plain file")
            if status.st_size > limit:
                raise BadManifest(f"{name} in {folder} has {status.st_size} bytes, allowed are {limit}")
            return file.read(limit)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        why = f"{getattr(error, 'strerror', None) or error}; copy the model folder again"
        raise BadManifest(f"{name} in {folder} cannot be read: {why}") from None


def _pinned(folder: Path, name: str, digest: str) -> bytes:
    content = _read(folder, name, weights.MAX_BYTES)
    if (found := hashlib.sha256(content).hexdigest()) != digest:
        raise BadManifest(
            f"{name} is damaged: its SHA-256 is {found[:12]}..., {MANIFEST} says {digest[:12]}...; "
            "copy the model folder again"
        )
    return content


def _network(entry: Mapping[str, Any], data: bytes) -> Network:
    entry = {STRETCH: 100, **entry}
    check(entry, {**NETWORK_KEYS, STRETCH: int}, "network")
    for key, (low, high) in _RANGES.items():
        if not low <= entry[key] <= high:
            raise BadManifest(f"network.{key} is {entry[key]}, allowed are {low} to {high}")
    for index, layer in enumerate(entry["layers"]):
        if not isinstance(layer, dict):
            raise BadManifest(f"network.layers[{index}] is {layer!r}, not an object")
    layers = [layer_from_json(layer, f"network.layers[{i}]") for i, layer in enumerate(entry["layers"])]
    tensors, shape = weights.unpack(data), (entry["height_px"], entry["columns_per_frame"], entry["pixel_bits"])
    network = Network(*shape, layers, tensors, stretch_percent=entry[STRETCH])
    if network.columns_per_step > MAX_COLUMNS_PER_STEP:
        raise BadManifest(
            f"network joins {network.columns_per_step} columns into one, allowed are {MAX_COLUMNS_PER_STEP}"
        )
    return network


def _alphabet(entry: Mapping[str, Any]) -> Alphabet:
    check(entry, ALPHABET_KEYS, "alphabet")
    for index, character in enumerate(entry["characters"]):
        if not isinstance(character, str) or len(character) > 16:
            raise BadManifest(f"alphabet.characters[{index}] is {character!r}, not a short string")
        printable(character, f"alphabet.characters[{index}]")
    for name, folds in entry["readings"].items():
        if not isinstance(folds, dict) or not all(isinstance(value, str) for value in folds.values()):
            raise BadManifest(f"alphabet.readings.{name} is not an object of characters")
    return Alphabet(tuple(entry["characters"]), entry["blank"], entry["readings"])
