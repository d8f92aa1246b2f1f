# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping

import pytest

from zeile.hw.power import Sampler


def ticking(step: float = 1.0) -> Callable[[], float]:
    """A clock that goes on by ``step`` whenever it is looked at."""
    return itertools.count(0.0, step).__next__


def test_energy_is_the_area_below_the_power() -> None:
    # A sample looks at the clock before and after reading the rails: the samples are at 0.5, 2.5, 4.5 s ...
    watts = iter([10.0, 20.0, 20.0] + [10.0] * 1000)
    enough = threading.Event()
    taken = itertools.count(1)

    def rails() -> Mapping[str, float]:
        if next(taken) == 5:
            enough.set()
        return {"12V": next(watts), "INT": 1.0}

    with Sampler(rails, period_s=1e-4, clock=ticking()) as sampler:
        assert enough.wait(30)
    energy = sampler.energy
    assert energy.samples >= 5
    assert energy.seconds == 2.0 * (energy.samples - 1)
    assert energy.joules["INT"] == energy.seconds
    assert energy.joules["12V"] == 30 + 40 + 30 + 10.0 * (energy.seconds - 6)
    assert energy.watts("INT") == 1.0
    assert energy.per_line(2, "INT") == energy.seconds / 2
    assert energy.per_line(2, "INT", idle_watts=0.75) == energy.seconds / 8


def test_rails_that_cannot_be_read_are_an_error_at_once() -> None:
    def rails() -> Mapping[str, float]:
        raise OSError("no sensor")

    with pytest.raises(OSError, match="no sensor"):
        Sampler(rails).__enter__()


def test_a_sensor_that_fails_later_ends_the_samples_and_nothing_else() -> None:
    readings = iter([{"12V": 5.0}, {"12V": 5.0}])
    failed = threading.Event()

    def rails() -> Mapping[str, float]:
        try:
            return next(readings)
        except StopIteration:
            failed.set()
            raise OSError("gone") from None

    with Sampler(rails, period_s=1e-4, clock=ticking()) as sampler:
        assert failed.wait(30)
    assert (sampler.energy.samples, sampler.energy.joules, str(sampler.fault)) == (2, {"12V": 10.0}, "gone")


def test_no_samples_no_energy() -> None:
    energy = Sampler(lambda: {"12V": 1.0}).energy
    assert (energy.seconds, energy.samples, dict(energy.joules)) == (0.0, 0, {})
