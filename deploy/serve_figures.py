# SPDX-License-Identifier: Apache-2.0
"""Figures of the service under load, each measured on a service of its own on this machine.

    python deploy/serve_figures.py                       all of them
    python deploy/serve_figures.py saturation half overload --lines my_lines.zip --out figures.json

    generator    requests a second that the load generator itself can send
    saturation   HTTP end to end against the pipeline in one process, both as fast as they can, in turns
    idle         latency of one client alone, and how lines of 32 share batches
    half         latency at half the rate of saturation, random arrivals
    overload     four times that rate for --seconds: what is read, what is refused and how fast
    health       /livez while the service is saturated and gets damaged images
    priority     interactive requests alone, and beside bulk ones that fill the service
    sigterm      SIGTERM under load, with an audit log: what was acknowledged and what arrived
    swaps        --swaps hot swaps between two models under load
    kills        kill -9 of the process that reads, five times under load: what fails, and how long nothing is answered

The service is configured by the environment (ZEILE_MODELS, ZEILE_MODEL, ...). Quiet machines only. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeile.device import open_device
from zeile.http import Host, NoAnswer, allow_connections
from zeile.image import decode
from zeile.load import bodies, loop, scrape
from zeile.load.child import Child, serving
from zeile.load.drive import Closed, Open, measure
from zeile.load.windows import NO_ANSWER, Level, Outcome, Recorder, Rule, latencies
from zeile.manifest import find_model, load_model
from zeile.pipeline import Recognizer
from zeile.service.memory import leave_alone
from zeile.settings import Settings

LINES = Path(__file__).parents[1] / "tests" / "lines" / "antiqua"
RULE = Rule(warmup_s=1, window_s=2, most=6)
SATURATING = 64
"""Lines on their way; more requests of many files would only be turned away."""
BATCH_LINES = 32
PATIENCE_S = 60

Found = dict[str, Any]


@dataclass
class Given:
    """What is sent, and for how long."""

    pictures: list[bodies.Picture]
    files: int
    rounds: int
    seconds: float
    swaps: int = 100
    peak: float = 0.0


class Caller:
    """Requests to one service.

    Args:
        url: of the service.
        given: what is sent.
        query: of the URL.
    """

    def __init__(self, url: str, given: Given, query: str = "") -> None:
        self.host = Host(url, timeout_s=120)
        self._requests = bodies.requests(self.host.name, bodies.PATH + query, given.pictures, given.files, ())
        self._files = given.files
        self.unexplained = 0
        """Refusals without Retry-After."""

    async def send(self, number: int) -> Outcome:
        """One request."""
        try:
            reply = await self.host.ask(self._requests[number % len(self._requests)])
        except NoAnswer as error:
            return Outcome(NO_ANSWER, problem=str(error))
        if reply.status in (429, 503) and not reply.header("retry-after"):
            self.unexplained += 1
        return Outcome(reply.status, lines=self._files if reply.status == 200 else 0)

    async def metrics(self) -> scrape.Samples:
        """What /metrics says."""
        reply = await self.host.ask(bodies.get(self.host.name, "/metrics"))
        return scrape.parse(reply.body.decode())


class Comparing:
    """Sends requests over and over, and compares what the same model says to the same one.

    Attributes:
        answers: the first ones, by request and model.
        times: of all that were good, seconds of ``time.monotonic``.
        other: answers that differ from the first one.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.answers: dict[tuple[int, str], Any] = {}
        self.times: list[float] = []
        self.other = 0

    async def send(self, number: int) -> Outcome:
        """Send the next one."""
        requests, host = self._caller._requests, self._caller.host
        index = number % len(requests)
        try:
            reply = await host.ask(requests[index])
        except NoAnswer as error:
            return Outcome(NO_ANSWER, problem=str(error))
        if reply.status != 200:
            return Outcome(reply.status)
        self.times.append(time.monotonic())
        found = json.loads(reply.body)
        key = index, found["model"]["sha256"]
        self.other += self.answers.setdefault(key, found["lines"]) != found["lines"]
        return Outcome(200, lines=len(found["lines"]))


async def steady(child: Child, caller: Caller, drive: Closed | Open, rule: Rule = RULE) -> Found:
    """A level of load, with the service's own figures and both sides' share of the CPU."""
    before, cpu, began = await caller.metrics(), child.cpu_s, time.monotonic()
    level = await measure(drive, caller.send, rule)
    share = (child.cpu_s - cpu) / (time.monotonic() - began)
    level.server.update(scrape.between(before, await caller.metrics()))
    return level.to_json() | {"service_cpu": round(share, 3)}


