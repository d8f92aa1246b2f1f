# SPDX-License-Identifier: Apache-2.0
"""The page in a real Chromium: pages, sets, exports, the running service, keys."""

from __future__ import annotations

import io
import json
import shutil
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from tests.formats.alto_schema import NAMESPACE as ALTO
from tests.formats.alto_schema import valid_alto
from tests.formats.page_schema import valid_page
from tests.models import line_pixels, line_png
from tests.service.browsing import answered, browser, choose, line_answer, opened, page, read, saved, text
from tests.service.serving import serving
from tests.service.test_measure import pairs, zipped

from zeile.samples import open_lines
from zeile.service.keys import made, write_keys
from zeile.settings import Settings

__all__ = ["browser", "page"]

BOXES = [[20, 20, 320, 60], [20, 100, 320, 140], [20, 180, 320, 220]]
REGIONS = json.dumps({"lines": [{"id": f"l{i}", "box": box} for i, box in enumerate(BOXES)]}).encode()
PAGE = "{http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15}"
XHTML = "{http://www.w3.org/1999/xhtml}"


def sheet_png() -> bytes:
    """A page with three lines at BOXES."""
    pixels = np.full((400, 360), 255, np.uint8)
    for seed, (left, top, right, bottom) in enumerate(BOXES):
        pixels[top:bottom, left:right] = line_pixels(seed, bottom - top, right - left)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def no_earlier_jobs(page: Any) -> None:
    """Let the page not know of what other tests have measured."""
    page.route("**/v1/jobs", lambda route: route.fulfill(json={"jobs": []}))


def test_a_page_with_its_regions_stands_beside_its_lines(page: Any, service: httpx.Client) -> None:
    choose(page, p_png=sheet_png(), p_json=REGIONS)
    page.locator(".line").nth(2).wait_for()
    cards = read(page, 3)
    form = {"image": ("p.png", sheet_png()), "regions": ("p.json", REGIONS)}
    wanted = service.post("/v1/pages", files=form).json()["lines"]
    assert [text(card) for card in cards] == [line["text"] for line in wanted]
    assert [card.locator("h3").text_content() for card in cards] == ["l0", "l1", "l2"]
    assert cards[1].locator("canvas").evaluate("c => [c.width, c.height]") == [300, 40]
    assert page.locator(".leaf polygon").nth(1).get_attribute("points") == "20,100 320,100 320,140 20,140"
    cards[1].locator(".head").hover()
    assert page.locator(".leaf polygon.here").count() == 1
    page.locator(".leaf polygon").nth(2).click()
    assert cards[2].evaluate("card => card.contains(document.activeElement)")


def test_a_page_without_regions_is_said_to_be_segmented(page: Any) -> None:
    page.select_option("#layout", "page")
    choose(page, p_png=sheet_png())
    page.locator(".sheet[aria-busy=false]").wait_for()
    assert "lines found by Zeile, for clean pages of one column" in page.text_content(".sheet .facts")


def test_a_layout_without_its_image_is_said(page: Any) -> None:
    choose(page, p_json=REGIONS)
    page.locator("#notice", has_text="p.json describes a page whose image is not among the files").wait_for()


def test_a_zip_file_without_ground_truth_is_read(page: Any, service: httpx.Client) -> None:
    choose(page, set_zip=zipped({"a/1.png": line_png(1), "a/2.png": line_png(2), "a/notes.md": "no image"}))
    page.locator(".line").nth(1).wait_for()
    assert [card.locator("h3").text_content() for card in read(page, 2)] == ["1.png", "2.png"]


def test_a_measurement_with_its_worst_lines_and_their_images(page: Any) -> None:
    no_earlier_jobs(page)
    choose(page, set_zip=zipped(pairs()))
    page.locator("#measured table").first.wait_for()
    assert page.locator("nav a[aria-current=page]").text_content() == "Measure"
    assert "read by tiny/1" in page.text_content("#measured .head")
    assert page.locator("#measured dd").count() == 6
    page.locator("#measured .worst img").first.wait_for()
    errors = [int(each.split()[0]) for each in page.locator("#measured .worst strong").all_text_contents()]
    assert errors == sorted(errors, reverse=True)
    choose(page, set_zip=b"PK damaged")
    page.locator("#measured .fault", has_text="cannot be measured").wait_for()


