# SPDX-License-Identifier: Apache-2.0
"""Settings of a deployment, from ``ZEILE_*`` environment variables.

| variable | default | meaning |
|-|-|-|
| ZEILE_MODELS | ./models of a checkout, else /opt/zeile/models | folder of models |
| ZEILE_MODEL | latin-print | model: name, name/version, or the path of a model folder |
| ZEILE_ENGINE | cpu | engine: cpu, reference |
| ZEILE_THREADS | 1 | threads of the engine, 1 to 256 |
| ZEILE_HOST | 127.0.0.1 | address that the service listens on |
| ZEILE_PORT | 8000 | its port, 0 to 65535; 0 takes a free one |
| ZEILE_BODY_BYTES | 67108864 | largest body of a request, 1024 to 2**40 |

An unknown variable is refused: a setting with a typing error would otherwise silently not be set.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zeile.errors import BadSettings

PREFIX = "ZEILE_"
INSTALLED_MODELS = Path("/opt/zeile/models")

_READ_ELSEWHERE = ("ZEILE_NATIVE_PATH", "ZEILE_TRAIN_OPERATOR", "ZEILE_VENV", "ZEILE_PYTHON")  # deploy/ reads two
_ENGINES = ("cpu", "reference")  # as in zeile.device, which is not imported here: settings cost no NumPy


def _text(variable: str, value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise BadSettings(f"{variable} is {value!r}; it must be a name, not empty and without control characters")
    return value


def _path(variable: str, value: str) -> Path:
    return Path(_text(variable, value)).expanduser()


def _engine(variable: str, value: str) -> str:
    if value not in _ENGINES:
        raise BadSettings(f"{variable} is {value!r}; it must be one of {', '.join(_ENGINES)}")
    return value


def _number(low: int, high: int) -> Callable[[str, str], int]:
    def parse(variable: str, value: str) -> int:
        try:
            number = int(value) if len(value) < 20 and value.isascii() else None
        except ValueError:
            number = None
        if number is None or not low <= number <= high:
            raise BadSettings(f"{variable} is {value!r}; it must be a whole number from {low} to {high}")
        return number

    return parse


def _default_models() -> str:
    here = Path("models")
    return str(here if here.is_dir() else INSTALLED_MODELS)


Parse = Callable[[str, str], Any]

_FIELDS: dict[str, tuple[Parse, Callable[[], str]]] = {
    "models": (_path, _default_models),
    "model": (_text, lambda: "latin-print"),
    "engine": (_engine, lambda: "cpu"),
    "threads": (_number(1, 256), lambda: "1"),
    "host": (_text, lambda: "127.0.0.1"),
    "port": (_number(0, 65535), lambda: "8000"),
    "body_bytes": (_number(1024, 1 << 40), lambda: str(64 << 20)),
}


def _read(name: str) -> Any:
    """The value of a field from its environment variable, or else its default."""
    parse, default = _FIELDS[name]
    variable = PREFIX + name.upper()
    return parse(variable, os.environ.get(variable, default()))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings; each that is not given is read from its environment variable, see above.

    Attributes:
        models: folder of models.
        model: name, name/version or path of the model that reads when none is asked for.
        engine: name for ``zeile.device.open_device``.
        threads: of the engine.
        host: address that the service listens on.
        port: of the service; 0 takes a free one.
        body_bytes: largest body of a request.

    Raises:
        BadSettings: a value cannot be used, or the environment has a ``ZEILE_`` variable that does not exist.
    """

    models: Path = field(default_factory=lambda: _read("models"))
    model: str = field(default_factory=lambda: _read("model"))
    engine: str = field(default_factory=lambda: _read("engine"))
    threads: int = field(default_factory=lambda: _read("threads"))
    host: str = field(default_factory=lambda: _read("host"))
    port: int = field(default_factory=lambda: _read("port"))
    body_bytes: int = field(default_factory=lambda: _read("body_bytes"))

    def __post_init__(self) -> None:
        check_environment(os.environ)
        for name, (parse, _) in _FIELDS.items():
            parse(name, str(getattr(self, name)))  # again, since it may have been given as an argument


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse ``ZEILE_`` variables that nothing reads.

    Raises:
        BadSettings: there is one; the message names the nearest that exists.
    """
    known = [*(PREFIX + name.upper() for name in _FIELDS), *_READ_ELSEWHERE]
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.5)
            remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise BadSettings(f"the environment has {name}, which does not exist; {remedy}")
