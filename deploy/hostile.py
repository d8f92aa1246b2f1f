# SPDX-License-Identifier: Apache-2.0
"""Send the service what nobody sends in good faith, and measure what refusing it costs.

    python deploy/hostile.py                 the list of tests/service/hostile.py
    python deploy/hostile.py bomb scans      those with one of these words in their names
    python deploy/hostile.py --json out.json

Run from a checkout, with the packages that the tests need. Each is sent --times times; its processor time is the
lowest, as other programs make it longer and never shorter. Ends with status 1 if an answer was no 4xx problem (or 200,
where that is an answer too), if one took more than --cpu-ms of the processor or --growth-mib of memory, or if something
was left in the folder of uploads.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from deploy.child import Costed, costed
from tests.models import line_png, write_tiny_model
from tests.service.hostile import ALL, names

SHOWN = 15


@dataclass(frozen=True)
class Row:
    """What became of one."""

    name: str
    sent_bytes: int
    status: int
    sound: bool
    cpu_ms: float
    growth_mib: float


def row(service: Costed, name: str, times: int) -> Row:
    """Send one and look at the answer."""
    asked, body = ALL[name], ALL[name].body()
    headers = {"content-type": asked.media_type} if asked.media_type else {}
    costs = [service.ask(asked.method, asked.path, body, headers | dict(asked.headers)) for _ in range(times)]
    last = costs[-1]
    refused = 400 <= last.status < 500 and last.media_type == "application/problem+json"
    cpu = min(cost.cpu_ms for cost in costs)
    growth = max(cost.growth_mib for cost in costs[1:] or costs)
    return Row(name, len(body), last.status, refused or (asked.read and last.status == 200), cpu, growth)


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("words", nargs="*", metavar="WORD", help="only names with one of these in them")
    parser.add_argument("--times", type=int, default=3, metavar="N")
    parser.add_argument("--cpu-ms", type=float, default=50, metavar="MS")
    parser.add_argument("--growth-mib", type=float, default=20, metavar="MIB")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all rows, into a file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models, spool = Path(folder) / "models", Path(folder) / "spool"
        write_tiny_model(models)
        spool.mkdir()
        with costed(models, spool) as service:
            for _ in range(20):  # what is loaded with the first lines is not the hostile ones' cost
                service.ask("POST", "/v1/recognize", line_png(1), {"content-type": "image/png"})
            began = service.resident_mib()
            rows = [row(service, name, given.times) for name in names(given.words)]
            ended = service.resident_mib()
            alive = service.ask("POST", "/v1/recognize", line_png(1), {"content-type": "image/png"}).status == 200
            left = [path.name for path in spool.iterdir()]
    if given.json:
        given.json.write_text(json.dumps([vars(each) for each in rows], indent=1), "utf-8")
    print(f"{'':44}{'bytes':>9} {'status':>6} {'cpu ms':>8} {'growth MiB':>10}")
    for each in sorted(rows, key=lambda each: -each.cpu_ms)[:SHOWN]:
        print(f"{each.name:44}{each.sent_bytes:9} {each.status:6} {each.cpu_ms:8.1f} {each.growth_mib:10.1f}")
    wrong = [each for each in rows if not each.sound]
    dear = [each for each in rows if each.cpu_ms > given.cpu_ms or each.growth_mib > given.growth_mib]
    print(
        f"{len(rows)} inputs, {len(wrong)} answered wrongly, {len(dear)} too dear; dearest "
        f"{max(each.cpu_ms for each in rows):.1f} ms and {max(each.growth_mib for each in rows):.1f} MiB; "
        f"memory {began:.1f} -> {ended:.1f} MiB; {len(left)} files left; reads on: {'yes' if alive else 'no'}"
    )
    for each in [*wrong, *dear]:
        print(f"  {each.name}: {each.status}, {each.cpu_ms:.1f} ms, {each.growth_mib:.1f} MiB")
    return int(bool(wrong or dear or left) or not alive)


if __name__ == "__main__":
    sys.exit(main())
