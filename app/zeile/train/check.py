# SPDX-License-Identifier: Apache-2.0
"""CER of a trainee on prepared lines, while it trains: best path, code points, quick."""

from __future__ import annotations

import editdistance
import numpy as np
import torch

from zeile.alphabet import Alphabet
from zeile.columns import frames_of
from zeile.train.data import collate
from zeile.train.model import Trainee
from zeile.train.pool import Pool

_BATCH = 24


def best_path_texts(model: Trainee, pool: Pool, alphabet: Alphabet, reading: str, indices: list[int]) -> list[str]:
    """Texts of some lines of a pool, in the order of ``indices``."""
    merged = np.array(alphabet.merged(reading))
    device = next(model.parameters()).device
    texts: dict[int, str] = {}
    order = sorted(indices, key=pool.width)
    for start in range(0, len(order), _BATCH):
        keys = order[start : start + _BATCH]
        lines = [frames_of(pool.columns(k).T, model.pixel_bits, model.columns_per_frame) for k in keys]
        batch = collate(lines, [[]] * len(keys), [None] * len(keys))
        with torch.no_grad():
            scores, lengths = model(batch.frames.to(device), batch.lengths.to(device))
        best = merged[scores.argmax(-1).t().cpu().numpy()]
        for key, row, length in zip(keys, best, lengths.tolist(), strict=True):
            path = row[:length]
            changed = np.concatenate([[True], path[1:] != path[:-1]]) if length else np.zeros(0, bool)
            texts[key] = alphabet.text(path[changed & (path != alphabet.blank)])
    return [texts[k] for k in indices]


def quick_cer(model: Trainee, pool: Pool, alphabet: Alphabet, reading: str, lines: int | None = None) -> float:
    """CER in percent on ``lines`` lines of a pool (the same ones every time), or on all of them."""
    indices = list(range(len(pool)))
    if lines is not None:
        indices = np.random.default_rng(3).permutation(len(pool))[:lines].tolist()
    read = best_path_texts(model, pool, alphabet, reading, indices)
    errors = sum(editdistance.eval(text, pool.text(i)) for text, i in zip(read, indices, strict=True))
    return 100 * errors / sum(len(pool.text(i)) for i in indices)
