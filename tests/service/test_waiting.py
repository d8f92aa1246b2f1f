# SPDX-License-Identifier: Apache-2.0
"""What gives way is done after what is more urgent, a little at a time, and never too late."""

from __future__ import annotations

import asyncio

from zeile.service.waiting import GivingWay

LONG_S = 60.0


def test_calls_are_made_one_at_a_turn_of_the_loop_once_nobody_is_in_the_way() -> None:
    async def turns() -> None:
        giving, made = GivingWay(LONG_S), list[int]()
        with giving.held():
            with giving.held():
                for number in range(3):
                    giving.call(lambda number=number: made.append(number))  # type: ignore[misc]
            await asyncio.sleep(0.01)
            assert made == [], "one block is over, the other is not"
        for number in range(3):
            assert made == list(range(number))
            await asyncio.sleep(0)
        assert made == [0, 1, 2]
        giving.call(lambda: made.append(3))
        await asyncio.sleep(0)
        assert made == [0, 1, 2, 3], "and at once where nothing is in the way"

    asyncio.run(turns())


def test_a_call_does_not_wait_for_ever() -> None:
    async def wait() -> None:
        giving, made = GivingWay(0.02), asyncio.Event()
        with giving.held():
            began = asyncio.get_running_loop().time()
            giving.call(made.set)
            await asyncio.wait_for(made.wait(), LONG_S)
            assert asyncio.get_running_loop().time() - began > 0.015

    asyncio.run(wait())


def test_one_that_fails_keeps_no_other_from_its_turn() -> None:
    async def fail() -> None:
        told, made = list[str](), asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context["exception"])))

        def bad() -> None:
            raise ValueError("broken")

        giving = GivingWay(LONG_S)
        giving.call(bad)
        giving.call(made.set)
        await asyncio.wait_for(made.wait(), LONG_S)
        assert told == ["broken"]

    asyncio.run(fail())
