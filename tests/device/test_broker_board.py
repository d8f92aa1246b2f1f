# SPDX-License-Identifier: Apache-2.0
"""The emulated board in a process of its own: the same integers through the broker's socket, also with faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pynq", reason="pynq is not installed (the extra board)")

from tests.device.brokers import Process, socket_path
from tests.device.networks import random_line
from tests.device.overlays import design_of, network_of, write_overlay

from zeile.alphabet import alphabet_of
from zeile.device.broker import Broker
from zeile.device.reference import Reference
from zeile.errors import LineTooWide
from zeile.manifest import write_model
from zeile.network import Network

DESIGN = design_of("tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("board")
    write_overlay(folder / "overlays", "tiny", built=False)
    for version in (0, 1):
        network = network_of(DESIGN, version)
        write_model(
            folder / "models" / "tiny" / str(version + 1),
            name="tiny",
            version=str(version + 1),
            description="Random weights for tests.",
            license="Apache-2.0",
            network=network,
            alphabet=alphabet_of("".join(chr(0x4E00 + n) for n in range(network.classes - 1)), {}),
            text={"normalisation": "NFC"},
            training={"data": [], "command": "none", "code_version": "0", "seed": 0, "lines_seen": 0},
            evaluation={"val": {"none": {"cer": 1.0, "lines": 0}}},
            files={},
        )
    return folder


def board(folder: Path, faults: str) -> dict[str, str]:
    return {
        "ZEILE_EMULATE": "reference",
        "ZEILE_EMULATE_FAULTS": faults,
        "ZEILE_OVERLAYS": str(folder / "overlays"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }


def lines(network: Network) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [random_line(rng, network, int(frames)) for frames in (0, 1, *rng.integers(1, DESIGN.max_frames // 2, 10))]


def test_the_board_s_integers_come_through_the_socket(folder: Path) -> None:
    with socket_path() as path, Process(path, folder / "models", "--engine", "fpga") as broker:
        broker.start(**board(folder, ""))
        for version in (0, 1, 0):
            network = network_of(DESIGN, version)
            with Broker(network, path, silence_s=60) as device:
                batch = lines(network)
                for got, wanted in zip(device.run_batch(batch), Reference(network).run_batch(batch), strict=True):
                    np.testing.assert_array_equal(got, wanted)
                assert device.info["engine"] == "fpga"
                assert device.info["design_id"] == f"{DESIGN.design_id:016x}"
                with pytest.raises(LineTooWide, match="takes"):
                    device.run(np.zeros((DESIGN.max_frames + 1, network.input_codes.size), np.uint8))


def test_faults_that_the_driver_mends_are_not_noticed(folder: Path) -> None:
    network = network_of(DESIGN, 0)
    batch = lines(network)
    wanted = Reference(network).run_batch(batch)
    with socket_path() as path, Process(path, folder / "models", "--engine", "fpga") as broker:
        broker.start(**board(folder, "corrupt:5,corrupt:60"))
        with Broker(network, path, silence_s=60) as device:
            for _ in range(20):
                for got, right in zip(device.run_batch(batch), wanted, strict=True):
                    np.testing.assert_array_equal(got, right)
            assert device.info["retries"] == 2
