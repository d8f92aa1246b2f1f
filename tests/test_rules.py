# SPDX-License-Identifier: Apache-2.0
"""Rules of the code base: layers, sizes, licence lines, integers only."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "app" / "zeile"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "deploy").rglob("*.py"))
CODE_SUFFIXES = {".py", ".pyi", ".cpp", ".hpp", ".h", ".sv", ".tcl", ".js", ".css", ".html", ".sh"}

FILE_LINES, TEST_FILE_LINES, FUNCTION_LINES = 400, 500, 60  # a function's docstring does not count

PIXELS_TO_SCORES = ("device/reference.py", "normalise.py", "columns.py", "ctc.py")
"""Files in which a floating-point number could make two machines differ."""


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def importers(package: str) -> set[str]:
    return {name_of(path) for path in SOURCES if any(module.split(".")[0] == package for module in imports(path))}


def test_only_the_driver_and_the_emulated_board_know_pynq() -> None:
    assert {n for n in importers("pynq") if n != "device/fpga.py" and not n.startswith("device/emulated/")} == set()


def test_only_training_and_a_peer_of_the_benchmark_know_torch() -> None:
    strange = {n for n in importers("torch") if not n.startswith(("train/", "bench/"))}
    assert strange == set()


def test_reading_needs_neither_training_nor_service() -> None:
    outer = ("train", "service", "bench", "load", "fleet", "bulk", "commands", "notebooks")
    for path in SOURCES:
        name = name_of(path)
        if name.startswith(outer) or name in ("cli.py", "asgi.py", "__main__.py"):
            continue
        known = [m for m in imports(path) if m.startswith(tuple(f"zeile.{part}" for part in outer))]
        assert known == [], f"{name} imports {known}"


def test_app_is_a_folder_not_a_package() -> None:
    assert not (ROOT / "app" / "__init__.py").exists()
    assert sorted(p.name for p in (ROOT / "app").iterdir() if p.name != "__pycache__") == ["zeile"]


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=name_of)
def test_sizes(path: Path) -> None:
    text, name = path.read_text("utf-8"), name_of(path)
    lines = len(text.splitlines())
    assert lines <= (FILE_LINES if path in SOURCES else TEST_FILE_LINES), f"{name} has {lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            doc = first if ast.get_docstring(node, clean=False) is not None else None
            length = (node.end_lineno or 0) - node.lineno + 1
            if doc is not None:
                length -= (doc.end_lineno or 0) - doc.lineno + 1
            assert length <= FUNCTION_LINES, f"{name}: {node.name} has {length} lines"


def code_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:  # an unpacked archive
        return [p for folder in ("app", "tests", "deploy") for p in (ROOT / folder).rglob("*") if p.is_file()]
    return [path for path in (ROOT / name for name in listed.stdout.splitlines()) if path.is_file()]


def test_every_source_file_names_its_licence_first() -> None:
    def licensed(path: Path) -> bool:
        start = path.read_text("utf-8").splitlines()[:3]
        return any("SPDX-License-Identifier: Apache-2.0" in line for line in start)

    ours = [p for p in code_files() if p.suffix in CODE_SUFFIXES and "vendor" not in p.parts]
    assert [name_of(p) for p in ours if p.stat().st_size and not licensed(p)] == []


@pytest.mark.parametrize("name", PIXELS_TO_SCORES)
def test_no_floating_point_from_pixels_to_confidence(name: str) -> None:
    tree = ast.parse((PACKAGE / name).read_text("utf-8"))
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"{name}: a float literal"
        assert not (isinstance(node, ast.Div)), f"{name}: a true division"
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith(("float", "mean", "exp")), f"{name}: {node.attr}"
        assert not (isinstance(node, ast.Name) and node.id == "float"), f"{name}: float()"
