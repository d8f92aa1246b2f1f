# SPDX-License-Identifier: Apache-2.0
"""The compiled C++ core and its Verilated twin in one process: the same packets, the same answers, whatever waits."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.hw import cores, rtl_unit
from tests.hw.cores import design, library, lines, network, twin
from tests.hw.test_core import LENGTHS, page_lines
from tests.hw.test_core_packets import BROKEN, mutations

from zeile.device.reference import Reference
from zeile.errors import DeviceFault
from zeile.hw import packets
from zeile.hw.csim import Core, CoreDevice
from zeile.hw.layout import model_words
from zeile.hw.packets import ANSWER, Kind, Words
from zeile.manifest import find_model, load_model
from zeile.network import Network

pytestmark = [cores.needs_compiler, rtl_unit.needs_verilator]

ROOT = Path(__file__).resolve().parents[2]
STALLS = [(0, 0), (400, 0), (0, 400), (900, 100), (100, 900)]
"""How often in a thousand the input and the output port hold back a word."""

Pair = tuple[Core, Core]


@pytest.fixture(params=["tiny", "tiny-uni", *cores.DESIGNS])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=STALLS, ids=str)
def pair(name: str, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """The core and its twin; what waits in one does not wait in the other."""
    into, out = request.param
    with Core(library(name), seed=1, in_stall=into, out_stall=out) as compiled:
        with Core(twin(name), seed=2, in_stall=into, out_stall=out) as verilated:
            yield compiled, verilated


def comparable(words: Words) -> Words:
    """An answer without what depends on cycles: those of the trailer, and the counters of a status."""
    if int(words[0]) >> 16 & 0xFF != Kind.STATUS | ANSWER:
        return np.append(words[:-1], words[-1] & np.uint64(0xFFFFFFFF))
    status = replace(packets.parse_status(packets.parse(words)), cycles=0, starved=(0, 0), stalled=(0, 0))
    return np.frombuffer(repr(status).encode(), np.uint8).astype(np.uint64)


def ask(pair: Pair, *questions: Words) -> list[Words]:
    """The twin's answers, which are the core's: words, ends and order."""
    answers, twins = (core.ask(*questions) for core in pair)
    for index, (compiled, verilated) in enumerate(zip(answers, twins, strict=True)):
        np.testing.assert_array_equal(comparable(verilated), comparable(compiled), err_msg=f"answer {index}")
    assert pair[1].report()["broken_rules"] == 0
    return twins


def loads(name: str, model: Network) -> list[Words]:
    words = [packets.load(tag, *load) for tag, load in enumerate(model_words(design(name), model))]
    return [*words, packets.commit(99, model.classes, 7)]


def check_lines(pair: Pair, model: Network, lengths: Sequence[int], seed: int = 0) -> None:
    given = lines(model, lengths, seed)
    asked = [packets.infer(tag, frames, model.pixel_bits) for tag, frames in enumerate(given)]
    for tag, (words, frames) in enumerate(zip(ask(pair, *asked), given, strict=True)):
        answer = packets.parse(words)
        assert answer.tag == tag
        np.testing.assert_array_equal(packets.scores(answer), Reference(model).run(frames))


def load_and_check(pair: Pair, model: Network) -> None:
    ask(pair, *loads("tiny", model))
    check_lines(pair, model, LENGTHS)


def test_lines_of_random_models(name: str, pair: Pair) -> None:
    for seed in range(3):
        model = network(name, seed, extreme=seed == 1, ties=seed == 2)
        ask(pair, *loads(name, model))
        check_lines(pair, model, LENGTHS, seed)


def test_a_queue_of_models_lines_labels_and_what_was_loaded(name: str, pair: Pair) -> None:
    questions = [packets.status(1), packets.echo(2, np.arange(40, dtype=np.uint64))]
    for seed, classes in enumerate((network(name, 0).classes, 2, 9)):
        model = network(name, seed, classes)
        given = lines(model, [3, 12, 1, 0], seed)
        questions += loads(name, model)
        questions += [packets.infer(3, line, model.pixel_bits) for line in given]
        questions += [packets.infer(4, line, model.pixel_bits, packets.BEST) for line in given]
        questions += [packets.read(5, target, at, len(words)) for target, at, words in model_words(design(name), model)]
        questions.append(packets.status(6))
    ask(pair, *questions)


@pytest.mark.parametrize("stalls", STALLS[1:4], ids=str)
def test_broken_packets_are_refused_alike(stalls: tuple[int, int]) -> None:
    model, rng = network("tiny", 3), random.Random(5)
    with Core(library("tiny"), seed=1, in_stall=stalls[0], out_stall=stalls[1]) as compiled:
        with Core(twin("tiny"), seed=2, in_stall=stalls[0], out_stall=stalls[1]) as verilated:
            pair = compiled, verilated
            for packet, fault, detail in BROKEN.values():
                ask(pair, *loads("tiny", model))  # a load that has begun takes the model away
                line = packets.infer(1, lines(model, [6])[0], 4)
                answer = packets.parse(ask(pair, line, packet, line)[1])
                assert (answer.error, answer.detail) == (fault, detail)
            ask(pair, *(mutations(rng) for _ in range(150)))
            load_and_check(pair, model)


def test_the_longest_lines(name: str) -> None:
    model, most = network(name, 5), design(name).max_frames
    with Core(library(name)) as compiled, Core(twin(name)) as verilated:
        ask((compiled, verilated), *loads(name, model))
        check_lines((compiled, verilated), model, [most, most - 1, 1, most, 7, 0, most])


def cycles(core: Core, model: Network, questions: Sequence[Words]) -> int:
    before = int(core.report()["cycles"])
    core.ask(*questions)
    return int(core.report()["cycles"]) - before


def test_the_twin_takes_about_as_many_cycles(name: str) -> None:
    """A line after the other and many at once: latencies differ, the schedule does not."""
    model = network(name, 1)
    given = [packets.infer(0, line, model.pixel_bits) for line in lines(model, [30] * 12)]
    with Core(library(name)) as compiled, Core(twin(name)) as verilated:
        for core in (compiled, verilated):
            core.ask(*loads(name, model))
        for what, asked, share in (("one", given[:1], 0.5), ("many", given, 0.1)):
            hls, rtl = (cycles(core, model, asked) for core in (compiled, verilated))
            print(f"{name}, {what}: {hls} cycles of the C++, {rtl} of the twin")
            assert abs(rtl - hls) <= share * hls + 100, (hls, rtl)


def test_the_report_names_units_and_fifos(name: str) -> None:
    model = network(name, 1)
    with Core(twin(name), seed=4, out_stall=300) as core:
        CoreDevice(core, design(name), model).run_batch(lines(model, LENGTHS))
        report = core.report()
    assert {"receive", "send"} <= {unit["name"] for unit in report["units"]}
    assert all(0 < unit["busy"] <= unit["steps"] == report["cycles"] for unit in report["units"])
    more = 2  # registers at the output of a FIFO
    assert all(0 < fifo["high_water"] <= fifo["depth"] + more and fifo["fill"] == 0 for fifo in report["fifos"])


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("zeile_rescale.sv", "(R_BITS + 1)'(1)", "(R_BITS + 1)'(0)"),  # rounds down
        ("zeile_fifo.sv", "count != COUNT_BITS'(DEPTH)", "count != COUNT_BITS'(DEPTH + 1)"),  # takes one too many
    ],
    ids=["rounding", "back-pressure"],
)
def test_a_fault_in_the_twin_is_found(file: str, right: str, wrong: str, tmp_path: Path) -> None:
    source = tmp_path / "hw_src"
    shutil.copytree(cores.SOURCE / "rtl", source / "rtl")
    text = (source / "rtl" / file).read_text("utf-8")
    assert text.count(right) == 1, f"{file} has {text.count(right)} times: {right}"
    (source / "rtl" / file).write_text(text.replace(right, wrong), "utf-8")
    model = network("tiny", 0)
    with Core(library("tiny"), seed=1, in_stall=300, out_stall=300) as compiled:
        with Core(twin("tiny", source), seed=2, in_stall=300, out_stall=300) as verilated:
            with pytest.raises((AssertionError, DeviceFault)):
                load_and_check((compiled, verilated), model)


def read_real_lines(model_name: str, design_name: str, count: int | None) -> None:
    model = load_model(find_model(model_name, ROOT / "models")).network
    given = page_lines(model)[:count]
    asked = [packets.infer(tag, frames, model.pixel_bits) for tag, frames in enumerate(given)]
    with Core(library(design_name), seed=1) as compiled, Core(twin(design_name), seed=2, in_stall=5) as verilated:
        ask((compiled, verilated), *loads(design_name, model))
        before = verilated.report()["cycles"]
        for words, frames in zip(ask((compiled, verilated), *asked), given, strict=True):
            np.testing.assert_array_equal(packets.scores(packets.parse(words)), Reference(model).run(frames))
        spent = verilated.report()["cycles"] - before
    print(f"{model_name} on {design_name}: {sum(map(len, given))} columns, {spent} cycles")


def test_a_real_line_on_the_full_size_design() -> None:
    read_real_lines("latin-print", "zeile-print", 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model_name", "design_name"),
    [
        ("latin-print", "zeile-print"),
        ("fraktur", "zeile-print"),
        ("finn-l-w4a4", "finn-l-w4a4"),
        ("finn-l-w2a4", "finn-l-w2a4"),
    ],
)
def test_shipped_models_read_real_lines_alike(model_name: str, design_name: str) -> None:
    read_real_lines(model_name, design_name, None)
