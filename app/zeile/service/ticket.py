# SPDX-License-Identifier: Apache-2.0
"""Who asks, until when, and whether anybody still waits: what the queue knows of a request."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(eq=False)
class Ticket:
    """A request as the queue sees it.

    Attributes:
        request_id: as in the logs and the answer's X-Request-Id.
        client: the name of its key, else its address; clients share the engine evenly.
        deadline: seconds of ``time.monotonic`` after which nobody wants the answer.
        bulk: gives way to requests that are not.
        admitted: the queue took some of its lines; from then on the rest waits for room and is not refused.
        gone: nobody waits any more; lines that are not begun are dropped.
        charge: is told of lines that are given to the queue; they count against the client's rate.
        lines: given to the queue so far; for the log.
        model: that read them, as name/version; empty before the first.
        stages: seconds that they have taken, by stage, see ``batch.Stages``.
    """

    request_id: str
    client: str
    deadline: float = float("inf")
    bulk: bool = False
    charge: Callable[[int], None] = field(default=lambda lines: None, repr=False)
    admitted: bool = field(default=False, init=False)
    gone: bool = field(default=False, init=False)
    lines: int = field(default=0, init=False)
    model: str = field(default="", init=False)
    stages: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    def took(self, lines: int) -> None:
        """Note that lines were given to the queue."""
        self.lines += lines
        self.charge(lines)

    def read_with(self, model: str, stages: Mapping[str, float]) -> None:
        """Note which model has read lines, and the seconds of each stage."""
        self.model = model
        for stage, seconds in stages.items():
            self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    @property
    def left_s(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def wanted(self) -> bool:
        """Whether there is somebody to answer, in time."""
        return not self.gone and time.monotonic() < self.deadline
