# SPDX-License-Identifier: Apache-2.0
"""/v1/jobs: measurements that go on while nobody waits."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.models import line_png
from tests.service.serving import refused, serving
from tests.service.test_measure import pairs, zipped

from zeile.load.windows import Rule
from zeile.service import sweep
from zeile.service.job_schemas import Job, Jobs
from zeile.service.keys import made, write_keys
from zeile.service.worker import Worker
from zeile.settings import Settings

PATIENCE_S = 60
SET = zipped(pairs())
NO_HEADERS: Mapping[str, str] = {}


def begin(
    client: httpx.Client, query: str = "", data: bytes = SET, headers: Mapping[str, str] = NO_HEADERS
) -> httpx.Response:
    kind = {"content-type": "application/zip"}
    return client.post(f"/v1/jobs/measure{query}", content=data, headers=kind | dict(headers))


def started(client: httpx.Client, query: str = "", data: bytes = SET) -> str:
    response = begin(client, query, data)
    assert response.status_code == 202, response.text
    job = Job.model_validate_json(response.content)
    assert response.headers["location"] == f"/v1/jobs/{job.id}"
    return job.id


def wait_for(client: httpx.Client, id: str, state: str) -> Job:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        job = Job.model_validate_json(client.get(f"/v1/jobs/{id}").content)
        if job.state == state:
            return job
        assert job.state not in ("done", "failed", "canceled"), job
        time.sleep(0.01)
    raise AssertionError(f"the job is not {state} after {PATIENCE_S} s")


@contextmanager
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Lines of jobs wait until the block ends, or until what it is given is called."""
    go, read = threading.Event(), Worker.read

    async def waiting(self: Worker, images: Any, options: Any, ticket: Any) -> Any:
        while ticket.bulk and not go.is_set() and not self.stopping:
            await asyncio.sleep(0.005)
        return await read(self, images, options, ticket)

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "read", waiting)
        try:
            yield go.set
        finally:
            go.set()


def test_a_job_gives_what_waiting_for_the_measurement_gives(service: httpx.Client) -> None:
    job = wait_for(service, started(service), "done")
    waited = service.post("/v1/measure", files={"file": ("set.zip", SET)}).json()
    assert job.result is not None
    assert job.result.evaluation.model_dump(mode="json") == waited["evaluation"]
    assert job.result.provenance.output.sha256 == waited["provenance"]["output"]["sha256"]
    assert (job.lines.done, job.lines.total) == (40, 40)
    assert job.began is not None
    assert job.ended is not None
    assert job.created <= job.began <= job.ended


def test_measure_without_waiting_is_a_job(service: httpx.Client) -> None:
    response = begin(service, "?split=val")
    assert response.status_code == 202
    response = service.post("/v1/measure?wait=0", files={"file": ("set.zip", SET)})
    assert response.status_code == 202
    wait_for(service, response.json()["id"], "done")


def test_a_sweep_measures_each_concurrency(service: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "RULE", Rule(warmup_s=0.01, window_s=0.05, most=3))
    job = wait_for(service, started(service, "?sweep=1:4:x2"), "done")
    assert (job.sweep.done, job.sweep.total) == (3, 3)
    assert job.result is not None
    assert job.result.sweep is not None
    assert [level.concurrency for level in job.result.sweep] == [1, 2, 4]
    for level in job.result.sweep:
        assert level.lines_per_second > 0
        assert level.latency_ms["p50"] is not None
        assert level.stages_ms.network > 0


@pytest.mark.parametrize("text", ["x", "0", "0.5", "1000", "1,2,3,4,5,6,7,8,9"])
def test_sweeps_that_cannot_be_driven_are_refused(service: httpx.Client, text: str) -> None:
    refused(begin(service, f"?sweep={text}"), 422, "bad-option")


def test_a_set_that_cannot_be_read_fails_and_says_why(service: httpx.Client) -> None:
    job = wait_for(service, started(service, data=zipped({"a.gt.txt": "a", "a.png": b"no image"})), "failed")
    assert job.error is not None
    assert job.error.type == "urn:zeile:problem:bad-data"
    assert "line a: " in job.error.detail
    assert job.result is None


def test_a_zip_that_cannot_be_used_is_refused_at_once(service: httpx.Client) -> None:
    refused(begin(service, data=b"PK damaged"), 422, "bad-archive")


