# SPDX-License-Identifier: Apache-2.0
"""The whole core against the definition: the same integers in every build, whatever waits or comes between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tests.hw import cores
from tests.hw.cores import design, library, lines, network

from zeile.columns import frames_of
from zeile.device.cpu import Cpu
from zeile.device.reference import Reference
from zeile.hw import packets
from zeile.hw.csim import Core, CoreDevice
from zeile.hw.layout import model_words
from zeile.image import decode
from zeile.manifest import find_model, load_model
from zeile.network import Network
from zeile.normalise import normalise

pytestmark = cores.needs_compiler

ROOT = Path(__file__).resolve().parents[2]
DESIGNS = ["tiny", "tiny-uni", *cores.DESIGNS]
LENGTHS = [1, 0, 5, 2, 31, 0, 0, 3, 1, 17, 24, 7]
STALLS = [(0, 0), (300, 0), (0, 500), (600, 600), (0, 950)]
"""How often in a thousand the input and the output port hold back a word."""


@pytest.fixture(params=DESIGNS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def core() -> Iterator[Core]:
    with Core(library("tiny")) as opened:
        yield opened


def check(device: CoreDevice, given: Sequence[npt.NDArray[np.uint8]]) -> None:
    """All lines in one queue; each has the reference's scores."""
    for got, want in zip(device.run_batch(given), Reference(device.network).run_batch(given), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("mode", ["lockstep", "shuffled"])
@pytest.mark.parametrize("stalls", STALLS, ids=str)
def test_lines_back_to_back_have_the_references_scores(name: str, stalls: tuple[int, int], mode: str) -> None:
    with Core(library(name), seed=7, in_stall=stalls[0], out_stall=stalls[1], mode=mode) as core:
        for seed in range(4):
            model = network(name, seed, extreme=seed == 3, ties=seed == 2)
            check(CoreDevice(core, design(name), model), lines(model, LENGTHS, seed))


def test_units_in_threads_give_the_references_scores(name: str) -> None:
    model = network(name, 6)
    with Core(library(name), in_stall=100, out_stall=100, mode="threads") as core:
        check(CoreDevice(core, design(name), model), lines(model, [3, 1, 0, 9, 14]))


@pytest.mark.parametrize("lines_in_flight", [1, 40])
def test_every_length_up_to_the_longest(name: str, lines_in_flight: int) -> None:
    model, most = network(name, 5), design(name).max_frames
    with Core(library(name)) as core:
        device, given = CoreDevice(core, design(name), model), lines(model, [*range(0, most, 3), most, most])
        for start in range(0, len(given), lines_in_flight):
            check(device, given[start : start + lines_in_flight])


def test_best_labels_are_the_lowest_of_the_highest_scores(name: str) -> None:
    model = network(name, 2)
    with Core(library(name), out_stall=200) as core:
        CoreDevice(core, design(name), model)
        given = lines(model, LENGTHS)
        asked = [packets.infer(i, line, model.pixel_bits, packets.BEST) for i, line in enumerate(given)]
        for line, words in zip(given, core.ask(*asked), strict=True):
            scores = Reference(model).run(line)
            labels, best = packets.best(packets.parse(words))
            np.testing.assert_array_equal(labels, scores.argmax(axis=1))
            np.testing.assert_array_equal(best, scores.max(axis=1, initial=-128))


def test_equal_scores_give_the_lowest_label(core: Core) -> None:
    model = network("tiny", 2)
    model.tensors["4.multiplier"][:] = 0  # every score is 0
    CoreDevice(core, design("tiny"), model)
    labels, best = packets.best(packets.parse(core.ask(packets.infer(0, lines(model, [9])[0], 4, packets.BEST))[0]))
    assert (labels == 0).all()
    assert (best == 0).all()


@pytest.mark.parametrize("mode", ["lockstep", "shuffled"])
def test_a_queue_may_switch_models_between_lines(name: str, mode: str) -> None:
    most = network(name, 0).classes
    models = [network(name, seed, classes) for seed, classes in enumerate([most, 2, most - 1, 9 if most > 9 else 3])]
    questions, wanted = [], []
    for index, model in enumerate(models):
        questions += [packets.load(0, *load) for load in model_words(design(name), model)]
        questions.append(packets.commit(1, model.classes, index))
        for line in lines(model, [3, 12, 1, 0]):
            questions.append(packets.infer(2, line, model.pixel_bits))
            wanted.append(Reference(model).run(line))
    with Core(library(name), mode=mode, in_stall=100, out_stall=100) as core:
        answers = [packets.parse(words) for words in core.ask(*questions)]
    assert all(answer.error is None for answer in answers)
    got = [packets.scores(answer) for answer in answers if answer.tag == 2]
    for scores, reference in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(scores, reference)


def test_what_was_loaded_reads_back(name: str) -> None:
    model = network(name, 11)
    with Core(library(name), out_stall=300) as core:
        CoreDevice(core, design(name), model)
        loads = model_words(design(name), model)
        for words, (_, _, wanted) in zip(
            core.ask(*(packets.read(0, target, at, len(w)) for target, at, w in loads)), loads, strict=True
        ):
            np.testing.assert_array_equal(packets.parse(words).payload, wanted)
        target, at, wanted = loads[0]
        part = packets.parse(core.ask(packets.read(0, target, at + 2, 3))[0])
        np.testing.assert_array_equal(part.payload, wanted[2:5])


def test_echo_and_status(core: Core) -> None:
    words = np.random.default_rng(0).integers(0, 1 << 63, 512).astype(np.uint64)
    for count in (0, 1, 2, 511, 512):
        np.testing.assert_array_equal(packets.parse(core.ask(packets.echo(7, words[:count]))[0]).payload, words[:count])
    model, shape = network("tiny", 1), design("tiny")
    fresh = packets.parse_status(packets.parse(core.ask(packets.status(8))[0]))
    assert (fresh.design_id, fresh.abi, fresh.model_valid, fresh.model_id) == (shape.design_id, packets.ABI, False, 0)
    assert (fresh.max_classes, fresh.max_columns, fresh.ring_steps) == (16, 128, 64)
    device = CoreDevice(core, shape, model, model_id=0x123456789ABCDEF0)
    device.run_batch(lines(model, [4, 0, 6]))
    core.ask(np.array([1], np.uint64))
    status = packets.parse_status(packets.parse(core.ask(packets.status(9))[0]))
    loads = len(model_words(shape, model)) + 1
    assert (status.lines, status.packets, status.errors) == (3, 5 + 1 + loads + 3 + 1 + 1, 1)
    assert (status.model_valid, status.model_id, status.in_flight) == (True, 0x123456789ABCDEF0, 0)
    tiles = shape.weight_shape(3)[0] * shape.weight_shape(3)[1] // (shape.fold(3).pe * shape.fold(3).simd)
    assert status.issued == (5 * tiles, 5 * tiles)  # 2 + 3 steps, each tile once
    assert fresh.cycles < status.cycles < core.report()["cycles"]


def test_cycles_of_an_answer_span_question_and_answer(core: Core) -> None:
    model = network("tiny", 1)
    device = CoreDevice(core, design("tiny"), model)
    before = core.report()["cycles"]
    answer = packets.parse(core.ask(packets.infer(0, lines(model, [20])[0], 4))[0])
    spent = core.report()["cycles"] - before
    assert spent - 8 <= answer.cycles <= spent
    assert device.info["engine"] == "csim"


def test_the_same_seed_takes_the_same_cycles() -> None:
    model, cycles = network("tiny", 1), []
    for _ in range(2):
        with Core(library("tiny"), seed=3, in_stall=250, out_stall=250) as core:
            CoreDevice(core, design("tiny"), model).run_batch(lines(model, LENGTHS))
            cycles.append(core.report()["cycles"])
    assert cycles[0] == cycles[1]


def test_report_names_units_and_fifos_and_no_fifo_overflows(core: Core) -> None:
    model = network("tiny", 1)
    CoreDevice(core, design("tiny"), model).run_batch(lines(model, LENGTHS))
    report = core.report()
    assert {"receive", "conv0", "forward_lstm", "send"} <= {unit["name"] for unit in report["units"]}
    assert all(0 < unit["busy"] <= unit["steps"] == report["cycles"] for unit in report["units"])
    depths = {fifo["name"]: fifo for fifo in report["fifos"]}
    assert all(0 < fifo["high_water"] <= fifo["depth"] and fifo["fill"] == 0 for fifo in depths.values())


@pytest.mark.slow  # the vendor's model is a hundred times slower
@pytest.mark.parametrize("compiler", ["g++", "clang++-19"])
@pytest.mark.parametrize("headers", ["fast", "vendor"])
def test_every_build_gives_the_same_integers_in_the_same_cycles(name: str, compiler: str, headers: str) -> None:
    model = network(name, 4)
    with Core(library(name, compiler, headers), in_stall=200, out_stall=200) as core:
        check(CoreDevice(core, design(name), model), lines(model, LENGTHS))
        cycles = core.report()["cycles"]
    with Core(library(name), in_stall=200, out_stall=200) as core:
        check(CoreDevice(core, design(name), model), lines(model, LENGTHS))
        assert core.report()["cycles"] == cycles


def page_lines(model: Network) -> list[npt.NDArray[np.uint8]]:
    found = sorted((ROOT / "tests" / "lines").glob("*/*.png"))
    assert found
    read = [normalise(decode(path.read_bytes()), model.height_px, model.stretch_percent) for path in found]
    return [frames_of(line, model.pixel_bits, model.columns_per_frame) for line in read]


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
def test_shipped_models_read_real_lines_as_the_native_engine_does(model_name: str, design_name: str) -> None:
    model = load_model(find_model(model_name, ROOT / "models")).network
    given = page_lines(model)
    with Core(library(design_name), in_stall=20, out_stall=50) as core:
        for got, want in zip(
            CoreDevice(core, design(design_name), model).run_batch(given), Cpu(model).run_batch(given), strict=True
        ):
            np.testing.assert_array_equal(got, want)
