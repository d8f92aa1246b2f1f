# SPDX-License-Identifier: Apache-2.0
"""Evaluations and the report of a model folder."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from zeile.errors import BadData
from zeile.evaluate import Evaluation, evaluate
from zeile.report import report_files
from zeile.samples import Sample

TEXTS = ["eins", "zwei", "drei", "vier", "fünf"]


@dataclass
class _Said:
    text: str


class _Parrot:
    """Reads the text whose number is the grey of the picture."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts, self.batches = texts, list[int]()

    def read_batch(self, greys: Sequence[npt.NDArray[np.uint8]]) -> list[_Said]:
        self.batches.append(len(greys))
        return [_Said(self.texts[int(grey[0, 0])]) for grey in greys]


def _samples() -> list[Sample]:
    found = []
    for number, text in enumerate(TEXTS):
        target = io.BytesIO()
        Image.fromarray(np.full((4, 9), number, np.uint8)).save(target, "PNG")
        found.append(Sample(str(number), f"book{number % 2}", target.getvalue(), text))
    return found


def test_counts_what_a_recognizer_reads() -> None:
    evaluation = evaluate(_Parrot(["eins", "zwo", "drei", "", "funf"]), _samples())
    assert evaluation.cer == (2 + 4 + 1) / 20
    assert evaluation.totals.exact_lines == 2
    assert [r.id for r in evaluation.worst()] == ["3", "1", "4"]
    assert evaluation.interval.units == 2


def test_batches_do_not_change_the_figures() -> None:
    parrot = _Parrot(TEXTS)
    assert evaluate(parrot, _samples(), batch=2).readings == evaluate(parrot, iter(_samples()), batch=16).readings
    assert parrot.batches == [2, 2, 1, 5]


def test_an_undecodable_line_is_named() -> None:
    with pytest.raises(BadData, match="line broken"):
        evaluate(_Parrot(TEXTS), [Sample("broken", None, b"no image", "x")])


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(BadData, match="no lines"):
        evaluate(_Parrot(TEXTS), [])
    with pytest.raises(BadData, match="1 texts"):
        Evaluation.of(_samples(), ["eins"])


def test_report_holds_figures_and_no_images() -> None:
    evaluation = Evaluation.of(_samples(), ["eins", "zwo", "drei", "", "funf"])
    files = report_files({"five": evaluation}, plots=False)
    assert list(files) == ["eval.json"]
    five = json.loads(files["eval.json"])["sets"]["five"]
    assert (five["lines"], five["cer"], five["exact_lines"]) == (5, 0.35, 0.4)
    assert five["substitutions"] + five["insertions"] + five["deletions"] == five["errors"] == 7
    assert five["cer_aligned"] == {"total": 0.35, "line_mean": 0.35}
    assert five["cer_longer"] == {"total": 0.35, "line_mean": 0.35}
    assert five["cer_interval"]["low"] <= five["cer"] <= five["cer_interval"]["high"]
    assert five["worst_lines"][0] == {"id": "3", "errors": 4, "truth": "vier", "text": ""}
    assert ["ü", "u", 1] in five["confusions"]


def test_report_without_ground_truth_is_still_json() -> None:
    evaluation = Evaluation.of([Sample("0", None, b"", "")], ["noise"])
    five = json.loads(report_files({"empty": evaluation}, plots=False)["eval.json"])["sets"]["empty"]
    assert five["cer"] is None
    assert five["cer_aligned"] == five["cer_longer"] == {"total": 1.0, "line_mean": 1.0}
    assert five["insertions"] == 5


def test_report_draws_plots() -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib, from the extra 'bench'")
    evaluation = Evaluation.of(_samples(), ["eins", "zwo", "drei", "", "funf"])
    files = report_files({"five": evaluation, "perfect": Evaluation.of(_samples(), TEXTS)})
    assert sorted(files) == ["eval.json", "plots/cer.png", "plots/confusions.png", "plots/lines.png"]
    for name in sorted(files)[1:]:
        assert min(Image.open(io.BytesIO(files[name])).size) > 100


def test_report_needs_a_set() -> None:
    with pytest.raises(BadData, match="at least one"):
        report_files({})
