# SPDX-License-Identifier: Apache-2.0
"""The formats of the answers of /v1/recognize: how they are asked for, and that they keep their schemas."""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET

import httpx
import pytest
from tests.formats.alto_schema import NAMESPACE, valid_alto
from tests.formats.page_schema import valid_page
from tests.models import line_png
from tests.service.serving import files, refused
from tests.service.test_archives import zipped

from zeile.service.outputs import MEDIA_TYPES
from zeile.service.schemas import Line, Recognition

ZIP = {"content-type": "application/zip"}
ODD_NAME = 'a<&>"1.png'


def read(service: httpx.Client, image: bytes) -> Line:
    response = service.post("/v1/recognize", content=image, headers={"content-type": "image/png"})
    return Recognition.model_validate_json(response.content).lines[0]


def formatted(service: httpx.Client, kind: str, **named: bytes) -> str:
    """The answer in a format, which ?format= and Accept both bring."""
    asked = service.post(f"/v1/recognize?format={kind}", files=files(**named))
    accepted = service.post("/v1/recognize", files=files(**named), headers={"accept": asked.headers["content-type"]})
    assert asked.status_code == accepted.status_code == 200, asked.text
    assert asked.headers["content-type"] == accepted.headers["content-type"]
    assert asked.headers["content-type"].partition(";")[0] in str(list(MEDIA_TYPES.values()))
    assert asked.headers["x-zeile-model"].startswith("tiny/1; sha256=")
    assert asked.headers["x-zeile-engine"] == "cpu"
    return asked.text


def test_text_has_a_row_for_every_file(service: httpx.Client) -> None:
    texts = [read(service, line_png(1)).text, "", read(service, line_png(2)).text]
    text = formatted(service, "text", a_png=line_png(1), b_png=b"no image", c_png=line_png(2))
    assert text.split("\n") == [*texts, ""]


def test_tsv_has_the_errors_too(service: httpx.Client) -> None:
    rows = [row.split("\t") for row in formatted(service, "tsv", a_png=line_png(1), b_png=b"no image").splitlines()]
    assert rows[0] == ["file", "confidence", "text", "error"]
    assert [row[0] for row in rows[1:]] == ["a.png", "b.png"]
    assert "no known image format" in rows[2][3]


def test_alto_is_valid_by_its_schema_and_says_what_read_it(service: httpx.Client) -> None:
    root = valid_alto(formatted(service, "alto", a_png=line_png(1), b_png=b"no image").encode())
    read_text = read(service, line_png(1)).text or ""
    strings = [string.get("CONTENT") for string in root.iter(f"{NAMESPACE}String")]
    assert " ".join(filter(None, strings)) == " ".join(read_text.split())
    said = root.findtext(f".//{NAMESPACE}processingStepSettings") or ""
    assert "model: tiny/1" in said
    assert "model.sha256: " in said
    pages = root.findall(f".//{NAMESPACE}Page")
    assert "no known image format" in pages[1].get("QUALITY_DETAIL", "")
    hashes = [element.text for element in root.iter(f"{NAMESPACE}fileIdentifier")]
    assert hashlib.sha256(line_png(1)).hexdigest() in hashes


def test_page_xml_is_valid_by_its_schema(service: httpx.Client) -> None:
    body = formatted(service, "page", a_png=line_png(1))
    valid_page(body.encode())
    assert (read(service, line_png(1)).text or "") in [e.text for e in ET.fromstring(body).iter()]


def test_hocr_is_well_formed_and_has_every_word(service: httpx.Client) -> None:
    root = ET.fromstring(formatted(service, "hocr", a_png=line_png(1)))
    words = [e.text for e in root.iter("{http://www.w3.org/1999/xhtml}span") if e.get("class") == "ocrx_word"]
    assert " ".join(map(str, words)) == " ".join((read(service, line_png(1)).text or "").split())


def test_names_do_not_break_any_format(service: httpx.Client) -> None:
    for kind in ("alto", "hocr", "page"):
        response = service.post(f"/v1/recognize?format={kind}", content=zipped({ODD_NAME: line_png(1)}), headers=ZIP)
        attributes = [value for e in ET.fromstring(response.text).iter() for value in (*e.attrib.values(), e.text)]
        assert any(ODD_NAME.replace('"', "") in re.sub('["\\\\]', "", str(value)) for value in attributes)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("text/html, */*;q=0.8", "application/json"),
        ("text/*", "text/plain; charset=utf-8"),
        ("application/json;q=0.5, text/plain", "text/plain; charset=utf-8"),
        ("application/json, text/plain", "application/json"),
        ("TEXT/PLAIN; charset=utf-8", "text/plain; charset=utf-8"),
        ("text/plain;q=0, application/*", "application/json"),
    ],
)
def test_accept_chooses_the_format(service: httpx.Client, accept: str, media_type: str) -> None:
    response = service.post("/v1/recognize", files=files(a_png=line_png(1)), headers={"accept": accept})
    assert response.headers["content-type"] == media_type
    assert "accept" in response.headers["vary"].lower()


@pytest.mark.parametrize("accept", ["image/png", "text/html", "", "application/json;q=0", "json"])
def test_media_types_that_are_not_written(service: httpx.Client, accept: str) -> None:
    response = service.post("/v1/recognize", files=files(a_png=line_png(1)), headers={"accept": accept})
    assert "?format=json|text" in refused(response, 406, "not-acceptable")
    asked = service.post("/v1/recognize?format=text", files=files(a_png=line_png(1)), headers={"accept": accept})
    assert asked.status_code == 200


def test_formats_that_cannot_be_used(service: httpx.Client) -> None:
    two = files(a_png=line_png(1), b_png=line_png(2))
    assert "one image, 2" in refused(service.post("/v1/recognize?format=page", files=two), 422, "bad-option")
    assert "ndjson" in refused(service.post("/v1/recognize?format=pdf", files=two), 422, "bad-option")
