# SPDX-License-Identifier: Apache-2.0
"""Documents of line regions: what they say, and what hostile ones may not do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.formats.documents import PAGE, PROVENANCE

from zeile.errors import BadDocument, BadSettings
from zeile.formats import Box, DocumentLimits, Region, read_regions, write

SIZE = (200, 100)
ALTO = '<alto xmlns="http://www.loc.gov/standards/alto/ns-v{v}#">{description}<Layout>{page}</Layout></alto>'
PAGE_XML = (
    '<pc:PcGts xmlns:pc="http://schema.primaresearch.org/PAGE/gts/pagecontent/{v}"><pc:Metadata/>'
    '<pc:Page imageFilename="x" imageWidth="200" imageHeight="100"><pc:TextRegion id="r">{lines}</pc:TextRegion>'
    "</pc:Page></pc:PcGts>"
)


def alto(lines: str, *, version: int = 4, unit: str = "pixel", size: tuple[int, int] = SIZE) -> bytes:
    page = f'<Page ID="p" PHYSICAL_IMG_NR="1" WIDTH="{size[0]}" HEIGHT="{size[1]}"><PrintSpace><TextBlock ID="b">'
    description = f"<Description><MeasurementUnit>{unit}</MeasurementUnit></Description>"
    whole = f"{page}{lines}</TextBlock></PrintSpace></Page>"
    return ALTO.format(v=version, description=description, page=whole).encode()


def page_xml(points: str, version: str = "2019-07-15") -> bytes:
    line = f'<pc:TextLine id="l"><pc:Coords points="{points}"/></pc:TextLine>'
    return PAGE_XML.format(v=version, lines=line).encode()


def only(data: bytes) -> Region:
    _, (region,) = read_regions(data, SIZE)
    return region


LINE = '<TextLine ID="a" HPOS="10.5" VPOS="20" WIDTH="30" HEIGHT="9.2"><String CONTENT=""/></TextLine>'


@pytest.mark.parametrize("version", [2, 3, 4])
def test_alto_boxes_are_rounded_outwards(version: int) -> None:
    assert only(alto(LINE, version=version)) == Region("a", Box(10, 20, 41, 30))


def test_alto_in_tenths_of_a_millimetre_is_scaled_to_the_image() -> None:
    region = only(alto('<TextLine HPOS="100" VPOS="50" WIDTH="400" HEIGHT="40"/>', unit="mm10", size=(1000, 500)))
    assert region == Region("", Box(20, 10, 100, 18))


@pytest.mark.parametrize("points", ["10,20 50,22 50,30 10,28", "10 20 50 22 50 30 10 28"])
def test_alto_polygons(points: str) -> None:
    shape = f'<Shape><Polygon POINTS="{points}"/></Shape>'
    region = only(alto(f'<TextLine ID="a" HPOS="0" VPOS="0" WIDTH="1" HEIGHT="1">{shape}</TextLine>'))
    assert region == Region("a", Box(10, 20, 51, 31), ((10, 20), (50, 22), (50, 30), (10, 28)))


@pytest.mark.parametrize("version", ["2019-07-15", "2013-07-15"])
def test_page_outlines_with_a_prefix(version: str) -> None:
    assert only(page_xml("10,20 50,22 50,30 10,28", version)).polygon == ((10, 20), (50, 22), (50, 30), (10, 28))
    assert only(page_xml("10,20 50,20 50,30 10,30", version)) == Region("l", Box(10, 20, 51, 31))


def test_page_of_2010_has_points_as_elements() -> None:
    points = '<pc:Point x="10" y="20"/><pc:Point x="50" y="30"/>'
    line = f'<pc:TextLine id="l"><pc:Coords>{points}</pc:Coords></pc:TextLine>'
    assert only(PAGE_XML.format(v="2010-03-19", lines=line).encode()).box == Box(10, 20, 51, 31)


@pytest.mark.parametrize("kind", ["alto", "page", "json"])
def test_regions_that_we_wrote_come_back(kind: str) -> None:
    named, regions = read_regions(write(kind, [PAGE], PROVENANCE), (PAGE.width, PAGE.height))
    assert named == kind
    assert [(r.box, r.polygon) for r in regions] == [(read.region.box, read.region.polygon) for read in PAGE.lines]


def test_json_boxes_and_polygons() -> None:
    given_lines = [{"id": "a", "box": [1, 2, 30, 40]}, {"polygon": [[5, 5], [60, 9], [60, 30]]}]
    kind, regions = read_regions(json.dumps({"lines": given_lines}).encode(), SIZE)
    assert kind == "json"
    assert regions == [
        Region("a", Box(1, 2, 30, 40)),
        Region("", Box(5, 5, 61, 31), ((5, 5), (60, 9), (60, 30))),
    ]


def test_what_reaches_over_the_edge_is_clipped() -> None:
    assert only(page_xml("-5,-5 500,-5 500,20 -5,20")).box == Box(0, 0, 200, 21)
    assert only(json.dumps({"lines": [{"box": [300, 0, 400, 10]}]}).encode()).box.width == 0


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE alto [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]><alto>&j;</alto>"
)
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "neither XML nor well-formed JSON"),
    "text": (b"hello", "neither XML nor well-formed JSON"),
    "billion laughs": (BOMB.encode(), "DOCTYPE"),
    "external entity": (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "DOCTYPE"),
    "external dtd": (b'<!DOCTYPE alto SYSTEM "http://example.org/x.dtd"><alto/>', "DOCTYPE"),
    "parameter entity": (b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://example.org/x">%x;]><a/>', "DOCTYPE"),
    "undefined entity": (b"<alto>&nbsp;</alto>", "not well-formed"),
    "deep": (b"<a>" * 5000 + b"</a>" * 5000, "more than 100 deep"),
    "cut off": (alto(LINE)[:-9], "not well-formed"),
    "zero byte": (b"<alto>\0</alto>", "not well-formed"),
    "unknown encoding": (b'<?xml version="1.0" encoding="klingon"?><alto/>', "not well-formed"),
    "wide unknown encoding": (b'<?xml version="1.0" encoding="utf-7"?><alto/>', ""),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "ALTO 2 to 4 and PAGE XML"),
    "alto without namespace": (b"<alto/>", "ALTO 2 to 4 and PAGE XML"),
    "no page": (ALTO.format(v=4, description="", page="").encode(), "0 pages"),
    "two pages": (ALTO.format(v=4, description="", page="<Page/><Page/>").encode(), "2 pages"),
    "another image": (alto(LINE, size=(400, 200)), "400 x 200 pixels, this one has 200 x 100"),
    "odd unit": (alto(LINE, unit="furlong"), "furlong"),
    "no page size": (alto(LINE, unit="mm10", size=(0, 0)), "no WIDTH and HEIGHT"),
    "not a number": (alto(LINE.replace("10.5", "NaN")), "HPOS of line 1 is 'NaN'"),
    "infinite": (alto(LINE.replace("10.5", "INF")), "must be a number"),
    "huge number": (alto(LINE.replace("10.5", "9" * 5000)), "must be a number"),
    "no place": (alto("<TextLine/>"), "HPOS of line 1 is missing"),
    "odd points": (page_xml("1,2 3"), "2 to 2000 points"),
    "one point": (page_xml("1,2"), "2 to 2000 points"),
    "many points": (page_xml("1,2 " * 3000), "2 to 2000 points"),
    "no outline": (PAGE_XML.format(v="2019-07-15", lines="<pc:TextLine/>").encode(), "no Coords"),
    "many lines": (alto("<TextLine HPOS='1' VPOS='1' WIDTH='9' HEIGHT='9'/>" * 4001), "more than 4000 lines"),
    "whole page often": (alto('<TextLine HPOS="0" VPOS="0" WIDTH="200" HEIGHT="100"/>' * 5), "4 times the page"),
    "json deep": (b"[" * 200_000, "well-formed JSON"),
    "json number": (b'{"lines": ' + b"9" * 5000 + b"}", "well-formed JSON"),
    "json list": (b"[1, 2]", 'an object with "lines"'),
    "json unknown": (b'{"lines": [], "linse": []}', "unknown name 'linse'"),
    "json line unknown": (b'{"lines": [{"bbox": [1, 2, 3, 4]}]}', "unknown name 'bbox'"),
    "json no box": (b'{"lines": [{}]}', "array of 4 numbers"),
    "json fraction": (b'{"lines": [{"box": [1.5, 2, 3, 4]}]}', "whole numbers"),
    "json true": (b'{"lines": [{"box": [true, 2, 3, 4]}]}', "whole numbers"),
    "json inside out": (b'{"lines": [{"box": [5, 2, 3, 4]}]}', "left < right"),
    "json other size": (b'{"lines": [], "width": 1, "height": 1}', "1 x 1 pixels"),
    "json id": (b'{"lines": [{"id": 7, "box": [1, 2, 3, 4]}]}', "must be a string"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents_are_refused_with_a_sentence(name: str) -> None:
    data, said = HOSTILE[name]
    with pytest.raises(BadDocument) as stop:
        read_regions(data, SIZE)
    assert said in str(stop.value)
    assert len(str(stop.value)) < 400


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"bytes": 100}, "at most 100 are allowed"),
        ({"elements": 3}, "more than 3 elements"),
        ({"lines": 1}, "more than 1"),
    ],
)
def test_limits_are_the_users(limits: dict[str, Any], said: str) -> None:
    with pytest.raises(BadDocument, match=said):
        read_regions(alto(LINE * 2), SIZE, DocumentLimits(**limits))
    with pytest.raises(BadSettings, match="allowed are 1 to"):
        DocumentLimits(**dict.fromkeys(limits, 0))


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: b"<alto>" + text.encode(errors="replace")))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read_regions(data, SIZE)
    except BadDocument:
        pass