def test_measurements_and_models_stay_inert(page: Any) -> None:
    no_earlier_jobs(page)
    markup = "<img src=x onerror='document.title=1'>"
    worst = [{"id": markup, "errors": 1, "truth": f"{markup}a", "text": f"{markup}b"}]
    interval = {"low": 0.1, "high": 0.2, "over": "documents", "warning": markup}
    evaluation: dict[str, Any] = {"lines": 1, "characters": 9, "cer": 0.1, "wer": 0.1, "exact_lines": 0.0}
    evaluation |= {"cer_interval": interval, "worst_lines": worst, "confusions": [[markup, markup, 1]]}
    name = {"name": markup, "version": markup}
    result = {"evaluation": evaluation, "lines_per_second": 9, "model": name}
    job = {"id": "1", "state": "done", "result": result}
    model = name | {"default": False, "aliases": [markup], "description": markup, "license": markup, "sha256": markup}
    page.route("**/v1/jobs/measure*", lambda route: route.fulfill(status=202, json=job))
    page.route("**/v1/models", lambda route: route.fulfill(json={"models": [model]}))
    page.set_input_files("#files", [{"name": f"{markup}.zip", "mimeType": "", "buffer": zipped(pairs())}])
    page.locator("#measured .worst").wait_for()
    page.click("nav a[href='#service']")
    page.locator("#models li").wait_for()
    assert page.locator("img[src=x]").count() == 0
    assert page.title() == "Zeile"


def test_a_measurement_is_there_again_after_the_page_was_closed(browser: Any, models: Path) -> None:
    with serving(Settings(models=models, model="tiny/1")) as own:
        own.post("/v1/jobs/measure", files={"files": ("set.zip", zipped(pairs()))})
        with opened(browser, own) as page:
            page.click("nav a[href='#measure']")
            page.locator("#measured h2", has_text="Measurement of").wait_for()
            page.locator("#measured table").first.wait_for()
            page.click("nav a[href='#read']")
            page.click("nav a[href='#measure']")
            assert page.locator("#measured article").count() == 1


def test_a_measurement_with_its_throughput(page: Any) -> None:
    no_earlier_jobs(page)
    page.click("nav a[href='#measure']")
    page.check("#sweep")
    job = {"id": "1", "state": "reading", "lines": {"done": 1, "total": 40}, "sweep": {"done": 0, "total": 4}}
    latency = {"p50": 1.5, "p95": 2.5, "p99": 3.5}
    rates = [{"concurrency": c, "lines_per_second": 100.0 * c, "latency_ms": latency} for c in (1, 4, 16, 64)]
    interval = {"low": 0.1, "high": 0.2, "over": "documents", "warning": None}
    evaluation: dict[str, Any] = {"lines": 40, "characters": 400, "cer": 0.125, "wer": 0.125, "exact_lines": 0.125}
    evaluation |= {"cer_interval": interval, "worst_lines": [], "confusions": []}
    result = {
        "evaluation": evaluation,
        "lines_per_second": 9,
        "model": {"name": "tiny", "version": "1"},
        "sweep": rates,
    }
    page.route("**/v1/jobs/measure*", lambda route: route.fulfill(status=202, json=job))
    page.route("**/v1/jobs/1", lambda route: route.fulfill(json=job | {"state": "done", "result": result}))
    with page.expect_request("**/v1/jobs/measure*") as asked:
        page.set_input_files("#sets", [{"name": "s.zip", "mimeType": "", "buffer": zipped(pairs())}])
    assert "sweep=1%2C4%2C16%2C64" in asked.value.url
    page.locator("#measured .chart canvas").wait_for()
    assert page.get_attribute("#measured .plot", "aria-label") == "At most 6400 lines a second, with 64 on their way"
    assert "10.00 – 20.00 %" in page.text_content("#measured")


