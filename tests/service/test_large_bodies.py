# SPDX-License-Identifier: Apache-2.0
"""Bodies that are too large, announced and not: refused, and nothing of them stays on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.models import line_png
from tests.service.hostile_archives import zipped
from tests.service.serving import files, refused

from zeile.load.child import serving

MIB = 1 << 20
LIMIT = 16 * MIB
FORM = "multipart/form-data; boundary=x"
STARTS = {
    "image/png": line_png(1),
    "application/zip": zipped([("a.png", line_png(1))]),
    FORM: b'--x\r\ncontent-disposition: form-data; name="files"; filename="a"\r\n\r\n',
}

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="a child is watched by /proc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For everything that the service writes while it reads a body."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def limited(models: Path, folder: Path) -> Iterator[httpx.Client]:
    settings = {"MODELS": str(models), "MODEL": "tiny/1", "BODY_BYTES": str(LIMIT), "SPOOL": str(folder)}
    environment = {f"ZEILE_{name}": value for name, value in settings.items()}
    with (
        serving(environment | {"TMPDIR": str(folder)}) as child,
        httpx.Client(base_url=child.url, timeout=60) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        *(("/v1/recognize", media_type) for media_type in STARTS),
        ("/v1/measure", "application/zip"),
        ("/v1/measure", FORM),
        ("/v1/pages", FORM),
    ],
)
def test_20_mb_announced_and_40_mb_in_chunks(limited: httpx.Client, folder: Path, path: str, media_type: str) -> None:
    def chunks() -> Iterator[bytes]:
        yield STARTS[media_type]
        for _ in range(40):
            yield bytes(MIB)

    headers = {"content-type": media_type}
    announced = limited.post(path, content=STARTS[media_type] + bytes(20 * MIB), headers=headers)
    assert f"at most {LIMIT} are read" in refused(announced, 413, "body-too-large")
    chunked = limited.post(path, content=chunks(), headers=headers)
    assert f"at most {LIMIT} are read" in refused(chunked, 413, "body-too-large")
    assert limited.post("/v1/recognize", files=files(a_png=line_png(1))).status_code == 200
    assert list(folder.iterdir()) == []
