# SPDX-License-Identifier: Apache-2.0
"""How far a job is."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import asdict
from typing import Any

from zeile.bulk.ledger import Ledger


def status(ledger: Ledger) -> dict[str, Any]:
    """Lines, shards by state, workers at work with their rates, and the seconds that are left at these."""
    job, shards, now = ledger.job, list(ledger.shards()), time.time()
    done = [shard for shard in shards if shard.state == "done"]
    rates: dict[str, float] = {}
    for shard in sorted(done, key=lambda s: s.finished or 0):
        origin = json.loads(shard.origin or "{}")
        if origin.get("seconds"):
            rates[origin["worker"]] = shard.lines / origin["seconds"]
    leased = [shard for shard in shards if shard.state == "leased"]
    workers = [
        {
            "worker": shard.worker,
            "shard": shard.number,
            "lines_per_s": round(rates[shard.worker], 1) if shard.worker in rates else None,
            "heard_of": (shard.expires or 0) >= now,
        }
        for shard in leased
    ]
    total, read = sum(shard.lines for shard in shards), sum(shard.lines for shard in done)
    rate = sum(rates[shard.worker] for shard in leased if shard.worker in rates)
    return {
        "images": job.images,
        **asdict(job.facts),
        "lines": total,
        "read": read,
        "bad": sum(shard.bad or 0 for shard in done),
        "shards": dict(Counter(shard.state for shard in shards)),
        "attempts": sum(shard.attempts for shard in shards),
        "again": sum(shard.again for shard in shards),
        "workers": workers,
        "left_s": round((total - read) / rate) if rate and read < total else None,
        "notes": [f"shard {shard.number}: {shard.note}" for shard in shards if shard.note],
    }


def as_text(found: dict[str, Any]) -> str:
    """The same for people."""
    shards = ", ".join(f"{count} {state}" for state, count in found["shards"].items())
    beam = f", beam {found['beam']}" if found["beam"] else ""
    said = [
        f"images   {found['images']}",
        f"model    {found['model']} {found['model_sha256'][:12]}, reading {found['reading'] or 'none'}{beam}",
        f"lines    {found['read']:,} of {found['lines']:,} read, {found['bad']:,} of them bad images",
        f"shards   {shards}",
    ]
    for worker in found["workers"]:
        rate = "" if worker["lines_per_s"] is None else f", {worker['lines_per_s']:,} lines/s"
        silent = "" if worker["heard_of"] else ", not heard of any more"
        said.append(f"worker   {worker['worker']}: shard {worker['shard']}{rate}{silent}")
    if found["left_s"] is not None:
        said.append(f"left     {found['left_s'] // 3600}:{found['left_s'] // 60 % 60:02}:{found['left_s'] % 60:02}")
    return "\n".join([*said, *found["notes"]])
