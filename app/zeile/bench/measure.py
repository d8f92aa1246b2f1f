# SPDX-License-Identifier: Apache-2.0
"""The benchmark itself: what is measured, in which order, and what comes out as facts.

Everything is read into memory, still encoded, before the first clock starts.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

import zeile
from zeile import metrics
from zeile.bench import speed
from zeile.bench.energy import joules
from zeile.bench.network_peers import as_codes
from zeile.bench.peers import Peers, chosen, find_peers
from zeile.bench.speed import Subject
from zeile.bench.timing import Clocked, Rate, Ratio
from zeile.device import open_device
from zeile.evaluate import Evaluation, evaluate
from zeile.intervals import paired_bootstrap
from zeile.manifest import load_model
from zeile.samples import Sample, open_lines

_OCR_D = "https://ocr-d.de/en/spec/ocrd_eval"

PEER_LINES = 32
"""Lines of a timed round with peers: some of them need seconds for it."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure.

    Attributes:
        path: labelled lines, a folder or zip file.
        split: of the manifest, or None for all lines.
        count: lines, spread evenly over the set; 0 takes all.
        model: model folder.
        engine: device name.
        threads: threads and processes when all cores are measured.
        reading: of the text, None for the model's first.
        peers: "all", "none" or families with commas.
        rounds: timed rounds.
    """

    path: Path
    split: str | None = None
    count: int = 0
    model: Path
    engine: str = "cpu"
    threads: int = 1
    reading: str | None = None
    peers: str = "none"
    rounds: int = 5


def measure(options: Options) -> dict[str, Any]:
    """Measure accuracy and speed.

    Returns:
        The content of ``bench.json``.

    Raises:
        ZeileError: wrong settings, unusable lines or model.
    """
    families = chosen(options.peers)
    model = load_model(options.model)
    every = list(open_lines(options.path, options.split))
    samples = _spread(every, options.count or len(every))
    load = os.getloadavg()[0]
    with ExitStack() as stack:
        device = stack.enter_context(open_device(options.engine, model.network, 1))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zeile-bench-")))
        subject = Subject.of(model, device, options.reading, samples)
        peers = find_peers(families, model.network, [sample.text for sample in samples], folder)
        stack.callback(peers.close)
        found = _found(subject, peers, options)
    return found | {"set": _set_facts(options, samples, len(every)), "machine": _machine(load)}


def _found(subject: Subject, peers: Peers, options: Options) -> dict[str, Any]:
    evaluations = _evaluations(subject, peers)
    ours, model = evaluations["zeile"], subject.model
    versions = {peer.name: peer.version for peer in peers.networks}
    versions |= {peer.name: peer.version for peer in peers.programs}
    stages = _timed("stages", 7, options.rounds, lambda tick: speed.stages(subject, options.rounds, tick))
    return {
        "format": "zeile-bench",
        "format_version": 1,
        "model": {
            "name": model.name,
            "version": model.version,
            "sha256": model.sha256,
            "reading": subject.reading or model.alphabet.default_reading,
        },
        "engine": dict(subject.device.info),
        "accuracy": {name: evaluation.to_json() for name, evaluation in evaluations.items()},
        "paired": {name: _paired(ours, other) for name, other in evaluations.items() if name != "zeile"},
        "speed": {
            "rounds": options.rounds,
            "stages": {name: asdict(Rate.of(times, len(subject.samples))) for name, times in stages.items()},
            "all_cores": _all_cores(subject, options.engine, options.threads, options.rounds),
            "peers": _against(subject, peers, options.rounds),
        },
        "peak": _peak(subject, stages),
        "energy": joules(subject.device, subject.frames),
        "peer_versions": versions,
        "not_run": peers.not_run,
        "notes": _notes(ours, peers),
    }


def _evaluations(subject: Subject, peers: Peers) -> dict[str, Evaluation]:
    """Texts of ours and of all peers, compared with the same ground truth."""
    found = {"zeile": evaluate(subject.recognizer, subject.samples)}
    with _bar("accuracy of peers", len(subject.samples) * (len(peers.networks) + len(peers.programs))) as bar:
        for network in peers.networks:
            texts = []
            for frames in subject.frames:
                texts.append(subject.text(as_codes(network.scores([frames])[0])) if len(frames) else "")
                bar.update()
            found[network.name] = Evaluation.of(subject.samples, texts)
        for program in peers.programs:
            texts = []
            for sample in subject.samples:
                texts.append(_folded(subject, program.read(program.prepare(sample))))
                bar.update()
            found[program.name] = Evaluation.of(subject.samples, texts)
    return found


def _folded(subject: Subject, text: str) -> str:
    """Another program's text in our reading: it may write a curly quote where we fold it."""
    alphabet = subject.model.alphabet
    folds: Mapping[str, str] = alphabet.readings.get(subject.reading or alphabet.default_reading, {})
    return "".join(folds.get(unit, unit) for unit in text)