def test_progress_is_told_while_it_is_made_and_ends_with_the_job(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(monkeypatch) as go:
        id = started(service)
        rows = []
        with service.stream("GET", f"/v1/jobs/{id}/progress") as response:
            assert response.headers["content-type"] == "application/x-ndjson"
            for line in response.iter_lines():
                rows.append(Job.model_validate(json.loads(line)))
                go()
    assert rows[0].lines.done == 0
    assert (rows[-1].state, rows[-1].lines.done, rows[-1].lines.total) == ("done", 40, 40)
    assert rows[-1].result is None, "it is asked for when it is wanted"


def test_a_job_that_runs_can_be_canceled_and_the_next_one_runs(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(monkeypatch):
        first, second = started(service), started(service)
        wait_for(service, first, "reading")
        for id in (first, second):
            canceled = Job.model_validate_json(service.delete(f"/v1/jobs/{id}").content)
            assert canceled.state == "canceled"
            assert canceled.error is not None
            assert "by request" in canceled.error.detail
    assert wait_for(service, started(service), "done").lines.done == 40
    assert Job.model_validate_json(service.get(f"/v1/jobs/{first}").content).state == "canceled"


def test_a_job_that_has_ended_can_be_forgotten(service: httpx.Client) -> None:
    id = started(service)
    wait_for(service, id, "done")
    assert service.delete(f"/v1/jobs/{id}").json()["state"] == "done"
    assert "no job" in refused(service.get(f"/v1/jobs/{id}"), 404, "not-known")


def test_other_requests_are_answered_while_a_job_waits_for_room(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(monkeypatch):
        id = started(service)
        wait_for(service, id, "reading")
        response = service.post("/v1/recognize", content=line_png(1), headers={"content-type": "image/png"})
        assert response.status_code == 200
    wait_for(service, id, "done")


def test_jobs_are_bounded_and_old_ones_are_forgotten(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Settings(models=models, model="tiny/1", jobs=2, spool=tmp_path)) as client:
        done = started(client)
        wait_for(client, done, "done")
        with held(monkeypatch):
            going = started(client)
            response = begin(client)
            assert "at most 1 may" in refused(response, 429, "too-fast"), "the other place is for other clients"
            assert int(response.headers["retry-after"]) >= 1
        wait_for(client, going, "done")
        last = started(client)
        wait_for(client, last, "done")
        kept = Jobs.model_validate_json(client.get("/v1/jobs").content).jobs
        assert [job.id for job in kept] == [last, going], "newest first"
        assert [job.result for job in kept] == [None, None]
        refused(client.get(f"/v1/jobs/{done}"), 404, "not-known")
        assert list(tmp_path.iterdir()) == []


def test_jobs_are_canceled_when_the_service_stops_and_leave_nothing(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(monkeypatch):
        with serving(Settings(models=models, model="tiny/1", spool=tmp_path)) as client:
            ids = [started(client), started(client)]
            wait_for(client, ids[0], "reading")
            assert list(tmp_path.iterdir()) != []
        assert list(tmp_path.iterdir()) == []


def test_clients_see_their_own_jobs_only_and_need_the_scope(models: Path, tmp_path: Path) -> None:
    scopes = {"anna": ["read", "measure"], "bert": ["measure"], "carl": ["read"], "root": ["admin"]}
    keys = [made(name, held) for name, held in scopes.items()]
    write_keys(tmp_path / "keys.json", [key for _, key in keys])
    anna, bert, carl, root = ({"authorization": f"Bearer {secret}"} for secret, _ in keys)
    with serving(Settings(models=models, model="tiny/1", keys=tmp_path / "keys.json")) as client:
        response = begin(client, headers=anna)
        assert response.status_code == 202
        where = response.headers["location"]
        assert client.get(where, headers=anna).status_code == client.get(where, headers=root).status_code == 200
        for method in ("GET", "DELETE"):
            refused(client.request(method, where, headers=bert), 404, "not-known")
            refused(client.request(method, where, headers=carl), 403, "not-allowed")
        refused(begin(client, headers=carl), 403, "not-allowed")
        assert [len(client.get("/v1/jobs", headers=who).json()["jobs"]) for who in (anna, bert, root)] == [1, 0, 1]
