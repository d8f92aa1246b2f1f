# SPDX-License-Identifier: Apache-2.0
"""``zeile train`` as a user runs it: a recipe to a model folder, then fine-tuning on a folder of lines."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch: pip install zeile[train]")
pytest.importorskip("matplotlib", reason="training draws its curve: pip install zeile[train]")

from zeile.device import open_device
from zeile.errors import BadData, BadSettings
from zeile.manifest import load_model, verify
from zeile.pipeline import Recognizer
from zeile.train import command

RECIPE = {
    "name": "tiny",
    "description": "a tiny model for tests",
    "license": "Apache-2.0",
    "text": "NFC",
    "network": {
        "height_px": 16,
        "columns_per_frame": 2,
        "pixel_bits": 4,
        "stretch_percent": 110,
        "layers": [
            {"kind": "bilstm", "hidden": 16, "weight_bits": 4, "out_bits": 4, "cell_bits": 8},
            {"kind": "dense", "weight_bits": 4},
        ],
    },
    "characters": "ab",
    "readings": {},
    "phases": [
        {"name": "float", "lines": 64, "rate": 3e-3},
        {"name": "quantised", "lines": 32, "rate": 1e-3},
    ],
    "validate": [],
    "variants": 1,
    "batch": 8,
}


def write_lines(folder: Path, letters: str, count: int = 22) -> Path:
    folder.mkdir()
    rng = random.Random(2)
    for number in range(count):
        text = "".join(rng.choices(letters, k=rng.randint(2, 5)))
        page = np.full((40, 30 + 22 * len(text)), 240, np.uint8)
        cv2.putText(page, text, (10, 30), cv2.FONT_HERSHEY_COMPLEX, 1, 20, 2)
        cv2.imwrite(str(folder / f"{number:03d}.png"), page)
        (folder / f"{number:03d}.gt.txt").write_text(text + "\n", "utf-8")
    return folder


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(words))


def test_a_recipe_becomes_a_model_and_a_model_is_fine_tuned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = write_lines(tmp_path / "lines", "ab")
    recipe = tmp_path / "tiny.json"
    recipe.write_text(json.dumps(RECIPE | {"sources": [{"set": str(lines), "share": 1.0, "license": "CC0-1.0"}]}))
    assert run(str(recipe), "--models", "models", "--check-every", "32") == 0
    folder = tmp_path / "models" / "tiny" / "1"
    verify(folder)
    model = load_model(folder)
    assert model.alphabet.characters == ("", "a", "b")
    assert model.network.stretch_percent == 110
    val = model.manifest["evaluation"]["val"]["lines"]
    assert val["lines"] == 3, "every tenth line is held out"
    assert {"cer", "cer_float"} <= set(val)
    assert model.manifest["training"]["data"][0]["lines"] == 19
    with open_device("cpu", model.network) as device:
        assert isinstance(Recognizer(model, device).read(np.full((30, 90), 200, np.uint8)).text, str)

    more = write_lines(tmp_path / "more", "abc", 12)
    assert run("--from", "tiny", "--lines", str(more), "--name", "tiny-c", "--models", "models", "--scale", "0.02") == 0
    tuned = load_model(tmp_path / "models" / "tiny-c" / "1")
    assert tuned.network.stretch_percent == 110
    assert tuned.alphabet.characters == ("", "a", "b", "c"), "new characters get classes of their own"
    capsys.readouterr()

    with pytest.raises(BadSettings, match="exists"):
        run("--from", "tiny", "--lines", str(more), "--name", "tiny-c", "--models", "models")


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ((), BadSettings, "name a recipe"),
        (("latin-print",), BadSettings, "--data"),
        (("latin-print", "--data", "nowhere"), BadData, "en_books.zip is missing"),
        (("no-such-recipe",), BadSettings, "latin-print"),
    ],
)
def test_a_mistake_is_answered_with_its_remedy(
    words: tuple[str, ...], error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        run(*words)
