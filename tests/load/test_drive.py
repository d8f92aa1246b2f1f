# SPDX-License-Identifier: Apache-2.0
"""The load generator against servers of known capacity, by a clock that does not wait."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter

import pytest
from tests.load import virtual_time

from zeile.load.drive import Closed, Drive, Open, Send, measure
from zeile.load.windows import NO_ANSWER, Level, Outcome, Rule, latencies, percentile

GOOD = Outcome(200, lines=1)


class FakeServer:
    """Works on one request at a time, each for the seconds that are given."""

    def __init__(self, service_s: float, exponential: bool = False, stall: tuple[float, float] | None = None) -> None:
        self._service_s, self._stall = service_s, stall
        self._random = random.Random(7) if exponential else None
        self._one = asyncio.Lock()
        self.answered = 0

    async def send(self, number: int) -> Outcome:
        async with self._one:
            seconds = self._random.expovariate(1 / self._service_s) if self._random else self._service_s
            if self._stall and asyncio.get_running_loop().time() >= self._stall[0]:
                seconds, self._stall = seconds + self._stall[1], None
            await asyncio.sleep(seconds)
        self.answered += 1
        return GOOD


def driven(drive: Drive, send: Send, rule: Rule | None = None) -> Level:
    return virtual_time.run(measure(drive, send, rule or Rule()))


def p(level: Level, percent: float) -> float:
    value = percentile(sorted(level.measured.good), percent)
    assert value is not None
    return value


@pytest.mark.parametrize("clients", [1, 4, 64])
def test_closed_loop_finds_the_capacity_of_a_server(clients: int) -> None:
    level = driven(Closed(clients), FakeServer(0.005).send)
    assert level.stable
    assert level.windows == 3
    assert level.measured.rate == pytest.approx(200, rel=0.05)
    assert p(level, 99) == pytest.approx(clients * 0.005, rel=0.1), "each waits for all others"


def test_closed_loop_finds_the_latency_of_a_server_with_many_hands() -> None:
    async def send(number: int) -> Outcome:
        await asyncio.sleep(0.02)
        return Outcome(200, lines=3)

    level = driven(Closed(8), send)
    assert level.measured.rate == pytest.approx(400, rel=0.05)
    assert level.to_json()["lines_per_second"] == pytest.approx(1200, rel=0.05)
    assert p(level, 99.9) == pytest.approx(0.02, rel=0.1)


def test_open_loop_meets_the_queueing_theory_of_random_arrivals() -> None:
    # M/M/1: at 70 of 100 requests a second, the time in the system is exponential with 30 a second.
    level = driven(Open(70), FakeServer(0.01, exponential=True).send, Rule(window_s=200, warmup_s=20, within=0.2))
    assert level.stable
    assert level.measured.rate == pytest.approx(70, rel=0.05)
    assert p(level, 50) == pytest.approx(math.log(2) / 30, rel=0.1)
    assert p(level, 99) == pytest.approx(math.log(100) / 30, rel=0.1)


def test_open_loop_shows_a_stall_that_a_closed_loop_hides() -> None:
    rule = Rule(warmup_s=1, window_s=20, most=3)
    open_loop = driven(Open(50), FakeServer(0.005, stall=(10, 2.0)).send, rule)
    closed_loop = driven(Closed(1), FakeServer(0.005, stall=(10, 2.0)).send, rule)
    assert 1.0 < p(open_loop, 99) < 2.1, "of 3000 requests, 100 were due while the server stood still"
    assert p(closed_loop, 99) < 0.01
    assert max(closed_loop.measured.good) == pytest.approx(2.005, rel=0.01)


def test_open_loop_counts_from_the_intended_time_when_the_client_itself_stands_still() -> None:
    async def send(number: int) -> Outcome:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual_time.VirtualLoop)
        if number == 500:
            loop.stand_still(2.0)
        await asyncio.sleep(0.005)
        return GOOD

    level = driven(Open(50), send, Rule(warmup_s=1, window_s=20, most=1))
    assert 80 < sum(seconds > 0.1 for seconds in level.measured.good) < 120, "some hundred were due meanwhile"


def test_a_rate_beyond_the_capacity_is_not_called_stable() -> None:
    level = driven(Open(300), FakeServer(0.005).send, Rule(most=6))
    assert not level.stable
    assert level.windows == 6
    assert level.measured.rate == pytest.approx(200, rel=0.05), "what the server can do"
    assert p(level, 50) > 1, "the queue grows and grows"


def test_everything_sent_is_counted_once_warm_up_and_tail_too() -> None:
    server = FakeServer(0.005)
    level = driven(Open(300), server.send, Rule(most=3))
    assert level.statuses == Counter({200: server.answered})
    assert level.lines == server.answered
    assert server.answered > len(level.measured.good), "the tail is answered after the last window"


def test_refusals_are_counted_beside_the_good_answers_and_do_not_touch_their_latency() -> None:
    waiting = 0

    async def send(number: int) -> Outcome:
        nonlocal waiting
        if waiting == 4:
            return Outcome(503)
        waiting += 1
        await asyncio.sleep(0.02)
        waiting -= 1
        return GOOD

    level = driven(Open(800), send)
    found = level.to_json()
    assert level.stable
    assert set(found["statuses"]) == {"200", "503"}
    assert found["requests_per_second"] <= 200
    assert found["latency_ms"]["p99"] == pytest.approx(20, rel=0.1)
    assert found["other_latency_ms"]["p99"] < 2


def test_a_server_that_is_away_is_not_asked_without_a_pause() -> None:
    async def send(number: int) -> Outcome:
        return Outcome(NO_ANSWER, problem="no connection")

    level = driven(Closed(2), send, Rule(most=4))
    assert not level.stable
    assert level.statuses[NO_ANSWER] < 2 * 20 * (1 + 4 * 2) + 10
    assert level.problems == Counter({"no connection": level.statuses[NO_ANSWER]})
    found = level.to_json()
    assert found["statuses"] == {"none": found["statuses"]["none"]}
    assert found["latency_ms"]["p50"] is None


def test_a_number_of_requests_is_sent_exactly_and_then_it_ends() -> None:
    numbers = []

    async def send(number: int) -> Outcome:
        numbers.append(number)
        await asyncio.sleep(0.1)
        return GOOD

    level = driven(Closed(4, requests=10), send)
    assert sorted(numbers) == list(range(10))
    assert level.statuses == Counter({200: 10})
    assert len(level.measured.good) == 10, "it ended in the warm-up, which is what there is to show"


def test_random_times_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    def times(seed: int) -> list[float]:
        found = []

        async def send(number: int) -> Outcome:
            found.append(asyncio.get_running_loop().time())
            return GOOD

        driven(Open(20, seed), send, Rule(most=1))
        return found

    assert times(1) == times(1) != times(2)


def test_a_failure_inside_ends_the_measurement() -> None:
    async def send(number: int) -> Outcome:
        raise RuntimeError("a fault of ours")

    with pytest.raises(RuntimeError, match="a fault of ours"):
        driven(Closed(3), send)


def test_percentiles_are_values_that_occurred() -> None:
    seconds = [i / 1000 for i in range(1, 101)]
    found = latencies(seconds)
    assert (found["p50"], found["p90"], found["p99"], found["p99.9"], found["max"]) == (50, 90, 99, 100, 100)
    assert found["mean"] == 50.5
    assert latencies([])["p99"] is None
