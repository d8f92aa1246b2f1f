# SPDX-License-Identifier: Apache-2.0
"""Bulk jobs of small lines, and workers in processes that die when they are told to."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

from tests.models import line_png, write_tiny_model

import zeile
from zeile.bulk.job import Shard
from zeile.bulk.ledger import Ledger
from zeile.cli import main

LINES, SHARD = 240, 10
BAD = (17, 100)  # lines that are no images


def write_images(folder: Path, count: int = LINES) -> Path:
    """Lines ``a/000.png`` ..., a few of them damaged, and files that are no images."""
    for number in range(count):
        below = folder / ("a" if number < count // 2 else "b")
        below.mkdir(parents=True, exist_ok=True)
        data = b"no picture" if number in BAD else line_png(number, 24, 40 + number % 30)
        (below / f"{number:03}.png").write_bytes(data)
    (folder / "a" / "000.gt.txt").write_text("not read")
    (folder / "a" / ".hidden.png").write_bytes(b"")
    return folder


def zipped(folder: Path, path: Path) -> Path:
    """The same as a zip file."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


def prepare(folder: Path) -> Path:
    """A folder with models/tiny/1 and images/."""
    write_tiny_model(folder / "models")
    write_images(folder / "images")
    return folder


def python(folder: Path, code: str, *arguments: object, **variables: str) -> subprocess.Popen[str]:
    """Start Python with code that may import zeile, and arguments for it."""
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys\n{code}", *map(str, arguments)],
        cwd=folder,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def bulk(folder: Path, *arguments: object, **variables: str) -> tuple[int, str, str]:
    """Run ``zeile bulk`` in this process: its status, output and complaints."""
    here, out, complaints = Path.cwd(), io.StringIO(), io.StringIO()
    os.chdir(folder)
    try:
        with (
            mock.patch.dict(os.environ, environment(**variables), clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(complaints),
        ):
            status = main(["bulk", *map(str, arguments)])
    finally:
        os.chdir(here)
    return status, out.getvalue(), complaints.getvalue()


def environment(**variables: str) -> dict[str, str]:
    """Of a worker in the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZEILE_")}
    kept |= {"PYTHONPATH": str(Path(zeile.__file__).parents[1]), "ZEILE_MODELS": "models", "ZEILE_MODEL": "tiny"}
    return kept | variables


def digests(job: Path) -> dict[str, str]:
    """SHA-256 of every file that is published, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (job / "shards").iterdir()}


def rows(job: Path) -> list[dict[str, Any]]:
    """All results, in the order of the files."""
    files = sorted((job / "shards").glob("shard-??????.ndjson"))
    return [json.loads(line) for path in files for line in path.read_text("utf-8").splitlines()]


def shards(job: Path) -> list[Shard]:
    """As the ledger has them."""
    ledger = Ledger(job)
    try:
        return list(ledger.shards())
    finally:
        ledger.close()
