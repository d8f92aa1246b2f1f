# SPDX-License-Identifier: Apache-2.0
"""Watts, joules and degrees, from the board's rails or the kernel's sensors; what has no sensor has no metric.

The rails are the board's own where its driver names them (``Fpga.rails``), else those of hwmon: the ZCU104's INA226 and
regulators are there too. Energy is the sum of the trapezes between samples, so it counts only while the service runs.

Source: Linux kernel, Documentation/hwmon/sysfs-interface.rst.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from zeile.hw.power import Rails

HWMON = Path("/sys/class/hwmon")

LONGEST_S = 60.0
"""Samples further apart than this say nothing of the time between them."""


class Power(Collector):
    """The sensors of this machine, as metrics.

    Args:
        root: folder of the kernel's sensors.
        clock: monotonic seconds.

    Attributes:
        rails: reads the board's rails instead, once it is known how.
    """

    def __init__(self, root: Path = HWMON, clock: Callable[[], float] = time.monotonic) -> None:
        self._root, self._clock = root, clock
        self._lock = threading.Lock()
        self._watts: dict[str, float] = {}
        self._joules: dict[str, float] = {}
        self._celsius: dict[str, float] = {}
        self._when = clock()
        self.rails: Rails | None = None

    @property
    def watts(self) -> dict[str, float]:
        """Of each rail, when it was last sampled."""
        with self._lock:
            return dict(self._watts)

    def sample(self) -> None:
        """Read all sensors; one that cannot be read is left out."""
        try:
            watts = dict(self.rails()) if self.rails is not None else sensors(self._root, "power", 1e-6)
        except (OSError, ValueError):
            watts = {}
        celsius = sensors(self._root, "temp", 1e-3)
        with self._lock:
            now = self._clock()
            seconds = now - self._when
            for rail, value in watts.items():
                before = self._watts.get(rail)
                energy = (before + value) / 2 * seconds if before is not None and seconds <= LONGEST_S else 0.0
                self._joules[rail] = self._joules.get(rail, 0.0) + max(0.0, energy)
            self._watts, self._celsius, self._when = watts, celsius, now

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client."""
        with self._lock:
            watts, joules, celsius = dict(self._watts), dict(self._joules), dict(self._celsius)
        power = GaugeMetricFamily("zeile_power_watts", "Power of a rail", labels=["rail"])
        energy = CounterMetricFamily("zeile_energy_joules", "Energy of a rail since the start", labels=["rail"])
        warmth = GaugeMetricFamily("zeile_temperature_celsius", "Temperature", labels=["sensor"])
        for family, values in ((power, watts), (energy, joules), (warmth, celsius)):
            for name, value in values.items():
                family.add_metric([name], value)
            if values:
                yield family


def sensors(root: Path, kind: str, unit: float) -> dict[str, float]:
    """Sensors of a kind, as "power" or "temp", by label; in units of ``unit``."""
    found: dict[str, float] = {}
    for path in sorted(root.glob(f"hwmon*/{kind}[0-9]*_input")):
        try:
            value = int(path.read_text("ascii")) * unit
        except (OSError, ValueError):
            continue  # a sensor that is there but does not answer
        name = _text(path.with_name(path.name.replace("_input", "_label"))) or path.name.replace("_input", "")
        chip = _text(path.parent / "name") or path.parent.name
        label = name if kind == "power" and name not in found else f"{chip} {name}"
        found[label if label not in found else f"{path.parent.name} {label}"] = value
    return found


def _text(path: Path) -> str:
    try:
        text = path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return ""
    return text if text.isprintable() else ""
