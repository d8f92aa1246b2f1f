# SPDX-License-Identifier: Apache-2.0
"""Two real services of which one is killed while it reads."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import ExitStack
from pathlib import Path

from tests.fleet.services import run, until
from tests.models import line_png, write_tiny_model

from zeile.fleet import Fleet
from zeile.load.child import serving

LINES = 300


def test_a_service_that_is_killed_costs_no_request_and_changes_no_text(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    images = [line_png(seed) for seed in range(6)]
    environment = {"ZEILE_MODELS": str(tmp_path), "ZEILE_MODEL": "tiny/1", "ZEILE_LOG": "off"}
    texts: dict[int, set[str]] = {}

    async def test(urls: list[str], kill: int) -> None:
        done = 0

        async def read(number: int, fleet: Fleet) -> None:
            nonlocal done
            image = number % len(images)
            given = await fleet.post("/v1/recognize", images[image], {"content-type": "image/png"})
            assert given.status == 200, given.body
            texts.setdefault(image, set()).add(json.loads(given.body)["lines"][0]["text"])
            done += 1

        async with Fleet(urls, in_flight=4, deadline_s=50) as fleet:
            reads = [asyncio.ensure_future(read(number, fleet)) for number in range(LINES)]
            await until(lambda: all(share > LINES // 20 for share in fleet.shares.values()))
            services[kill].signal(signal.SIGKILL)
            assert done < LINES
            await asyncio.gather(*reads)
            assert done == LINES
            assert sum(fleet.shares.values()) == LINES

    with ExitStack() as stack:
        services = [stack.enter_context(serving(environment)) for _ in range(2)]
        run(test([each.url for each in services], kill=0))
        assert services[1].ended() is None
    assert {image: len(said) for image, said in texts.items()} == dict.fromkeys(range(len(images)), 1)
