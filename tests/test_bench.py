# SPDX-License-Identifier: Apache-2.0
"""The benchmark on a tiny model and drawn lines; its exported graphs against the integers."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.device.networks import random_line, random_network
from tests.models import line_png, write_tiny_model

from zeile import bench
from zeile.bench import line_peers, peers
from zeile.bench.dequantise import SCORE_HIGH, SCORE_LOW
from zeile.bench.network_peers import NetworkPeer, TorchPeer, as_codes, onnx_peers
from zeile.bench.timing import Clocked, Rate, Ratio, interleave
from zeile.device.reference import Reference
from zeile.errors import BadData
from zeile.metrics import compare
from zeile.network import Conv2d, Dense, Layer, Lstm, MaxPool, Network
from zeile.samples import Sample

LINE = Path(__file__).parent / "lines" / "antiqua" / "001.png"

WIDE: dict[str, Any] = {"weight_bits": 8, "out_bits": 8}  # 8 bits: rounding hides no mistake of scale
CONV: list[Layer] = [
    Conv2d(channels=4, **WIDE),
    MaxPool(columns=3, rows=2),
    Conv2d(channels=4, skip=1, weight_bits=8, out_bits=7),
    MaxPool(columns=1, rows=2),
    Lstm(hidden=8, cell_bits=12, **WIDE),
    Dense(classes=9, weight_bits=8),
]
RECURRENT: list[Layer] = [
    Lstm(hidden=8, cell_bits=12, **WIDE),
    Lstm(hidden=8, cell_bits=12, bidirectional=False, **WIDE),
    Dense(classes=9, weight_bits=8),
]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    folder = tmp_path / "lines"
    folder.mkdir()
    for number in range(6):
        (folder / f"book{number // 2}_{number}.png").write_bytes(line_png(number, width=120))
        (folder / f"book{number // 2}_{number}.gt.txt").write_text(f"daſs {number}\n", encoding="utf-8")
    return folder


def _run(tmp_path: Path, lines: Path, *more: str) -> int:
    write_tiny_model(tmp_path / "models")
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    fixed = [
        "--models",
        str(tmp_path / "models"),
        "--model",
        "tiny",
        "--engine",
        "reference",
        "--rounds",
        "1",
        "--threads",
        "1",
    ]
    return bench.run(parser.parse_args([str(lines), *fixed, *more]))


def test_measures_accuracy_and_speed(tmp_path: Path, lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(tmp_path, lines, "--peers", "none", "--json", "--lines", "4", "--reading", "diplomatic") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["set"]["lines"], found["set"]["lines_in_set"], found["set"]["documents"]) == (4, 6, 3)
    assert found["model"]["reading"] == "diplomatic"
    ours = found["accuracy"]["zeile"]
    assert ours["errors"] == ours["substitutions"] + ours["insertions"] + ours["deletions"] > 0
    assert {"decode", "preprocess", "network", "ctc", "end to end"} <= set(found["speed"]["stages"])
    assert all(rate["lines_s"] > 0 for rate in found["speed"]["stages"].values())
    assert len(found["speed"]["all_cores"]) == 2
    assert found["peak"]["share"] is None
    assert "does not run native code" in found["peak"]["reason"]
    assert found["speed"]["peers"] == {}


def test_writes_table_json_and_plots(tmp_path: Path, lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib, from the extra 'bench'")
    assert _run(tmp_path, lines, "--peers", "none", "--out", str(tmp_path / "out")) == 0
    printed = capsys.readouterr().out
    assert "lines/cpu-s" in printed
    assert "only 3 documents" in printed
    assert re.search(
        r"^CER, % .*/ \(errors \+ matches\)  mean of lines  / longer text  mean of lines\nzeile ", printed, re.MULTILINE
    )
    assert "OCR-D's normalised CER" in printed
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["bench.json", "bench.txt", "cer.png", "stages.png"]
    assert (tmp_path / "out" / "bench.txt").read_text(encoding="utf-8") == printed


def test_missing_peers_are_named(
    tmp_path: Path, lines: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: object) -> Any:
        raise ModuleNotFoundError("No module named 'thing'", name="thing")

    monkeypatch.setattr(peers, "onnx_peers", absent)
    monkeypatch.setattr(peers, "TorchPeer", absent)
    monkeypatch.setattr(peers, "_PROGRAMS", {"rapidocr": {"rapidocr": absent}, "tesseract": {"tesserocr": absent}})
    assert _run(tmp_path, lines, "--peers", "all") == 0
    printed = capsys.readouterr().out
    for name in ("onnx", "torch", "rapidocr", "tesserocr"):
        assert f"not run: {name}: thing is not installed" in printed


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--peers", "abbyy"], "known are tesseract"),
        (["--rounds", "0"], "at least 1"),
        (["--model", "absent"], "absent"),
        (["--reading", "absent"], "absent"),
        (["--engine", "absent"], "absent"),
    ],
)
def test_wrong_settings_are_explained(tmp_path: Path, lines: Path, more: list[str], message: str) -> None:
    with pytest.raises(Exception, match=message) as raised:
        _run(tmp_path, lines, "--peers", "none", *more)
    assert type(raised.value).__module__ == "zeile.errors"


def test_a_split_of_a_folder_is_an_error(tmp_path: Path, lines: Path) -> None:
    with pytest.raises(BadData, match="no split"):
        _run(tmp_path, lines, "--split", "val")


def _same(peer: NetworkPeer, network: Network) -> None:
    """Scores of a float peer are those of the integers, but for rounding, alone and in a batch."""
    rng = np.random.default_rng(4)
    batch = [random_line(rng, network, frames) for frames in (40, 61, 24)]
    expected = [Reference(network).run(line).astype(np.float64) for line in batch]
    alone = [peer.scores([line])[0] for line in batch]
    for ours, theirs in zip(expected, alone, strict=True):
        assert theirs.shape == ours.shape
        assert ours.std() > 10  # the comparison means something
        assert np.abs(theirs - ours).mean() < 1.5
    for single, theirs in zip(alone, peer.scores(batch), strict=True):
        assert theirs.shape == single.shape
        if isinstance(network.layers[0], Lstm):
            np.testing.assert_allclose(theirs, single, atol=1e-3)  # padding does not count
        else:
            assert np.abs(theirs - single).mean() < 2  # it does count a little between convolutions


@pytest.mark.parametrize(("layers", "together"), [(CONV, 1), (RECURRENT, 2)])
def test_onnx_graph_equals_the_integers_but_for_rounding(tmp_path: Path, layers: list[Layer], together: int) -> None:
    pytest.importorskip("onnx", reason="the exporter needs onnx, from the extra 'bench'")
    pytest.importorskip("onnxruntime", reason="running the graph needs onnxruntime, from the extra 'bench'")
    network = random_network(3, layers, height_px=16, columns_per_frame=together, pixel_bits=8)
    plain, int8 = onnx_peers(network, tmp_path)
    _same(plain, network)
    line = random_line(np.random.default_rng(5), network, 30)
    difference = int8.scores([line])[0] - plain.scores([line])[0]
    assert 0 < np.abs(difference).mean() < 15  # it is quantised, and it is the same network
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize(("layers", "together"), [(CONV, 1), (RECURRENT, 2)])
def test_torch_twin_equals_the_integers_but_for_rounding(layers: list[Layer], together: int) -> None:
    pytest.importorskip("torch", reason="the torch peer needs torch")
    network = random_network(3, layers, height_px=16, columns_per_frame=together, pixel_bits=8)
    _same(TorchPeer(network), network)


def test_float_scores_become_codes() -> None:
    scores = np.array([[-500.0, -0.5, 0.49, 0.5, 500.0]], np.float32)
    assert as_codes(scores).tolist() == [[SCORE_LOW, 0, 0, 1, SCORE_HIGH]]


def test_contenders_take_turns_after_a_round_that_does_not_count() -> None:
    order: list[str] = []
    times = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b"] * 3
    assert {name: len(found) for name, found in times.items()} == {"a": 2, "b": 2}


def test_ratios_are_taken_within_a_round() -> None:
    a = [Clocked(1, 1), Clocked(1, 4), Clocked(1, 2)]
    b = [Clocked(9, 2), Clocked(9, 8), Clocked(9, 6)]
    assert Ratio.of(a, b) == Ratio(2, 2, 3)
    assert Rate.of(a, 10) == Rate(10, 5)


def test_tesseract_in_this_process_reads_a_line() -> None:
    pytest.importorskip("tesserocr", reason="needs tesserocr, from the extra 'bench'")
    text = (LINE.with_suffix(".gt.txt")).read_text("utf-8").strip()
    try:
        peer = line_peers.Tesserocr([text])
    except ImportError as error:
        pytest.skip(str(error))
    try:
        read = peer.read(peer.prepare(Sample("001", None, LINE.read_bytes(), text)))
    finally:
        peer.close()
    assert compare(text, read).characters.rate < 0.2
    assert peer.version.startswith("tesseract ")


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["plain English text"], "eng"),
        (["daſs er die Straße"], "Fraktur"),
        (["über die Straße"], "deu"),
        (["l'été à Orléans"], "fra"),
    ],
)
def test_language_data_follow_the_ground_truth(
    texts: list[str], language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = 'List of available languages in "/data/" (5):\nFraktur\ndeu\neng\nfra\nosd\n'
    monkeypatch.setattr(shutil, "which", lambda _: "tesseract")
    monkeypatch.setattr(line_peers, "_run", lambda _: listing)
    assert line_peers.language_data(texts) == (language, Path("/data"))
