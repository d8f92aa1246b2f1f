# SPDX-License-Identifier: Apache-2.0
"""Documents that are written: valid, exact, and with every text that a model can read."""

from __future__ import annotations

import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.alto_schema import NAMESPACE as A
from tests.formats.alto_schema import valid_alto
from tests.formats.documents import ODD, PAGE, PROVENANCE, line_of, page_of
from tests.formats.page_schema import valid_page

from zeile.errors import BadImage, BadSettings
from zeile.formats import MEDIA_TYPES, Page, Provenance, line_page, write
from zeile.formats.words import clean
from zeile.pipeline import Line

P = "{http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15}"
H = "{http://www.w3.org/1999/xhtml}"
BAD = line_page("cut.png", (0, 0), BadImage("cut off <here>"))
LINE = line_page("line.png", (80, 20), ODD, "ef" * 32)

graphemes = st.one_of(
    st.characters(),
    st.sampled_from(["&", "<", ">", '"', "'", "\\", "]]>", " ", "\u00a0", "\t", "\n", "\r", "\0", "\x0b", "\ufffe"]),
    st.sampled_from(["aͤ", "e\u0301", "\u0301", "\ue000", "\uf8ff", "\U000f1234", "\ud800", "가", "ᄀ", "ᅡ", "ﬁ", "ẞ"]),
)
lines = st.lists(st.tuples(graphemes, st.integers(0, 10000)), max_size=12).map(
    lambda read: line_of([text for text, _ in read], [value for _, value in read])
)


def strings(root: ET.Element) -> list[list[str]]:
    return [[s.get("CONTENT", "") for s in line.iter(f"{A}String")] for line in root.iter(f"{A}TextLine")]


@pytest.mark.parametrize("pages", [[PAGE], [LINE], [LINE, BAD, LINE], [BAD], [page_of()]])
def test_alto_is_valid(pages: list[Page]) -> None:
    valid_alto(write("alto", pages, PROVENANCE))
    valid_alto(write("alto", pages, replace(PROVENANCE, time=None, settings=())))


@pytest.mark.parametrize("page", [PAGE, LINE, page_of(), page_of(ODD, sha256=None)])
def test_page_is_valid(page: Page) -> None:
    valid_page(write("page", [page], PROVENANCE))
    valid_page(write("page", [page], replace(PROVENANCE, time=None)))


@pytest.mark.filterwarnings("ignore")  # of its dependencies
def test_dinglehopper_reads_the_texts() -> None:
    reader = pytest.importorskip("dinglehopper.ocr_files", reason="needs dinglehopper", exc_type=ImportError)
    etree = pytest.importorskip("lxml.etree", reason="needs lxml")
    page = page_of(line_of("Güter & <Leute>"), line_of("zweite Zeile"))
    expected = "Güter & <Leute>\nzweite Zeile"
    assert reader.alto_text(etree.fromstring(write("alto", [page], PROVENANCE)).getroottree()) == expected
    assert reader.page_text(etree.fromstring(write("page", [page], PROVENANCE)).getroottree()) == expected


def test_alto_has_boxes_and_confidences_of_words_and_glyphs() -> None:
    root = valid_alto(write("alto", [PAGE], PROVENANCE))
    assert strings(root) == [["A", '&<>"', "aͤ\ue5dcſ"], [""], [""], ["two", "words"]]
    word = root.findall(f".//{A}String")[1]
    assert [word.get(n) for n in ("HPOS", "VPOS", "WIDTH", "HEIGHT", "WC")] == ["24", "10", "28", "20", "0.1751"]
    glyph = word[1]
    assert [glyph.get(n) for n in ("CONTENT", "HPOS", "WIDTH", "GC")] == ["<", "31", "7", "0.0000"]
    assert {line.get("BASEDIRECTION") for line in root.iter(f"{A}TextLine")} == {"ltr"}
    blank = root.find(f".//{A}SP")
    assert blank is not None
    assert (blank.get("HPOS"), blank.get("WIDTH")) == ("17", "7")


def test_a_character_of_two_code_points_is_two_glyphs_of_one_place() -> None:
    root = valid_alto(write("alto", [LINE], PROVENANCE))
    a, e, *_ = root.findall(f".//{A}String")[2]
    assert (a.get("CONTENT"), e.get("CONTENT")) == ("a", "\u0364")
    assert (a.get("HPOS"), a.get("WIDTH"), a.get("GC")) == (e.get("HPOS"), e.get("WIDTH"), e.get("GC"))


def test_page_has_the_exact_text_of_a_line_and_of_its_region() -> None:
    root = ET.fromstring(write("page", [PAGE], PROVENANCE))
    texts = [line.findtext(f"{P}TextEquiv/{P}Unicode") for line in root.iter(f"{P}TextLine")]
    assert texts == ['A &<>"  aͤ\ue5dcſ', None, "", "two words"]
    assert [line.get("comments") for line in root.iter(f"{P}TextLine")][1] == 'error: too small & "odd"'
    words = [word.findtext(f"{P}TextEquiv/{P}Unicode") for word in root.iter(f"{P}Word")]
    assert words == ["A", '&<>"', "aͤ\ue5dcſ", "two", "words"]
    assert root.findtext(f".//{P}TextRegion/{P}TextEquiv/{P}Unicode") == 'A &<>"  aͤ\ue5dcſ\n\n\ntwo words'
    first = root.find(f".//{P}Word/{P}Coords")
    assert first is not None
    assert first.get("points") == "10,10 16,10 16,29 10,29"


