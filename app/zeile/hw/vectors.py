# SPDX-License-Identifier: Apache-2.0
"""Packets with the answers that a core of a design must give: for its C simulation and for Vitis HLS' co-simulation.

    python -m zeile.hw.vectors DESIGN [--write FILE]

Without --write the C simulation answers the packets; with it they go to a file that hw_src/hls/test/core_tb.cpp reads.
A random model is loaded, lines of several lengths are read back to back (what NumPy computes is right), and packets
that a core must refuse come between them. The file has a line a word: `i` or `o`, 16 hexadecimal digits, 1 with TLAST.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zeile.device.reference import Reference
from zeile.errors import ZeileError
from zeile.hw import packets
from zeile.hw.csim import Core, build
from zeile.hw.design import Design, find_design, hw_source
from zeile.hw.layout import model_words
from zeile.hw.packets import Answer, Fault, Kind, Words
from zeile.network import Conv2d, Lstm, MaxPool, Network, activation_tables, largest_weight

Exchange = tuple[Words, Words]
"""A packet and the whole answer to it, but for the cycles in the upper half of its last word, which are 0."""

_EMPTY = np.zeros(0, np.uint64)


def random_network(design: Design, seed: int) -> Network:
    """A model of a design's shape with random tensors, scaled so that codes and scores use their range."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, npt.NDArray[Any]] = {}
    for index, (layer, codes) in enumerate(zip(design.layers, design.codes[:-1], strict=True)):
        if isinstance(layer, MaxPool):
            continue
        shapes, top = layer.shapes(codes), largest_weight(layer.weight_bits)
        weight = rng.integers(-top, top + 1, shapes["weight"])
        spread = max(1.0, float(np.sqrt(shapes["weight"][-1] * codes.largest**2) * top / 3))
        reach = 2**layer.out_bits if isinstance(layer, Conv2d) else 100
        made: dict[str, npt.NDArray[Any]] = {
            "weight": np.where(weight > 0, 1, -1) if layer.weight_bits == 1 else weight,
            "bias": rng.integers(-int(spread), int(spread) + 1, shapes["bias"]),
            "multiplier": np.clip(rng.uniform(4000, 20000, shapes["multiplier"]) * reach / spread, 0, 32767),
        }
        if "gain" in shapes:
            made["gain"] = rng.integers(-16, 17, shapes["gain"])
        kinds = {"weight": np.int8, "bias": np.int32, "multiplier": np.int16, "gain": np.int16}
        tensors |= {f"{index}.{name}": array.astype(kinds[name]) for name, array in made.items()}
        if isinstance(layer, Lstm):
            tables = activation_tables(layer.out_bits, layer.cell_bits)
            tensors |= {f"{index}.{name}": table for name, table in tables.items()}
    return Network(design.height_px, design.columns_per_frame, design.pixel_bits, list(design.layers), tensors)


def exchanges(design: Design, seed: int = 0, lengths: Sequence[int] = (1, 0, 7, 30, 3, 12)) -> list[Exchange]:
    """Packets and the answers to them, in the order in which they are sent.

    Args:
        design: of the core.
        seed: of the model and the lines.
        lengths: frames of each line; longer ones than the design takes are cut.
    """
    network, rng = random_network(design, seed), np.random.default_rng(seed + 1)
    made: list[Exchange] = []

    def ask(question: Words, answer: Answer) -> None:
        made.append((question, packets.answer(answer)))

    def plain(kind: Kind, field: int = 0, payload: Words = _EMPTY) -> Answer:
        return Answer(kind, len(made), field, len(payload), 0, payload, 0)

    line = _line(rng, design, 1)
    refused = Answer(Kind.ERROR, 0, packets.SCORES, 0, 0, _EMPTY, 0, Fault.NO_MODEL)
    ask(packets.infer(0, line, design.pixel_bits), refused)
    for target, address, words in model_words(design, network):
        ask(packets.load(len(made), target, address, words), plain(Kind.LOAD, target))
    target, address, words = model_words(design, network)[0]
    ask(packets.commit(len(made), network.classes, 1), plain(Kind.COMMIT))
    ask(packets.read(len(made), target, address, len(words)), plain(Kind.READ, target, words))
    echoed = rng.integers(0, 1 << 63, 5, np.uint64)
    ask(packets.echo(len(made), echoed), plain(Kind.ECHO, 0, echoed))
    with Reference(network) as engine:
        for length in lengths:
            line = _line(rng, design, min(length, design.max_frames))
            ask(packets.infer(len(made), line, design.pixel_bits), _scores(len(made), engine.run(line), network))
    return made


def answered(core: Core, asked: Sequence[Exchange]) -> list[str]:
    """Sentences on each answer that is not the expected one; empty if all are."""
    wrong = []
    for index, (words, (_, expected)) in enumerate(zip(core.ask(*(q for q, _ in asked)), asked, strict=True)):
        words = words.copy()
        words[-1] &= np.uint64(0xFFFFFFFF)
        if not np.array_equal(words, expected):
            wrong.append(f"answer {index} is {_text(words)}, expected was {_text(expected)}")
    return wrong


def text(asked: Iterable[Exchange]) -> str:
    """Contents of the file for the test bench."""
    lines = []
    for pair in asked:
        for mark, words in zip("io", pair, strict=True):
            lines += [f"{mark} {int(word):016x} {int(at == len(words) - 1)}" for at, word in enumerate(words)]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a design's C simulation, or write the file of vectors; 1 if an answer is wrong."""
    parser = argparse.ArgumentParser(prog="python -m zeile.hw.vectors", description=__doc__.split("\n")[0])
    parser.add_argument("design", help="name of a design, or path of its file")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the packets and answers there")
    parser.add_argument("--seed", type=int, default=0, help="of model and lines (default 0)")
    chosen = parser.parse_args(arguments)
    try:
        design = find_design(chosen.design)
        asked = exchanges(design, chosen.seed)
        if chosen.write:
            chosen.write.write_text(text(asked), "utf-8")
            return 0
        with Core(build(design, hw_source())) as core:
            wrong = answered(core, asked)
            cycles = core.report()["cycles"]
    except ZeileError as error:
        sys.exit(f"zeile: {error}")
    print("\n".join(wrong) or f"{design.name}: {len(asked)} packets answered rightly in {cycles} cycles")
    return int(bool(wrong))


def _line(rng: np.random.Generator, design: Design, frames: int) -> npt.NDArray[np.uint8]:
    codes = design.codes[0]
    return rng.integers(0, codes.largest + 1, (frames, codes.size), np.uint8)


def _scores(tag: int, scores: npt.NDArray[np.int8], network: Network) -> Answer:
    filled = np.zeros((len(scores), -(-network.classes // 8) * 8), np.int8)
    filled[:, : network.classes] = scores
    payload = filled.view("<u8").reshape(-1).astype(np.uint64)
    return Answer(Kind.INFER, tag, packets.SCORES, len(scores), network.classes, payload, 0)


def _text(words: Words) -> str:
    shown = " ".join(f"{int(word):016x}" for word in words[:4])
    return f"{len(words)} words {shown}{' ...' if len(words) > 4 else ''}"


if __name__ == "__main__":
    sys.exit(main())