def test_a_measurement_shows_how_far_it_is_and_can_be_cancelled(page: Any) -> None:
    no_earlier_jobs(page)
    job = {"id": "1", "state": "reading", "lines": {"done": 12, "total": 40}, "sweep": {"done": 0, "total": 0}}
    cancelled: list[str] = []

    def answer(route: Any) -> None:
        if route.request.method == "DELETE":
            cancelled.append(route.request.url)
        route.fulfill(json=job | ({"state": "canceled"} if cancelled else {}))

    page.route("**/v1/jobs/measure*", lambda route: route.fulfill(status=202, json=job))
    page.route("**/v1/jobs/1", answer)
    choose(page, set_zip=zipped(pairs()))
    page.locator(".count", has_text="12 of 40 lines").wait_for()
    assert page.locator("progress").evaluate("bar => [bar.value, bar.max]") == [12, 40]
    page.click("#measured button")
    page.locator("#measured .fault", has_text="was cancelled").wait_for()
    assert len(cancelled) == 1


def test_exports_of_one_line(page: Any, service: httpx.Client) -> None:
    choose(page, a_png=line_png(1))
    (card,) = read(page, 1)
    said = text(card)
    assert saved(page, "text") == ("lines.txt", f"{said}\n".encode())
    name, table = saved(page, "tsv")
    assert (name, table.decode().splitlines()[0]) == ("lines.tsv", "file\tconfidence\ttext\terror")
    assert table.decode().splitlines()[1].split("\t")[2] == said
    form = [("files", ("a.png", line_png(1)))]
    name, written = saved(page, "json")
    (entry,) = json.loads(written)
    assert name == "lines.json"
    assert entry["lines"][0] == service.post("/v1/recognize", files=form).json()["lines"][0]
    for kind, ending in (("hocr", ".hocr"), ("alto", ".alto.xml"), ("page", ".page.xml")):
        name, written = saved(page, kind)
        assert name == f"a{ending}"
        root = ET.fromstring(written)
        served = ET.fromstring(service.post(f"/v1/recognize?format={kind}", files=form).content)
        assert [each.tag for each in root.iter()] == [each.tag for each in served.iter()]


def test_corrections_go_into_every_format(page: Any, tmp_path: Path) -> None:
    choose(page, a_png=line_png(1), b_png=line_png(2))
    first, second = read(page, 2)
    first.locator(".edit").click()
    first.locator(".editor").fill("Zeile <&> zwei")
    page.keyboard.press("Enter")
    kept = text(second)

    def unpacked(kind: str) -> dict[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(saved(page, kind)[1])) as file:
            assert file.testzip() is None
            return {name: file.read(name) for name in file.namelist()}

    assert saved(page, "text")[1].decode().splitlines() == ["Zeile <&> zwei", kept]
    one, other = json.loads(saved(page, "json")[1])
    assert one["lines"][0]["corrected"] == "Zeile <&> zwei"
    assert one["lines"][0]["text"] != "Zeile <&> zwei"  # what was read is kept
    assert "corrected" not in other["lines"][0]

    written = unpacked("alto")
    valid_alto(written["a.alto.xml"])
    alto = {name: ET.fromstring(data) for name, data in written.items()}
    (line,) = alto["a.alto.xml"].iter(f"{ALTO}TextLine")
    assert [word.get("CONTENT") for word in line.iter(f"{ALTO}String")] == ["Zeile", "<&>", "zwei"]
    assert line.get("CS") == "true"
    assert "corrected by hand: 1 line" in [e.text for e in alto["a.alto.xml"].iter(f"{ALTO}processingStepDescription")]
    assert "CS" not in next(alto["b.alto.xml"].iter(f"{ALTO}TextLine")).attrib

    document = unpacked("page")["a.page.xml"]
    valid_page(document)
    markup = ET.fromstring(document)
    assert {each.text for each in markup.iter(f"{PAGE}Unicode")} == {"Zeile <&> zwei"}
    hocr = ET.fromstring(unpacked("hocr")["a.hocr"])
    words = [each for each in hocr.iter(f"{XHTML}span") if each.get("class") == "ocrx_word"]
    assert [each.text for each in words] == ["Zeile", "<&>", "zwei"]

    (tmp_path / "truth.zip").write_bytes(saved(page, "truth")[1])
    samples = {sample.id: sample for sample in open_lines(tmp_path / "truth.zip")}
    assert {name: sample.text for name, sample in samples.items()} == {"a": "Zeile <&> zwei", "b": kept.strip()}
    assert samples["a"].data == line_png(1)


