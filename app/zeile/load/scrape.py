# SPDX-License-Identifier: Apache-2.0
"""The service's own figures of a level of load, from two looks at its /metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping

Samples = dict[str, float]
"""Name with labels, as it is written, to the value."""

_SAMPLE = re.compile(r"([A-Za-z_:][\w:]*(?:\{.*\})?) ([^ ]+)(?: \d+)?")
_RAIL = re.compile(r'zeile_energy_joules_total\{rail="([^"]*)"\}')
_STAGES = ("queue", "decode", "preprocess", "infer", "postprocess")


def parse(text: str) -> Samples:
    """Samples of Prometheus's text format.

    Raises:
        ValueError: a line is none of it.
    """
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = _SAMPLE.fullmatch(line)
            if match is None:
                raise ValueError(f"{line[:80]!r} is no sample of Prometheus's text format")
            found[match[1]] = float(match[2])
    return found


def total(samples: Mapping[str, float], name: str) -> float:
    """Sum of a metric over its labels."""
    return sum(value for key, value in samples.items() if key.partition("{")[0] == name)


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What happened between two looks.

    Returns:
        Lines, batches, their mean size, the mean milliseconds of each stage, and joules a line of each rail that has a
        sensor; what the service does not tell is left out.
    """

    def more(name: str) -> float:
        return total(after, f"zeile_{name}") - total(before, f"zeile_{name}")

    found = {
        "lines": more("lines_total"),
        "batches": more("batches_total"),
        "rejected": more("rejected_total"),
        "dropped_lines": more("dropped_lines_total"),
    }
    if batches := more("batch_lines_count"):
        found["batch_lines"] = round(more("batch_lines_sum") / batches, 2)
    for stage in _STAGES:
        if count := more(f"{stage}_seconds_count"):
            found[f"{stage}_ms"] = round(1000 * more(f"{stage}_seconds_sum") / count, 3)
    for name, joules in after.items():
        if found["lines"] and (rail := _RAIL.fullmatch(name)):
            found[f"{rail[1]}_joules_per_line"] = round((joules - before.get(name, 0.0)) / found["lines"], 6)
    return found
