# SPDX-License-Identifier: Apache-2.0
"""Make good files bad by chance, send them to the service, and measure what refusing them costs.

    python deploy/fuzz.py                    2000 inputs for each of the service's surfaces, 500 for files it reads
    python deploy/fuzz.py --inputs 20000 --only image zip
    python deploy/fuzz.py --seed 7

Run from a checkout, with the packages that the tests need. What looks dear is sent twice more and its lowest processor
time counts: other programs make it longer, never shorter. Ends with status 1 if an answer was a 5xx or none, if one
took more than --cpu-ms of the processor, if a surface kept more than --growth-mib of memory, or if a file was refused
with an error that is not Zeile's. The inputs of a seed are the same everywhere.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from deploy.child import Cost, Costed, costed
from tests.models import line_png, write_tiny_model
from tests.service.fuzzing import FILES, SURFACES, Surface, mutant, refused_or_read

FILES_SHARE = 4  # files take longer: a model is written for each
REPEATED = 3  # times that what looks dear is sent


@dataclass(frozen=True)
class Bounds:
    """What a surface may cost.

    Attributes:
        cpu_ms: processor time of a request.
        growth_mib: memory that all requests together leave behind.
    """

    cpu_ms: float
    growth_mib: float


def sent(service: Costed, name: str, inputs: int, seed: int, bounds: Bounds, kept: Path | None) -> int:
    """Fuzz a surface; returns the answers that must not be, and one more if memory was kept."""
    surface, chance = SURFACES[name], random.Random(f"{seed} {name}")
    seeds, costs, wrong = surface.seeds(), list[Cost](), 0
    began = service.resident_mib()
    for number in range(inputs):
        body = mutant(surface, seeds, chance)
        cost = _lowest(service, surface, body, bounds.cpu_ms / 2)
        costs.append(cost)
        if not (cost.status == 200 or 400 <= cost.status < 500) or cost.cpu_ms > bounds.cpu_ms:
            wrong += 1
            print(f"  {name} {number}: status {cost.status}, {cost.cpu_ms:.1f} ms of the processor")
            if kept is not None:
                kept.mkdir(parents=True, exist_ok=True)
                (kept / f"{name.replace(' ', '-')}-{seed}-{number}").write_bytes(body)
    cpu = sorted(cost.cpu_ms for cost in costs)
    growth = service.resident_mib() - began
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(Counter(c.status for c in costs).items()))
    print(
        f"{name:14}{inputs:7} inputs  {statuses}  cpu ms median {cpu[len(cpu) // 2]:.1f} largest {cpu[-1]:.1f}  "
        f"memory peak {max(cost.growth_mib for cost in costs):+.1f} MiB, kept {growth:+.1f} MiB",
        flush=True,
    )
    return wrong + (growth > bounds.growth_mib)


def _lowest(service: Costed, surface: Surface, body: bytes, dear_ms: float) -> Cost:
    """What a request costs; asked again where that is more than ``dear_ms``, which may be the machine's other work.

    Also where there was no answer: after a pause of the whole machine the service has closed an idle connection.
    """
    costs: list[Cost] = []
    while len(costs) < REPEATED and all(cost.cpu_ms > dear_ms or not cost.status for cost in costs):
        costs.append(service.ask("POST", surface.path, body, {"content-type": surface.media_type}))
    return min(costs, key=lambda cost: (not cost.status, cost.cpu_ms))


def opened(name: str, inputs: int, seed: int) -> int:
    """Fuzz a kind of file; returns those that were refused with a strange error."""
    results: Counter[str] = Counter()
    wrong = 0
    for number in range(inputs):
        try:
            results[refused_or_read(FILES[name], seed * 1_000_000 + number)] += 1
        except Exception as error:  # the very thing that is looked for
            wrong += 1
            print(f"  {name} {seed * 1_000_000 + number}: {type(error).__name__}: {error}")
    print(f"{name:14}{inputs:7} inputs  {', '.join(f'{k}: {v}' for k, v in sorted(results.items()))}", flush=True)
    return wrong


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--inputs", type=int, default=2000, metavar="N", help="for each surface")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--only", nargs="+", choices=[*SURFACES, *FILES], default=[*SURFACES, *FILES], metavar="NAME")
    parser.add_argument("--cpu-ms", type=float, default=50, metavar="MS")
    parser.add_argument("--growth-mib", type=float, default=20, metavar="MIB")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="write bodies there that were answered wrongly, or dear"
    )
    given = parser.parse_args()
    bounds = Bounds(given.cpu_ms, given.growth_mib)
    wrong, total = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        models, spool = Path(folder) / "models", Path(folder) / "spool"
        write_tiny_model(models)
        spool.mkdir()
        with costed(models, spool) as service:
            for _ in range(20):
                service.ask("POST", "/v1/recognize", line_png(1), {"content-type": "image/png"})
            for name in SURFACES:
                if name in given.only:
                    wrong += sent(service, name, given.inputs, given.seed, bounds, given.keep)
                    total += given.inputs
        left = len(list(spool.iterdir()))
    for name in FILES:
        if name in given.only:
            wrong += opened(name, max(1, given.inputs // FILES_SHARE), given.seed)
            total += max(1, given.inputs // FILES_SHARE)
    print(f"{total} inputs, {wrong} of them wrongly answered or dear, {left} files left in the folder of uploads")
    return int(bool(wrong or left))


if __name__ == "__main__":
    sys.exit(main())
