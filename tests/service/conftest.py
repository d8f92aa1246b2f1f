# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.models import write_tiny_model
from tests.service.serving import serving
from tests.service.working import Held

from zeile.device import open_device
from zeile.network import Network
from zeile.service import engines
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


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[Held]:
    """The devices that the service opens; the first one's ``let`` can be cleared."""
    devices: list[Held] = []

    def opened(name: str, network: Network, threads: int = 1, settings: Settings | None = None) -> Any:
        devices.append(Held(open_device(name, network, threads=threads)))
        return devices[-1]

    monkeypatch.setattr(engines, "open_device", opened)
    return devices