def generator(given: Given) -> Found:
    """Against a server that answers at once."""
    receiving, sending = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.Process(target=_answer_at_once, args=(sending,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{receiving.recv()}"

    async def run() -> Level:
        caller = Caller(url, given)
        return await measure(Closed(16), caller.send, RULE)

    found = asyncio.run(run()).to_json()
    server.terminate()
    server.join()
    return {"requests_per_second": found["requests_per_second"], "client_cpu": found["client_cpu"]}


class _AtOnce(asyncio.Protocol):
    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and len(body) == int(head.rpartition(b"Content-Length: ")[2].partition(b"\r\n")[0]):
            self._received = b""
            self._transport.write(self.ANSWER)


def _answer_at_once(sending: Any) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_AtOnce, "127.0.0.1", 0)
        sending.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def saturation(given: Given) -> Found:
    """The pipeline in this process, and the same lines over HTTP, in turns; ratios are medians of the rounds."""
    settings = Settings()
    model = load_model(find_model(settings.model, settings.models))
    rounds = []
    with serving() as child, open_device("cpu", model.network, threads=settings.threads) as device:
        recognizer = Recognizer(model, device)
        for _ in range(given.rounds):
            rounds.append({"pipeline": _pipeline(recognizer, given), "http": asyncio.run(_saturated(child, given))})
    given.peak = statistics.median(r["http"]["lines_per_second"] for r in rounds)
    wall = [r["http"]["lines_per_second"] / r["pipeline"]["lines_per_second"] for r in rounds]
    service = [r["http"]["lines_per_second"] / r["http"]["service_cpu"] for r in rounds]
    cpu = [s / r["pipeline"]["lines_per_cpu_second"] for s, r in zip(service, rounds, strict=True)]
    return {
        "http_to_pipeline": round(statistics.median(wall), 3),
        "http_to_pipeline_by_cpu": round(statistics.median(cpu), 3),
        "lines_per_second": given.peak,
        "client_cpu": statistics.median(r["http"]["client_cpu"] for r in rounds),
        "service_cpu": statistics.median(r["http"]["service_cpu"] for r in rounds),
        "threads": settings.threads,
        "cores": len(os.sched_getaffinity(0)),
        "rounds": rounds,
    }


def _pipeline(recognizer: Recognizer, given: Given) -> Found:
    """As ``zeile read`` does: decode and read 32 lines, over and over."""
    images = list(itertools.islice(itertools.cycle(given.pictures), BATCH_LINES))
    lines, began, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < 3 * RULE.window_s:
        recognizer.read_batch([decode(picture.data) for picture in images])
        lines += len(images)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"lines_per_second": round(lines / wall, 1), "lines_per_cpu_second": round(lines / cpu, 1)}


