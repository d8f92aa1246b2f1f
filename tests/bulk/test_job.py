# SPDX-License-Identifier: Apache-2.0
"""What a job's results say, and what may be done with them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from tests.bulk.jobs import BAD, LINES, SHARD, bulk, digests, rows, shards, zipped
from tests.models import line_pixels, write_tiny_model

from zeile.device import open_device
from zeile.errors import BadJob
from zeile.formats.plain import json_answer
from zeile.manifest import load_model
from zeile.pipeline import Recognizer


def test_every_image_has_one_row_in_the_order_of_the_names(folder: Path) -> None:
    found = rows(folder / "quiet")
    names = [f"{'a' if n < LINES // 2 else 'b'}/{n:03}.png" for n in range(LINES)]
    assert [(row["index"], row["file"]) for row in found] == list(enumerate(names, 1))
    assert len(digests(folder / "quiet")) == LINES // SHARD


def test_a_row_says_what_the_pipeline_reads(folder: Path) -> None:
    model = load_model(folder / "models" / "tiny" / "1")
    with open_device("reference", model.network) as device:
        line = Recognizer(model, device).read(line_pixels(5, 24, 45))
    row = rows(folder / "quiet")[5]
    assert line.text
    assert {name: row[name] for name in ("text", "confidence", "characters")} == json.loads(
        json.dumps(json_answer(line))
    )


def test_images_that_cannot_be_read_are_results_too(folder: Path) -> None:
    found = rows(folder / "quiet")
    assert [row["index"] - 1 for row in found if row["text"] is None] == list(BAD)
    problem = found[BAD[0]]["error"]
    assert problem["type"] == "urn:zeile:problem:bad-image"
    assert "no known image format" in problem["detail"]


def test_a_key_pins_image_model_and_options(folder: Path) -> None:
    row = rows(folder / "quiet")[3]
    image = hashlib.sha256((folder / "images" / row["file"]).read_bytes()).hexdigest()
    manifest = hashlib.sha256((folder / "models" / "tiny" / "1" / "manifest.json").read_bytes()).hexdigest()
    wanted = hashlib.sha256(f'{image} {manifest} {{"beam":0,"reading":"plain"}}'.encode()).hexdigest()
    assert (row["sha256"], row["key"]) == (image, wanted)


def test_a_zip_file_other_threads_and_another_engine_give_the_same_bytes(folder: Path, job: Path) -> None:
    archive = zipped(folder / "images", job.parent / "images.zip")
    assert bulk(folder, "run", job, archive, "--shard", SHARD, "--threads", 2)[0] == 0
    assert digests(job) == digests(folder / "quiet")
    few = job.parent / "few"
    few.mkdir()
    for name in ("a/000.png", "a/017.png", "a/003.png"):
        shutil.copy(folder / "images" / name, few)
    for engine in ("cpu", "reference"):
        assert bulk(folder, "run", job.parent / engine, few, "--engine", engine)[0] == 0
    assert digests(job.parent / "cpu") == digests(job.parent / "reference")


def test_a_finished_job_is_not_read_again(folder: Path) -> None:
    before = digests(folder / "quiet")
    status, said, _ = bulk(folder, "run", "quiet")
    assert (status, said) == (0, "240 lines are read, 2 of them bad images: quiet/shards\n")
    assert digests(folder / "quiet") == before
    assert {shard.attempts for shard in shards(folder / "quiet")} == {1}


def test_a_job_goes_on_with_its_own_model_only(folder: Path, job: Path) -> None:
    shutil.copytree(folder / "quiet", job)
    models = job.parent / "models"
    shutil.copytree(folder / "models", models)
    write_tiny_model(models, version="2", seed=4)
    assert bulk(folder, "run", job, "--models", models)[0] == 0, "the version of the job, not the highest"
    status, _, complaint = bulk(folder, "run", job, "--models", models, "--model", "tiny")
    assert status == 1
    assert "would be read with model 'tiny/2' and not 'tiny/1'" in complaint
    status, _, complaint = bulk(folder, "run", job, "--beam", 4)
    assert (status, "beam 4 and not 0" in complaint) == (1, True)


def test_the_model_of_a_folder_is_found_again(folder: Path, job: Path) -> None:
    model = job.parent / "mine"
    shutil.copytree(folder / "models" / "tiny" / "1", model)
    empty = {"ZEILE_MODELS": "none"}
    assert bulk(folder, "run", job, "images", "--model", model, "--shard", SHARD, **empty)[0] == 0
    assert bulk(folder, "run", job, **empty)[0] == 0
    assert digests(job) == digests(folder / "quiet")


def test_wrong_usage_is_said_before_anything_is_read(folder: Path, job: Path) -> None:
    (job.parent / "empty").mkdir()
    for arguments, code, sentence in (
        (("run", job), 2, "is no bulk job yet; name the images"),
        (("run", job, "images", "--shard", 0), 2, "must be 1 to 100000"),
        (("run", job, job.parent / "empty"), 1, "holds no images"),
        (("run", job, "nowhere"), 1, "no such folder or zip"),
        (("run", job, "images", "--key", "k"), 2, "--to"),
        (("status", job), 1, "is no bulk job"),
        (("export", "quiet", "-o", job.parent / "x.docx"), 2, "ends in none of .ndjson, .tsv, .txt"),
    ):
        status, _, complaint = bulk(folder, *arguments)
        assert (status, sentence in complaint) == (code, True), complaint


def test_a_wrong_folder_is_not_a_thousand_bad_images(folder: Path, job: Path) -> None:
    write = job.parent / "others"
    write.mkdir()
    (write / "x.png").write_bytes(b"")
    shutil.copytree(folder / "quiet", job)
    next((job / "shards").glob("shard-000003.ndjson")).unlink()
    status, _, complaint = bulk(folder, "run", job, write, "--again")
    assert (status, "none of the 10 images of shard 3 is there" in complaint) == (1, True), complaint
    assert bulk(folder, "run", job)[0] == 0
    assert digests(job) == digests(folder / "quiet")


def test_links_to_images_are_followed_and_pipes_and_folders_are_no_images(folder: Path, job: Path) -> None:
    odd = job.parent / "odd"
    odd.mkdir()
    (odd / "link.png").symlink_to(folder / "images" / "a" / "001.png")
    (odd / "loop").symlink_to(odd)
    (odd / "folder.png").mkdir()
    os.mkfifo(odd / "pipe.png")
    assert bulk(folder, "run", job, odd)[0] == 0
    assert [(row["file"], row["text"]) for row in rows(job)] == [("link.png", rows(folder / "quiet")[1]["text"])]


def test_status_counts_lines_and_shards(folder: Path) -> None:
    assert "lines    240 of 240 read, 2 of them bad images\nshards   24 done" in bulk(folder, "status", "quiet")[1]
    found = json.loads(bulk(folder, "status", "quiet", "--json")[1])
    assert (found["lines"], found["read"], found["shards"], found["attempts"]) == (240, 240, {"done": 24}, 24)


def test_export_writes_tables_and_texts(folder: Path, tmp_path: Path) -> None:
    found = rows(folder / "quiet")
    for kind in ("ndjson", "tsv", "txt"):
        assert bulk(folder, "export", "quiet", "-o", tmp_path / f"x.{kind}")[0] == 0
    whole = b"".join(path.read_bytes() for path in sorted((folder / "quiet" / "shards").iterdir()))
    assert (tmp_path / "x.ndjson").read_bytes() == whole
    assert (tmp_path / "x.txt").read_text("utf-8").split("\n") == [row["text"] or "" for row in found] + [""]
    table = [line.split("\t") for line in (tmp_path / "x.tsv").read_text("utf-8").splitlines()]
    assert table[0] == ["file", "confidence", "text", "error"]
    assert [(cells[0], cells[2]) for cells in table[1:]] == [(row["file"], row["text"] or "") for row in found]
    assert [float(cells[1]) if cells[1] else None for cells in table[1:]] == [row["confidence"] for row in found]
    assert [bool(cells[3]) for cells in table[1:]] == ["error" in row for row in found]
    assert bulk(folder, "export", "quiet", "-o", tmp_path / "texts")[1] == f"240 texts: {tmp_path / 'texts'}\n"
    assert (tmp_path / "texts" / "b" / "200.txt").read_text("utf-8") == found[200]["text"] + "\n"


def test_what_is_not_read_yet_is_exported_only_if_that_is_asked_for(folder: Path, job: Path) -> None:
    shutil.copytree(folder / "quiet", job)
    from zeile.bulk.ledger import Ledger

    ledger = Ledger(job)
    ledger.reopen(2)
    ledger.close()
    status, _, complaint = bulk(folder, "export", job, "-o", job.parent / "x.txt")
    assert (status, "1 of 24 shards are not read, first 2 (open)" in complaint) == (1, True)
    assert not (job.parent / "x.txt").exists()
    assert bulk(folder, "export", job, "-o", job.parent / "x.txt", "--partial")[0] == 0
    assert len((job.parent / "x.txt").read_text("utf-8").splitlines()) == LINES - SHARD


def test_verify_names_what_was_changed_and_again_reads_it_anew(folder: Path, job: Path) -> None:
    assert bulk(folder, "verify", "quiet", "--images") == (0, "240 lines are as they were published\n", "")
    shutil.copytree(folder / "quiet", job)
    first, second = job / "shards" / "shard-000001.ndjson", job / "shards" / "shard-000002.ndjson"
    first.write_bytes(first.read_bytes().replace(b'"text":"', b'"text":"x', 1))
    second.unlink()
    status, said, _ = bulk(folder, "verify", job)
    assert status == 1
    assert "shard-000001.ndjson: is not what was published" in said.splitlines()[0]
    assert "shard-000002.ndjson: cannot be read" in said.splitlines()[1]
    assert bulk(folder, "export", job, "-o", job.parent / "x.txt")[0] == 1
    assert bulk(folder, "run", job, "--again")[0] == 0
    aside = first.with_name("shard-000001.ndjson.damaged-1")
    assert aside.exists()
    aside.unlink()
    assert digests(job) == digests(folder / "quiet")


def test_verify_sees_images_that_are_others_now(folder: Path, job: Path) -> None:
    images = job.parent / "images"
    shutil.copytree(folder / "images", images)
    shutil.copy(images / "a" / "001.png", images / "a" / "002.png")
    status, said, _ = bulk(folder, "verify", "quiet", "--images", images)
    assert (status, said) == (1, "shard 1, a/002.png: the image is another one now, or cannot be read\n")


def test_a_foreign_ledger_is_refused(folder: Path, job: Path) -> None:
    job.mkdir()
    (job / "ledger.sqlite").write_bytes(b"no database, but long enough to look at" * 100)
    status, _, complaint = bulk(folder, "status", job)
    assert (status, "cannot be" in complaint) == (1, True), complaint


@pytest.mark.parametrize("name", ["../x.png", "/x.png"])
def test_texts_are_not_written_outside_their_folder(name: str, tmp_path: Path) -> None:
    from zeile.bulk.export import text_files

    with pytest.raises(BadJob, match="leads out of the folder"):
        text_files([[{"file": name, "text": "x"}]], tmp_path)
