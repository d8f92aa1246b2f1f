# SPDX-License-Identifier: Apache-2.0
"""Faults of the machine around the service: a full disk, a read-only one, files that change under it.

Nothing that was acknowledged is lost, whoever asks meanwhile is told why not, and once the fault is mended the service
goes on by itself.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.models import line_png, write_tiny_model
from tests.service.serving import files, refused, serving

import zeile
from zeile.service import audit
from zeile.service.audit_log import all_records, verify
from zeile.service.audit_writer import Writer
from zeile.settings import Settings

PATIENCE_S = 60.0


def asked(client: httpx.Client, name: str = "") -> httpx.Response:
    """Ask for a line, under a name that the log will have."""
    return client.post("/v1/recognize", files=files(a_png=line_png(1)), headers={"x-request-id": name})


def until_ready(client: httpx.Client) -> None:
    end = time.monotonic() + PATIENCE_S
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < end, "the service did not recover"
        time.sleep(0.05)


class Process:
    """``zeile serve`` with the settings of the environment, in a process of its own.

    Attributes:
        client: of it.
        pid: its number.
    """

    def __init__(self, prefix: list[str], **variables: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ZEILE_")}
        path = str(Path(zeile.__file__).parents[1])
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "zeile", "serve", "--port", str(port)],
            env=kept | {"PYTHONPATH": path, "ZEILE_MODEL": "tiny/1", "ZEILE_LOG": "off"} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the service did not start"
        self.client, self.pid = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60), self._process.pid

    def inside(self, *command: str) -> str:
        """Run a command that sees the process's mounts; returns its output."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid), "-m", *command], capture_output=True, text=True, check=True
        )
        return done.stdout

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(how)
        self._process.communicate()
        self.client.close()


@contextmanager
def process(prefix: list[str], **variables: str) -> Iterator[Process]:
    running = Process(prefix, **variables)
    try:
        yield running
    finally:
        running.end(signal.SIGKILL)


def needs_mounts() -> None:
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("unshare and nsenter are not installed")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting needs root")


def on_tmpfs(folder: Path, size: str) -> list[str]:
    """Runs a command with a small disk of its own at ``folder``."""
    mount = f"mount -t tmpfs -o size={size} tmpfs '{folder}' && exec \"$@\""
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh"]


def test_a_full_disk_loses_nothing_that_was_acknowledged(models: Path, tmp_path: Path) -> None:
    needs_mounts()
    disk = tmp_path / "disk"
    disk.mkdir()
    log = disk / "audit.jsonl"
    variables = {"ZEILE_MODELS": str(models), "ZEILE_AUDIT": str(log), "ZEILE_AUDIT_BYTES": "65536"}
    with process(on_tmpfs(disk, "512k"), **variables) as service:
        service.inside("dd", "if=/dev/zero", f"of={disk}/ballast", "bs=1024", "count=256")
        statuses: dict[str, int] = {}
        with ThreadPoolExecutor(8) as pool:
            while 503 not in statuses.values():
                first = len(statuses)
                names = [str(first + n) for n in range(64)]
                answers = pool.map(lambda name: asked(service.client, name), names)
                for name, answer in zip(names, answers, strict=True):
                    statuses[name] = answer.status_code
                    if answer.status_code != 200:
                        assert "No space left" in refused(answer, 503, "unlogged")
                        assert int(answer.headers["retry-after"]) >= 1
        assert set(statuses.values()) == {200, 503}
        assert "No space left" in refused(service.client.get("/readyz"), 503, "not-ready")
        assert service.client.get("/livez").status_code == 200
        service.inside("rm", f"{disk}/ballast")
        until_ready(service.client)
        assert asked(service.client, "after").status_code == 200
        shutil.copytree(f"/proc/{service.pid}/root{disk}", tmp_path / "kept")
    kept = tmp_path / "kept" / "audit.jsonl"
    verify(kept)
    logged = {entry["provenance"]["request_id"] for entry, _ in all_records(kept) if entry["kind"] == "recognize"}
    assert {name for name, status in statuses.items() if status == 200} | {"after"} <= logged


