# SPDX-License-Identifier: Apache-2.0
"""Ready means tested: golden lines on the engine in use. Alive means that its thread works."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.models import line_png, write_tiny_model
from tests.service.flaky import Board, flipped, install, sample
from tests.service.serving import files, refused, serving

from zeile.device import Device, Frames, Scores, open_device
from zeile.errors import DeviceFault, ZeileError
from zeile.manifest import load_model
from zeile.network import Network
from zeile.service import engines, golden, health
from zeile.service.metrics import Metrics
from zeile.service.power import Power, sensors
from zeile.service.registry import Registry
from zeile.service.schemas import Alive, Circuit, Health, Ready
from zeile.settings import Settings

MODELS = Path(__file__).resolve().parents[2] / "models"
PATIENCE_S = 60.0


def until(true: Callable[[], bool]) -> None:
    """Wait for something that happens in the background."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def settings(models: Path, **options: Any) -> Settings:
    return Settings(models=models, model="tiny/1", **options)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service looks at itself more often."""
    monkeypatch.setattr(health, "TICK_S", 0.02)
    monkeypatch.setattr(health, "RETRY_S", 0.1)


def test_the_connection_says_what_the_app_would_say(service: httpx.Client) -> None:
    name = {"x-request-id": "a"}
    short, long = service.get("/livez", headers=name), service.get("/livez?by=the-app", headers=name)
    assert (short.status_code, short.content) == (long.status_code, long.content)
    assert {**short.headers, "date": ""} == {**long.headers, "date": ""}
    refused(service.get("/livez", headers={"origin": "https://elsewhere.example"}), 403, "not-allowed")
    assert service.post("/livez").status_code == service.post("/readyz").status_code == 405


def test_a_service_that_has_passed_its_self_test_is_ready(service: httpx.Client) -> None:
    assert Alive.model_validate_json(service.get("/livez").content).status == "alive"
    ready = Ready.model_validate_json(service.get("/readyz").content)
    assert (ready.self_test.ok, ready.self_test.model, ready.self_test.engine) == (True, "tiny/1", "cpu")
    assert ready.self_test.lines == 3
    assert ready.circuit is None
    about = Health.model_validate_json(service.get("/healthz").content)
    assert (about.model.name, about.engine["engine"], about.self_test.ok) == ("tiny", "cpu", True)


@pytest.mark.parametrize("part", ["pixels", "frames", "scores", "texts"])
def test_one_wrong_integer_and_it_is_not_ready(models: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    model = load_model(models / "tiny" / "1")
    written = golden.expected()
    frames = golden.golden_of(model).frames
    written["frames"] = {golden.shape_of(model.network): [golden.digest(f) for f in frames]}
    written["models"] = {model.sha256: golden.reference_facts(model, frames)}
    wrong = {"pixels": written["pixels"], "frames": next(iter(written["frames"].values()))}
    (wrong.get(part) or written["models"][model.sha256][part])[1] = "0" * 64
    monkeypatch.setattr(golden, "expected", lambda: written)
    monkeypatch.setattr(golden, "_kept", {})
    with serving(settings(models)) as client:
        assert "self-test: " in refused(client.get("/readyz"), 503, "not-ready")
        assert client.get("/readyz").headers["retry-after"]
        refused(client.get("/healthz"), 503, "not-ready")
        assert client.get("/livez").status_code == 200
        assert sample(client.get("/metrics").text, "zeile_selftest_ok") == 0


@pytest.mark.usefixtures("quick")
def test_an_engine_that_computes_wrongly_is_not_ready_and_reads_for_nobody_until_it_is_mended(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = True

    class Wrong:
        def __init__(self, device: Device) -> None:
            self._device, self.info, self.close = device, device.info, device.close

        def run_batch(self, lines: Sequence[Frames]) -> list[Scores]:
            scores = self._device.run_batch(lines)
            return flipped(scores) if wrong else scores

    def opened(name: str, network: Network, threads: int = 1, settings: Settings | None = None) -> Any:
        return Wrong(open_device("reference", network))

    monkeypatch.setattr(engines, "open_device", opened)
    with serving(settings(models)) as client:
        detail = refused(client.get("/readyz"), 503, "not-ready")
        assert "the scores of 1 of 3 test lines are not the expected ones" in detail
        for path in ("/v1/recognize", "/v1/recognize?model=tiny/2", "/v1/recognize?format=ndjson", "/v1/pages"):
            asked = client.post(path, content=line_png(1), headers={"content-type": "image/png"})
            assert detail in refused(asked, 503, "not-ready")
            assert asked.headers["retry-after"] == "10"
        assert client.get("/livez").status_code == 200
        assert sample(client.get("/metrics").text, "zeile_lines_total") == 0
        wrong = False
        until(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/v1/recognize", files=files(a_png=line_png(1))).status_code == 200


@pytest.mark.usefixtures("quick")
def test_a_damaged_model_is_not_ready_until_it_is_mended(tmp_path: Path) -> None:
    weights = write_tiny_model(tmp_path) / "weights.npz"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with serving(settings(tmp_path)) as client:
        assert "weights.npz is damaged" in refused(client.get("/readyz"), 503, "not-ready")
        assert client.get("/livez").status_code == 200
        weights.write_bytes(whole)
        until(lambda: client.get("/readyz").status_code == 200)


def test_a_missing_model_is_not_ready_and_the_message_names_those_that_are_there(models: Path) -> None:
    with serving(Settings(models=models, model="tiny/7")) as client:
        assert "tiny/1" in refused(client.get("/readyz"), 503, "not-ready")
        named = client.post("/v1/recognize?model=tiny/1", files=files(a_png=line_png(1)))
        assert named.status_code == 200


class Still:
    """A worker whose thread is this one."""

    def __init__(self, settings: Settings) -> None:
        self.alive, self.stopping, self.busy_s = True, False, 0.0
        self.engines = engines.Engines(settings, Metrics())
        self.open_folders: frozenset[Path] = frozenset()
        self.because: str | None = None

    def distrust(self, because: str | None) -> None:
        self.because = because

    def submit_exclusive(self, work: Callable[[engines.Engines], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(self.engines))
        except ZeileError as error:
            future.set_exception(error)
        return future


def test_a_service_whose_engine_hangs_has_ended_or_is_told_to_stop_says_so(models: Path) -> None:
    here, metrics = settings(models), Metrics()
    worker = Still(here)
    watched = health.Health(here, metrics, Registry(here, metrics), worker)
    assert (watched.dead, watched.fault) == (None, "the service is starting; ask again in a moment")
    watched.test()
    assert (watched.dead, watched.fault) == (None, None)
    worker.busy_s = health.STUCK_S + 1
    assert "hangs for 121 s" in (watched.dead or "")
    assert watched.fault == watched.dead
    worker.busy_s, worker.stopping = 0.0, True
    assert watched.dead is None
    assert "stopping" in (watched.fault or "")
    worker.alive, worker.stopping = False, False
    assert "has ended" in (watched.dead or "")
    watched.test()
    assert watched.self_test is not None
    assert not watched.self_test["ok"]


@pytest.mark.usefixtures("quick")
def test_the_self_test_is_made_again_when_another_model_becomes_the_default(models: Path) -> None:
    with serving(settings(models)) as client:
        client.put("/v1/aliases/default", json={"target": "tiny/2"}).raise_for_status()
        until(lambda: client.get("/readyz").json()["self_test"]["model"] == "tiny/2")
        assert client.get("/healthz").json()["model"]["version"] == "2"
        info = [line for line in client.get("/metrics").text.splitlines() if line.startswith("zeile_build_info{")]
        assert len(info) == 1
        assert 'model="tiny/2"' in info[0]


def test_metrics_are_what_prometheus_reads(service: httpx.Client) -> None:
    response = service.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    assert families["zeile_selftest_ok"].samples[0].value == 1
    assert families["zeile_build_info"].samples[0].labels["model"] == "tiny/1"
    assert {"zeile_queue_lines", "zeile_request_seconds", "zeile_accelerator_faults"} <= set(families)


@pytest.fixture
def board(models: Path, monkeypatch: pytest.MonkeyPatch, quick: None) -> Iterator[tuple[httpx.Client, Board]]:
    made = Board()
    install(made, monkeypatch)
    with serving(settings(models, engine="fpga", checked=1000)) as client:
        yield client, made


def circuit(client: httpx.Client) -> Circuit:
    ready = Ready.model_validate_json(client.get("/readyz").content)
    assert ready.circuit is not None
    return ready.circuit


def ask(client: httpx.Client) -> Any:
    answer = client.post("/v1/recognize", files=files(a_png=line_png(1), b_png=line_png(2)))
    answer.raise_for_status()
    return answer.json()


def test_a_board_that_fails_leaves_the_service_ready_and_comes_back_by_itself(
    board: tuple[httpx.Client, Board],
) -> None:
    client, made = board
    before = ask(client)
    assert before["engine"]["engine"] == "fpga"
    assert circuit(client).state == "closed"
    made.fault = DeviceFault("the DMA stopped")
    after = ask(client)
    assert after["lines"] == before["lines"]
    assert after["engine"]["engine"] == "reference"
    assert (after["engine"]["instead_of"], after["engine"]["because"]) == ("fpga", "the DMA stopped")
    assert circuit(client).state in ("open", "half-open")
    assert circuit(client).faults["fault"] >= 2
    assert sample(client.get("/metrics").text, "zeile_circuit_open") == 1
    made.fault = None
    until(lambda: circuit(client).state == "closed")  # though nobody asks for a line
    assert ask(client)["engine"]["engine"] == "fpga"
    assert sample(client.get("/metrics").text, "zeile_fallback_lines_total") == 2


def test_a_board_that_answered_wrongly_is_held_until_an_operator_closes_its_circuit(
    board: tuple[httpx.Client, Board], caplog: pytest.LogCaptureFixture
) -> None:
    client, made = board
    before = ask(client)
    made.next = lambda: flipped
    after = ask(client)
    assert after["lines"] == before["lines"]
    assert after["engine"]["engine"] == "reference"
    assert circuit(client).state == "held"
    assert "ALARM" in caplog.text
    text = client.get("/metrics").text
    assert sample(text, "zeile_backend_mismatch_total") >= 1
    assert sample(text, "zeile_cross_checked_lines_total") >= 4
    made.next = None
    assert ask(client)["engine"]["engine"] == "reference"
    assert client.post("/v1/device/close-circuit").json()["state"] in ("open", "half-open", "closed")
    until(lambda: circuit(client).state == "closed")
    assert ask(client)["engine"]["engine"] == "fpga"


def test_a_board_that_fails_its_self_test_is_held_and_the_cpu_is_tested_instead(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Board()
    made.next = lambda: flipped
    install(made, monkeypatch)
    with serving(settings(models, engine="fpga", checked=0)) as client:
        ready = Ready.model_validate_json(client.get("/readyz").content)
        assert ready.self_test.engine == "reference"
        assert ready.circuit is not None
        assert ready.circuit.state == "held"
        assert "self-test" in (ready.circuit.because or "")


def test_without_a_board_there_is_no_circuit_to_close(service: httpx.Client) -> None:
    assert "the engine is 'cpu'" in refused(service.post("/v1/device/close-circuit"), 409, "conflict")


def test_models_that_ship_have_their_integers_written_down() -> None:
    written = golden.expected()
    for folder in sorted(path.parent for path in MODELS.glob("*/*/manifest.json")):
        model = load_model(folder)
        remedy = "run: python -m zeile.service.golden models/*/*"
        assert model.sha256 in written["models"], remedy
        lines = golden.golden_of(model)
        with open_device("cpu", model.network) as device:
            lines.test(device, model)
        assert golden.shape_of(model.network) in written["frames"]


def test_what_is_written_down_is_what_the_reference_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in golden.expected()["lines"]:
        shutil.copy(golden.FOLDER / name, tmp_path)
    folders = sorted(path.parent for path in MODELS.glob("*/*/manifest.json"))
    before = golden.EXPECTED.read_bytes()
    monkeypatch.setattr(golden, "FOLDER", tmp_path)
    monkeypatch.setattr(golden, "EXPECTED", tmp_path / "golden.json")
    golden.write(folders)
    assert json.loads((tmp_path / "golden.json").read_bytes()) == json.loads(before)


def test_a_self_test_without_its_lines_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(write_tiny_model(tmp_path / "models"))
    monkeypatch.setattr(golden, "_kept", {})
    monkeypatch.setattr(golden, "FOLDER", tmp_path)
    with pytest.raises(golden.SelfTestFailed, match="a test line cannot be read"):
        golden.golden_of(model)
    monkeypatch.setattr(golden, "EXPECTED", tmp_path / "nothing.json")
    with pytest.raises(golden.SelfTestFailed, match="install Zeile again"):
        golden.golden_of(model)


def tree(root: Path, **values: str) -> Path:
    """A folder of sensors, as the kernel has them."""
    for name, value in values.items():
        chip, _, file = name.partition("__")
        (root / chip).mkdir(parents=True, exist_ok=True)
        (root / chip / file).write_text(value + "\n", "ascii")
    return root


def test_watts_and_degrees_come_from_the_kernels_sensors(tmp_path: Path) -> None:
    tree(
        tmp_path,
        hwmon0__name="ina226",
        hwmon0__power1_input="12500000",
        hwmon0__power1_label="12V",
        hwmon1__name="irps5401",
        hwmon1__power1_input="875000",
        hwmon1__power2_input="nonsense",
        hwmon2__name="soc",
        hwmon2__temp1_input="41500",
    )
    now = [0.0]
    power = Power(tmp_path, lambda: now[0])
    power.sample()
    assert power.watts == {"12V": 12.5, "power1": 0.875}
    now[0] = 2.0
    tree(tmp_path, hwmon0__power1_input="13500000")
    power.sample()
    now[0] = 1000.0  # a gap that nothing is known of
    power.sample()
    found = {(f.name, *s.labels.values()): s.value for f in power.collect() for s in f.samples}
    assert found["zeile_power_watts", "12V"] == 13.5
    assert found["zeile_energy_joules", "12V"] == 26.0
    assert found["zeile_temperature_celsius", "soc temp1"] == 41.5


def test_what_has_no_sensor_has_no_metric(tmp_path: Path) -> None:
    power = Power(tmp_path)
    power.sample()
    assert (power.watts, list(power.collect())) == ({}, [])
    power.rails = lambda: {"12V": 10.0}
    power.sample()
    assert power.watts == {"12V": 10.0}

    def broken() -> dict[str, float]:
        raise OSError(121, "Remote I/O error")

    power.rails = broken
    power.sample()
    assert power.watts == {}


def test_sensors_of_one_name_are_told_apart(tmp_path: Path) -> None:
    tree(tmp_path, hwmon0__power1_input="1000000", hwmon1__power1_input="2000000", hwmon1__name="b")
    assert sensors(tmp_path, "power", 1e-6) == {"power1": 1.0, "b power1": 2.0}