def _paired(ours: Evaluation, other: Evaluation) -> dict[str, Any]:
    a, b = ([c.characters for c in e.comparisons] for e in (ours, other))
    difference = paired_bootstrap(a, b, ours.documents)
    ends = {"low": difference.interval.low, "high": difference.interval.high}
    return {"value": difference.value, **ends, "share_better": difference.share_better}


def _against(subject: Subject, peers: Peers, rounds: int) -> dict[str, dict[str, Any]]:
    """Peers by what is compared: the network alone, single and batched, and reading as a whole."""
    some = _spread(subject.samples, PEER_LINES)
    small = Subject.of(subject.model, subject.device, subject.reading, some)
    found: dict[str, dict[str, Any]] = {}
    contenders = 1 + len(peers.networks)
    for batch in (1, speed.BATCH) if peers.networks else ():
        title = f"same network, one thread, {'one line at a time' if batch == 1 else f'batches of {batch}'}"
        found[title] = _group(
            small,
            _timed(
                title,
                contenders,
                rounds,
                lambda tick, batch=batch: speed.against_networks(small, peers.networks, batch, rounds, tick),
            ),
        )
    if peers.programs:
        title = "image to text, one thread, one line at a time"
        found[title] = _group(
            small,
            _timed(
                title,
                1 + len(peers.programs),
                rounds,
                lambda tick: speed.against_programs(small, peers.programs, rounds, tick),
            ),
        )
    return found


def _group(subject: Subject, times: Mapping[str, Sequence[Clocked]]) -> dict[str, Any]:
    rates = {name: asdict(Rate.of(rounds, len(subject.samples))) for name, rounds in times.items()}
    for name, rounds in times.items():
        if name != "zeile":
            rates[name]["ratio"] = asdict(Ratio.of(times["zeile"], rounds))
    return rates


def _all_cores(subject: Subject, engine: str, cores: int, rounds: int) -> dict[str, float]:
    network = speed.threaded_network(subject, engine, cores, rounds)
    if engine == "fpga":  # a board has one owner: a process a core would be refused
        return {"network, one batch": Rate.of(network, len(subject.samples)).lines_s}
    whole = sorted(speed.all_cores(subject, engine, cores, rounds))
    return {
        f"network, one batch, {cores} threads": Rate.of(network, len(subject.samples)).lines_s,
        f"end to end, {cores} processes": whole[len(whole) // 2],
    }


def _peak(subject: Subject, stages: Mapping[str, Sequence[Clocked]]) -> dict[str, Any]:
    """Share of the CPU's int8 peak that the network reaches on one thread."""
    found: dict[str, Any] = {"macs": subject.macs, "peak_gmacs_s": None, "path": None, "share": None}
    engine, path = subject.device.info["engine"], subject.device.info["path"]
    if engine != "cpu":
        return found | {"reason": f"engine {engine!r} does not run native code"}
    from zeile.native import peak_macs  # only the engine that needs it built gets here

    peak = peak_macs(path)
    named = {name: times for name, times in stages.items() if name.startswith("network")}
    lines = len(subject.samples)
    share = {name: Rate.of(t, lines).lines_cpu_s * subject.macs / lines / peak for name, t in named.items()}
    return found | {"peak_gmacs_s": peak / 1e9, "path": path, "share": share}


def _notes(ours: Evaluation, peers: Peers) -> list[str]:
    notes = [f"errors over errors and matches is OCR-D's normalised CER, there of pages, here of lines ({_OCR_D})"]
    if ours.interval.warning is not None:
        notes.append(f"interval: {ours.interval.warning}")
    if peers.programs:
        notes.append("other programs' texts are folded as our reading folds them, and their blanks are collapsed")
    if peers.networks:
        notes.append("float peers run the dequantised network; lines of their batches are padded to the longest")
    return notes


def _set_facts(options: Options, samples: Sequence[Sample], every: int) -> dict[str, Any]:
    return {
        "path": options.path.name,
        "split": options.split,
        "lines": len(samples),
        "lines_in_set": every,
        "documents": len({sample.doc for sample in samples if sample.doc is not None}),
        "characters": sum(len(metrics.graphemes(sample.text)) for sample in samples),
    }


def _machine(load_before: float) -> dict[str, Any]:
    return {
        "cpu": _cpu_name(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load": {"before": round(load_before, 2), "after": round(os.getloadavg()[0], 2)},
        "python": platform.python_version(),
        "zeile": zeile.__version__,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown CPU"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown CPU"


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """``count`` samples at even distances."""
    count = min(count, len(samples))
    return [samples[i * len(samples) // count] for i in range(count)]


def _timed(title: str, contenders: int, rounds: int, work: Any) -> dict[str, list[Clocked]]:
    with _bar(title, contenders * (rounds + 1)) as bar:
        times: dict[str, list[Clocked]] = work(bar.update)
    return times


def _bar(title: str, total: int) -> tqdm[Any]:
    """A progress bar on stderr, where that is a terminal."""
    return tqdm(total=total, desc=title, file=sys.stderr, disable=None)
