# SPDX-License-Identifier: Apache-2.0
"""Pools, batches, recipes, the loop: a model that is trained, interrupted, resumed and fine-tuned."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install zeile[train]")

from zeile.alphabet import alphabet_of  # noqa: E402 - after the skip
from zeile.errors import BadData, BadSettings  # noqa: E402
from zeile.network import Conv2d, Dense, Layer, Lstm, MaxPool  # noqa: E402
from zeile.train.check import quick_cer  # noqa: E402
from zeile.train.data import Batches, Source, augment  # noqa: E402
from zeile.train.loop import Phase, Trainer  # noqa: E402
from zeile.train.model import Trainee  # noqa: E402
from zeile.train.pool import Pool, degrade, write_pool  # noqa: E402
from zeile.train.recipe import load_recipe, recipe_from_json, shipped_recipes  # noqa: E402

ALPHABET = alphabet_of("abſs ", {"s-folded": {"ſ": "s"}})


def drawn(text: str) -> npt.NDArray[np.uint8]:
    page = np.full((48, 30 + 22 * len(text)), 240, np.uint8)
    cv2.putText(page, text, (10, 34), cv2.FONT_HERSHEY_COMPLEX, 1, 20, 2)
    return page


def pool(path: Path, count: int = 40, letters: str = "ab") -> Pool:
    rng = random.Random(4)
    texts = ["".join(rng.choices(letters, k=rng.randint(1, 5))) for _ in range(count)]
    write_pool(path, ((drawn(t), t) for t in texts), 16, show=False)
    return Pool(path)


def layers() -> list[Layer]:
    return [
        Conv2d(channels=4, weight_bits=8, out_bits=4),
        MaxPool(columns=2, rows=2),
        Lstm(hidden=16, weight_bits=4, out_bits=4),
        Dense(classes=len(ALPHABET), weight_bits=4),
    ]


def trainer(folder: Path, lines: Pool, phases: list[Phase], reading: str | None = None) -> Trainer:
    torch.manual_seed(1)
    model = Trainee(16, 1, 4, layers())
    batches = Batches([Source(lines, 1.0, reading)], ALPHABET, batch=8, columns_per_frame=1, pixel_bits=4, seed=3)
    return Trainer(
        model,
        batches,
        phases,
        folder,
        fresh=True,
        check_every=16,
        on_check=lambda m: {"val": quick_cer(m, lines, ALPHABET, "s-folded", 8)},
    )


def test_a_pool_gives_back_lines_and_texts(tmp_path: Path) -> None:
    lines = pool(tmp_path / "p.npz", 5)
    assert len(lines) == 5
    for index in range(5):
        columns = lines.columns(index)
        assert columns.shape == (lines.width(index), 16)
        assert columns.max() > 150
        assert set(lines.text(index)) <= set("ab")


def test_a_pool_without_usable_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="none of the lines"):
        write_pool(tmp_path / "p.npz", [(np.full((20, 20), 255, np.uint8), "a")], 16, show=False)


@pytest.mark.parametrize("seed", range(20))
def test_degraded_and_augmented_lines_are_lines(seed: int) -> None:
    rng = random.Random(seed)
    grey = degrade(drawn("abba"), rng)
    assert grey.dtype == np.uint8
    assert grey.ndim == 2
    columns = augment(np.ascontiguousarray(drawn("abba").T), rng)
    assert columns.dtype == np.uint8
    assert columns.shape[1] == 48


def test_both_phases_train_and_the_loss_falls(tmp_path: Path) -> None:
    lines = pool(tmp_path / "p.npz")
    run = trainer(tmp_path / "run", lines, [
        Phase(name="float", lines=480, rate=5e-3),
        Phase(name="quantised", lines=160, rate=2e-3),
    ])  # fmt: skip
    run.run(show=False)
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    header = rows[0].split(",")
    losses = [float(row.split(",")[header.index("loss")]) for row in rows[1:]]
    assert losses[-1] < 0.8 * losses[0]
    assert {row.split(",")[0] for row in rows[1:]} == {"float", "quantised"}
    assert (tmp_path / "run" / "float.pt").exists()


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    lines = pool(tmp_path / "p.npz")
    phases = [Phase(name="float", lines=64, rate=1e-3)]
    first = trainer(tmp_path / "run", lines, phases)
    checks = 0

    def interrupt(_: Trainee) -> dict[str, float]:
        nonlocal checks
        checks += 1
        if checks == 3:
            raise KeyboardInterrupt
        return {"val": 0.0}

    first.on_check = interrupt
    with pytest.raises(KeyboardInterrupt):
        first.run(show=False)
    again = trainer(tmp_path / "run", lines, phases)
    assert again.resume()
    assert again.progress.seen == 32, "the last complete checkpoint"
    again.run(show=False)
    assert again.progress.total == 64


def test_texts_in_a_plainer_reading_accept_either_label(tmp_path: Path) -> None:
    """A line whose text says s is scored the same whether the network says s or the long s."""
    run = trainer(tmp_path / "run", pool(tmp_path / "p.npz", letters="as"), [], reading="s-folded")
    batch = next(run.batches.stream(1000))
    long_s, round_s = ALPHABET.labels("ſs")
    assert round_s in batch.targets
    assert long_s not in batch.targets, "texts are in the reading too"
    scores = torch.randn(30, 8, len(ALPHABET))
    swapped = scores.clone()
    swapped[:, :, [long_s, round_s]] = scores[:, :, [round_s, long_s]]
    merged = run._merge(scores.log_softmax(-1), batch.readings)
    torch.testing.assert_close(merged, run._merge(swapped.log_softmax(-1), batch.readings))
    torch.testing.assert_close(merged.exp().sum(-1), torch.ones(30, 8))
    exact = run._merge(scores.log_softmax(-1), (None,) * 8)
    torch.testing.assert_close(exact, scores.log_softmax(-1))


@pytest.mark.parametrize("reading", [None, "s-folded"])
def test_the_gradient_is_that_of_the_loss(tmp_path: Path, reading: str | None) -> None:
    """torch's CTC backward is right only for distributions; a reading must not change that."""
    run = trainer(tmp_path / "run", pool(tmp_path / "p.npz", letters="as"), [], reading=reading)
    batch = next(run.batches.stream(1000))
    steps = int(batch.lengths.max()) // 4  # as the small network of these tests pools
    scores = torch.randn(steps, 8, len(ALPHABET), dtype=torch.float64, requires_grad=True)

    def loss(of: Any) -> Any:
        run.model.forward = lambda *_: (of, torch.full((8,), steps, dtype=torch.int32))  # type: ignore[method-assign]
        return run.loss(batch)

    (found,) = torch.autograd.grad(loss(scores), scores)
    rng = np.random.default_rng(0)
    labels = [ALPHABET.blank, *ALPHABET.labels("ſsa")]
    for _ in range(40):
        at = (int(rng.integers(steps)), int(rng.integers(8)), int(rng.choice(labels)))
        nudge = torch.zeros_like(scores)
        nudge[at] = 1e-5
        with torch.no_grad():
            slope = (loss(scores + nudge) - loss(scores - nudge)) / 2e-5
        assert float(found[at]) == pytest.approx(float(slope), abs=1e-7)


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_sound(name: str) -> None:
    recipe = load_recipe(name)
    shape = recipe.network
    model = Trainee(shape["height_px"], shape["columns_per_frame"], shape["pixel_bits"], recipe.layers)
    recurrent = [layer for layer in recipe.layers if isinstance(layer, Lstm)]
    assert len(recurrent) == 1
    assert recurrent[0].hidden <= 256
    assert sum(isinstance(layer, Conv2d) for layer in recipe.layers) <= 3
    assert len(recipe.alphabet) <= 192
    assert sum(p.numel() for p in model.parameters()) < 1_000_000


def test_a_recipe_with_a_misspelt_key_is_refused() -> None:
    with pytest.raises(BadSettings, match=r"unknown keys \['seeed'\]"):
        recipe_from_json({"name": "x", "seeed": 1})


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadSettings, match="latin-print"):
        load_recipe("latin")
