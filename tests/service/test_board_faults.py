# SPDX-License-Identifier: Apache-2.0
"""The service on the emulated board, and a thousand of its faults under load: no wrong text, no lost request."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("pynq", reason="pynq is not installed (the extra board)")

from tests.service.boarding import board_settings
from tests.service.flaky import sample
from tests.service.pressing import FAULTS, PAGES, ask, hasten, heals, operate, under_load
from tests.service.serving import serving

from zeile.device import fpga
from zeile.device.emulated import Board, Fault, fresh_board
from zeile.device.emulated.faults import KINDS
from zeile.hw.csim import COMPILERS
from zeile.settings import Settings

RARE = ("wrong_design", "clock_high")
"""Have a chance only when an overlay is loaded, which another fault brings about."""

SHARES = (0.02, 0.1, 0.4)
"""Of the chances that a fault has, so many are taken."""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return board_settings(tmp_path, monkeypatch)


@pytest.fixture
def board() -> Iterator[Board]:
    made = fresh_board("reference")
    yield made
    made.close()


@pytest.mark.parametrize("core", ["reference", pytest.param("hls", marks=pytest.mark.slow)])
def test_the_board_says_what_the_cpu_says(settings: Settings, monkeypatch: pytest.MonkeyPatch, core: str) -> None:
    if core == "hls" and not any(map(shutil.which, COMPILERS)):
        pytest.skip("no C++ compiler")
    monkeypatch.setattr(fpga, "EMULATED_PATIENCE_S", 60.0)
    board = fresh_board(core)
    with serving(replace(settings, engine="cpu")) as client:
        right = [ask(client, page)["lines"] for page in range(len(PAGES))]
    with serving(settings) as client:
        answers = [ask(client, page) for page in range(len(PAGES))]
        ready = client.get("/readyz").json()
    board.close()
    assert [answer["lines"] for answer in answers] == right
    assert {answer["engine"]["engine"] for answer in answers} == {"fpga"}
    assert (ready["self_test"]["engine"], ready["circuit"]["state"]) == ("fpga", "closed")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_thousand_faults_of_the_board_and_no_text_is_wrong(
    settings: Settings, board: Board, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    hasten(monkeypatch)
    rng, faults = random.Random(seed), board.faults
    with serving(settings) as client:
        first = [ask(client, page) for page in range(len(PAGES))]
        assert {answer["engine"]["engine"] for answer in first} == {"fpga"}
        right = [answer["lines"] for answer in first]

        def another_fault() -> None:
            if rng.random() < 0.2:
                faults.clear()
                if rng.random() < 0.8:
                    kind = min(rng.sample(KINDS, 3), key=lambda kind: faults.done[kind])
                    faults.add(Fault(kind, rng.choice(SHARES), None))
                    if kind in RARE:
                        faults.add(Fault("slave_error", 0.05, None))
            operate(client)

        engines = under_load(client, right, lambda: sum(faults.done.values()) >= FAULTS // 4, another_fault)
        faults.clear()
        heals(client)
        text = client.get("/metrics").text
    print(f"{dict(faults.done)}, requests by engine {dict(engines)}, {board.downloads} downloads")
    assert set(engines) == {"fpga", "cpu"}
    assert len([kind for kind in KINDS if faults.done[kind]]) == len(KINDS)
    assert sample(text, "zeile_backend_mismatch_total") == 0  # whatever was damaged was noticed by its checksum
    assert sample(text, "zeile_accelerator_retries_total") > 0
    assert sample(text, "zeile_fallback_lines_total") > 0
