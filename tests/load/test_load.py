# SPDX-License-Identifier: Apache-2.0
"""``zeile load`` as users meet it, its levels, its requests, and what it prints."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from array import array
from collections import Counter
from collections.abc import Callable
from email import message_from_bytes
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.load.fake_service import TEXT, Asked, answer, faking

from zeile.cli import main
from zeile.errors import BadData, BadSettings
from zeile.load import bodies, report, scrape
from zeile.load.levels import levels
from zeile.load.windows import Level, Window

QUICK = ("--warmup", "0.05", "--window", "0.1", "--windows", "3")
PROBLEM = "Content-Type: application/problem+json\r\n"


def load(url: str, *options: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    status = main(["load", url, *QUICK, "--json", *options])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("8", (8,)),
        ("1,4,16", (1, 4, 16)),
        ("1:64:x2", (1, 2, 4, 8, 16, 32, 64)),
        ("1:100:x10", (1, 10, 100)),
        ("100:500:+200", (100, 300, 500)),
        ("0.5:0.7:+0.1", (0.5, 0.6, 0.7)),
    ],
)
def test_levels_as_they_are_written(text: str, wanted: tuple[float, ...]) -> None:
    assert levels(text, 1000) == pytest.approx(wanted)


@pytest.mark.parametrize("text", ["", "a", "1:2", "1:8:2", "1:8:x1", "1:8:+0", "8:1:x2", "0", "-1", "1:inf:x2", "nan"])
def test_levels_that_cannot_be_understood(text: str) -> None:
    with pytest.raises(BadSettings, match="the load"):
        levels(text, 1000)


def test_levels_beyond_what_can_be_driven() -> None:
    with pytest.raises(BadSettings, match="up to 10 can be driven"):
        levels("1:64:x2", 10)
    with pytest.raises(BadSettings, match="51 levels"):
        levels("1:1000:+1", 1000)


def test_a_request_of_one_image_is_its_body() -> None:
    picture = bodies.Picture("a.jpg", b"\xff\xd8")
    (request,) = bodies.requests("host:1", "/v1/recognize?beam=4", [picture], 1, ())
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.decode().split("\r\n") == [
        "POST /v1/recognize?beam=4 HTTP/1.1",
        "Host: host:1",
        "Content-Type: image/jpeg",
        "Content-Length: 2",
    ]
    assert body == b"\xff\xd8"


def test_a_request_of_several_images_is_a_form_that_others_can_parse() -> None:
    pictures = [bodies.Picture(f'{i}".png', bytes([i])) for i in range(5)]
    requests = bodies.requests("host", "/", pictures, 3, ())
    assert len(requests) == 2, "each picture is in one"
    message = message_from_bytes(requests[1].partition(b"\r\n")[2], policy=HTTP)
    parts = [part.get_payload(decode=True) for part in message.iter_parts()]
    assert parts == [b"\x03", b"\x04", b"\x00"], "the last is filled with the first"


def test_keys_take_turns() -> None:
    requests = bodies.requests("host", "/", [bodies.Picture("a.png", b"a")], 1, ["one", "two"])
    assert [b"Bearer one" in request for request in requests] == [True, False]
    assert [b"Bearer two" in request for request in requests] == [False, True]


def test_images_come_from_folders_and_zip_files_evenly(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for i in range(10):
            archive.writestr(f"inside/{i}.png", bytes([i]))
            archive.writestr(f"inside/{i}.gt.txt", "text")
            (tmp_path / f"{i}.PNG").write_bytes(bytes([i]))
    for path in (tmp_path, tmp_path / "set.zip"):
        assert [picture.data for picture in bodies.found(path, 5)] == [bytes([i]) for i in (0, 2, 4, 6, 8)]
        assert len(bodies.found(path, 100)) == 10


def test_images_that_cannot_be_used_are_said(tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK nothing")
    for path, told in ((tmp_path, "no images"), (tmp_path / "bad.zip", "cannot be read"), (tmp_path / "x", "cannot")):
        with pytest.raises(BadData, match=told):
            bodies.found(path, 5)


def test_without_images_readable_ones_are_drawn() -> None:
    for picture in bodies.drawn(3):
        with Image.open(io.BytesIO(picture.data)) as image:
            image.load()
            assert image.width >= 300


def test_prometheus_text_is_parsed_and_what_is_none_of_it_refused() -> None:
    text = '# HELP a b\na_total{x="} 1",y=""} 3\na_total 4.5e1\nb -Inf\n'
    samples = scrape.parse(text)
    assert scrape.total(samples, "a_total") == 48
    with pytest.raises(ValueError, match="is no sample"):
        scrape.parse("<html>")


def test_joules_a_line_are_what_each_rail_took_between_two_looks() -> None:
    rail = 'zeile_energy_joules_total{rail="VCCINT"}'
    before, after = {rail: 10.0, "zeile_lines_total": 100.0}, {rail: 16.0, "zeile_lines_total": 400.0}
    assert scrape.between(before, after)["VCCINT_joules_per_line"] == pytest.approx(0.02)
    assert "VCCINT_joules_per_line" not in scrape.between(after, after), "no line, no figure"


def test_each_level_is_measured_and_every_request_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with faking(lambda asked: answer()) as service:
        status, found = load(service.url, "--concurrency", "1:4:x2", capsys=capsys)
    assert status == 0
    assert [level["load"] for level in found["levels"]] == [1, 2, 4]
    counted = sum(level["total"]["statuses"]["200"] for level in found["levels"])
    posts = [asked for asked in service.asked if asked.line == "POST /v1/recognize HTTP/1.1"]
    assert counted == len(posts) == sum(level["total"]["lines"] for level in found["levels"])
    assert {asked.line for asked in service.asked} == {"POST /v1/recognize HTTP/1.1", "GET /metrics HTTP/1.1"}
    for level in found["levels"]:
        assert level["latency_ms"]["p50"] <= level["latency_ms"]["p99"] <= level["latency_ms"]["max"]
        assert level["lines_per_second"] == level["requests_per_second"] > 0


def test_an_open_loop_with_forms_query_keys_and_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("one\ntwo\n")
    options = ("--rate", "200", "--files-per-request", "4", "--query", "model=tiny", "--keys", str(keys))
    with faking(lambda asked: answer()) as service:
        status, found = load(service.url, *options, "--out", str(tmp_path / "out"), capsys=capsys)
    assert status == 0
    assert found["loop"] == "open"
    (level,) = found["levels"]
    assert level["total"]["lines"] == 4 * level["total"]["statuses"]["200"]
    posts = [asked for asked in service.asked if asked.line.startswith("POST")]
    assert {asked.line for asked in posts} == {"POST /v1/recognize?model=tiny HTTP/1.1"}
    for key in ("one", "two"):
        assert any(f"Authorization: Bearer {key}\r\n" in asked.head for asked in posts)
    assert json.loads((tmp_path / "out" / "load.json").read_text()) == found
    assert "open loop" in (tmp_path / "out" / "load.txt").read_text()
    (row,) = csv.DictReader((tmp_path / "out" / "load.csv").read_text().splitlines())
    assert float(row["requests_per_second_asked"]) == 200
    assert float(row["lines_per_second"]) == level["lines_per_second"]
    assert float(row["latency_p99_ms"]) == level["latency_ms"]["p99"]
    assert (int(row["good"]), row["stable"]) == (level["statuses"]["200"], str(int(level["stable"])))


def test_a_plot_shows_levels_with_and_without_good_answers() -> None:
    pytest.importorskip("matplotlib")
    windows = [Window(1.0, array("d", [0.01, 0.02]), lines=2), Window(1.0)]
    measured = [Level(i + 1, True, 3, w, Counter(), w.lines, Counter()).to_json() for i, w in enumerate(windows)]
    with Image.open(io.BytesIO(report.plot({"loop": "closed", "levels": measured}))) as plot:
        plot.verify()


def full(asked: Asked) -> bytes:
    return answer("503 Service Unavailable", b"{}", PROBLEM + "Retry-After: 1\r\n")


def changing() -> Callable[[Asked], bytes]:
    texts = iter(range(10**6))
    return lambda asked: answer(body=json.dumps({"lines": [{"text": next(texts)}]}).encode())


@pytest.mark.parametrize(
    ("reply", "status", "told"),
    [
        (full, 0, "x 503; within"),
        (lambda asked: answer("503 Full", b"{}", PROBLEM), 1, "503 without Retry-After"),
        (lambda asked: answer("500 Oh", b"<html>", "Content-Type: text/html\r\n"), 1, "500 without problem+json"),
        (lambda asked: answer("500 Oh", b"{}", PROBLEM), 1, "x 500"),
        (lambda asked: None, 1, "the connection ended"),
        (changing(), 1, "other lines than before for the same images"),
        (lambda asked: answer(body=b"hello"), 1, "not the JSON of /v1/recognize"),
        (lambda asked: answer(body=b'{"lines":[]}'), 1, "0 lines for 1 images"),
        (lambda asked: answer(body=TEXT), 0, "closed loop"),
    ],
)
def test_what_is_wrong_is_said_and_is_the_exit_code(
    reply: Callable[[Asked], bytes | None], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with faking(reply) as service:
        assert main(["load", service.url, *QUICK, "--concurrency", "2", "--check", "--timeout", "5"]) == status
    assert told in capsys.readouterr().out


def test_what_the_service_counted_stands_beside_what_this_client_counted(capsys: pytest.CaptureFixture[str]) -> None:
    lines = 0

    def reply(asked: Asked) -> bytes:
        nonlocal lines
        if asked.line.startswith("GET /metrics"):
            text = f'zeile_lines_total{{engine="cpu"}} {lines}\nzeile_batch_lines_count {lines / 4}\n'
            text += f"zeile_batch_lines_sum {lines}\nzeile_infer_seconds_sum {lines / 100}\n"
            return answer(body=(text + f"zeile_infer_seconds_count {lines}\n").encode())
        lines += 1
        return answer()

    with faking(reply) as service:
        _, found = load(service.url, "--concurrency", "2", capsys=capsys)
        (level,) = found["levels"]
        assert level["server"]["lines"] == level["total"]["lines"]
        assert level["server"]["batch_lines"] == 4
        assert level["server"]["infer_ms"] == pytest.approx(10)


@pytest.mark.parametrize(
    "options",
    [("--windows", "0"), ("--window", "-1"), ("--files-per-request", "1001"), ("--keys", "no/such"), ("--rate", "x")],
)
def test_wrong_usage_is_status_2(options: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "http://127.0.0.1:1", *options]) == 2
    assert "zeile: " in capsys.readouterr().err
