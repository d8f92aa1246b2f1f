# SPDX-License-Identifier: Apache-2.0
"""Settings come from the environment, arguments override them, and mistakes are named with a remedy."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest

import zeile.settings
from zeile.device import ENGINES
from zeile.errors import BadSettings
from zeile.image import MAX_PIXELS, Limits
from zeile.settings import Settings


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("ZEILE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_defaults() -> None:
    settings = Settings()
    assert settings == Settings(
        models=Path("/opt/zeile/models"),
        model="latin-print",
        engine="cpu",
        threads=1,
        host="127.0.0.1",
        port=8000,
        body_bytes=64 << 20,
        image_bytes=32 << 20,
        image_pixels=64_000_000,
        image_width=65_500,
        image_height=8192,
    )
    assert settings.image_limits() == Limits()


def test_the_models_of_a_checkout_come_first(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    assert Settings().models == Path("models")


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "MODELS": "~/models",
        "MODEL": "fraktur/2",
        "ENGINE": "reference",
        "THREADS": "4",
        "HOST": "::1",
        "PORT": "0",
        "BODY_BYTES": "4096",
        "IMAGE_BYTES": "2048",
        "OVERLAYS": "boards",
        "OVERLAY": "tiny",
        "EMULATE": "reference",
        "IMAGE_PIXELS": "600000",
        "IMAGE_WIDTH": "3000",
        "IMAGE_HEIGHT": "200",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"ZEILE_{name}", value)
    assert Settings() == Settings(
        models=Path.home() / "models",
        model="fraktur/2",
        engine="reference",
        threads=4,
        host="::1",
        port=0,
        body_bytes=4096,
        overlays=Path("boards"),
        overlay="tiny",
        emulate="reference",
        image_bytes=2048,
        image_pixels=600_000,
        image_width=3000,
        image_height=200,
    )
    assert Settings().image_limits() == Limits(bytes=2048, pixels=600_000, width=3000, height=200)


def test_every_limit_on_images_that_can_be_set_is_one_that_images_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BYTES", "PIXELS", "WIDTH", "HEIGHT"):
        monkeypatch.setenv(f"ZEILE_IMAGE_{name}", str(MAX_PIXELS if name == "PIXELS" else 1 << 31))
    assert Settings().image_limits() == Limits(bytes=1 << 31, pixels=MAX_PIXELS, width=1 << 31, height=1 << 31)
    monkeypatch.setenv("ZEILE_IMAGE_PIXELS", str(MAX_PIXELS + 1))
    with pytest.raises(BadSettings, match="ZEILE_IMAGE_PIXELS is '89478486'; it must be a whole number from 1 to"):
        Settings()


def test_arguments_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEILE_PORT", "9000")
    monkeypatch.setenv("ZEILE_HOST", "0.0.0.0")
    settings = Settings(port=7000)
    assert (settings.port, settings.host) == (7000, "0.0.0.0")


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "expectation"),
    [
        ("ZEILE_PORT", "80000", "a whole number from 0 to 65535"),
        ("ZEILE_PORT", "http", "a whole number from 0 to 65535"),
        ("ZEILE_PORT", "", "a whole number"),
        ("ZEILE_PORT", "8e3", "a whole number"),
        ("ZEILE_PORT", "٨٠", "a whole number"),
        ("ZEILE_PORT", "9" * 5000, "a whole number"),
        ("ZEILE_THREADS", "0", "a whole number from 1 to 256"),
        ("ZEILE_THREADS", "-1", "a whole number from 1 to 256"),
        ("ZEILE_BODY_BYTES", "10", "a whole number from 1024"),
        ("ZEILE_IMAGE_BYTES", "0", "a whole number from 1 to 2147483648"),
        ("ZEILE_ENGINE", "gpu", "one of cpu, reference, fpga"),
        ("ZEILE_EMULATE", "yes", "one of 0, 1, hls, reference, rtl"),
        ("ZEILE_OVERLAY", "a\nb", "without control characters"),
        ("ZEILE_MODEL", " ", "not empty"),
        ("ZEILE_HOST", "a\x1b[2J", "without control characters"),
        ("ZEILE_MODELS", "", "not empty"),
    ],
)
def test_errors_name_variable_value_and_expectation(
    name: str, value: str, expectation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings) as caught:
        Settings()
    message = str(caught.value)
    assert message.startswith(f"{name} is {value!r}; it must be ")
    assert expectation in message


def test_arguments_are_checked_like_variables() -> None:
    with pytest.raises(BadSettings, match=r"^port is '70000'; it must be a whole number from 0 to 65535$"):
        Settings(port=70000)
    with pytest.raises(BadSettings, match=r"^engine is 'gpu'; it must be one of cpu, reference, fpga, broker$"):
        Settings(engine="gpu")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("ZEILE_PROT", r"did you mean ZEILE_PORT\?"),
        ("ZEILE_MODLES", r"did you mean ZEILE_MODELS\?"),
        ("ZEILE_port", "ZEILE_PORT"),
        ("ZEILE_QQQQQQQQQQQQ", "there are ZEILE_MODELS, "),
    ],
)
def test_unknown_variables_are_refused(name: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(BadSettings, match=f"the environment has {name}, which does not exist; .*{remedy}"):
        Settings()


def test_variables_that_others_read_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ZEILE_NATIVE_PATH", "ZEILE_TRAIN_OPERATOR", "ZEILE_VENV", "ZEILE_PYTHON"):
        monkeypatch.setenv(name, "x")
    Settings()


def test_the_table_of_the_module_lists_every_setting() -> None:
    listed = re.findall(r"^\| (ZEILE_\w+) \|", zeile.settings.__doc__ or "", re.MULTILINE)
    assert listed == [f"ZEILE_{field.name.upper()}" for field in dataclasses.fields(Settings)]


def test_every_engine_can_be_set() -> None:
    assert [Settings(engine=name).engine for name in ENGINES] == list(ENGINES)