async def _saturated(child: Child, given: Given) -> Found:
    return await steady(child, Caller(child.url, given), Closed(max(1, SATURATING // given.files)))


def with_service(figure: Callable[[Child, Given], Awaitable[Found]], peak: bool = False) -> Callable[[Given], Found]:
    """Run a figure on a service of its own, saturated first if its peak is wanted and not known."""

    def run(given: Given) -> Found:
        with serving() as child:

            async def work() -> Found:
                if peak and not given.peak:
                    given.peak = (await _saturated(child, given))["lines_per_second"]
                return await figure(child, given)

            return loop.run(work())

    return run


async def idle(child: Child, given: Given) -> Found:
    """One client, then 32."""
    caller = Caller(child.url, given)
    alone = await steady(child, caller, Closed(1))
    shared = await steady(child, caller, Closed(32))
    stages = ("queue_ms", "decode_ms", "preprocess_ms", "infer_ms", "postprocess_ms")
    return {
        "latency_ms": alone["latency_ms"],
        "of_it_in_stages_ms": round(sum(alone["server"].get(stage, 0.0) for stage in stages), 3),
        "batch_lines_of_32_clients": shared["server"].get("batch_lines"),
    }


async def half(child: Child, given: Given) -> Found:
    """Random arrivals at half the peak."""
    rate = given.peak / given.files / 2
    return await steady(child, Caller(child.url, given), Open(rate))


async def overload(child: Child, given: Given) -> Found:
    """Random arrivals at four times the peak, in turns with the peak itself: a machine's speed changes meanwhile."""
    caller = Caller(child.url, given)
    deepest = 0.0

    async def watch() -> None:
        nonlocal deepest
        while True:
            deepest = max(deepest, (await caller.metrics()).get("zeile_queue_lines", 0.0))
            await asyncio.sleep(0.5)

    watching = asyncio.create_task(watch())
    rule = Rule(warmup_s=2, window_s=given.seconds / given.rounds, most=1, stable=1)
    peaks, loads = [given.peak], []
    for _ in range(given.rounds):
        loads.append(await steady(child, caller, Open(4 * peaks[-1] / given.files), rule))
        peaks.append((await _saturated(child, given))["lines_per_second"])
    watching.cancel()
    settings = Settings()
    ratios = [2 * load["lines_per_second"] / sum(peaks[n : n + 2]) for n, load in enumerate(loads)]
    return {
        "goodput_to_peak": round(statistics.median(ratios), 3),
        "goodput_to_peak_of_each_round": [round(ratio, 3) for ratio in ratios],
        "peaks": peaks,
        "accepted_p99_ms": max(load["latency_ms"]["p99"] for load in loads),
        "deadline_ms": 1000 * settings.deadline_s,
        "refused_p95_ms": statistics.median(load["other_latency_ms"]["p95"] for load in loads),
        "refused_without_retry_after": caller.unexplained,
        "deepest_queue": deepest,
        "queue_lines": settings.queue_lines,
        "loads": loads,
    }


async def health(child: Child, given: Given) -> Found:
    """/livez ten times a second beside a closed loop and 20 damaged images a second."""
    caller, damaged = Caller(child.url, given), [bodies.Picture("bad.png", given.pictures[0].data[:200])]
    bad = Caller(child.url, Given(damaged, 1, 1, 1))
    livez = bodies.get(caller.host.name, "/livez")

    async def look(number: int) -> Outcome:
        return Outcome((await caller.host.ask(livez)).status)

    stop, recorder = asyncio.Event(), Recorder(time.monotonic, time.process_time)
    beside = [
        asyncio.ensure_future(drive.run(send, recorder, stop))
        for drive, send in ((Closed(max(1, SATURATING // given.files)), caller.send), (Open(20), bad.send))
    ]
    level = await measure(Open(10), look, Rule(warmup_s=2, window_s=10, most=1, stable=1))
    stop.set()
    await asyncio.gather(*beside)
    return {"livez_ms": latencies(level.measured.good), "beside": {str(k): v for k, v in recorder.statuses.items()}}


async def priority(child: Child, given: Given) -> Found:
    """The same interactive requests without and with bulk ones beside them."""
    caller, bulk = Caller(child.url, given), Caller(child.url, given, "?priority=bulk")
    rate = given.peak / given.files / 10
    alone = await steady(child, caller, Open(rate))
    stop, recorder = asyncio.Event(), Recorder(time.monotonic, time.process_time)
    beside = asyncio.ensure_future(Closed(max(1, SATURATING // given.files)).run(bulk.send, recorder, stop))
    began = time.monotonic()
    shared = await steady(child, caller, Open(rate))
    seconds = time.monotonic() - began
    stop.set()
    await beside
    return {
        "alone_ms": alone["latency_ms"],
        "beside_bulk_ms": shared["latency_ms"],
        "p95_ratio": round(shared["latency_ms"]["p95"] / alone["latency_ms"]["p95"], 2),
        "bulk_lines_per_second": round(recorder.lines / seconds, 1),
    }


def sigterm(given: Given) -> Found:
    """Clients that go on asking while the service stops; what it acknowledged is in its audit log."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "audit.jsonl"
        with serving({"ZEILE_AUDIT": str(log)}) as child:
            recorder, took = asyncio.run(_stopped_under_load(child, given))
            status = child.ended()
        logged = sum(
            entry.get("lines", 0)
            for line in log.read_text().splitlines()
            for entry in [json.loads(line)]
            if entry.get("kind") == "recognize"
        )
    return {
        "acknowledged_lines": logged,
        "lines_that_arrived": recorder.lines,
        "lost": logged - recorder.lines,
        "statuses": {str(status): count for status, count in recorder.statuses.items()},
        "problems": dict(recorder.problems),
        "exit_status": status,
        "seconds_to_exit": round(took, 2),
    }


async def _stopped_under_load(child: Child, given: Given) -> tuple[Recorder, float]:
    caller = Caller(child.url, given)
    recorder, stop = Recorder(time.monotonic, time.process_time), asyncio.Event()
    running = asyncio.ensure_future(Closed(32).run(caller.send, recorder, stop))
    await asyncio.sleep(3)
    child.signal()
    began = time.monotonic()
    while child.ended() is None and time.monotonic() - began < PATIENCE_S:
        await asyncio.sleep(0.02)
    took = time.monotonic() - began
    stop.set()
    await running
    return recorder, took


async def swaps(child: Child, given: Given) -> Found:
    """The default model changes again and again; every answer must be one that its model always gives."""
    caller = Caller(child.url, given)
    listed = json.loads((await caller.host.ask(bodies.get(caller.host.name, "/v1/models"))).body)["models"]
    names = [f"{model['name']}/{model['version']}" for model in listed if not model.get("error")][:2]
    comparing = Comparing(caller)
    recorder, stop = Recorder(time.monotonic, time.process_time), asyncio.Event()
    running = asyncio.ensure_future(Closed(16).run(comparing.send, recorder, stop))
    statuses, times = await _swapped(caller, names, 4)
    before = child.resident_mib
    more, times = await _swapped(caller, names, given.swaps)
    grown = child.resident_mib - before
    stop.set()
    await running
    return {
        "swaps": sum((statuses + more).values()),
        "swap_statuses": {str(status): count for status, count in (statuses + more).items()},
        "swap_ms": latencies(times),
        "models": names,
        "models_that_answered": len({sha256 for _, sha256 in comparing.answers}),
        "answers": {str(status): count for status, count in recorder.statuses.items()},
        "answers_of_no_model": comparing.other,
        "growth_mib": round(grown, 1),
    }


async def _swapped(caller: Caller, names: Sequence[str], times: int) -> tuple[Counter[int], list[float]]:
    statuses: Counter[int] = Counter()
    seconds = []
    for number in range(times):
        body = json.dumps({"target": names[number % len(names)]}).encode()
        head = f"PUT /v1/aliases/default HTTP/1.1\r\nHost: {caller.host.name}\r\nContent-Type: application/json\r\n"
        began = time.monotonic()
        reply = await caller.host.ask(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        seconds.append(time.monotonic() - began)
        statuses[reply.status] += 1
        await asyncio.sleep(0.05)
    return statuses, seconds


async def kills(child: Child, given: Given) -> Found:
    """The process that reads is killed again and again; every answer must be the one from before the first time."""
    caller = Caller(child.url, given)
    comparing = Comparing(caller)
    recorder, stop = Recorder(time.monotonic, time.process_time), asyncio.Event()
    running = asyncio.ensure_future(Closed(16).run(comparing.send, recorder, stop))
    gaps = []
    for _ in range(5):
        await asyncio.sleep(3)
        at = time.monotonic()
        os.kill(child.pids[1], signal.SIGKILL)
        await asyncio.sleep(3)
        seen = [at, *(when for when in comparing.times if when > at)]
        gaps.append(max(later - earlier for earlier, later in itertools.pairwise(seen)))
    stop.set()
    await running
    return {
        "kills": len(gaps),
        "longest_silence_s": [round(gap, 2) for gap in gaps],
        "answers": {str(status): count for status, count in recorder.statuses.items()},
        "other_answers": comparing.other,
    }


FIGURES: dict[str, Callable[[Given], Found]] = {
    "generator": generator,
    "saturation": saturation,
    "idle": with_service(idle),
    "half": with_service(half, peak=True),
    "overload": with_service(overload, peak=True),
    "health": with_service(health),
    "priority": with_service(priority, peak=True),
    "sigterm": sigterm,
    "swaps": with_service(swaps),
    "kills": with_service(kills),
}


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"some of {', '.join(FIGURES)} (default: all)")
    parser.add_argument("--lines", type=Path, default=LINES, metavar="DIR_OR_ZIP", help="images to send")
    parser.add_argument("--files-per-request", type=int, default=1, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of saturation (default 3)")
    parser.add_argument("--seconds", type=float, default=30, metavar="S", help="of overload (default 30)")
    parser.add_argument("--swaps", type=int, default=100, metavar="N", help="of models (default 100)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write them all as JSON")
    args = parser.parse_args()
    if unknown := [name for name in args.figures if name not in FIGURES]:
        parser.error(f"there is no figure {unknown[0]!r}; there are {', '.join(FIGURES)}")
    given = Given(bodies.found(args.lines, 256), args.files_per_request, args.rounds, args.seconds, args.swaps)
    allow_connections()
    leave_alone()
    found = {}
    for name in args.figures or FIGURES:
        began = time.monotonic()
        found[name] = FIGURES[name](given)
        print(f"{name} ({time.monotonic() - began:.0f} s)", json.dumps(found[name], indent=1), flush=True)
        if args.out is not None:
            args.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
