# SPDX-License-Identifier: Apache-2.0
"""A thousand faults of the device under load: no wrong text, no lost request, and the device is back afterwards."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.service.flaky import Board, flipped, install, sample
from tests.service.pressing import FAULTS, PAGES, ask, hasten, heals, operate, under_load
from tests.service.serving import serving

from zeile.device import Scores
from zeile.errors import DeviceBusy, DeviceError, DeviceFault, DeviceTimeout, OverlayMismatch, PacketError
from zeile.settings import Settings

RAISED: list[Callable[[], Exception]] = [
    lambda: DeviceTimeout("nothing moved for 2 s"),
    lambda: DeviceFault("the DMA stopped: slave error"),
    lambda: PacketError("bad checksum"),
    lambda: DeviceBusy("process 7 has it"),
    lambda: DeviceError("it is gone"),
    lambda: OverlayMismatch("another design answers"),
    lambda: RuntimeError("whatever a driver raises"),
    lambda: OSError(5, "Input/output error"),
]
SILENT: list[Callable[[list[Scores]], list[Scores]]] = [
    flipped,
    lambda scores: scores[1:],
    lambda scores: [s[:-1] if len(s) else s for s in scores],
    lambda scores: scores[::-1],
]


@pytest.mark.slow
def test_a_thousand_faults_of_every_kind_and_no_text_is_wrong(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)
    board, rng, injected, armed = Board(engine="cpu"), random.Random(0), Counter[str](), False

    def faults() -> Callable[[list[Scores]], list[Scores]] | None:
        if not armed or rng.random() < 0.5:
            return None
        if rng.random() < 0.7:
            error = rng.choice(RAISED)()
            injected[type(error).__name__] += 1
            raise error
        injected["silent"] += 1
        return rng.choice(SILENT)

    board.next = faults
    install(board, monkeypatch, spare="cpu")
    with serving(Settings(models=models, model="tiny/1", engine="fpga", checked=1000)) as client:
        right = [ask(client, page)["lines"] for page in range(len(PAGES))]

        armed = True
        engines = under_load(client, right, lambda: sum(injected.values()) >= FAULTS, lambda: operate(client))
        armed = False
        heals(client)
        text = client.get("/metrics").text
        assert client.get("/readyz").json()["circuit"]["state"] == "closed"
    assert set(engines) == {"fpga", "cpu"}
    assert {"silent", "DeviceTimeout", "OSError"} <= set(injected)
    assert sample(text, "zeile_accelerator_timeouts_total") >= injected["DeviceTimeout"]
    assert sample(text, "zeile_backend_mismatch_total") > 0
    assert sample(text, "zeile_fallback_lines_total") > 0
