# SPDX-License-Identifier: Apache-2.0
"""Faults of the emulated board, as data: what goes wrong, from which chance on or how probably, and how often.

| kind | what happens | a chance is |
|-|-|-|
| stall | the core takes nothing more until the DMA is reset; what was being sent is lost | a packet to the core |
| damaged | one bit of a packet to the core is wrong | a packet to the core |
| lost | the core never answers a packet | an answer |
| late | an answer is held back until the DMA is reset, and then comes before all others | an answer |
| missing_tlast | the last word of an answer comes without TLAST | an answer |
| overrun | an answer does not end before the receive buffer does | an answer |
| slave_error | the DMA halts with DMASR.SlvErr | a transfer's start |
| decode_error | the DMA halts with DMASR.DecErr | a transfer's start |
| stale_cache | a flush or invalidate does nothing | a flush or invalidate |
| wrong_design | STATUS names another design, with a right checksum | an answer to STATUS |
| corrupt | one bit of the payload is wrong | an answer to INFER that has payload |
| clock_high | PL0 runs faster than was asked for | a download |
| disappear | every access to the programmable logic fails until the next download | a transfer's start |
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from zeile.errors import BadSettings

KINDS = (
    "stall",
    "damaged",
    "lost",
    "late",
    "missing_tlast",
    "overrun",
    "slave_error",
    "decode_error",
    "stale_cache",
    "wrong_design",
    "corrupt",
    "clock_high",
    "disappear",
)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: one of KINDS.
        when: chances to let pass first (int), or the probability at each chance (float, 0 to 1).
        count: how often at most; None without end.

    Raises:
        BadSettings: a value is out of range.
    """

    kind: str
    when: int | float = 0
    count: int | None = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadSettings(f"fault {self.kind!r} is unknown; there are {', '.join(KINDS)}")
        if self.when < 0 or (isinstance(self.when, float) and not self.when <= 1):
            raise BadSettings(
                f"fault {self.kind}: when is {self.when}; it must be a count, or a probability 0.0 to 1.0"
            )
        if self.count is not None and self.count < 1:
            raise BadSettings(f"fault {self.kind}: count is {self.count}, it must be at least 1")


class Faults:
    """Decides at each chance whether something goes wrong; the same seed and chances give the same decisions.

    Attributes:
        done: how often each kind has struck.
    """

    def __init__(self, faults: Iterable[Fault] = (), seed: int = 0) -> None:
        self.done: Counter[str] = Counter()
        self.random = random.Random(seed)
        self._lock = threading.Lock()
        self._chances: Counter[str] = Counter()
        self._left: list[tuple[Fault, int, int | None]] = []  # fault, chance from which it counts, times left
        for fault in faults:
            self.add(fault)

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> Faults:
        """Faults from ``kind[:when[:count]],...``, as ``stall:0.01,corrupt:3``.

        A ``when`` with a point is a probability, and count then defaults to without end; without a point it is the
        number of chances to let pass, and count defaults to 1.

        Raises:
            BadSettings: the text is not of this form.
        """
        return cls([_parse(part) for part in text.split(",") if part.strip()], seed)

    def add(self, fault: Fault) -> None:
        """Let one more thing go wrong; its chances count from now on."""
        with self._lock:
            self._left.append((fault, self._chances[fault.kind], fault.count))

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        with self._lock:
            self._left.clear()

    def strike(self, kind: str) -> bool:
        """Whether something of this kind goes wrong at this chance."""
        with self._lock:
            chance = self._chances[kind]
            self._chances[kind] += 1
            for index, (fault, start, left) in enumerate(self._left):
                if fault.kind != kind:
                    continue
                probable = isinstance(fault.when, float)
                if self.random.random() < fault.when if probable else chance - start >= fault.when:
                    self._left[index : index + 1] = [] if left == 1 else [(fault, start, left and left - 1)]
                    self.done[kind] += 1
                    return True
            return False


def _parse(part: str) -> Fault:
    kind, *rest = part.strip().split(":")
    try:
        when = (float(rest[0]) if "." in rest[0] else int(rest[0])) if rest else 0
        count = int(rest[1]) if len(rest) > 1 else None if isinstance(when, float) else 1
    except ValueError:
        count, rest = None, ["", "", ""]
    if len(rest) > 2:
        raise BadSettings(f"fault {part.strip()!r} is not of the form kind:when:count, as stall:0.01 or corrupt:3:1")
    return Fault(kind, when, count)
