# SPDX-License-Identifier: Apache-2.0
"""Break one of three services while thousands of requests run, behind each of two balancers, and count what is lost.

    python deploy/fleet_faults.py                              all faults, zeile.fleet and HAProxy, 3,000 requests each
    python deploy/fleet_faults.py --requests 500 --balancers fleet --faults kill,link

Each service runs in a network namespace of its own, as on a machine of its own, and the client and HAProxy in another
one; the profile is deploy/haproxy.cfg as it stands, but for its limit of requests a second. Faults come when a third
of the requests is answered: none; kill (-9); term (SIGTERM, which finishes what was begun); link, the cable is pulled;
stop (SIGSTOP); overload, services that work on eight requests at a time. Needs root, iproute2 and, for it, haproxy.
Ends with status 1 if the fleet has lost a request.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.models import line_png, write_tiny_model

from zeile.errors import DeviceError, FleetError
from zeile.fleet import Fleet
from zeile.http import Host, NoAnswer, Reply
from zeile.load import scrape

PROFILE = Path(__file__).with_name("haproxy.cfg")
HUB = f"zeile-{os.getpid()}-hub"
ADDRESSES = ("10.0.0.11", "10.0.0.12", "10.0.0.13")  # those of the profile
URLS = tuple(f"http://{address}:8000" for address in ADDRESSES)
FAULTS = ("none", "kill", "term", "link", "stop", "overload")
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "stop": signal.SIGSTOP}
CLIENTS = 24
DEADLINE_S = 60.0
PATIENCE_S = 75.0  # longer than "timeout server" of the profile
IMAGES = tuple(line_png(seed) for seed in range(8))
PNG = {"content-type": "image/png"}

Read = Callable[[bytes], Awaitable[tuple[int, bytes]]]
"""Sends an image; status and body of the answer, status 0 if there was none."""


def ip(*words: str) -> None:
    """The command of that name."""
    subprocess.run(["ip", *words], check=True)


@contextmanager
def network() -> Iterator[None]:
    """A namespace for this process, and one for each service, all on one bridge."""
    names = [namespace(number) for number in range(len(ADDRESSES))]
    try:
        ip("netns", "add", HUB)
        ip("-n", HUB, "link", "set", "lo", "up")
        ip("-n", HUB, "link", "add", "bridge", "type", "bridge")
        ip("-n", HUB, "addr", "add", "10.0.0.1/24", "dev", "bridge")
        ip("-n", HUB, "link", "set", "bridge", "up")
        for number, (name, address) in enumerate(zip(names, ADDRESSES, strict=True)):
            ip("netns", "add", name)
            ip("-n", HUB, "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("-n", HUB, "link", "set", f"port{number}", "master", "bridge", "up")
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        with open(f"/run/netns/{HUB}", "rb") as hub:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(hub.fileno(), 0) != 0:  # os.setns is there from Python 3.12 on
                raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        for name in (HUB, *names):
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def namespace(number: int) -> str:
    """Of a service."""
    return f"zeile-{os.getpid()}-{number}"


@contextmanager
def services(models: Path, requests: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Services that work on so many requests at a time, once they serve.

    Raises:
        DeviceError: one does not start.
    """
    settings = {"ZEILE_MODELS": str(models), "ZEILE_MODEL": "tiny/1", "ZEILE_REQUESTS": str(requests)}
    environment = os.environ | settings | {"ZEILE_LOG": "off"}
    own = [sys.executable, "-m", "zeile", "serve", "--host", "0.0.0.0", "--port", "8000"]
    started: list[subprocess.Popen[str]] = []
    try:
        for number in range(len(ADDRESSES)):  # ip becomes the service, so the process is the service's own
            command = ["ip", "netns", "exec", namespace(number), *own]
            started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        for each in started:
            assert each.stdout is not None
            if not each.stdout.readline():
                raise DeviceError("a service does not start; zeile serve says why")
        yield started
    finally:
        for each in started:
            each.kill()
            each.wait()
            assert each.stdout is not None
            each.stdout.close()


@contextmanager
def haproxy(folder: Path) -> Iterator[str]:
    """The URL of an HAProxy with the profile."""
    text = PROFILE.read_text("utf-8")
    assert "gt 200 }" in text
    (folder / "haproxy.cfg").write_text(text.replace("gt 200 }", "gt 1000000 }"), "utf-8")
    process = subprocess.Popen(["haproxy", "-f", str(folder / "haproxy.cfg")], stderr=subprocess.DEVNULL)
    try:
        yield "http://127.0.0.1:8080"
    finally:
        process.terminate()
        process.wait()


async def serves(url: str) -> None:
    """Wait until a service is ready."""
    host, end = Host(url, timeout_s=5), time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            if (await _asked(host, "GET", "/readyz", b"")).status == 200:
                return host.close()
        except NoAnswer:
            pass
        await asyncio.sleep(0.1)
    raise DeviceError(f"{url} is not ready after {PATIENCE_S:.0f} s")


async def _asked(host: Host, method: str, path: str, body: bytes) -> Reply:
    head = f"{method} {path} HTTP/1.1\r\nHost: zeile\r\nContent-Type: image/png\r\nContent-Length: {len(body)}\r\n\r\n"
    return await host.ask(head.encode() + body)


