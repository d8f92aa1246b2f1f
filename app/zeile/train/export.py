# SPDX-License-Identifier: Apache-2.0
"""From a trained network to a model folder: integers, latent weights for fine-tuning, curves, evaluation."""

from __future__ import annotations

import csv
import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zeile.alphabet import Alphabet
from zeile.errors import BadData
from zeile.network import Dense, Network
from zeile.train.model import Trainee

LATENT = "latent.npz"


def network_of(model: Trainee) -> Network:
    """The integer network that a quantised trainee computes."""
    return Network(
        model.height_px,
        model.columns_per_frame,
        model.pixel_bits,
        model.specs,
        model.tensors(),
        stretch_percent=model.stretch_percent,
    )


def latent_weights(model: Trainee) -> bytes:
    """The real-valued weights behind the codes, as float16 .npz, from which fine-tuning starts."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{k: v.numpy().astype(np.float16) for k, v in model.state_dict().items()})
    return buffer.getvalue()


def load_latent(model: Trainee, alphabet: Alphabet, path: Path, saved: Alphabet) -> None:
    """Start from the latent weights of a shipped model; classes are matched by character.

    Args:
        model: of the same topology but for the classes.
        alphabet: of ``model``.
        path: the model folder's latent.npz.
        saved: alphabet of that folder.

    Raises:
        BadData: another topology.
    """
    with np.load(path, allow_pickle=False) as arrays:
        state = {k: torch.from_numpy(arrays[k].astype(np.float32)) for k in arrays.files}
    own, last = model.state_dict(), f"stages.{len(model.specs) - 1}."
    rows = {c: i for i, c in enumerate(saved.characters)}
    for key, value in state.items():
        if key.startswith(last):
            mixed = own[key].clone()
            for label, character in enumerate(alphabet.characters):
                if character in rows:
                    mixed[label] = value[rows[character]]
            state[key] = mixed
    if own.keys() != state.keys() or any(own[k].shape != state[k].shape for k in own):
        raise BadData(f"{path}: is of another topology; fine-tune with the layers of that model")
    model.load_state_dict(state)


def curve_plot(log: Path) -> bytes:
    """log.csv as a PNG: loss and CER over the lines seen."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with log.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [int(row["lines"]) for row in rows]
    sets = [key for key in rows[0] if key not in ("phase", "lines", "loss", "lines_s")]
    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(7, 6), layout="constrained")
    above.plot(lines, [float(row["loss"]) for row in rows], color="tab:gray", marker=".")
    above.set(ylabel="training loss (CTC per character)", yscale="log")
    for name in sets:
        below.plot(lines, [float(row[name]) for row in rows], marker=".", label=name.removeprefix("cer_"))
    below.set(ylabel="CER on a sample of val (%)", xlabel="lines seen", yscale="log")
    below.legend(loc="upper right", ncols=len(sets))
    for before, after in pairwise(rows):
        if before["phase"] != after["phase"]:
            for axes in (above, below):
                axes.axvline(int(before["lines"]), color="tab:red", linestyle=":")
            above.text(
                int(before["lines"]), above.get_ylim()[1], f"{after['phase']} ", va="top", color="tab:red", rotation=90
            )
    for axes in (above, below):
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return buffer.getvalue()


def facts(network: Network) -> dict[str, Any]:
    """Sizes for the manifest: parameters, MACs, accumulator bounds."""
    weights = [t for name, t in network.tensors.items() if name.endswith(".weight")]
    return {
        "weights": int(sum(w.size for w in weights)),
        "weight_bytes": int(
            sum(
                network.tensor(i, "weight").size * layer.weight_bits
                for i, layer in enumerate(network.layers)
                if hasattr(layer, "weight_bits")
            )
            // 8
        ),
        "macs_per_column": round(network.macs(6000) / 6000),
        "macs_line_600px": network.macs(600 * network.stretch_percent // 100),
        "accumulator_bounds": list(network.bounds),
        "classes": next(layer.classes for layer in network.layers if isinstance(layer, Dense)),
    }
