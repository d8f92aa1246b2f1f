# SPDX-License-Identifier: Apache-2.0
"""What an installation contains: the package, all of it, and nothing else."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path, PurePosixPath

import pytest

import zeile

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "app" / "zeile"


@pytest.fixture(scope="module")
def installed() -> dict[str, bytes]:
    """Files of the installed distribution below zeile/, by their path there."""
    if Path(zeile.__file__).is_relative_to(ROOT / "app"):
        pytest.skip("zeile is imported from the source tree; deploy/test.sh installs it")
    files = metadata.distribution("zeile").files or []
    return {
        PurePosixPath(*file.parts[1:]).as_posix(): file.read_binary()
        for file in files
        if file.parts[0] == "zeile" and file.suffix != ".pyc"
    }


def wanted() -> set[str]:
    """Files of the source tree that belong in a wheel."""
    names = {
        p.relative_to(SOURCE).as_posix() for p in SOURCE.rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    return {n for n in names if not n.endswith(".so") and not _compiled(n)}


def _compiled(name: str) -> bool:
    return name.startswith("native/") and name.endswith((".cpp", ".hpp", "CMakeLists.txt"))


def test_wheel_holds_the_package_as_it_is_here(installed: dict[str, bytes]) -> None:
    engine = {name for name in installed if name.startswith("native/_native.") and name.endswith(".so")}
    assert len(engine) == 1
    assert set(installed) - engine == wanted(), "install again: the tree has changed since"
    assert [name for name in wanted() if (SOURCE / name).read_bytes() != installed[name]] == []


def test_nothing_but_the_package_and_its_command_is_installed(installed: dict[str, bytes]) -> None:
    files = metadata.distribution("zeile").files or []
    tops = {file.parts[0] for file in files}
    assert tops - {"..", "zeile", f"zeile-{zeile.__version__}.dist-info"} == set()
    assert [f.name for f in files if f.parts[0] == ".." and "__pycache__" not in f.parts] == ["zeile"]


def test_version_has_one_source(installed: dict[str, bytes]) -> None:
    assert metadata.version("zeile") == zeile.__version__
    assert f"## {zeile.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
