# SPDX-License-Identifier: Apache-2.0
"""PAGE's own schema, where the package of OCR-D that brings it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


def valid_page(document: bytes) -> None:
    """Assert that a document is valid PAGE of 2019-07-15; skips the test where the schema is not installed."""
    etree = pytest.importorskip("lxml.etree", reason="lxml validates against the schema: pip install lxml")
    found = importlib.util.find_spec("ocrd_validators")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the schema comes with ocrd: pip install --no-deps ocrd-validators")
    schema = etree.XMLSchema(file=str(Path(found.submodule_search_locations[0]) / "page.xsd"))
    schema.assertValid(etree.fromstring(document))
