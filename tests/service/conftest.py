# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.models import write_tiny_model
from tests.service.serving import serving

from zeile.settings import Settings


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_model(folder, version="1")
    write_tiny_model(folder, version="2", seed=3)
    return folder


@pytest.fixture(scope="session")
def service(models: Path) -> Iterator[httpx.Client]:
    with serving(Settings(models=models, model="tiny/1")) as client:
        yield client
