# SPDX-License-Identifier: Apache-2.0
"""The units: systemd understands them, little is left open, and what they name exists."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from zeile.cli import build_parser
from zeile.settings import check_environment

FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "systemd"
UNITS = sorted(path.name for path in FOLDER.glob("*.service"))
THRESHOLD = 20
"""Exposure in tenths, 0 to 100: systemd calls up to 50 "OK"; a unit without any of this has 96."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


def analyze(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def entries(name: str) -> list[tuple[str, str]]:
    lines = (FOLDER / name).read_text("utf-8").splitlines()
    return [(key, value) for key, _, value in (line.partition("=") for line in lines if re.match(r"[A-Z]\w+=", line))]


def entry(name: str, wanted: str) -> str:
    return " ".join(value for key, value in entries(name) if key == wanted)


def test_there_are_the_three_of_them() -> None:
    assert UNITS == ["zeile-broker.service", "zeile-web.service", "zeile.service"]


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_little_of_the_machine_is_left_open(unit: str) -> None:
    if "--offline" not in analyze("--help")[1]:
        pytest.skip("this systemd cannot judge units offline")
    code, said = analyze("security", "--offline=true", f"--threshold={THRESHOLD}", str(FOLDER / unit))
    assert code == 0, said


@needs_systemd
def test_systemd_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    for unit in UNITS:  # as on a machine on which Zeile is installed
        text = (FOLDER / unit).read_text("utf-8").replace("/opt/zeile/bin/zeile", "/bin/true")
        (tmp_path / unit).write_text(text, "utf-8")
    code, said = analyze("verify", "--man=no", *(str(tmp_path / unit) for unit in UNITS))
    assert (code, said) == (0, "")


@pytest.mark.parametrize("unit", UNITS)
def test_commands_and_settings_exist(unit: str) -> None:
    program, *words = shlex.split(entry(unit, "ExecStart"))
    assert program == "/opt/zeile/bin/zeile"
    build_parser(words[0]).parse_args(words)
    check_environment(dict(word.split("=", 1) for word in entry(unit, "Environment").split()))


@pytest.mark.parametrize("unit", UNITS)
def test_a_service_that_hangs_or_ends_is_started_again(unit: str) -> None:
    assert entry(unit, "Type") == "notify"
    assert entry(unit, "Restart") == "always"
    assert int(entry(unit, "WatchdogSec")) == 15


def test_who_has_the_network_has_no_device_and_the_other_way_round() -> None:
    web = dict(entries("zeile-web.service"))
    assert (web["PrivateDevices"], web["CapabilityBoundingSet"], web["User"]) == ("yes", "", "zeile-web")
    assert "DeviceAllow" not in web
    broker = dict(entries("zeile-broker.service"))
    assert (broker["PrivateNetwork"], broker["RestrictAddressFamilies"]) == ("yes", "AF_UNIX")
    assert broker["CapabilityBoundingSet"] == "CAP_SYS_RAWIO"


def test_the_web_process_and_the_broker_mean_the_same_socket_and_user() -> None:
    sockets = [
        re.findall(r"ZEILE_BROKER=(\S+)", entry(f"zeile-{name}.service", "Environment")) for name in ("web", "broker")
    ]
    assert sockets == [["/run/zeile/broker.sock"]] * 2
    assert entry("zeile-broker.service", "RuntimeDirectory") == "zeile"
    user = entry("zeile-web.service", "User")
    assert f"--user {user}" in entry("zeile-broker.service", "ExecStart")
    assert re.search(rf"^u {user} ", (FOLDER / "zeile.sysusers.conf").read_text("utf-8"), re.MULTILINE)
