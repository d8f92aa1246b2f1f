# SPDX-License-Identifier: Apache-2.0
"""Settings of a deployment, from ``ZEILE_*`` environment variables.

| variable | default | meaning |
|-|-|-|
| ZEILE_MODELS | ./models of a checkout, else /opt/zeile/models | folder of models |
| ZEILE_MODEL | latin-print | model: name, name/version, or the path of a model folder |
| ZEILE_ENGINE | cpu | engine: cpu, reference, fpga, broker |
| ZEILE_THREADS | 1 | threads of the engine, 1 to 256 |
| ZEILE_APART | 1 | whether `zeile serve` has lines read in a process of its own: 0 or 1; boards are read in its own |
| ZEILE_HOST | 127.0.0.1 | address that the service listens on |
| ZEILE_PORT | 8000 | its port, 0 to 65535; 0 takes a free one |
| ZEILE_BODY_BYTES | 67108864 | largest body of a request, 1024 to 2**40 |
| ZEILE_OVERLAYS | ./overlays of a checkout, else /opt/zeile/overlays | folder of overlays, for the engine fpga |
| ZEILE_OVERLAY | | overlay; without one, the first that the model fits |
| ZEILE_EMULATE | 0 | fpga is an emulated board: 1 or hls, the HLS core; rtl, its SystemVerilog twin; reference, NumPy |
| ZEILE_IMAGE_BYTES | 33554432 | largest image file, 1 to 2**31 |
| ZEILE_IMAGE_PIXELS | 64000000 | most pixels of an image, 1 to 89478485, of a WebP a quarter; 5 bytes for each |
| ZEILE_IMAGE_WIDTH | 65500 | most pixels of an image along the line, 1 to 2**31 |
| ZEILE_IMAGE_HEIGHT | 8192 | most pixels across it, 1 to 2**31 |
| ZEILE_ARCHIVE_FILES | 20000 | most files of a zip, 1 to 65534 |
| ZEILE_ARCHIVE_BYTES | 1073741824 | most bytes of all its files, unpacked, 1024 to 2**40 |
| ZEILE_REQUESTS | 256 | requests that are worked on at a time, 1 to 65536; more are answered 503 |
| ZEILE_QUEUE_LINES | 1024 | lines that may wait for the engine, 1 to 10**6; more are answered 503 |
| ZEILE_QUEUE_BYTES | 268435456 | bytes of their images, 1024 to 2**40 |
| ZEILE_DEADLINE_S | 60 | seconds that a request may take unless it says otherwise, 1 to 86400 |
| ZEILE_SEND_S | 30 | seconds that a client may take to send its request, 1 to 86400 |
| ZEILE_RATE | 0 | lines a second that one client may ask for, 0 to 10**6; 0 sets no limit |
| ZEILE_KEYS | | file of API keys, see `zeile keys`; without one nobody is asked for a key |
| ZEILE_CORS | | origins, separated by blanks, whose pages may ask; none by default |
| ZEILE_LOG | json | log of the service: json, text, or off |
| ZEILE_AUDIT | | file of the audit log; without one none is kept |
| ZEILE_AUDIT_BYTES | 67108864 | a file of the audit log as long as that is put aside for a new one, 1024 to 2**40 |
| ZEILE_AUDIT_TEXT | 0 | whether the audit log holds the texts: 0 or 1 |
| ZEILE_CHECKED | 10 | of 1000 lines that the board reads, so many are read again by the CPU, 0 to 1000 |
| ZEILE_SELF_TEST_S | 600 | seconds between two self-tests, 1 to 86400 |
| ZEILE_SPOOL | the system's folder for temporary files | folder for uploads and jobs |
| ZEILE_JOBS | 16 | measurements that are kept, 1 to 1000 |
| ZEILE_BROKER | | socket of a `zeile broker` that owns the device; for the engine broker |

An unknown variable is refused: a setting with a typing error would otherwise silently not be set.
"""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeile.errors import BadSettings

if TYPE_CHECKING:
    from zeile.image import Limits

PREFIX = "ZEILE_"
INSTALLED_MODELS = Path("/opt/zeile/models")
INSTALLED_OVERLAYS = Path("/opt/zeile/overlays")

