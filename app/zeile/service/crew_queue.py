# SPDX-License-Identifier: Apache-2.0
"""What is known of a queue in another process, a moment late: what it said last, and what was sent since."""

from __future__ import annotations

from collections import Counter, deque

from zeile.service.crew_messages import State


class Queue:
    """What is known here of the queue there.

    Attributes:
        lines: that wait.
        bytes: of their images.
    """

    def __init__(self) -> None:
        self._state = State()
        self._sent: deque[tuple[int, str, int, int]] = deque()  # that were not there yet: number, client, lines, bytes
        self._held: Counter[str] = Counter()  # of those
        self._number = 0
        self.lines = self.bytes = 0

    def held_by(self, client: str) -> int:
        """Of the lines, those of a client."""
        return self._held[client] + self._state.held.get(client, 0)

    @property
    def clients(self) -> int:
        """Clients with lines that wait."""
        return len(self._held.keys() | self._state.held.keys())

    def sent(self, client: str, lines: int, size: int) -> None:
        """Count lines that are on their way."""
        self._number += 1
        self._sent.append((self._number, client, lines, size))
        self._held[client] += lines
        self.lines += lines
        self.bytes += size

    def heard(self, state: State) -> None:
        """Take over what the other end says, and add what it has not got yet."""
        while self._sent and self._sent[0][0] <= state.added:
            _, client, lines, _ = self._sent.popleft()
            self._held[client] -= lines
            if not self._held[client]:
                del self._held[client]
        self._state = state
        self.lines = state.lines + sum(lines for _, _, lines, _ in self._sent)
        self.bytes = state.bytes + sum(size for _, _, _, size in self._sent)
