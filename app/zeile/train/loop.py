# SPDX-License-Identifier: Apache-2.0
"""The training loop: a float phase, then a quantised phase, resumable at any moment.

Adam, linear warm-up, a plateau, linear decay; narrow lines first, since CTC takes off on short ones. The loss is
CTC per character. Lines whose texts are written in a plainer reading than the alphabet (straight quotes for curly
ones, s for the long s) are scored in that reading: the labels it merges count as one.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from zeile.alphabet import Alphabet
from zeile.errors import BadData
from zeile.train.data import Batch, Batches
from zeile.train.model import Trainee

_WARM_UP = 100  # steps
_CURRICULUM = ((6_000, 240), (14_000, 400))  # (until that many lines, at most that many columns)
_WIDEST = 2_600  # columns
_NOTHING = -1e4  # log probability of a label that a reading does not use


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training.

    Attributes:
        name: "float" or "quantised".
        lines: lines seen in this phase.
        rate: peak learning rate.
        final: share of the peak that is left at the end.
    """

    name: str
    lines: int
    rate: float
    final: float = 0.0

    def rate_at(self, seen: int, step: int) -> float:
        """Learning rate after ``seen`` lines of this phase."""
        left = max(0.0, 1 - seen / self.lines)
        return self.rate * min(1.0, (step + 1) / _WARM_UP) * (self.final + (1 - self.final) * min(1.0, 1.6 * left))


@dataclass
class Progress:
    """Where a run stands: phase index, lines seen in it, steps in it, lines seen in all."""

    phase: int = 0
    seen: int = 0
    step: int = 0
    total: int = 0


class Trainer:
    """Runs the phases.

    Args:
        model: to train, in place.
        batches: training lines.
        phases: in order.
        folder: for ``checkpoint.pt``, ``log.csv`` and what ``on_check`` writes.
        fresh: whether training starts from random weights, so that narrow lines come first.
        check_every: lines between two calls of ``on_check``.
        on_check: measures the model: set to CER in percent, for the log.
        device: "cpu" or "cuda".
    """

    def __init__(
        self,
        model: Trainee,
        batches: Batches,
        phases: list[Phase],
        folder: Path,
        *,
        fresh: bool,
        check_every: int,
        on_check: Callable[[Trainee], dict[str, float]],
        device: str = "cpu",
    ) -> None:
        self.model, self.batches, self.phases, self.folder = model.to(device), batches, phases, folder
        self.fresh, self.check_every, self.on_check, self.device = fresh, check_every, on_check, device
        self.progress = Progress()
        self.optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.99))
        folder.mkdir(parents=True, exist_ok=True)

    def resume(self) -> bool:
        """Go on from the folder's checkpoint, if there is one."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return False
        saved = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.progress = Progress(**saved["progress"])
        return True

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        part = self.folder / "checkpoint.part"
        state = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        torch.save(state | {"progress": asdict(self.progress)}, part)
        part.replace(self.folder / "checkpoint.pt")

    def run(self, show: bool = True) -> None:
        """Train through all phases that are not done yet."""
        while self.progress.phase < len(self.phases):
            phase = self.phases[self.progress.phase]
            self.model.quantise = phase.name == "quantised"
            self._run_phase(phase, show)
            torch.save(self.model.state_dict(), self.folder / f"{phase.name}.pt")
            self.progress = Progress(phase=self.progress.phase + 1, total=self.progress.total)
            self.save()

    def _stream(self) -> Iterator[Batch]:
        for until, widest in _CURRICULUM if self.fresh else ():
            for batch in self.batches.stream(widest):
                if self.progress.total >= until:
                    break
                yield batch
        yield from self.batches.stream(_WIDEST)

    def _run_phase(self, phase: Phase, show: bool) -> None:
        losses, began = [], time.perf_counter()
        at = self.progress
        bar = tqdm(total=phase.lines, initial=at.seen, desc=phase.name, unit="line", disable=not show, mininterval=5)
        since = 0
        for batch in self._stream():
            if at.seen >= phase.lines:
                break
            for group in self.optimiser.param_groups:
                group["lr"] = phase.rate_at(at.seen, at.step)
            losses.append(self._step(batch))
            count = len(batch.lengths)
            at.seen, at.step, at.total, since = at.seen + count, at.step + 1, at.total + count, since + count
            bar.update(count)
            if since >= self.check_every or at.seen >= phase.lines:
                self._check(phase, sum(losses) / len(losses), since / (time.perf_counter() - began))
                self.save()
                losses, since, began = [], 0, time.perf_counter()
        bar.close()

    def _check(self, phase: Phase, loss: float, rate: float) -> None:
        row = {
            "phase": phase.name,
            "lines": self.progress.total,
            "loss": round(loss, 5),
            "lines_s": round(rate, 1),
        }
        self.model.eval()
        row |= {f"cer_{name}": round(rate, 3) for name, rate in self.on_check(self.model).items()}
        self.model.train()
        path = self.folder / "log.csv"
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        tqdm.write(json.dumps(row))

    def _step(self, batch: Batch) -> float:
        loss = self.loss(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimiser.step()
        return float(loss.detach())

    def loss(self, batch: Batch) -> Tensor:
        """CTC per character, mean over the lines of a batch."""
        scores, lengths = self.model(batch.frames.to(self.device), batch.lengths.to(self.device))
        logs = self._merge(scores.log_softmax(-1), batch.readings)
        losses = functional.ctc_loss(
            logs,
            batch.targets.to(self.device),
            lengths.long(),
            batch.target_lengths.to(self.device),
            blank=self.batches.alphabet.blank,
            reduction="none",
            zero_infinity=True,
        )
        return (losses / batch.target_lengths.to(losses).clamp(min=4)).mean()

    def _merge(self, logs: Tensor, readings: tuple[str | None, ...]) -> Tensor:
        """In lines whose text is written in a reading, move the probability of merged labels to the label read.

        Each frame stays a distribution. torch's CTC returns ``exp(log p) - posterior`` as its gradient, which is
        right for a distribution only: with the sum at every label of a group, the network learns to doubt the group.
        """
        for reading in sorted({r for r in readings if r is not None}):
            rows = torch.tensor([r == reading for r in readings], device=logs.device)[None, :]
            merged = logs.clone()
            for into, group in _groups(self.batches.alphabet, reading):
                total = logs[:, :, group].logsumexp(-1)
                for label in group:
                    moved = total if label == into else torch.full_like(total, _NOTHING)
                    merged[:, :, label] = torch.where(rows, moved, logs[:, :, label])
            logs = merged
        return logs


def _groups(alphabet: Alphabet, reading: str) -> list[tuple[int, list[int]]]:
    """Labels that a reading merges, with the label they are read as."""
    merged: dict[int, list[int]] = {}
    for label, into in enumerate(alphabet.merged(reading)):
        merged.setdefault(into, []).append(label)
    return [(into, group) for into, group in merged.items() if len(group) > 1]


def load_weights(model: Trainee, path: Path) -> None:
    """Load the parameters of another run of the same topology; a dense layer of other classes starts afresh.

    Raises:
        BadData: the file is not of this topology.
    """
    saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    saved = saved.get("model", saved)
    own = model.state_dict()
    fitting = {k: v for k, v in saved.items() if k in own and own[k].shape == v.shape}
    missing = [k for k in own if k not in fitting]
    last = f"stages.{len(model.specs) - 1}."
    if any(not k.startswith(last) for k in missing):
        raise BadData(f"{path}: is of another topology (differs in {missing[:3]}); name a run of the same network")
    model.load_state_dict(fitting, strict=False)
