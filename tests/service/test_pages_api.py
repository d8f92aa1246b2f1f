# SPDX-License-Identifier: Apache-2.0
"""/v1/pages: a page and its regions in, the page with its texts out."""

from __future__ import annotations

import hashlib
import io
import json
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tests.formats.alto_schema import NAMESPACE, valid_alto
from tests.formats.page_schema import valid_page
from tests.models import line_pixels, line_png
from tests.service.serving import refused, serving

from zeile.device import open_device
from zeile.formats import Box, Page, Provenance, ReadLine, Region, cut_lines, segment, write
from zeile.manifest import load_model
from zeile.pipeline import Line, Recognizer
from zeile.service.pages import AT_A_TIME
from zeile.service.schemas import PageRecognition
from zeile.settings import Settings

LINES = 40
PITCH = 60
REGIONS = [Region(f"r{i}", Box(50, 40 + i * PITCH, 650, 80 + i * PITCH)) for i in range(LINES)]
SIZE = (700, LINES * PITCH + 80)
ORIGIN = Provenance(model="m/1", model_sha256="0" * 64, engine="cpu", software="0")
Grey = npt.NDArray[np.uint8]


def drawn() -> Grey:
    page = np.full((SIZE[1], SIZE[0]), 235, np.uint8)
    for number in range(LINES):
        page[40 + number * PITCH : 80 + number * PITCH, 50:650] = line_pixels(number, 40, 600)
    return page


def png(page: Grey) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(page).save(buffer, "PNG")
    return buffer.getvalue()


PAGE = png(drawn())


def document(kind: str, regions: list[Region] = REGIONS) -> bytes:
    """The regions as a document without texts."""
    if kind == "json":
        return json.dumps({"lines": [{"id": r.id, "box": list(r.box)} for r in regions]}).encode()
    lines = tuple(ReadLine(region, Line("", None, ())) for region in regions)
    return write(kind, [Page(file="old.tif", width=SIZE[0], height=SIZE[1], lines=lines)], ORIGIN)


def post(service: httpx.Client, query: str = "", image: bytes = PAGE, regions: bytes | None = None) -> httpx.Response:
    form: dict[str, Any] = {"image": ("page.png", image)}
    if regions is not None:
        form["regions"] = ("page.xml", regions)
    return service.post(f"/v1/pages{query}", files=form)


def answered(response: httpx.Response) -> PageRecognition:
    assert response.status_code == 200, response.text
    return PageRecognition.model_validate_json(response.content)


@pytest.fixture(scope="module")
def wanted(models: Path) -> list[Line]:
    """What the recognizer says of the lines, cut out."""
    model = load_model(models / "tiny" / "1")
    with open_device("cpu", model.network) as device:
        cuts = [cut for cut in cut_lines(drawn(), REGIONS) if isinstance(cut, np.ndarray)]
        return Recognizer(model, device).read_batch(cuts)


@pytest.mark.parametrize("kind", ["alto", "page", "json"])
def test_lines_of_a_document_are_read_where_it_says(service: httpx.Client, wanted: list[Line], kind: str) -> None:
    page = answered(post(service, regions=document(kind)))
    assert (page.file, page.width, page.height, page.segmented) == ("page.png", *SIZE, False)
    assert [line.text for line in page.lines] == [line.text for line in wanted]
    assert [line.box for line in page.lines] == [region.box for region in REGIONS]
    assert [line.confidence for line in page.lines] == [(line.confidence or 0) / 10_000 for line in wanted]
    assert [(c.text, c.left, c.right) for c in page.lines[3].characters] == [c[:3] for c in wanted[3].characters]
    assert page.provenance.page is not None
    assert page.provenance.page.sha256 == hashlib.sha256(PAGE).hexdigest()
    assert [region.box for region in page.provenance.page.regions] == [region.box for region in REGIONS]


def test_lines_that_the_service_finds_are_marked_so(service: httpx.Client) -> None:
    page = answered(post(service, "?segment=1"))
    assert page.segmented
    assert [line.box for line in page.lines] == [region.box for region in segment(drawn())]
    body = service.post("/v1/pages?segment=1", content=PAGE, headers={"content-type": "image/png"})
    assert [line.text for line in answered(body).lines] == [line.text for line in page.lines]


def test_the_answer_is_a_document_of_regions_itself(service: httpx.Client) -> None:
    found = post(service, "?segment=1")
    again = answered(post(service, regions=found.content))
    assert again.lines == answered(found).lines
    assert not again.segmented


@pytest.mark.parametrize("kind", ["alto", "page"])
def test_fill_puts_the_texts_into_the_document_that_was_sent(
    service: httpx.Client, wanted: list[Line], kind: str
) -> None:
    response = post(service, "?fill=1", regions=document(kind).replace(b"old.tif", b"kept as it was"))
    assert response.headers["content-type"].startswith("application/")
    assert "kept as it was" in response.text
    if kind == "page":
        valid_page(response.content)
        ns = "{http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15}"
        texts = [e.findtext(f"{ns}TextEquiv/{ns}Unicode") for e in ET.fromstring(response.text).iter(f"{ns}TextLine")]
        assert texts == [line.text for line in wanted]
    else:
        root = valid_alto(response.content)
        lines = root.iter(f"{NAMESPACE}TextLine")
        words = [[s.get("CONTENT", "") for s in line.iter(f"{NAMESPACE}String")] for line in lines]
        assert [[word for word in line if word] for line in words] == [line.text.split() for line in wanted]