def test_a_corrected_page_is_exported_with_its_regions(page: Any) -> None:
    choose(page, p_png=sheet_png(), p_json=REGIONS)
    page.locator(".line").nth(2).wait_for()
    cards = read(page, 3)
    cards[1].locator(".edit").click()
    cards[1].locator(".editor").fill("mitten darin")
    page.keyboard.press("Enter")
    name, written = saved(page, "page")
    root = ET.fromstring(written)
    lines = [line.findall(f"{PAGE}TextEquiv/{PAGE}Unicode")[-1].text for line in root.iter(f"{PAGE}TextLine")]
    assert name == "p.page.xml"
    assert lines[1] == "mitten darin"
    (region,) = root.iter(f"{PAGE}TextRegion")
    assert (region.findall(f"{PAGE}TextEquiv/{PAGE}Unicode")[0].text or "").split("\n")[1] == "mitten darin"
    with zipfile.ZipFile(io.BytesIO(saved(page, "truth")[1])) as file:
        assert file.read("p_002.gt.txt").decode() == "mitten darin\n"
        cut = np.asarray(Image.open(io.BytesIO(file.read("p_002.png"))).convert("L"))
    np.testing.assert_array_equal(cut, line_pixels(1, 40, 300))


def test_curves_move_and_a_broken_stream_comes_back(page: Any, service: httpx.Client) -> None:
    page.click("nav a[href='#service']")
    lines = page.locator(".tiles dd").first
    lines.wait_for()
    before = int(lines.text_content().replace(",", ""))
    rate = page.locator("#charts .plot").first
    drawn = rate.locator("canvas").evaluate("canvas => canvas.toDataURL()")
    service.post("/v1/recognize", files=[("files", (f"{i}.png", line_png(i))) for i in range(20)])
    page.wait_for_function(
        "least => Number(document.querySelector('.tiles dd').textContent.replaceAll(',', '')) >= least", arg=before + 20
    )
    assert "read" in rate.get_attribute("aria-label")
    page.wait_for_function("before => document.querySelector('#charts .plot canvas').toDataURL() !== before", arg=drawn)
    page.route("**/v1/live", lambda route: route.abort())
    page.click("nav a[href='#read']")
    page.click("nav a[href='#service']")
    page.locator("#state", has_text="does not answer").wait_for()
    page.unroute("**/v1/live")
    page.locator("#state", has_text="ready").wait_for()


def test_a_board_that_is_left_alone_is_said_and_can_be_tried_again(page: Any) -> None:
    circuit = {"state": "held", "because": "3 lines differed", "for_s": 1, "next_try_s": None, "faults": {}}
    snapshot = {"id": 1, "time": 1e9, "ready": True, "because": None, "self_test": None, "circuit": circuit}
    totals = ("lines", "answers", "rejected", "faults", "fallback_lines", "checked_lines", "mismatches")
    snapshot["totals"] = dict.fromkeys(totals, 7)
    event = f"id: 1\nevent: snapshot\ndata: {json.dumps(snapshot)}\n\n"
    page.route("**/v1/live", lambda route: route.fulfill(body=event, content_type="text/event-stream"))
    page.route("**/v1/device/close-circuit", lambda route: route.fulfill(json=circuit))
    page.click("nav a[href='#service']")
    page.locator("#state", has_text="ready on the CPU; the board is left alone: 3 lines differed").wait_for()
    assert "held back" in page.text_content("#tiles")
    with page.expect_request("**/v1/device/close-circuit"):
        page.click("#board")


