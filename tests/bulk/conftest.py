# SPDX-License-Identifier: Apache-2.0
"""A model, images, and the job that nothing disturbed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bulk.jobs import SHARD, bulk, prepare


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, images/, and the finished job quiet/, which tests only look at."""
    folder = prepare(tmp_path_factory.mktemp("bulk"))
    status, said, complaints = bulk(folder, "run", "quiet", "images", "--shard", SHARD)
    assert (status, complaints) == (0, ""), complaints
    assert said == "240 lines are read, 2 of them bad images: quiet/shards\n"
    return folder


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A folder for a job of the test's own."""
    return tmp_path / "job"
