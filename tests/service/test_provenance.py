# SPDX-License-Identifier: Apache-2.0
"""Provenance: every hash of it is recomputed here, from what a client holds and from the files on the disk."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import PIL
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.models import CHARACTERS, line_pixels, line_png
from tests.service.serving import files, serving

import zeile
from zeile.errors import BadImage, ImageTooLarge, LineTooWide
from zeile.formats import Box, Region
from zeile.manifest import load_model
from zeile.pipeline import Alternative, prepare
from zeile.service.batch import Answer, Stages
from zeile.service.engines import Options
from zeile.service.problems import kind_of
from zeile.service.provenance import canonical, for_documents, provenance
from zeile.service.provenance_schema import Provenance
from zeile.service.ticket import Ticket
from zeile.settings import Settings

IMAGES = {"a_png": line_png(1), "b_png": line_png(2, height=60, width=500), "blank_png": b"", "c_png": b"no image"}
BY_CHANCE = ("request_id", "time")


def blank() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (200, 40), 230).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES["blank_png"] = blank()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def recognized(client: httpx.Client, query: str = "", **images: bytes) -> dict[str, Any]:
    answer = client.post(f"/v1/recognize{query}", files=files(**(images or IMAGES))).raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def as_hashed(line: Mapping[str, Any]) -> bytes:
    """A line of the JSON answer as the provenance hashes it, by the description alone."""
    if "error" in line:
        entry: dict[str, Any] = {"error": line["error"]["type"].rpartition(":")[2]}
    else:
        characters = line["characters"]
        entry = {
            "characters": [c["text"] for c in characters],
            "confidence": None if line["confidence"] is None else round(10_000 * line["confidence"]),
            "confidences": [round(10_000 * c["confidence"]) for c in characters],
            "left": [c["left"] for c in characters],
            "right": [c["right"] for c in characters],
            "text": line["text"],
        }
        if "alternatives" in line:
            entry["alternatives"] = [[a["text"], a["score"]] for a in line["alternatives"]]
    return json.dumps(entry, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def check_outputs(origin: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> None:
    hashed = [as_hashed(line) for line in lines]
    assert origin["outputs"] == [sha256(line) for line in hashed]
    assert origin["output"]["sha256"] == sha256(b"".join(line + b"\n" for line in hashed))


def test_a_client_can_recompute_every_hash_of_its_answer(service: httpx.Client, models: Path) -> None:
    answer = recognized(service)
    origin = answer["provenance"]
    Provenance.model_validate(origin, strict=True)
    check_outputs(origin, answer["lines"])
    assert origin["inputs"] == [sha256(image) for image in IMAGES.values()]
    folder = models / "tiny" / "1"
    network = load_model(folder).network
    for image, found in zip(IMAGES.values(), origin["frames"], strict=True):
        if image == IMAGES["c_png"]:
            assert found is None
        else:
            frames = prepare(zeile.decode(image), network).frames
            assert found == sha256(b"%d %d\n" % frames.shape + frames.tobytes())
    alphabet = json.dumps(["", *sorted(CHARACTERS)], ensure_ascii=False, separators=(",", ":"))
    assert origin["model"] == {
        "name": "tiny",
        "version": "1",
        "sha256": sha256((folder / "manifest.json").read_bytes()),
        "license": "Apache-2.0",
        "data": ["none"],
        "normalisation": "NFC",
        "alphabet_sha256": sha256(alphabet.encode()),
    }
    assert origin["options"] == {"reading": "plain", "beam": 0, "alternatives": 0}
    assert (origin["overlay"], origin["page"]) == (None, None)
    assert [engine["engine"] for engine in origin["engines"]] == ["cpu"]
    assert origin["decoder"]["pillow"] == PIL.__version__


def test_the_hash_of_the_source_is_what_the_shell_says(service: httpx.Client) -> None:
    package = Path(zeile.__file__).parent
    command = "find . -name '*.py' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    done = subprocess.run(["sh", "-c", command], cwd=package, capture_output=True, text=True, check=True)
    software = recognized(service)["provenance"]["software"]
    assert software["source"] == done.stdout.split()[0]
    assert software["version"] == zeile.__version__


def test_the_same_request_has_the_same_provenance_but_for_id_and_time(service: httpx.Client) -> None:
    first, second = (recognized(service)["provenance"] for _ in range(2))
    assert first["request_id"] != second["request_id"]
    assert {**first, **dict.fromkeys(BY_CHANCE)} == {**second, **dict.fromkeys(BY_CHANCE)}


def test_another_engine_changes_no_hash(service: httpx.Client, models: Path) -> None:
    with serving(Settings(models=models, model="tiny/1", engine="reference")) as other:
        first, second = recognized(service)["provenance"], recognized(other)["provenance"]
    assert [engine["engine"] for engine in second["engines"]] == ["reference"]
    for part in ("inputs", "frames", "outputs", "output", "model", "options", "software", "decoder"):
        assert first[part] == second[part]


def test_options_and_versions_are_told_apart(service: httpx.Client) -> None:
    answer = recognized(service, "?model=tiny/2&reading=diplomatic&beam=4&alternatives=3")
    origin = answer["provenance"]
    assert origin["model"]["version"] == "2"
    assert origin["options"] == {"reading": "diplomatic", "beam": 4, "alternatives": 3}
    assert len(answer["lines"][0]["alternatives"]) == 3
    check_outputs(origin, answer["lines"])


def test_the_request_id_is_the_answers_own(service: httpx.Client) -> None:
    answer = service.post("/v1/recognize", files=files(a_png=line_png(1)), headers={"x-request-id": "case-17"})
    assert answer.json()["provenance"]["request_id"] == answer.headers["x-request-id"] == "case-17"


def test_ndjson_has_a_provenance_behind_the_lines_that_it_is_of(service: httpx.Client) -> None:
    images = {f"{n}_png": line_png(n) for n in range(70)}
    answer = service.post("/v1/recognize?format=ndjson", files=files(**images))
    lines: list[dict[str, Any]] = []
    inputs: list[str] = []
    for row in map(json.loads, answer.text.splitlines()):
        if "index" in row:
            lines.append(row)
        elif "provenance" in row:
            Provenance.model_validate(row["provenance"], strict=True)
            check_outputs(row["provenance"], lines)
            inputs += row["provenance"]["inputs"]
            lines = []
    assert lines == []
    assert inputs == [sha256(image) for image in images.values()]


@pytest.mark.parametrize("kind", ["alto", "page", "hocr"])
def test_documents_carry_it_too(service: httpx.Client, kind: str) -> None:
    image = line_png(1)
    origin = recognized(service, a_png=image)["provenance"]
    document = service.post(f"/v1/recognize?format={kind}", files=files(a_png=image)).raise_for_status().text
    for fact in (
        origin["inputs"][0],
        origin["output"]["sha256"],
        origin["model"]["sha256"],
        origin["model"]["alphabet_sha256"],
        origin["software"]["source"],
        PIL.__version__,
        "plain",
    ):
        assert fact in document


def a_line(characters: str = "ſo") -> zeile.Line:
    return zeile.Line(characters, 5000, tuple(zeile.Character(c, i, i + 1, 5000) for i, c in enumerate(characters)))


def test_a_board_is_named_with_its_bitstream(models: Path) -> None:
    files = {"bit": "b" * 64, "hwh": "c" * 64}
    overlay = {"name": "zeile-print", "design_id": "0" * 16, "emulated": False, "files": files}
    board, cpu = {"engine": "fpga", "path": "zeile-print", "overlay": overlay}, {"engine": "cpu", "instead_of": "fpga"}
    folder = models / "tiny" / "1"
    answer = Answer([a_line()], [(9, 9)], ["d" * 64], Stages(), load_model(folder), cpu, (board, cpu), ["e" * 64])
    where = ("f" * 64, [Region("r1", Box(1, 2, 3, 4), ((1, 2), (3, 2), (3, 4)))])
    origin = provenance(answer, Options(folder), Ticket("id", "me"), page=where)
    found = Provenance.model_validate_json(json.dumps(origin), strict=True)
    assert found.overlay is not None
    assert found.overlay.files == files
    assert found.engines == [{"engine": "fpga", "path": "zeile-print"}, cpu]
    assert found.page is not None
    assert (found.page.sha256, found.page.regions[0].box) == ("f" * 64, (1, 2, 3, 4))
    assert board["overlay"] == overlay, "the engine's own facts were changed"
    document = for_documents(origin)
    assert document.engine == "fpga + cpu"
    assert {("overlay.files.bit", "b" * 64), ("overlay.emulated", "false")} <= set(document.facts())
    assert document.utc is not None
    assert document.utc[:19] == origin["time"][:19]


def test_a_hash_depends_on_every_part_of_a_line() -> None:
    whole = a_line()
    (text, left, right, sure), *rest = whole.characters
    changed = [("s", left, right, sure), (text, 1, right, sure), (text, left, 2, sure), (text, left, right, 4999)]
    others: list[zeile.Line | BadImage] = [
        zeile.Line("so", whole.confidence, whole.characters),
        zeile.Line(whole.text, 4999, whole.characters),
        zeile.Line(whole.text, None, ()),
        *(zeile.Line(whole.text, whole.confidence, (zeile.Character(*first), *rest)) for first in changed),
        BadImage("none"),
        ImageTooLarge("large"),
    ]
    assert len({canonical(line) for line in [whole, *others]}) == len(others) + 1
    assert canonical(ImageTooLarge("the message does not count")) == canonical(LineTooWide("another"))


letters = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=2)


@given(st.lists(st.tuples(letters, st.integers(0, 1 << 20), st.integers(0, 1 << 20), st.integers(0, 10_000))))
def test_a_hash_is_of_json_that_anybody_can_write(found: list[tuple[str, int, int, int]]) -> None:
    characters = tuple(zeile.Character(*each) for each in found)
    text = "".join(each[0] for each in found)
    names, left, right, sure = ([list(column) for column in zip(*found, strict=True)]) if found else ([], [], [], [])
    entry = {"characters": names, "confidence": 7, "confidences": sure, "left": left, "right": right, "text": text}
    plain = json.dumps(entry, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    assert canonical(zeile.Line(text, 7, characters)) == plain.encode()
    more = zeile.Line(text, 7, characters, (Alternative(text, -12), Alternative("", -(1 << 40))))
    plain = json.dumps(entry | {"alternatives": [[text, -12], ["", -(1 << 40)]]}, ensure_ascii=False, sort_keys=True)
    assert json.loads(canonical(more)) == json.loads(plain)
    assert canonical(more).startswith(b'{"alternatives":[[')


@pytest.mark.parametrize("error", [BadImage("a"), ImageTooLarge("b"), LineTooWide("c")])
def test_errors_are_hashed_under_the_names_that_problems_have(error: BadImage) -> None:
    assert json.loads(canonical(error)) == {"error": kind_of(error).name}


def test_a_measurement_has_it(service: httpx.Client) -> None:
    images = {f"{n}_png": line_png(n) for n in range(3)} | {f"{n}.gt_txt": b"text" for n in range(3)}
    origin = service.post("/v1/measure", files=files(**images)).raise_for_status().json()["provenance"]
    assert origin["model"]["name"] == "tiny"
    assert len(origin["output"]["sha256"]) == 64


def test_a_page_is_pinned_with_its_regions(service: httpx.Client) -> None:
    page = np.full((120, 300), 235, np.uint8)
    page[10:50] = line_pixels(1)
    page[70:110] = line_pixels(2)
    buffer = io.BytesIO()
    Image.fromarray(page).save(buffer, "PNG")
    boxes = [[0, 10, 300, 50], [0, 70, 300, 110]]
    regions = json.dumps({"lines": [{"id": f"l{n}", "box": box} for n, box in enumerate(boxes)]}).encode()
    form = {"image": ("page.png", buffer.getvalue()), "regions": ("regions.json", regions)}
    answer = service.post("/v1/pages", files=form).raise_for_status().json()
    origin = answer["provenance"]
    Provenance.model_validate_json(json.dumps(origin), strict=True)
    assert origin["page"]["sha256"] == sha256(buffer.getvalue())
    assert [region["box"] for region in origin["page"]["regions"]] == boxes
    cuts = [np.ascontiguousarray(page[top:bottom]) for _, top, _, bottom in boxes]
    assert origin["inputs"] == [sha256(b"40 300\n" + cut.tobytes()) for cut in cuts]
    check_outputs(origin, answer["lines"])
