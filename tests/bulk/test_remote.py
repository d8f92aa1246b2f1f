# SPDX-License-Identifier: Apache-2.0
"""Jobs that services read: the same bytes as in process, whatever the services are like."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from tests.bulk.jobs import SHARD, bulk, digests, rows, shards
from tests.models import line_png, write_tiny_model
from tests.service.serving import serving

from zeile.cli import main
from zeile.settings import Settings


def settings(folder: Path, body_bytes: int = 1 << 26) -> Settings:
    return Settings(models=folder / "models", model="tiny/1", log="off", body_bytes=body_bytes)


def test_services_and_engines_of_this_process_give_the_same_bytes(folder: Path, job: Path) -> None:
    with serving(settings(folder)) as one, serving(settings(folder)) as other:
        urls = [str(one.base_url).rstrip("/"), str(other.base_url).rstrip("/")]
        status, said, complaint = bulk(folder, "run", job, "images", "--shard", SHARD, "--to", *urls)
        assert (status, complaint) == (0, ""), complaint
        assert said.startswith("240 lines are read, 2 of them bad images")
        assert one.get("/metrics").status_code == 200
    assert digests(job) == digests(folder / "quiet")
    origins = [json.loads(shard.origin or "") for shard in shards(job)]
    assert {url for origin in origins for url in origin["services"]} == set(urls)


def test_files_that_a_service_would_take_for_something_else_are_bad_images(folder: Path, job: Path) -> None:
    images = job.parent / "odd"
    images.mkdir()
    odd = {"a": b"", "b": b"PK\3\4 not a zip", "c": b"PK\5\6" + bytes(18), "d": line_png(1), "e": line_png(2)[:99]}
    for name, data in odd.items():
        (images / f"{name}.png").write_bytes(data)
    with serving(settings(folder)) as service:
        assert bulk(folder, "run", job, images, "--to", service.base_url)[0] == 0
    assert [row["text"] is None for row in rows(job)] == [True, True, True, False, True]
    assert bulk(folder, "run", job.parent / "here", images)[0] == 0
    assert digests(job) == digests(job.parent / "here")


def test_requests_too_large_for_a_service_are_sent_in_smaller_ones(folder: Path, job: Path) -> None:
    with serving(settings(folder, body_bytes=2000)) as service:
        assert bulk(folder, "run", job, "images", "--shard", SHARD, "--to", service.base_url)[0] == 0
    assert digests(job) == digests(folder / "quiet")


def test_a_job_begun_here_goes_on_through_services_with_the_same_model_only(folder: Path, job: Path) -> None:
    models = job.parent / "models"
    write_tiny_model(models, seed=7)
    shutil.copytree(folder / "quiet", job)
    other = Settings(models=models, model="tiny/1", log="off")
    with serving(settings(folder)) as right, serving(other) as wrong:
        assert bulk(folder, "run", job, "--to", right.base_url)[0] == 0
        status, _, complaint = bulk(folder, "run", job, "--to", wrong.base_url)
        assert (status, "would be read with model_sha256" in complaint) == (1, True), complaint
        status, _, complaint = bulk(
            folder, "run", job.parent / "both", "images", "--to", right.base_url, wrong.base_url
        )
        assert (status, "load the same model there" in complaint) == (1, True), complaint


@pytest.mark.parametrize(("option", "sentence"), [("--model", "'nothing'"), ("--reading", "nothing")])
def test_what_a_service_refuses_is_said_once_and_nothing_is_begun(
    option: str, sentence: str, folder: Path, job: Path
) -> None:
    with serving(settings(folder)) as service:
        status, _, complaint = bulk(folder, "run", job, "images", option, "nothing", "--to", service.base_url)
    assert (status, sentence in complaint) == (2, True), complaint
    assert not (job / "ledger.sqlite").exists()


def test_a_service_that_asks_for_a_key_gets_the_one_of_the_file(
    folder: Path, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, key = job.parent / "keys.json", job.parent / "key"
    assert main(["keys", "add", "archive", "--file", str(keys)]) == 0
    found = re.search(r"zeile_\S+", capsys.readouterr().out)
    assert found is not None
    asking = Settings(models=folder / "models", model="tiny/1", log="off", keys=keys)
    with serving(asking) as service:
        arguments = ("run", job, "images", "--shard", SHARD, "--to", service.base_url)
        status, _, complaint = bulk(folder, *arguments)
        assert (status, "401" in complaint) == (2, True), complaint
        key.write_text("two words")
        assert bulk(folder, *arguments, "--key", key)[0] == 2
        key.write_text(f"{found[0]}\n")
        assert bulk(folder, *arguments, "--key", key)[0] == 0
    assert digests(job) == digests(folder / "quiet")


def test_services_that_are_all_away_leave_the_job_as_it_was(folder: Path, job: Path) -> None:
    status, _, complaint = bulk(folder, "run", job, "images", "--to", "http://127.0.0.1:9", "--deadline", 1)
    assert (status, "http://127.0.0.1:9" in complaint) == (1, True), complaint
    assert not (job / "ledger.sqlite").exists()