def test_a_killed_service_has_logged_every_answer(models: Path, tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    answered: list[str] = []
    for turn in range(2):
        with process([], ZEILE_MODELS=str(models), ZEILE_AUDIT=str(log)) as service, ThreadPoolExecutor(8) as pool:

            def ask(client: int, service: Process = service, turn: int = turn) -> None:
                for n in range(10**6):
                    name = f"{turn}-{client}-{n}"
                    try:
                        if asked(service.client, name).status_code == 200:
                            answered.append(name)
                    except httpx.TransportError:
                        return

            waiting = [pool.submit(ask, client) for client in range(8)]
            enough = len(answered) + 100
            while len(answered) < enough:
                time.sleep(0.01)
            os.kill(service.pid, signal.SIGKILL)
            for each in waiting:
                each.result()
    Writer(log, 1 << 20).close()  # as the next start does, it takes away what the kill cut off
    verify(log)
    logged = {entry["provenance"]["request_id"] for entry, _ in all_records(log) if entry["kind"] == "recognize"}
    assert len(answered) >= 200
    assert set(answered) <= logged


def test_a_read_only_disk_is_told_and_a_mended_one_is_used_without_a_restart(models: Path, tmp_path: Path) -> None:
    needs_mounts()
    disk = tmp_path / "disk"
    disk.mkdir()
    with process(on_tmpfs(disk, "1m,ro"), ZEILE_MODELS=str(models), ZEILE_AUDIT=str(disk / "audit.jsonl")) as service:
        assert "Read-only" in refused(asked(service.client), 503, "unlogged")
        assert "Read-only" in refused(service.client.get("/readyz"), 503, "not-ready")
        service.inside("mount", "-o", "remount,rw", str(disk))
        until_ready(service.client)
        assert asked(service.client).status_code == 200


def test_an_unwritable_log_keeps_nothing_but_answers_back(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PAUSE_S", 0.05)
    folder = tmp_path / "later"
    with serving(Settings(models=models, model="tiny/1", audit=folder / "audit.jsonl")) as client:
        assert "audit log" in refused(asked(client), 503, "unlogged")
        assert "audit log" in refused(client.get("/readyz"), 503, "not-ready")
        assert client.get("/v1/models").status_code == 200
        folder.mkdir()
        until_ready(client)
        assert asked(client).status_code == 200
    assert verify(folder / "audit.jsonl").number == 2


def test_an_answer_in_pieces_ends_where_it_cannot_be_logged(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "audit.jsonl"
    append, most = Writer.append, 3

    def limited(writer: Writer, entries: list[dict[str, object]]) -> object:
        if writer.last.number >= most:
            raise OSError(28, os.strerror(28))
        return append(writer, entries)

    monkeypatch.setattr(Writer, "append", limited)
    with serving(Settings(models=models, model="tiny/1", audit=log)) as client:
        images = files(**{f"{n}_png": line_png(n % 5) for n in range(200)})
        answer = client.post("/v1/recognize?format=ndjson", files=images)
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert rows[-1]["error"]["type"] == "urn:zeile:problem:unlogged"
    sent = sum("index" in row for row in rows)
    assert 0 < sent < 200
    assert sent == sum(entry["lines"] for entry, _ in all_records(log) if entry["kind"] == "recognize")


def test_a_model_that_is_damaged_on_disk_goes_on_reading_and_is_refused_when_loaded(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "models")
    with serving(Settings(models=tmp_path / "models", model="tiny/1")) as client:
        before = asked(client).json()
        weights = folder / "weights.npz"
        sound = weights.read_bytes()
        for damaged in (sound[: len(sound) // 2], b"", bytes(reversed(sound))):
            weights.write_bytes(damaged)
            assert asked(client).json()["lines"] == before["lines"]
            assert "weights.npz" in refused(client.post("/v1/models/tiny/1/load"), 409, "conflict")
            assert asked(client).json()["provenance"]["output"] == before["provenance"]["output"]
        shutil.rmtree(folder)
        assert asked(client).json()["lines"] == before["lines"]


def test_uploads_that_do_not_fit_the_spool_are_refused_and_leave_nothing(models: Path, tmp_path: Path) -> None:
    needs_mounts()
    spool = tmp_path / "spool"
    spool.mkdir()
    variables = {"ZEILE_MODELS": str(models), "ZEILE_SPOOL": str(spool), "TMPDIR": str(spool)}
    with process(on_tmpfs(spool, "2m"), **variables) as service:
        for _ in range(2):
            large = files(a_png=line_png(1), b_png=os.urandom(6 << 20))
            answer = service.client.post("/v1/recognize", files=large)
            assert answer.status_code in (413, 503), answer.text
            assert answer.headers["content-type"] == "application/problem+json"
        assert asked(service.client).status_code == 200
        assert service.inside("ls", "-A", str(spool)) == ""
