# SPDX-License-Identifier: Apache-2.0
"""The service calls nobody: it works where there is no network, and asks for none where there is one."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from tests.device.brokers import PATIENCE_S
from tests.models import line_png
from tests.service.serving import files

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "systemd" / "zeile.service"

REFUSED = {"mbind"}
"""System calls that the unit does not allow, and that are made nevertheless: OpenBLAS does without this one."""

WATCHED = """
import json, sys
from zeile.cli import main

WANTED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.sendto")

def heard(event, arguments):
    if event in WANTED:
        print("HEARD " + json.dumps([event, *map(repr, arguments[-2:])]), file=sys.stderr, flush=True)

sys.addaudithook(heard)
sys.exit(main(sys.argv[1:]))
"""

ALONE = """
import fcntl, http.client, re, socket, struct, subprocess, sys

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any:  # the loopback interface is up, nothing else is there
    fcntl.ioctl(any, 0x8914, struct.pack("16sh", b"lo", 1))
assert [name for _, name in socket.if_nameindex()] == ["lo"], socket.if_nameindex()
process = subprocess.Popen([sys.executable, "-m", "zeile", *sys.argv[2:]], stdout=subprocess.PIPE, text=True)
try:
    port = int(re.search(r":(\\d+) ", process.stdout.readline())[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with open(sys.argv[1], "rb") as image:
        connection.request("POST", "/v1/recognize", image.read(), {"content-type": "image/png"})
    answer = connection.getresponse()
    print(answer.status, answer.read().decode())
finally:
    process.terminate()
    process.wait()
"""


def options(models: Path) -> list[str]:
    return ["serve", "--models", str(models), "--model", "tiny/1", "--port", "0"]


@contextmanager
def process(command: list[str], errors: Path) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """A service in a process of its own, and a client of it."""
    with errors.open("w") as to:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=to, text=True, start_new_session=True)
    with running:
        try:
            assert running.stdout is not None
            where = re.search(r"http://\S+", running.stdout.readline())
            assert where is not None, errors.read_text()
            with httpx.Client(base_url=where[0], timeout=PATIENCE_S) as client:
                yield client, running
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


def use(client: httpx.Client) -> None:
    """Ask for what a page asks for, and for what a client does."""
    page = client.get("/")
    paths = set(re.findall(r'(?:src|href)="(/[^"]*)"', page.text))
    for path in (*sorted(paths), "/openapi.json", "/v1/models", "/livez", "/readyz", "/metrics"):
        assert client.get(path).status_code == 200, path
    for form in ("json", "text", "alto", "page", "hocr"):
        answer = client.post(f"/v1/recognize?format={form}", files=files(a_png=line_png(1), b_png=b"no image"))
        assert answer.status_code in (200, 422), answer.text


def test_nothing_is_connected_to_and_no_name_is_looked_up(models: Path, tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    with process([sys.executable, "-c", WATCHED, *options(models)], errors) as (client, running):
        use(client)
        running.send_signal(signal.SIGTERM)
        running.wait(PATIENCE_S)
    lines = errors.read_text("utf-8").splitlines()
    heard = [json.loads(line.removeprefix("HEARD ")) for line in lines if line.startswith("HEARD ")]
    strange = [event for event in heard if event[0] != "socket.getaddrinfo"]
    assert strange == []
    assert len(heard) <= 1, "the address to listen on, and no other name"


def test_it_works_where_there_is_no_network(models: Path, service: httpx.Client, tmp_path: Path) -> None:
    unshare = ["unshare", "--net", "--map-root-user"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        pytest.skip("network namespaces cannot be made here")
    (tmp_path / "line.png").write_bytes(line_png(1))
    done = subprocess.run(
        [*unshare, sys.executable, "-c", ALONE, str(tmp_path / "line.png"), *options(models)],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
    )
    status, _, body = done.stdout.partition(" ")
    assert status == "200", done.stdout + done.stderr
    there = service.post("/v1/recognize", content=line_png(1), headers={"content-type": "image/png"}).json()
    assert json.loads(body)["lines"] == there["lines"]


def allowed() -> set[str]:
    """System calls that the unit allows."""

    def members(name: str) -> set[str]:
        if not name.startswith("@"):
            return {name}
        done = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
        names = {line.strip() for line in done.stdout.splitlines()[1:] if line.strip() and "#" not in line}
        return set[str]().union(*map(members, names))

    calls: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE):
        named = set[str]().union(*(members(name) for name in line.lstrip("~").split()))
        calls = calls - named if line.startswith("~") else calls | named
    return calls


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_unit_allows_what_the_service_does(models: Path, tmp_path: Path) -> None:
    """System calls are allowed, memory is never writable and executable, and no socket leaves this machine."""
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-qq", "-o", str(trace), *(f"--inject={call}:error=EPERM" for call in REFUSED)]
    if shutil.which("strace") is None or subprocess.run([*strace, "true"], capture_output=True).returncode != 0:
        pytest.skip("processes cannot be traced here")
    with process([*strace, sys.executable, "-m", "zeile", *options(models)], tmp_path / "errors") as (
        client,
        running,
    ):
        use(client)
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        running.wait(PATIENCE_S)
    seen = trace.read_text("utf-8", "replace")
    calls = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", seen, re.MULTILINE)) - {"execve"}
    assert {"mmap", "epoll_wait"} <= calls
    assert calls - allowed() <= REFUSED
    # Each within its line: a call that another thread's interrupts has no closing bracket there.
    assert re.findall(r"mmap\([^)\n]*PROT_WRITE\|PROT_EXEC.*|mprotect\([^)\n]*PROT_EXEC.*", seen) == []
    assert [c for c in re.findall(r"connect\(.*", seen) if "AF_UNIX" not in c] == []
    assert re.findall(r"sendto\([^)\n]*AF_INET.*", seen) == []