def test_hocr() -> None:
    root = ET.fromstring(write("hocr", [PAGE, LINE], PROVENANCE))
    assert [e.get("class") for e in root.iter(f"{H}div")].count("ocr_page") == 2
    words = [e for e in root.iter(f"{H}span") if e.get("class") == "ocrx_word"]
    assert [word.text for word in words[:5]] == ["A", '&<>"', "aͤ\ue5dcſ", "two", "words"]
    assert words[1].get("title", "").startswith("bbox 24 10 52 30; x_wconf 17.51; x_confs 0.01 0.00 70.00 0.05; ")
    assert 'image "p\\"&<1>.png"; bbox 0 0 400 140; ppageno 0' in root.findall(f".//{H}div")[0].get("title", "")


def test_hocr_is_html_too() -> None:
    text = write("hocr", [PAGE, BAD], PROVENANCE).decode()
    empty = set(re.findall(r"<(\w+)[^<>]*/>", text))
    assert empty == {"meta"}  # in HTML any other <x/> would stay open
    assert "</meta>" not in text


@pytest.mark.parametrize("kind", ["alto", "page", "hocr"])
def test_provenance_is_in_every_document(kind: str) -> None:
    text = write(kind, [PAGE], PROVENANCE).decode()
    for fact in ("fraktur/1", "ab" * 32, "cd" * 32, "zeile 0.1.0", "diplomatic &amp; &lt;plain&gt;"):
        assert fact in text
    assert "2026-11-21T12:30:00Z" in text
    assert "2026" not in write(kind, [PAGE], replace(PROVENANCE, time=None)).decode()


def test_a_time_needs_a_zone() -> None:
    with pytest.raises(BadSettings, match="no time zone"):
        replace(PROVENANCE, time=datetime(2026, 1, 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(lines, min_size=1, max_size=3))
def test_any_text_survives(answers: list[Line]) -> None:
    page = page_of(*answers)
    alto = valid_alto(write("alto", [page], PROVENANCE))
    tree = ET.fromstring(write("page", [page], PROVENANCE))
    hocr = ET.fromstring(write("hocr", [page], PROVENANCE))
    expected = [clean(answer.text) for answer in answers]
    assert [e.findtext(f"{P}TextEquiv/{P}Unicode") for e in tree.iter(f"{P}TextLine")] == expected
    rows = [[e.text for e in row if e.text] for row in hocr.iter(f"{H}span") if row.get("class") == "ocr_line"]
    for answer, words, row in zip(expected, strings(alto), rows, strict=True):
        squeezed = "".join(c for c in answer if not c.isspace())
        assert "".join(c for c in "".join(words) if not c.isspace()) == squeezed
        assert row == [word for word in words if word]
    for word in alto.iter(f"{A}String"):
        assert "".join(glyph.get("CONTENT", "") for glyph in word) == word.get("CONTENT")
        assert unicodedata.is_normalized("NFC", word.get("CONTENT", ""))


@given(st.integers(0, 10000))
def test_confidences_are_exact(value: int) -> None:
    root = ET.fromstring(write("page", [page_of(line_of("x", [value]))], PROVENANCE))
    assert {e.get("conf") for e in root.iter(f"{P}TextEquiv") if e.get("conf")} == {f"{value / 10000:.4f}"}


def test_text_tsv_and_json_of_pages() -> None:
    assert write("text", [page_of(ODD, BadImage("x"), line_of("end"))], PROVENANCE).decode() == f"{ODD.text}\n\nend\n"
    rows = [row.split("\t") for row in write("tsv", [PAGE], PROVENANCE).decode().splitlines()]
    assert rows[0] == ["file", "line", "left", "top", "right", "bottom", "confidence", "text", "error"]
    assert rows[2] == ['p"&<1>.png', "2", "10", "40", "390", "60", "", "", 'too small & "odd"']
    (entry,) = json.loads(write("json", [PAGE], PROVENANCE))
    assert (entry["width"], entry["height"], len(entry["lines"])) == (400, 140, 4)
    assert entry["lines"][1] == {
        "id": "l1",
        "box": [10, 40, 390, 60],
        "polygon": [[10, 40], [389, 42], [389, 59], [10, 58]],
        "error": 'too small & "odd"',
    }


def test_what_cannot_be_written_is_said() -> None:
    with pytest.raises(BadSettings, match="one image, 2 were given"):
        write("page", [LINE, LINE], PROVENANCE)
    with pytest.raises(BadImage, match="cut off"):
        write("page", [BAD], PROVENANCE)
    with pytest.raises(BadSettings, match="text, tsv, json, hocr, alto, page"):
        write("docx", [LINE], PROVENANCE)


def test_equal_inputs_give_equal_bytes_and_every_kind_has_a_media_type() -> None:
    without = Provenance(model="m/1", model_sha256="0" * 64, engine="cpu", software="0.1.0")
    for kind in MEDIA_TYPES:
        assert write(kind, [LINE], without) == write(kind, [LINE], without)
