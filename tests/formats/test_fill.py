# SPDX-License-Identifier: Apache-2.0
"""Texts go back into the document that the regions came from; all else stays."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from tests.formats.alto_schema import NAMESPACE, valid_alto
from tests.formats.documents import ODD, PAGE, PROVENANCE, line_of
from tests.formats.page_schema import valid_page
from tests.formats.test_regions import LINE, SIZE, alto

from zeile.errors import BadDocument, BadImage
from zeile.formats import Page, ReadLine, fill, read_regions, write
from zeile.pipeline import Line

PAGE_DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<pc:PcGts xmlns:pc="http://schema.primaresearch.org/PAGE/gts/pagecontent/{version}" pcGtsId="mine">
  <pc:Metadata>
    <pc:Creator>a person</pc:Creator>
    <pc:Created>2020-01-01T00:00:00</pc:Created>
    <pc:LastChange>2020-01-01T00:00:00</pc:LastChange>
  </pc:Metadata>
  <pc:Page imageFilename="x.tif" imageWidth="200" imageHeight="100">
    <!-- a remark -->
    <pc:TextRegion id="r1" type="heading" custom="readingOrder {{index:0;}}">
      <pc:Coords points="0,0 199,0 199,99 0,99"/>
      <pc:TextLine id="l1" custom="keep">
        <pc:Coords points="10,10 150,10 150,30 10,30"/>
        <pc:Baseline points="10,28 150,28"/>
        <pc:Word id="old"><pc:Coords points="10,10 20,10 20,20"/></pc:Word>
        <pc:TextEquiv index="1"><pc:Unicode>stale</pc:Unicode></pc:TextEquiv>
        <pc:TextStyle bold="true"/>
      </pc:TextLine>
      <pc:TextLine id="l1_word_1"><pc:Coords points="10,40 150,44 150,60 10,56"/></pc:TextLine>
      <pc:TextEquiv><pc:Unicode>stale</pc:Unicode></pc:TextEquiv>
    </pc:TextRegion>
  </pc:Page>
</pc:PcGts>
"""
NEW = line_of(list("neu & gut"))


def filled(document: str | bytes, *answers: Line | BadImage) -> str:
    data = document if isinstance(document, bytes) else document.encode()
    _, regions = read_regions(data, SIZE)
    lines = tuple(ReadLine(region, answer) for region, answer in zip(regions, answers, strict=True))
    page = Page(file="x.tif", width=SIZE[0], height=SIZE[1], lines=lines)
    return fill(data, page, PROVENANCE).decode()


def page_document(version: str = "2019-07-15") -> str:
    return PAGE_DOCUMENT.format(version=version)


def test_page_keeps_its_structure_and_gets_the_texts() -> None:
    text = filled(page_document(), NEW, ODD)
    for kept in (
        'pcGtsId="mine"',
        "<!-- a remark -->",
        'type="heading"',
        "Baseline",
        "TextStyle",
        "a person",
        "<pc:Word",
    ):
        assert kept in text
    assert "stale" not in text
    assert 'id="old"' not in text
    assert "<pc:Unicode>neu &amp; gut</pc:Unicode>" in text
    assert "ns0:" not in text
    assert "fraktur/1" in text


def test_page_filled_is_valid() -> None:
    valid_page(filled(page_document(), NEW, ODD).encode())


def test_ids_stay_unique() -> None:
    root = ET.fromstring(filled(page_document(), NEW, ODD))
    names = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(names) == len(set(names))


def test_a_line_that_could_not_be_read_keeps_what_it_had() -> None:
    text = filled(page_document(), BadImage("small"), NEW)
    assert text.count("stale") == 2  # its own text, and the region's, which is not all ours
    assert 'id="old"' in text


def test_an_older_page_version_gets_a_comment_instead_of_an_item() -> None:
    text = filled(page_document("2013-07-15"), NEW, NEW)
    assert "MetadataItem" not in text
    assert "<pc:Comments>text recognition: model: fraktur/1; " in text


def test_alto_keeps_its_structure_and_gets_the_texts() -> None:
    text = filled(alto(LINE.replace("<String", '<String ID="s" STYLEREFS="f"')), NEW)
    root = valid_alto(text.encode())
    assert [s.get("CONTENT") for s in root.iter(f"{NAMESPACE}String")] == ["neu", "&", "gut"]
    assert 'HPOS="10.5"' in text  # the line's own box as it was written
    assert root.find(f".//{NAMESPACE}Processing") is not None


@pytest.mark.parametrize("version", [2, 3])
def test_older_altos_have_no_glyphs_and_another_processing(version: int) -> None:
    text = filled(alto(LINE, version=version), NEW)
    assert "<Glyph" not in text
    assert '<OCRProcessing ID="zeile"><ocrProcessingStep><processingDateTime>' in text


def test_alto_in_other_units_gets_places_in_its_units() -> None:
    line = '<TextLine ID="a" HPOS="100" VPOS="50" WIDTH="400" HEIGHT="40"><String CONTENT="x"/></TextLine>'
    root = ET.fromstring(filled(alto(line, unit="mm10", size=(1000, 500)), line_of("ab")))
    string = root.find(f".//{NAMESPACE}String")
    assert string is not None
    assert [string.get(n) for n in ("HPOS", "VPOS", "WIDTH", "HEIGHT")] == ["100", "50", "70", "40"]


@pytest.mark.parametrize("kind", ["alto", "page"])
def test_filling_twice_changes_only_the_provenance(kind: str) -> None:
    first = write(kind, [PAGE], PROVENANCE)
    again = fill(first, PAGE, PROVENANCE)
    tag = "Processing" if kind == "alto" else "MetadataItem"
    assert again.decode().count(f"</{tag}>") == 2
    assert read_regions(again, (PAGE.width, PAGE.height)) == read_regions(first, (PAGE.width, PAGE.height))


def test_another_number_of_lines_is_refused() -> None:
    page = replace(PAGE, lines=PAGE.lines[:2])
    with pytest.raises(BadDocument, match="4 lines, 2 were read"):
        fill(write("alto", [PAGE], PROVENANCE), page, PROVENANCE)
