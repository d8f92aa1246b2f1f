# SPDX-License-Identifier: Apache-2.0
"""A broker gives the integers of the device that it owns, to those who may ask, whatever others send it."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.device.brokers import Process, running, socket_path, until
from tests.device.networks import random_line, random_network
from tests.models import tiny_network, write_tiny_model

from zeile.cli import build_parser
from zeile.commands import broker as command
from zeile.commands.doctor import examine
from zeile.device import Frames, Scores, broker_engine, open_device
from zeile.device.broker import _ROOM, Broker
from zeile.device.broker_frames import MAX_LINES, Kind, digest_of, receive, send
from zeile.device.broker_server import MAX_CONNECTIONS
from zeile.device.reference import Reference
from zeile.errors import (
    BadManifest,
    BadSettings,
    DeviceBusy,
    DeviceError,
    DeviceFault,
    DeviceTimeout,
    LineTooWide,
    OverlayMissing,
)
from zeile.network import Dense, Network
from zeile.settings import Settings

NETWORK = tiny_network()


def lines(count: int, seed: int = 0) -> list[Frames]:
    rng = np.random.default_rng(seed)
    return [random_line(rng, NETWORK, int(frames)) for frames in rng.integers(0, 120, count)]


def same(scores: Sequence[Scores], wanted: Sequence[Scores]) -> bool:
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(scores, wanted, strict=True))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_model(folder, version="1")
    write_tiny_model(folder, version="2", seed=3)
    return folder


@pytest.fixture(scope="module")
def settings(models: Path) -> Settings:
    return Settings(models=models, model="tiny/1", engine="cpu")


@pytest.fixture(scope="module")
def path(settings: Settings) -> Iterator[Path]:
    with running(settings) as path:
        yield path


def test_the_integers_are_those_of_the_definition(path: Path) -> None:
    for network in (NETWORK, tiny_network(3)):
        with Broker(network, path) as device:
            reference = Reference(network)
            for count in (0, 1, 2, 40):
                batch = lines(count, seed=count)
                assert same(device.run_batch(batch), [reference.run(line) for line in batch])
            assert same([device.run(lines(1)[0])], [reference.run(lines(1)[0])])
            assert device.info["engine"] == "cpu"
            assert device.info["through"] == "broker"


def test_many_clients_share_the_device(path: Path) -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        network = tiny_network(25 if seed % 2 else 3)
        reference = Reference(network)
        with Broker(network, path) as device:
            for turn in range(10):
                batch = lines(5, seed=100 * seed + turn)
                if not same(device.run_batch(batch), [reference.run(line) for line in batch]):
                    wrong.append(seed)

    clients = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert wrong == []


def test_the_engine_of_the_settings_is_found_by_its_name(path: Path, settings: Settings) -> None:
    asked = dataclasses.replace(settings, engine="broker", broker=path)
    with open_device("broker", NETWORK, settings=asked) as device:
        assert same(device.run_batch(lines(3)), Reference(NETWORK).run_batch(lines(3)))
    with pytest.raises(DeviceError, match="ZEILE_BROKER"):
        open_device("broker", NETWORK, settings=settings)


def test_frames_that_do_not_fit_are_refused_before_they_are_sent(path: Path) -> None:
    with Broker(NETWORK, path) as device:
        with pytest.raises(DeviceError, match="needs uint8"):
            device.run(np.zeros((3, 5), np.uint8))
        with pytest.raises(DeviceError, match="4 bits"):
            device.run(np.full((3, 16), 16, np.uint8))
        assert device.run(np.zeros((0, 16), np.uint8)).shape == (0, NETWORK.classes)


def test_a_batch_beyond_one_message_goes_in_several(path: Path) -> None:
    batch = [np.zeros((1, 16), np.uint8)] * (MAX_LINES + 1)
    with Broker(NETWORK, path) as device:
        assert len(device.run_batch(batch)) == MAX_LINES + 1
        wide = np.zeros((_ROOM // 16 + 1, 16), np.uint8)
        with pytest.raises(LineTooWide, match="a broker takes"):
            device.run(wide)
        half = np.zeros((_ROOM // 24, 16), np.uint8)
        assert [len(s) for s in device.run_batch([half, half])] == [NETWORK.steps(len(half))] * 2


def test_only_models_of_the_broker_s_folder_are_run(path: Path, models: Path) -> None:
    strange = random_network(1, [Dense(classes=3, weight_bits=4)], height_px=4)
    with pytest.raises(BadManifest, match=f"no model with the network {digest_of(strange).hex()[:12]}.*{models}"):
        Broker(strange, path)


def test_a_model_that_is_added_later_is_found(path: Path, models: Path) -> None:
    with pytest.raises(BadManifest):
        Broker(tiny_network(77), path)
    write_tiny_model(models, version="77", seed=77)
    with Broker(tiny_network(77), path) as device:
        assert same(device.run_batch(lines(2)), Reference(tiny_network(77)).run_batch(lines(2)))


def test_without_a_broker_the_remedy_is_named() -> None:
    with socket_path() as path, pytest.raises(DeviceFault, match=r"start `zeile broker`"):
        Broker(NETWORK, path)


def test_users_who_were_not_named_are_turned_away(settings: Settings) -> None:
    with running(settings, users=frozenset({os.geteuid() + 1})) as path:
        with pytest.raises(DeviceError, match=f"user {os.geteuid()} may not ask"):
            Broker(NETWORK, path)


def test_connections_are_bounded(settings: Settings) -> None:
    with running(settings) as path:
        devices = [Broker(NETWORK, path) for _ in range(MAX_CONNECTIONS)]
        with pytest.raises(DeviceBusy, match="limit"):
            Broker(NETWORK, path)
        for device in devices:
            device.close()

        def again() -> bool:
            try:
                Broker(NETWORK, path).close()
            except DeviceError:
                return False
            return True

        until(again, "room for a new connection")


class Faulty:
    """A device that fails as it is told to."""

    fault: Exception | None = None
    opened = closed = 0
    rails: Any = None

    def __init__(self, network: Network) -> None:
        type(self).opened += 1
        self._engine = Reference(network)
        self.info = {"engine": "fpga", "path": "faulty"}

    def run_batch(self, frames: Sequence[Frames]) -> list[Scores]:
        if self.fault is not None:
            raise self.fault
        return self._engine.run_batch(frames)

    def close(self) -> None:
        type(self).closed += 1


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> type[Faulty]:
    Faulty.fault, Faulty.opened, Faulty.closed, Faulty.rails = None, 0, 0, None
    monkeypatch.setattr(broker_engine, "open_device", lambda name, network, threads, settings: Faulty(network))
    return Faulty


def test_errors_of_the_device_come_as_what_they_are(faulty: type[Faulty], settings: Settings) -> None:
    with running(settings) as path, Broker(NETWORK, path) as device:
        for fault in (DeviceTimeout("nothing moved"), DeviceFault("slave error"), LineTooWide("9000 columns")):
            faulty.fault = fault
            with pytest.raises(type(fault), match=str(fault)):
                device.run_batch(lines(2))
        faulty.fault = OverlayMissing("no bitstream")
        with pytest.raises(OverlayMissing, match="no bitstream"):
            device.run_batch(lines(2))
        faulty.fault = RuntimeError("a mistake of ours")
        with pytest.raises(DeviceFault, match="RuntimeError: a mistake of ours"):
            device.run_batch(lines(2))
        faulty.fault = None
        assert same(device.run_batch(lines(2)), Reference(NETWORK).run_batch(lines(2)))
        assert faulty.opened == 3, "opened at first, and anew after the timeout and after the fault"
    assert faulty.closed == 3


def test_watts_come_from_the_broker_s_board(faulty: type[Faulty], settings: Settings, path: Path) -> None:
    with Broker(NETWORK, path) as device:
        assert device.rails is None
    faulty.rails = staticmethod(lambda: {"VCCINT": 1.25})
    with running(settings) as other, Broker(NETWORK, other) as device:
        assert device.rails is not None
        assert device.rails() == {"VCCINT": 1.25}


class Hanging(Faulty):
    """A device that does not come back until it is let go."""

    free = threading.Event()

    def run_batch(self, frames: Sequence[Frames]) -> list[Scores]:
        self.free.wait()
        return super().run_batch(frames)


def test_long_work_is_waited_for_while_the_broker_says_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    Hanging.free = threading.Event()
    monkeypatch.setattr(broker_engine, "open_device", lambda name, network, threads, settings: Hanging(network))
    heard: list[Kind] = []
    with running(settings) as path:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            send(client, Kind.RUN, digest_of(NETWORK), (1).to_bytes(4, "little"), (0).to_bytes(4, "little"))
            while (kind := receive(client, 60)[0]) == Kind.WORKING:
                heard.append(kind)
                Hanging.free.set()
        assert kind == Kind.SCORES
        assert heard


def test_an_engine_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    Hanging.free = threading.Event()
    monkeypatch.setattr(broker_engine, "open_device", lambda name, network, threads, settings: Hanging(network))
    monkeypatch.setattr(broker_engine, "LONGEST_S", 0.0)
    with running(settings) as path, Broker(NETWORK, path, silence_s=1) as device:
        try:
            with pytest.raises(DeviceTimeout, match="says nothing any more"):
                device.run_batch(lines(1))
        finally:
            Hanging.free.set()


def test_a_broker_that_comes_back_is_found_again(models: Path) -> None:
    with socket_path() as path, Process(path, models) as broker:
        broker.start()
        with Broker(NETWORK, path) as device:
            wanted = Reference(NETWORK).run_batch(lines(4))
            assert same(device.run_batch(lines(4)), wanted)
            assert broker.end(signal.SIGKILL) == -signal.SIGKILL
            for _ in range(2):
                with pytest.raises(DeviceFault, match="no broker at"):
                    device.run_batch(lines(4))
            broker.start()
            assert same(device.run_batch(lines(4)), wanted)
            assert broker.end(signal.SIGTERM) == 0
            broker.start()
            assert same(device.run_batch(lines(4)), wanted), "the first question after a restart finds it"


def test_a_broker_that_is_stopped_is_given_up(models: Path) -> None:
    with socket_path() as path, Process(path, models) as broker:
        broker.start()
        with Broker(NETWORK, path, silence_s=1) as device:
            assert broker._process is not None
            broker._process.send_signal(signal.SIGSTOP)
            os.waitpid(broker._process.pid, os.WUNTRACED)  # until it has stopped
            with pytest.raises(DeviceTimeout):
                device.run_batch(lines(2))
            broker._process.send_signal(signal.SIGCONT)
            assert same(device.run_batch(lines(2)), Reference(NETWORK).run_batch(lines(2)))


def test_what_was_asked_before_sigterm_is_answered(models: Path) -> None:
    with socket_path() as path, Process(path, models, "--engine", "reference") as broker:
        broker.start()
        batch = lines(30)
        parts = np.array([len(batch), *(len(line) for line in batch)], "<u4").tobytes()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            send(client, Kind.RUN, digest_of(NETWORK), parts, *(line.tobytes() for line in batch))
            kind = receive(client, 60)[0]  # the broker has it, and works
            assert broker.end(signal.SIGTERM) == 0
            while kind == Kind.WORKING:
                kind = receive(client, 60)[0]
            assert kind == Kind.SCORES


def test_the_doctor_asks_the_broker(path: Path, settings: Settings) -> None:
    asked = dataclasses.replace(settings, engine="broker", broker=path)
    finding = {found.name: found for found in examine(asked)}["broker"]
    assert finding.ok, finding.found
    assert finding.remedy == ""
    assert "its engine is cpu" in finding.found
    with socket_path() as nowhere:
        finding = {found.name: found for found in examine(dataclasses.replace(asked, broker=nowhere))}["broker"]
    assert not finding.ok
    assert "zeile broker" in finding.remedy


def test_wrong_uses_of_the_command_name_the_remedy(models: Path) -> None:
    def refused(*options: str, **changed: Any) -> str:
        args = build_parser().parse_args(["broker", *options])
        with pytest.raises(BadSettings) as refusal:
            command.run(args, Settings(models=models, **changed))
        return str(refusal.value)

    assert "--socket PATH, or ZEILE_BROKER" in refused()
    assert "--engine fpga" in refused(engine="broker")
    assert "no such user" in refused("--user", "nobody-of-this-name")
    assert "shorter than 108 bytes" in refused(broker=Path("/tmp") / ("x" * 120))
    with socket_path() as path, Process(path, models) as broker:
        broker.start()
        assert "another broker runs" in refused(broker=path)
        assert (path.stat().st_mode & 0o777) == 0o600
        broker.end(signal.SIGTERM)
