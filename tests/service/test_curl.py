# SPDX-License-Identifier: Apache-2.0
"""curl as people call it: the right forms read, and what is wrong with another one is said in its answer."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.models import line_png
from tests.service.test_archives import zipped

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

PNG = ("-H", "Content-Type: image/png")
ZIP = ("-H", "Content-Type: application/zip")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(line_png(1))
    (tmp_path / "b.png").write_bytes(line_png(2))
    (tmp_path / "lines.zip").write_bytes(zipped({"a.png": line_png(1), "b.png": line_png(2)}))
    return tmp_path


def curl(folder: Path, service: httpx.Client, *words: str, stdin: bytes = b"") -> tuple[int, Any]:
    """Status and body of the answer of /v1/recognize."""
    command = ["curl", "--silent", "--show-error", "--write-out", "\n%{http_code}", *words]
    done = subprocess.run(
        [*command, f"{service.base_url}/v1/recognize"], cwd=folder, input=stdin, capture_output=True, check=True
    )
    body, _, status = done.stdout.rpartition(b"\n")
    return int(status), json.loads(body)


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (("-F", "files=@a.png"), 1),
        (("-F", "file=@a.png", "-F", "file=@b.png"), 2),
        (("-F", "image=@a.png;type=application/octet-stream"), 1),
        (("-F", "images=@a.png", "-F", "image=@b.png"), 2),
        (("-F", "image_file=@a.png;filename=scan"), 1),
        (("-F", "files=@lines.zip", "-F", "files=@a.png"), 3),
        (("--data-binary", "@a.png", *PNG), 1),
        (("--data-binary", "@a.png", *PNG, "-H", "Transfer-Encoding: chunked"), 1),
        (("--data-binary", "@a.png", "-H", "Content-Type: application/octet-stream"), 1),
        (("--data-binary", "@lines.zip", *ZIP), 2),
        (("-X", "POST", "-T", "a.png", *PNG, "-H", "Expect: 100-continue"), 1),
        (("--data-binary", "@-", *PNG), 1),
    ],
)
def test_forms_that_read(service: httpx.Client, folder: Path, words: tuple[str, ...], lines: int) -> None:
    status, answer = curl(folder, service, *words, stdin=line_png(1))
    assert status == 200, answer
    assert [bool(line["text"]) for line in answer["lines"]] == [True] * lines


FIELDS = "files go into the field 'files' (also read: file, image, images, image_file)"
SHOWN = "curl -F files=@line.png"


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("-F", "picture=@a.png"), 422, FIELDS),
        (("-F", "files=@a.png", "-F", "model=tiny"), 422, "?model="),
        (("-F", "files=a.png"), 422, SHOWN.removeprefix("curl ")),
        (("-F", "files=<a.png"), 422, SHOWN.removeprefix("curl ")),
        (("-F", "files=@a.png,b.png"), 422, SHOWN.removeprefix("curl ")),
        (("--data-binary", "@a.png"), 415, SHOWN),
        (("-d", "@a.png"), 415, SHOWN),
        (("-d", '{"image": "iVBORw0KGgo="}', "-H", "Content-Type: application/json"), 415, SHOWN),
        (("-X", "POST"), 415, SHOWN),
        (("-T", "a.png"), 405, "takes POST, not PUT"),
        ((), 405, "takes POST, not GET"),
    ],
)
def test_a_wrong_form_is_told_the_right_one(
    service: httpx.Client, folder: Path, words: tuple[str, ...], status: int, says: str
) -> None:
    found, problem = curl(folder, service, *words)
    assert (found, problem["status"]) == (status, status)
    assert says in problem["detail"]
