# SPDX-License-Identifier: Apache-2.0
"""Who asks, until when, and whether anybody still waits: what the queue knows of a request."""

from __future__ import annotations

import time
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
    """

    request_id: str
    client: str
    deadline: float = float("inf")
    bulk: bool = False
    admitted: bool = field(default=False, init=False)
    gone: bool = field(default=False, init=False)

    @property
    def left_s(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def wanted(self) -> bool:
        """Whether there is somebody to answer, in time."""
        return not self.gone and time.monotonic() < self.deadline