_READ_ELSEWHERE = (
    "ZEILE_NATIVE_PATH",
    "ZEILE_HW",
    "ZEILE_AP_TYPES",
    "ZEILE_EMULATE_FAULTS",
    "ZEILE_TRAIN_OPERATOR",
    "ZEILE_VENV",  # this and the next by deploy/
    "ZEILE_PYTHON",
)
_LOGS = ("json", "text", "off")
_EMULATIONS = ("0", "1", "hls", "reference", "rtl")
_ENGINES = (
    "cpu",
    "reference",
    "fpga",
    "broker",
)  # as in zeile.device, which is not imported here: settings cost no NumPy


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


def _overlay(variable: str, value: str) -> str:
    return _text(variable, value) if value else ""


def _emulate(variable: str, value: str) -> str:
    if value not in _EMULATIONS:
        raise BadSettings(f"{variable} is {value!r}; it must be one of {', '.join(_EMULATIONS)}")
    return value


def _optional(variable: str, value: str) -> Path | None:
    return _path(variable, value) if value not in ("", "None") else None


def _switch(variable: str, value: str) -> bool:
    if value not in ("0", "1", "False", "True"):
        raise BadSettings(f"{variable} is {value!r}; it must be 0 or 1")
    return value in ("1", "True")


def _log(variable: str, value: str) -> str:
    if value not in _LOGS:
        raise BadSettings(f"{variable} is {value!r}; it must be one of {', '.join(_LOGS)}")
    return value


def _origins(variable: str, value: str) -> str:
    for origin in value.split():
        if not re.fullmatch(r"https?://[^\s/*?#]+", origin):
            raise BadSettings(
                f"{variable} has {origin!r}; an origin looks like https://archive.example or http://host:8080"
            )
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


def _default_overlays() -> str:
    here = Path("overlays")
    return str(here if here.is_dir() else INSTALLED_OVERLAYS)


Parse = Callable[[str, str], Any]