@pytest.mark.parametrize("kind", ["text", "tsv", "hocr", "alto", "page"])
def test_every_format(service: httpx.Client, wanted: list[Line], kind: str) -> None:
    response = post(service, f"?format={kind}", regions=document("json"))
    assert response.status_code == 200, response.text
    if kind == "text":
        assert response.text == "".join(f"{line.text}\n" for line in wanted)
    elif kind == "tsv":
        rows = [row.split("\t") for row in response.text.splitlines()[1:]]
        assert [row[2:6] for row in rows] == [[str(edge) for edge in region.box] for region in REGIONS]
    elif kind == "alto":
        valid_alto(response.content)
    elif kind == "page":
        valid_page(response.content)
    else:
        titles = [e.get("title", "") for e in ET.fromstring(response.text).iter() if e.get("class") == "ocr_line"]
        assert len(titles) == LINES


def test_lines_come_one_after_the_other_as_ndjson(service: httpx.Client, wanted: list[Line]) -> None:
    response = post(service, "?format=ndjson", regions=document("json"))
    head, *rows, end = [json.loads(row) for row in response.content.splitlines()]
    assert head == {"page": {"file": "page.png", "width": SIZE[0], "height": SIZE[1], "segmented": False}}
    lines = [row for row in rows if "index" in row]
    assert [(row["index"], row["id"], row["text"]) for row in lines] == [
        (i, f"r{i}", line.text) for i, line in enumerate(wanted)
    ]
    assert end["end"]["lines"] == LINES
    regions = [region for row in rows if "provenance" in row for region in row["provenance"]["page"]["regions"]]
    assert [region["id"] for region in regions] == [region.id for region in REGIONS]


def test_a_page_without_lines(service: httpx.Client) -> None:
    blank = png(np.full((400, 300), 255, np.uint8))
    assert answered(post(service, "?segment=1", blank)).lines == []
    assert post(service, "?segment=1&format=text", blank).text == ""
    assert json.loads(post(service, "?segment=1&format=ndjson", blank).content.splitlines()[-1])["end"]["lines"] == 0


def test_a_region_that_cannot_be_read_is_reported_in_its_place(service: httpx.Client, wanted: list[Line]) -> None:
    small = Region("dot", Box(10, 10, 12, 12))
    page = answered(post(service, regions=document("json", [REGIONS[0], small, REGIONS[1]])))
    assert [line.text for line in page.lines] == [wanted[0].text, None, wanted[1].text]
    assert page.lines[1].error is not None
    assert "2 x 2 pixels" in page.lines[1].error.detail


def test_a_page_may_be_higher_than_a_line(models: Path) -> None:
    with serving(Settings(models=models, model="tiny/1", image_height=200)) as client:
        assert answered(post(client, regions=document("json"))).height == SIZE[1]
        response = client.post("/v1/recognize", files={"file": ("page.png", PAGE)})
        refused(response, 413, "image-too-large")


@pytest.mark.parametrize(
    ("query", "form", "kind", "told"),
    [
        ("", {"image": PAGE}, "bad-form", "segment=1"),
        ("?segment=1", {"image": PAGE, "regions": document("json")}, "bad-form", "leave one"),
        ("", {"regions": document("json")}, "bad-form", "0 images"),
        ("", {"image": PAGE, "file": PAGE, "regions": document("json")}, "bad-form", "2 images"),
        ("", {"image": PAGE, "layout": document("json")}, "bad-form", "'layout' is not read"),
        ("?segment=1&fill=1", {"image": PAGE}, "bad-option", "fill"),
        ("?fill=1", {"image": PAGE, "regions": document("json")}, "bad-option", "json"),
        ("", {"image": b"no image", "regions": document("json")}, "bad-image", "image"),
        ("", {"image": line_png(1), "regions": document("alto")}, "bad-document", "300 x 40"),
        ("", {"image": PAGE, "regions": b""}, "bad-document", "empty"),
        ("", {"image": PAGE, "regions": b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"}, "bad-document", "DOCTYPE"),
        ("", {"image": PAGE, "regions": b'{"lines": [' + b"[" * 100_000}, "bad-document", "JSON"),
    ],
)
def test_requests_that_cannot_be_used(
    service: httpx.Client, query: str, form: dict[str, bytes], kind: str, told: str
) -> None:
    response = service.post(f"/v1/pages{query}", files={name: (f"{name}.x", data) for name, data in form.items()})
    assert told in refused(response, 422, kind)


def test_many_pages_at_a_time_take_their_turns(service: httpx.Client) -> None:
    with ThreadPoolExecutor(3 * AT_A_TIME) as pool:
        found = list(pool.map(lambda _: post(service, "?format=text", regions=document("json")), range(3 * AT_A_TIME)))
    assert len({(response.status_code, response.text) for response in found}) == 1
    late = [pool_answer for pool_answer in found if pool_answer.status_code != 200]
    assert late == []


def test_a_page_whose_turn_does_not_come_in_time_is_told_so(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zeile.service.pages.AT_A_TIME", 0)
    with serving(Settings(models=models, model="tiny/1")) as client:
        assert "deadline" in refused(post(client, "?segment=1&deadline_ms=50"), 504, "expired")
