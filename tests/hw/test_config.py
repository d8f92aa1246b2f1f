# SPDX-License-Identifier: Apache-2.0
"""Generated headers: those of the example are up to date, and the chain of any design holds together."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from zeile.errors import BadManifest
from zeile.hw import chain
from zeile.hw.config import config_header, write_headers
from zeile.hw.design import Design, find_design
from zeile.hw.folding import Fold
from zeile.hw.layout import model_words
from zeile.network import Conv2d

SOURCE = Path(__file__).resolve().parents[2] / "hw_src"
NAMES = ("tiny", "tiny-uni", "zeile-print", "finn-l-w4a4", "finn-l-w2a4")


def skipping() -> Design:
    """Two layers add the same map, one the input."""
    base = find_design("tiny", SOURCE)
    first = Conv2d(channels=1, weight_bits=4, out_bits=4, skip=-1)
    same = Conv2d(channels=1, weight_bits=4, out_bits=4)
    layers = (first, same, replace(same, skip=0), replace(same, skip=0), *base.layers[2:])
    fold = Fold(pe=1, simd=9)
    tail = (None, replace(base.fold(3), simd=4, pe=8), base.folds[-1])
    return replace(base, layers=layers, folds=(fold, fold, fold, fold, *tail))


def structs(text: str) -> dict[str, dict[str, str]]:
    found = {}
    for name, body in re.findall(r"^struct (\w+) \{\n(.*?)^\};", text, re.DOTALL | re.MULTILINE):
        found[name] = dict(re.findall(r"\bk(\w+) = ([^;]+);", body))
    return found


def test_the_example_is_what_is_generated(tmp_path: Path) -> None:
    for path in write_headers(find_design("tiny", SOURCE), tmp_path):
        example = SOURCE / "hls" / "example" / path.name
        assert example.read_text("utf-8") == path.read_text("utf-8"), f"regenerate {example.name}: zeile hw config tiny"


def test_headers_that_are_right_are_not_written_again(tmp_path: Path) -> None:
    design = find_design("tiny", SOURCE)
    times = [path.stat().st_mtime_ns for path in write_headers(design, tmp_path / "new" / "folder")]
    (tmp_path / "new" / "folder" / "chain.h").write_text("damaged", "utf-8")
    written = write_headers(design, tmp_path / "new" / "folder")
    assert written[0].stat().st_mtime_ns == times[0]
    assert "ZEILE_UNITS" in written[1].read_text("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_are_the_designs(name: str) -> None:
    design = find_design(name, SOURCE)
    text = config_header(design)
    found = structs(text)
    scalars = found["Design"]
    assert scalars["Name"] == f'"{name}"'
    assert int(scalars["Id"].removesuffix("ULL"), 16) == design.design_id
    assert int(scalars["FrameWords"]) == design.words_per_frame
    assert int(scalars["MaxSteps"]) == design.network.steps(design.max_columns) <= int(scalars["RingSteps"])
    assert int(scalars["FrameCodes"]) % int(scalars["BeatCodes"]) == 0
    for index, fold in enumerate(design.folds):
        layer = found[f"Layer{index}"]
        if fold is not None:
            assert (int(layer["Pe"]), int(layer["Simd"]), int(layer["Target"])) == (fold.pe, fold.simd, index)
            assert int(layer["DspPe"]) == {"dsp": fold.pe, "half": fold.pe // 2, "lut": 0}[fold.mac]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_loaded_can_be_addressed(name: str) -> None:
    design = find_design(name, SOURCE)
    table = config_header(design).partition("kMemories[] = {")[2]
    memories = {(int(t), int(s)): int(n) for t, s, n in re.findall(r"\{(\d+), (\d+), (\d+)\}", table)}
    loads = {(target, address >> 24): len(words) for target, address, words in model_words(design, design.network)}
    assert loads == {key: memories[key] for key in loads}
    assert set(memories) == set(loads)


@pytest.mark.parametrize("design", [*(find_design(name, SOURCE) for name in NAMES), skipping()], ids=lambda d: d.name)
def test_every_fifo_has_one_writer_and_one_reader(design: Design) -> None:
    built = chain.build(design)
    streams = [stream for unit in built.units for stream in unit.streams]
    for name in built.fifos:
        assert streams.count(name) == 2, name
    assert set(streams) - set(built.fifos) == {"s_in", "m_out"}
    assert len({unit.name for unit in built.units}) == len(built.units)
    assert {unit.kind for unit in built.units} == {kind.name for kind in built.classes}


def test_skip_connections_have_forks_and_deep_fifos() -> None:
    design = skipping()
    fifos = {name: fifo.depth for name, fifo in chain.build(design).fifos.items()}
    rows = design.height_px
    assert fifos["pixels0_skip"] == 3 * rows  # past the one convolution that adds it
    assert fifos["map0_skip0"] == 4 * rows
    assert fifos["map0_skip1"] == 5 * rows
    text = chain.chain_header(design)
    assert "UNIT(Conv3, conv3, (STREAM(map2), STREAM(map0_skip1), STREAM(map3)" in re.sub(r"\s*\\\n\s*", " ", text)


def test_depths_of_a_design_replace_the_computed_ones() -> None:
    design = find_design("tiny", SOURCE)
    assert "FIFO(Conv0::Out_t, map0, 9)" in chain.chain_header(replace(design, fifo={"map0": 9}))
    with pytest.raises(BadManifest, match=r"fifo names \['map9'\]; there are retired, packets"):
        chain.chain_header(replace(design, fifo={"map9": 9}))


@pytest.mark.parametrize("name", NAMES)
def test_lines_are_not_too_long(name: str) -> None:
    design = find_design(name, SOURCE)
    for line in (config_header(design) + chain.chain_header(design)).splitlines():
        assert len(line) <= 120, line