_FIELDS: dict[str, tuple[Parse, Callable[[], str]]] = {
    "models": (_path, _default_models),
    "model": (_text, lambda: "latin-print"),
    "engine": (_engine, lambda: "cpu"),
    "threads": (_number(1, 256), lambda: "1"),
    "apart": (_switch, lambda: "1"),
    "host": (_text, lambda: "127.0.0.1"),
    "port": (_number(0, 65535), lambda: "8000"),
    "body_bytes": (_number(1024, 1 << 40), lambda: str(64 << 20)),
    "overlays": (_path, _default_overlays),
    "overlay": (_overlay, lambda: ""),
    "emulate": (_emulate, lambda: "0"),
    "image_bytes": (_number(1, 1 << 31), lambda: str(32 << 20)),  # these four as in zeile.image, likewise
    "image_pixels": (_number(1, 89_478_485), lambda: "64000000"),
    "image_width": (_number(1, 1 << 31), lambda: "65500"),
    "image_height": (_number(1, 1 << 31), lambda: "8192"),
    "archive_files": (_number(1, 65_534), lambda: "20000"),  # these two as in zeile.service.archives
    "archive_bytes": (_number(1024, 1 << 40), lambda: str(1 << 30)),
    "requests": (_number(1, 1 << 16), lambda: "256"),
    "queue_lines": (_number(1, 10**6), lambda: "1024"),
    "queue_bytes": (_number(1024, 1 << 40), lambda: str(256 << 20)),
    "deadline_s": (_number(1, 86_400), lambda: "60"),
    "send_s": (_number(1, 86_400), lambda: "30"),
    "rate": (_number(0, 10**6), lambda: "0"),
    "keys": (_optional, str),
    "cors": (_origins, str),
    "log": (_log, lambda: "json"),
    "audit": (_optional, str),
    "audit_bytes": (_number(1024, 1 << 40), lambda: str(64 << 20)),
    "audit_text": (_switch, lambda: "0"),
    "checked": (_number(0, 1000), lambda: "10"),
    "self_test_s": (_number(1, 86_400), lambda: "600"),
    "spool": (_path, tempfile.gettempdir),
    "jobs": (_number(1, 1000), lambda: "16"),
    "broker": (_optional, str),
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
        apart: whether ``zeile serve`` has lines read in a process of its own.
        host: address that the service listens on.
        port: of the service; 0 takes a free one.
        body_bytes: largest body of a request.
        overlays: folder of overlays.
        overlay: name of one of them; empty for the first that the model fits.
        emulate: whether the engine "fpga" runs on the emulated board, and with which core; "0" for the real one.
        image_bytes: largest image file.
        image_pixels: most pixels of an image.
        image_width: most pixels of an image along the line, as it is seen.
        image_height: most pixels of an image across the line.
        archive_files: most files of a zip.
        archive_bytes: most bytes of all its files, unpacked.
        requests: that are worked on at a time.
        queue_lines: lines that may wait.
        queue_bytes: bytes of their images.
        deadline_s: seconds that a request may take, unless it says otherwise.
        send_s: seconds that a client may take to send its request.
        rate: lines a second that one client may ask for; 0 sets no limit.
        keys: file of API keys, or None.
        cors: origins whose pages may ask, separated by blanks.
        log: json, text or off.
        audit: file of the audit log, or None.
        audit_bytes: of a file of it, before a new one is begun.
        audit_text: whether it holds the texts.
        checked: of 1000 lines of the board, so many are read again by the CPU.
        self_test_s: seconds between two self-tests.
        spool: folder for uploads and jobs.
        jobs: measurements that are kept.
        broker: socket of the process that owns the device, or None.

    Raises:
        BadSettings: a value cannot be used, or the environment has a ``ZEILE_`` variable that does not exist.
    """

    models: Path = field(default_factory=lambda: _read("models"))
    model: str = field(default_factory=lambda: _read("model"))
    engine: str = field(default_factory=lambda: _read("engine"))
    threads: int = field(default_factory=lambda: _read("threads"))
    apart: bool = field(default_factory=lambda: _read("apart"))
    host: str = field(default_factory=lambda: _read("host"))
    port: int = field(default_factory=lambda: _read("port"))
    body_bytes: int = field(default_factory=lambda: _read("body_bytes"))
    overlays: Path = field(default_factory=lambda: _read("overlays"))
    overlay: str = field(default_factory=lambda: _read("overlay"))
    emulate: str = field(default_factory=lambda: _read("emulate"))
    image_bytes: int = field(default_factory=lambda: _read("image_bytes"))
    image_pixels: int = field(default_factory=lambda: _read("image_pixels"))
    image_width: int = field(default_factory=lambda: _read("image_width"))
    image_height: int = field(default_factory=lambda: _read("image_height"))
    archive_files: int = field(default_factory=lambda: _read("archive_files"))
    archive_bytes: int = field(default_factory=lambda: _read("archive_bytes"))
    requests: int = field(default_factory=lambda: _read("requests"))
    queue_lines: int = field(default_factory=lambda: _read("queue_lines"))
    queue_bytes: int = field(default_factory=lambda: _read("queue_bytes"))
    deadline_s: int = field(default_factory=lambda: _read("deadline_s"))
    send_s: int = field(default_factory=lambda: _read("send_s"))
    rate: int = field(default_factory=lambda: _read("rate"))
    keys: Path | None = field(default_factory=lambda: _read("keys"))
    cors: str = field(default_factory=lambda: _read("cors"))
    log: str = field(default_factory=lambda: _read("log"))
    audit: Path | None = field(default_factory=lambda: _read("audit"))
    audit_bytes: int = field(default_factory=lambda: _read("audit_bytes"))
    audit_text: bool = field(default_factory=lambda: _read("audit_text"))
    checked: int = field(default_factory=lambda: _read("checked"))
    self_test_s: int = field(default_factory=lambda: _read("self_test_s"))
    spool: Path = field(default_factory=lambda: _read("spool"))
    jobs: int = field(default_factory=lambda: _read("jobs"))
    broker: Path | None = field(default_factory=lambda: _read("broker"))

    def __post_init__(self) -> None:
        check_environment(os.environ)
        for name, (parse, _) in _FIELDS.items():
            parse(name, str(getattr(self, name)))  # again, since it may have been given as an argument

    def image_limits(self) -> Limits:
        """What is accepted as an image."""
        from zeile.image import Limits  # not at the top: settings cost no NumPy

        return Limits(
            bytes=self.image_bytes, pixels=self.image_pixels, width=self.image_width, height=self.image_height
        )


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
