# SPDX-License-Identifier: Apache-2.0
"""Good files made bad by chance; deploy/fuzz.py does the same ten thousand times and measures the cost."""

from __future__ import annotations

import random

import httpx
import pytest
from tests.service.fuzzing import FILES, SURFACES, mutant, refused_or_read

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

REQUESTS, FILES_READ = 60, 60


@pytest.mark.parametrize("name", SURFACES)
def test_whatever_is_sent_the_service_answers_and_has_no_fault(service: httpx.Client, name: str) -> None:
    surface, chance = SURFACES[name], random.Random(name)
    seeds, statuses = surface.seeds(), set()
    for _ in range(REQUESTS):
        body = mutant(surface, seeds, chance)
        response = service.post(surface.path, content=body, headers={"content-type": surface.media_type})
        statuses.add(response.status_code)
        assert response.status_code == 200 or 400 <= response.status_code < 500, (name, body[:300], response.text)
        kind = response.headers["content-type"]
        assert kind == ("application/json" if response.status_code == 200 else "application/problem+json")
    assert statuses - {200}, "nothing was bad enough to be refused"


@pytest.mark.parametrize("name", FILES)
def test_whatever_is_in_a_file_it_is_read_or_refused_with_an_error_of_ours(name: str) -> None:
    results = [refused_or_read(FILES[name], seed) for seed in range(FILES_READ)]
    assert set(results) - {"read"}, "nothing was bad enough to be refused"
