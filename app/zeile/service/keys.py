# SPDX-License-Identifier: Apache-2.0
"""API keys: a file of their hashes.

A key is 256 random bits, so that one SHA-256 hides it as well as a slow hash would, and costs a request microseconds.
The file is JSON: ``{"keys": [{"name": ..., "sha256": ..., "scopes": [...], "created": ...}]}``.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zeile.errors import BadSettings

SCOPES = ("read", "measure", "models", "metrics", "admin")
"""What a key may be good for: reading lines and asking what there is; measuring; loading, unloading and naming models;
the metrics; all of it."""

PREFIX = "zeile_"
"""Every key begins so, so that scanners for secrets find it where it should not be."""

MAX_BYTES = 1 << 20
"""Of a file of keys."""

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Key:
    """A key as it is kept.

    Attributes:
        name: of whoever has it; the client's name in logs and queue.
        sha256: of the key, in hexadecimal.
        scopes: some of ``SCOPES``.
        created: time in UTC, ISO 8601.
    """

    name: str
    sha256: str
    scopes: tuple[str, ...]
    created: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise BadSettings(f"key name {self.name!r} cannot be used; it takes 1 to 64 letters, digits, . _ @ or -")
        if not isinstance(self.sha256, str) or not _SHA256.fullmatch(self.sha256):
            raise BadSettings(f"key {self.name}: its sha256 is not 64 hexadecimal digits")
        unknown = [scope for scope in self.scopes if scope not in SCOPES]
        if unknown or not self.scopes:
            what = f"scope {unknown[0]!r} does not exist" if unknown else "it has no scope"
            raise BadSettings(f"key {self.name}: {what}; there are {', '.join(SCOPES)}")


def made(name: str, scopes: Sequence[str]) -> tuple[str, Key]:
    """A new key: what its owner gets, and what is kept.

    Raises:
        BadSettings: the name or a scope cannot be used.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return secret, Key(name, _sha256(secret), tuple(dict.fromkeys(scopes)), created)


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of a file.

    Raises:
        BadSettings: it cannot be read, others may write to it, or it is no file of keys.
    """
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadSettings(f"file of keys {path}: {error.strerror or error}; make it with zeile keys add NAME") from None
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise BadSettings(f"file of keys {path}: others than its owner may write to it; chmod 600 it")
    if len(data) > MAX_BYTES:
        raise BadSettings(f"file of keys {path}: it has more than {MAX_BYTES} bytes")
    try:
        keys = tuple(_key(entry) for entry in _entries(json.loads(data)))
        if len({key.name for key in keys}) < len(keys):
            raise BadSettings("two keys have the same name")
    except (BadSettings, ValueError, RecursionError) as error:
        raise BadSettings(f"file of keys {path}: {error}; mend it, or make it again with zeile keys add") from None
    return keys


def _entries(content: Any) -> list[Any]:
    if not isinstance(content, dict) or set(content) != {"keys"} or not isinstance(content["keys"], list):
        raise BadSettings('it is not an object with "keys", a list')
    return content["keys"]


def _key(entry: Any) -> Key:
    if not isinstance(entry, dict) or set(entry) != {"name", "sha256", "scopes", "created"}:
        raise BadSettings("a key is not an object of name, sha256, scopes and created")
    scopes, created = entry["scopes"], entry["created"]
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise BadSettings("the scopes of a key are not a list of names")
    if not isinstance(created, str) or len(created) > 40:
        raise BadSettings("created of a key is not a time")
    return Key(entry["name"], entry["sha256"], tuple(scopes), created)


def write_keys(path: Path, keys: Sequence[Key]) -> None:
    """Put keys into a file that only its owner can read; the file is replaced as a whole, and keeps its owner.

    Raises:
        BadSettings: it cannot be written.
    """
    text = json.dumps({"keys": [asdict(key) for key in keys]}, indent=1) + "\n"
    part = None
    try:
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # has mode 0600
        with open(handle, "w", encoding="utf-8") as file:
            if path.exists():
                os.fchown(handle, path.stat().st_uid, path.stat().st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        if part is not None:
            with contextlib.suppress(OSError):
                os.unlink(part)
        raise BadSettings(f"file of keys {path}: it cannot be written: {error.strerror or error}") from None


class KeyFile:
    """The keys of a running service; the file is read again when it changes.

    While a changed file cannot be used, the keys before the change stay good: a slip of an editor locks nobody out.
    The log says so.

    Raises:
        BadSettings: as ``read_keys``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._stamp()
        self._keys = read_keys(path)

    def find(self, secret: str) -> Key | None:
        """The key that this is, or None. Takes as long for every one of them."""
        self._refresh()
        digest, found = _sha256(secret).encode(), None
        for key in self._keys:
            if hmac.compare_digest(key.sha256.encode(), digest):
                found = key
        return found

    def _refresh(self) -> None:
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._keys = read_keys(self._path)
        except BadSettings as error:
            log.error("%s; the keys before this change stay good", error)

    def _stamp(self) -> tuple[int, ...]:
        try:
            facts = self._path.stat()
        except OSError:
            return ()
        return facts.st_mtime_ns, facts.st_size, facts.st_ino, facts.st_mode


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
