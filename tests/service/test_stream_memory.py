# SPDX-License-Identifier: Apache-2.0
"""A zip of 10,000 lines as NDJSON: the first is answered long before the last is unpacked, and memory stays flat."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import httpx
import pytest
from tests.models import line_png

from zeile.load.child import Child, serving

LINES = 10_000
GROWTH_MIB = 24.0
"""Far less than the images (60 MB) or the answer (40 MB) of so many lines would take."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")


def archive(lines: int) -> bytes:
    """A zip whose members are deflated to a tenth, padded behind the image's end."""
    images = [line_png(seed, width=60) + bytes(6000) for seed in range(10)]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(lines):
            file.writestr(f"{number:05}.png", images[number % len(images)])
    return buffer.getvalue()


def read(child: Child, lines: int) -> float:
    """Reads a zip, row by row; the highest of the service's memory meanwhile, MiB."""
    most, found = 0.0, 0
    headers = {"content-type": "application/zip"}
    with (
        httpx.Client(base_url=child.url, timeout=60) as client,
        client.stream("POST", "/v1/recognize?format=ndjson", content=archive(lines), headers=headers) as answer,
    ):
        assert answer.status_code == 200
        for row in answer.iter_lines():
            if row.startswith('{"index"'):
                found += 1
                if found % 500 == 0:
                    most = max(most, child.resident_mib)
            last = row
    assert json.loads(last)["end"]["lines"] == found == lines
    return max(most, child.resident_mib)


@pytest.mark.slow
def test_memory_is_flat_for_a_zip_of_ten_thousand_lines(models: Path, tmp_path: Path) -> None:
    settings = {"ZEILE_MODELS": str(models), "ZEILE_MODEL": "tiny/1", "ZEILE_SPOOL": str(tmp_path)}
    with serving(settings) as child:
        before = read(child, LINES // 20)  # all that is loaded and kept once is there
        assert read(child, LINES) - before < GROWTH_MIB
    assert list(tmp_path.iterdir()) == []