class Tally:
    """What became of the requests.

    Attributes:
        statuses: how many of each; 0 for those without an answer.
        wrong: answers with another text than the first for the same image.
    """

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.wrong = 0
        self._texts: dict[int, str] = {}
        self._times_s: list[float] = []

    async def run(self, read: Read, count: int, fault: Callable[[], None]) -> None:
        """Send so many requests; a third of them before the fault."""
        numbers = iter(range(count))

        async def client() -> None:
            for number in numbers:
                began = time.monotonic()
                status, body = await read(IMAGES[number % len(IMAGES)])
                self._times_s.append(time.monotonic() - began)
                self.statuses[status] += 1
                if status == 200:
                    text = json.loads(body)["lines"][0]["text"]
                    self.wrong += self._texts.setdefault(number % len(IMAGES), text) != text
                if self.statuses.total() == count // 3:
                    broken.append(asyncio.get_running_loop().run_in_executor(None, fault))

        broken: list[asyncio.Future[None]] = []
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        await asyncio.gather(*broken)

    @property
    def lost(self) -> int:
        """Requests without the answer that they should have."""
        return self.statuses.total() - self.statuses[200] + self.wrong

    def text(self) -> str:
        """In a line."""
        times = sorted(self._times_s)
        p50, p99 = (1000 * times[int(len(times) * part)] for part in (0.5, 0.99))
        others = ", ".join(f"{n} of status {s}" for s, n in sorted(self.statuses.items()) if s != 200)
        return (
            f"{self.statuses.total()} requests, {self.lost} lost{f' ({others})' if others else ''}; ms: median "
            f"{p50:.0f}, p99 {p99:.0f}, longest {1000 * times[-1]:.0f}"
        )


async def through_fleet(count: int, fault: Callable[[], None]) -> tuple[Tally, Mapping[str, int]]:
    """The client balancer."""
    tally, tries = Tally(), 0
    async with Fleet(URLS, in_flight=CLIENTS, deadline_s=DEADLINE_S) as fleet:

        async def read(image: bytes) -> tuple[int, bytes]:
            nonlocal tries
            try:
                answer = await fleet.post("/v1/recognize", image, PNG)
            except FleetError as error:
                print(error)
                return 0, b""
            tries += answer.tries
            return answer.status, answer.body

        await tally.run(read, count, fault)
        return tally, {**fleet.shares, "sent again": tries - count}


async def through_haproxy(count: int, fault: Callable[[], None]) -> tuple[Tally, Mapping[str, int]]:
    """HAProxy before a client that asks once."""
    tally, host = Tally(), Host("http://127.0.0.1:8080", timeout_s=PATIENCE_S)

    async def read(image: bytes) -> tuple[int, bytes]:
        try:
            reply = await _asked(host, "POST", "/v1/recognize", image)
        except NoAnswer:
            return 0, b""
        return reply.status, reply.body

    await serves("http://127.0.0.1:8080")
    await tally.run(read, count, fault)
    metrics = Host("http://127.0.0.1:8404")
    samples = scrape.parse((await _asked(metrics, "GET", "/metrics", b"")).body.decode())
    metrics.close()
    host.close()
    answered = {
        url: sum(int(v) for k, v in samples.items() if f'server="board{n}",code="2xx"' in k and "responses" in k)
        for n, url in enumerate(URLS, 1)
    }
    return tally, answered


def breaking(fault: str, running: list[subprocess.Popen[str]]) -> Callable[[], None]:
    """Breaks the first service."""

    def now() -> None:
        if fault in SIGNALS:
            running[0].send_signal(SIGNALS[fault])
        elif fault == "link":
            ip("-n", HUB, "link", "set", "port0", "down")

    return now


def tried(balancer: str, fault: str, count: int, folder: Path) -> Tally:
    """One balancer, one fault."""
    with ExitStack() as stack:
        running = stack.enter_context(services(folder / "models", 8 if fault == "overload" else 256))
        for url in URLS:
            asyncio.run(serves(url))
        if balancer == "haproxy":
            stack.enter_context(haproxy(folder))
        through = through_fleet if balancer == "fleet" else through_haproxy
        began = time.monotonic()
        tally, shares = asyncio.run(through(count, breaking(fault, running)))
        took = time.monotonic() - began
        if fault == "link":
            ip("-n", HUB, "link", "set", "port0", "up")
    shown = ", ".join(f"{url.rpartition('/')[2]} {share}" for url, share in shares.items())
    print(f"{balancer:7} {fault:8} {tally.text()}; {count / took:.0f} a second; {shown}", flush=True)
    return tally


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--requests", type=int, default=3000, metavar="N", help="for each fault (default 3000)")
    parser.add_argument("--balancers", default="fleet,haproxy", metavar="LIST")
    parser.add_argument("--faults", default=",".join(FAULTS), metavar="LIST", help=f"of {', '.join(FAULTS)}")
    given = parser.parse_args()
    balancers, faults = given.balancers.split(","), given.faults.split(",")
    if not set(balancers) <= {"fleet", "haproxy"} or not set(faults) <= set(FAULTS) or given.requests < CLIENTS:
        parser.error(f"balancers are fleet and haproxy, faults {', '.join(FAULTS)}; requests at least {CLIENTS}")
    missing = [name for name in ("ip", "haproxy") if shutil.which(name) is None and (name in balancers or name == "ip")]
    if os.geteuid() != 0 or missing:
        print(
            f"needs root{''.join(f', and {name}' for name in missing)}: apt install iproute2 haproxy", file=sys.stderr
        )
        return 2
    lost = 0
    with tempfile.TemporaryDirectory() as folder, network():
        write_tiny_model(Path(folder) / "models")
        for balancer in balancers:
            for fault in faults:
                tally = tried(balancer, fault, given.requests, Path(folder))
                lost += tally.lost if balancer == "fleet" else 0
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