def test_models_are_loaded_unloaded_and_named(browser: Any, models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path / "models")
    with serving(Settings(models=tmp_path / "models", model="tiny/1")) as own, opened(browser, own) as page:
        page.click("nav a[href='#service']")
        page.get_by_role("button", name="Unload tiny/2").click()
        page.locator("#models .facts", has_text="unloaded").wait_for()
        assert page.locator("#model option").all_text_contents() == ["tiny/1"]
        page.get_by_role("button", name="Load tiny/2").click()
        page.get_by_role("button", name="Make tiny/2 the default").click()
        page.get_by_role("button", name="Make tiny/1 the default").wait_for()
        assert own.get("/v1/models").json()["aliases"]["default"] == "tiny/2"
        page.get_by_role("button", name="Give tiny/1 another name").click()
        page.keyboard.type("old")
        page.keyboard.press("Enter")
        page.locator(".tag", has_text="old").wait_for()
        page.get_by_role("button", name="Take the alias old away").click()
        page.locator(".tag", has_text="old").wait_for(state="detached")
        assert list(own.get("/v1/models").json()["aliases"]) == ["default"]


def test_a_key_is_asked_for_once_and_kept_in_the_tab(browser: Any, models: Path, tmp_path: Path) -> None:
    secret, key = made("archive", ["read"])
    write_keys(tmp_path / "keys.json", [key])
    with (
        serving(Settings(models=models, model="tiny/1", keys=tmp_path / "keys.json")) as locked,
        opened(browser, locked) as page,
    ):
        page.locator("#key[open]").wait_for()
        page.fill("#key-text", "zeile_wrong")
        page.keyboard.press("Enter")
        page.locator("#key-why", has_text="unknown or was revoked").wait_for()
        page.fill("#key-text", secret)
        page.keyboard.press("Enter")
        page.locator("#model option").first.wait_for(state="attached")
        choose(page, a_png=line_png(1))
        assert text(read(page, 1)[0])
        page.click("nav a[href='#service']")  # the key may read, and no more
        page.locator("#tiles .fault", has_text="needs").wait_for()
        page.reload()
        page.locator("#model option").first.wait_for(state="attached")
        assert page.locator("#key[open]").count() == 0
        assert secret not in page.content()
        assert secret not in page.url


def test_light_and_dark_by_a_button_that_is_remembered(page: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.click("#theme")
    dark = page.evaluate(ground)
    assert light != dark
    page.reload()
    assert page.evaluate(ground) == dark


def test_a_fault_of_the_service_is_said_in_the_header(page: Any) -> None:
    because = {"detail": "the self-test gave other integers"}
    page.route("**/readyz", lambda route: route.fulfill(status=503, json=because))
    page.reload()
    page.locator("#state", has_text="not ready: the self-test gave other integers").wait_for()
    assert "bad" in page.get_attribute("#state .light", "class")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_are_read_by_keyboard_alone(browser: Any, service: httpx.Client, scheme: str) -> None:
    with opened(browser, service, color_scheme=scheme) as page:
        page.locator("#model option").first.wait_for(state="attached")
        answered(page, {"json": line_answer("Zeile")})
        with page.expect_file_chooser() as chooser:
            page.locator("#files").focus()
            page.keyboard.press("Enter")
        chooser.value.set_files([{"name": "a.png", "mimeType": "", "buffer": line_png(1)}])
        page.locator(".line").wait_for()
        (card,) = read(page, 1)
        for _ in range(20):
            page.keyboard.press("Tab")
            if card.evaluate("card => document.activeElement.dataset.index === '0'"):
                break
        page.keyboard.press("ArrowRight")
        assert card.locator(".detail").text_content() == "e, 99.0 % sure, columns 111 to 142"
