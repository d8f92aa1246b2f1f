# SPDX-License-Identifier: Apache-2.0
"""The service does what its description says, for requests that are made up from the description.

With OPENAPI_EXAMPLES=1000 each endpoint gets a thousand right and a thousand wrong ones, which takes an hour.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

schemathesis = pytest.importorskip("schemathesis", exc_type=ImportError)

from schemathesis.checks import not_a_server_error  # noqa: E402 - only where it is installed
from schemathesis.specs.openapi import checks  # noqa: E402

from zeile.service.app import create_app  # noqa: E402
from zeile.settings import Settings  # noqa: E402

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "8"))  # for each endpoint
ENDLESS = "/v1/live"  # a stream


def no_fault(context: Any, response: Any, case: Any) -> None:
    """A deadline that is too short (504) is no fault of the service; whatever its cause, a 500 is."""
    if response.status_code != 504:
        not_a_server_error(context, response, case)


CHECKS = (
    no_fault,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
)


@pytest.fixture(scope="module")
def described(service: httpx.Client) -> Any:
    return schemathesis.openapi.from_url(f"{service.base_url}/openapi.json").exclude(path=ENDLESS)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_every_answer_is_one_that_the_description_names(described: Any, mode: str) -> None:
    tried = 0
    for operation in (result.ok() for result in described.get_all_operations()):
        strategy = operation.as_strategy(generation_mode=schemathesis.GenerationMode[mode])

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(case=strategy)
        def answered(case: Any) -> None:
            case.call_and_validate(checks=CHECKS, timeout=60)

        try:
            answered()
        except Unsatisfiable:
            continue  # nothing can be wrong about a request without parameters and body
        tried += 1
    assert tried > 5


def test_apps_of_several_threads_describe_themselves_alike() -> None:
    together, switch = threading.Barrier(4), sys.getswitchinterval()

    def described() -> dict[str, Any]:
        together.wait(60)
        return create_app(Settings()).openapi()

    sys.setswitchinterval(1e-6)  # seconds
    try:
        with ThreadPoolExecutor(together.parties) as pool:
            first, *others = [each.result() for each in [pool.submit(described) for _ in range(together.parties)]]
    finally:
        sys.setswitchinterval(switch)
    assert "/v1/recognize" in first["paths"]
    assert all(other == first for other in others)


def test_the_description_names_every_path_and_its_errors(service: httpx.Client) -> None:
    description = service.get("/openapi.json").json()
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            wrong = [s for s in operation["responses"] if s[0] in "45"]
            for status in wrong:
                content = operation["responses"][status]["content"]
                assert "application/problem+json" in content, f"{method} {path} {status}"
