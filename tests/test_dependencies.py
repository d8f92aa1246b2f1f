# SPDX-License-Identifier: Apache-2.0
"""What the service is made of has no known vulnerability that a newer version mends, as far as PyPI can be asked."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("", "service")
PATIENCE_S = 300


def installed(name: str, extras: tuple[str, ...], known: dict[str, str]) -> dict[str, str]:
    """Versions of all packages that one needs, by their names."""
    for requirement in map(Requirement, metadata.requires(name) or []):
        needed = canonicalize_name(requirement.name)
        wanted = requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras)
        if wanted and needed not in known:
            known[needed] = metadata.version(needed)
            installed(needed, ("", *requirement.extras), known)
    return known


@pytest.mark.slow
def test_no_package_of_the_service_has_a_known_vulnerability_that_is_mended(tmp_path: Path) -> None:
    if (audit := shutil.which("pip-audit")) is None:
        pytest.skip("pip-audit is not installed; deploy/test.sh does it")
    packages = installed("zeile", EXTRAS, {})
    assert {"fastapi", "numpy", "pillow", "starlette", "uvicorn"} <= set(packages)
    (tmp_path / "installed.txt").write_text("".join(f"{name}=={version}\n" for name, version in packages.items()))
    words = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", "15"]
    command = [audit, "--requirement", str(tmp_path / "installed.txt"), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        asked = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError) as error:
        pytest.skip(f"PyPI's list of vulnerabilities is out of reach: {error}")
    known = [each for each in asked if "skip_reason" not in each]
    if not known:  # a mirror of PyPI has packages and no such list; pip-audit calls that no vulnerability
        pytest.skip(f"PyPI's list of vulnerabilities is not to be had here: {asked[0]['skip_reason']}")
    mended = [
        f"{each['name']} {each['version']}: {found['id']}, mended in {', '.join(found['fix_versions'])}"
        for each in known
        for found in each["vulns"]
        if found["fix_versions"]
    ]
    assert mended == []
