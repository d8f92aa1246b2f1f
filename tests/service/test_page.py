# SPDX-License-Identifier: Apache-2.0
"""The page in a real Chromium: lines, what a person sees of them and does with them."""

from __future__ import annotations

import hashlib
import io
import json
import re
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.models import line_pixels, line_png
from tests.service.browsing import answered, browser, choose, line_answer, page, read, text
from tests.service.test_measure import pairs, zipped

from zeile.service.page_files import PAGE

__all__ = ["browser", "page"]

MARKUP = '<b>bold</b><img src=x onerror="document.title=1">'


def texts_of(service: httpx.Client, *images: bytes, query: str = "") -> list[str]:
    form = [("files", (f"{i}.png", data)) for i, data in enumerate(images)]
    return [line["text"] for line in service.post(f"/v1/recognize{query}", files=form).json()["lines"]]


def test_chosen_files_and_a_bad_one_among_them(page: Any, service: httpx.Client) -> None:
    choose(page, a_png=line_png(1), b_png=b"no image", c_png=line_png(2))
    good, bad, last = read(page, 3)
    assert [text(good), text(last)] == texts_of(service, line_png(1), line_png(2))
    assert "no known image format" in text(bad)
    assert "failed" in bad.evaluate("card => card.className")
    assert "2 of 3 lines read" in page.text_content("#summary")
    assert "1 not readable" in page.text_content("#summary")
    assert re.search(r"\d % sure · \d+\.\d ms", good.locator(".facts").text_content())


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_dropped_and_pasted_files(page: Any, service: httpx.Client, event: str) -> None:
    files = [[f"{i}.png", list(line_png(i))] for i in range(3)] + [["bad.png", list(b"no image")]]
    page.evaluate(
        """([event, files]) => {
            const data = new DataTransfer();
            for (const [name, bytes] of files) {
                data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
            }
            const init = { bubbles: true, dataTransfer: data, clipboardData: data };
            const Kind = event === "drop" ? DragEvent : ClipboardEvent;
            document.body.dispatchEvent(new Kind(event, init));
        }""",
        [event, files],
    )
    page.locator(".line").nth(3).wait_for()
    *good, bad = read(page, 4)
    assert [card.locator("h3").text_content() for card in good] == ["0.png", "1.png", "2.png"]
    assert [text(card) for card in good] == texts_of(service, *(line_png(i) for i in range(3)))
    assert "no known image format" in text(bad)


def test_a_sample_can_be_tried_without_a_file_of_ones_own(page: Any) -> None:
    page.click("[data-sample=antiqua]")
    page.locator(".line").wait_for()
    (card,) = read(page, 1)
    assert card.locator("img").evaluate("image => image.naturalWidth") == 679


def test_characters_show_their_columns_by_mouse_and_by_keyboard(page: Any, service: httpx.Client) -> None:
    choose(page, a_png=line_png(1))
    (card,) = read(page, 1)
    form = [("files", ("a.png", line_png(1)))]
    characters = service.post("/v1/recognize", files=form).json()["lines"][0]["characters"]

    def marked(index: int) -> None:
        box, image = card.locator(".mark").bounding_box(), card.locator("img").bounding_box()
        scale = image["width"] / 300
        assert box["x"] - image["x"] == pytest.approx(characters[index]["left"] * scale, abs=1)
        width = max(2, (characters[index]["right"] - characters[index]["left"]) * scale)
        assert box["width"] == pytest.approx(width, abs=1)
        assert f"columns {characters[index]['left']} to" in card.locator(".detail").text_content()

    card.locator("[data-index]").nth(5).dispatch_event("mouseover")
    marked(5)
    image = card.locator("img").bounding_box()
    middle = (characters[9]["left"] + characters[9]["right"]) / 2
    page.mouse.move(image["x"] + middle * image["width"] / 300, image["y"] + 5)
    marked(max(i for i, c in enumerate(characters) if c["left"] <= middle))
    page.mouse.move(0, 0)
    assert card.locator(".mark").is_hidden()
    card.locator(".record").focus()
    page.keyboard.press("Tab")  # to the text: one stop a line
    page.keyboard.press("ArrowRight")
    marked(1)
    page.keyboard.press("End")
    marked(len(characters) - 1)
    page.keyboard.press("Tab")
    assert not card.evaluate("card => card.contains(document.activeElement)")


def test_words_stand_under_their_place_in_the_image(page: Any) -> None:
    answered(page, {"json": line_answer("Die Fürſtin Eboli iſt frei", width=700)})
    choose(page, a_png=line_png(1, width=700))
    (card,) = read(page, 1)
    image = card.locator("img").bounding_box()
    columns = line_answer("Die Fürſtin Eboli iſt frei", width=700)["lines"][0]["characters"]
    assert card.locator(".word").all_text_contents() == ["Die", "Fürſtin", "Eboli", "iſt", "frei"]
    for index in (0, 6, 14, 25):
        box = card.locator(f"[data-index='{index}']").bounding_box()
        seen = (columns[index]["left"] + columns[index]["right"]) / 2 * image["width"] / 700
        assert box["x"] + box["width"] / 2 - image["x"] == pytest.approx(seen, abs=24)
        assert box["y"] >= image["y"] + image["height"] - 1
    page.set_viewport_size({"width": 360, "height": 800})  # no room: the text flows, the image scrolls
    page.locator(".text.flows").wait_for()
    assert text(card) == "Die Fürſtin Eboli iſt frei"


def test_confidence_has_a_colour_and_an_underline(page: Any) -> None:
    answered(page, {"json": line_answer("abcd", [0.99, 0.9, 0.6, 0.2])})
    choose(page, a_png=line_png(1))
    (card,) = read(page, 1)
    looks = card.locator("[data-index]").evaluate_all(
        """spans => spans.map(span => {
            const style = getComputedStyle(span);
            return [style.color, style.textDecorationLine + " " + style.textDecorationStyle];
        })"""
    )
    assert len({colour for colour, _ in looks}) == 4
    assert [line for _, line in looks] == ["none solid", "underline dotted", "underline dashed", "underline wavy"]
    labels = card.locator("[data-index]").evaluate_all("spans => spans.map(span => span.ariaLabel)")
    assert labels[1] == "b, 90.0 % sure, columns 93 to 130"


def test_texts_names_and_errors_stay_inert(page: Any) -> None:
    variants = [{"text": MARKUP, "score": 0}, {"text": f"{MARKUP}x", "score": -9}]
    answer = line_answer(MARKUP, alternatives=variants)
    answer["lines"][0]["characters"] = [{"text": MARKUP, "left": 0, "right": 9, "confidence": 1.0}]
    answered(page, {"json": answer}, {"status": 422, "json": {"detail": MARKUP}})
    page.set_input_files("#files", [{"name": f"{MARKUP}.png", "mimeType": "", "buffer": line_png(1)}])
    assert text(read(page, 1)[0]) == MARKUP
    choose(page, b_png=line_png(2))
    page.locator(".line").nth(1).wait_for()
    assert text(read(page, 2)[1]) == MARKUP
    assert page.locator("#lines b:has(*), #lines img[src=x]").count() == 0
    assert page.title() == "Zeile"


def test_another_model_or_reading_reads_the_lines_again(page: Any, service: httpx.Client) -> None:
    choose(page, a_png=line_png(1), b_png=line_png(2))
    read(page, 2)
    for chooser, label, query in (
        ("#model", "tiny/2", "?model=tiny/2"),
        ("#reading", "diplomatic", "?model=tiny/2&reading=diplomatic"),
    ):
        page.select_option(chooser, label=label)
        assert [text(card) for card in read(page, 2)] == texts_of(service, line_png(1), line_png(2), query=query)


def test_a_line_is_corrected_in_its_place(page: Any) -> None:
    answered(page, {"json": line_answer("Zelle am See")})
    choose(page, a_png=line_png(1), b_png=line_png(2))
    first, second = read(page, 2)
    first.locator("[data-index]").first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Control+a")
    page.keyboard.type("Zeile am Seee")
    page.keyboard.press("Escape")
    assert text(first) == "Zelle am See"
    first.locator(".edit").click()
    first.locator(".editor").fill("Zeile am  Seee ")
    page.keyboard.press("ArrowDown")  # keeps it, and goes on to the next line
    assert second.locator(".editor").evaluate("field => field === document.activeElement")
    page.keyboard.press("Escape")
    assert text(first) == "Zeile am  Seee"
    assert first.locator(".edited").all_text_contents() == ["i", " ", "e"]
    assert "corrected, columns" in first.locator(".edited").first.get_attribute("aria-label")
    assert first.locator("[data-index='0']").get_attribute("aria-label") == "Z, 99.0 % sure, columns 12 to 23"
    assert "1 corrected" in page.text_content("#summary")


def test_variants_of_the_beam_are_offered_and_taken(page: Any) -> None:
    best = {"text": "Zelle am See", "score": -65536}
    other = {"text": "Zeile am See", "score": -2 * 65536}
    answered(page, {"json": line_answer("Zelle am See", alternatives=[best, other])})
    page.select_option("#beam", "8")
    choose(page, a_png=line_png(1))
    (card,) = read(page, 1)
    variant = card.locator(".alternatives button")
    assert variant.text_content() == "Zeile"  # only the word that differs
    assert card.locator(".score").text_content() == "0.368"  # exp(-1)
    variant.click()
    assert text(card) == "Zeile am See"
    assert variant.get_attribute("aria-pressed") == "true"
    variant.click()
    assert text(card) == "Zelle am See"


def test_the_beam_is_asked_for_its_alternatives(page: Any, service: httpx.Client) -> None:
    page.select_option("#beam", "8")
    with page.expect_request("**/v1/recognize*") as asked:
        choose(page, a_png=line_png(1))
    assert "beam=8&alternatives=5" in asked.value.url
    (card,) = read(page, 1)
    form = [("files", ("a.png", line_png(1)))]
    best = service.post("/v1/recognize?beam=8&alternatives=5", files=form).json()["lines"][0]["alternatives"]
    assert card.locator(".alternatives button").count() == len(best) - 1


def test_where_a_text_comes_from(page: Any) -> None:
    choose(page, a_png=line_png(1))
    (card,) = read(page, 1)
    card.locator(".record").click()
    shown = page.text_content("#record-facts")
    assert hashlib.sha256(line_png(1)).hexdigest() in shown
    assert "tiny/1, Apache-2.0" in shown
    with page.expect_download() as download:
        page.click("#record-save")
    record = json.loads(download.value.path().read_text())
    assert record["inputs"] == [hashlib.sha256(line_png(1)).hexdigest()]
    page.keyboard.press("Escape")
    page.locator("#record").wait_for(state="hidden")


def test_an_image_that_browsers_do_not_know_is_shown_all_the_same(page: Any) -> None:
    buffer = io.BytesIO()
    Image.fromarray(line_pixels(1, 40, 300)).save(buffer, "TIFF")
    choose(page, a_tif=buffer.getvalue())
    (card,) = read(page, 1)
    card.locator("img").wait_for()
    assert card.locator("img").evaluate("image => [image.naturalWidth, image.naturalHeight]") == [300, 40]
    assert card.locator(".missing").is_hidden()


def test_copy_and_clear(page: Any, service: httpx.Client) -> None:
    first, second = texts_of(service, line_png(1), line_png(2))
    choose(page, a_png=line_png(1), b_png=line_png(2))
    cards = read(page, 2)
    cards[1].locator(".copy").click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == second
    page.click("#copy-all")
    page.locator("#copy-all", has_text="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == f"{first}\n{second}\n"
    page.click("#clear")
    assert page.locator(".line").count() == 0
    assert page.locator("#results").is_hidden()


def test_least_sure_first(page: Any) -> None:
    choose(page, **{f"l{i}_png": line_png(i, width=200 + 60 * i) for i in range(5)}, bad_png=b"0")
    read(page, 6)
    page.check("#doubtful-first")
    facts = [card.locator(".facts").text_content() for card in page.locator(".line").all()]
    assert facts[0] == "not read"
    sure = [float(fact.split(" %")[0]) for fact in facts[1:]]
    assert sure == sorted(sure)
    page.uncheck("#doubtful-first")
    assert page.locator("h3").all_text_contents()[:2] == ["l0.png", "l1.png"]


def test_a_busy_service_is_asked_again(page: Any, service: httpx.Client) -> None:
    busy = {"status": 503, "headers": {"retry-after": "1"}, "json": {"detail": "the queue is full"}}
    answered(page, busy, {"json": line_answer("Zeile")})
    choose(page, a_png=line_png(1))
    page.locator("#notice", has_text="busy; asking again in 1 s").wait_for()
    assert text(read(page, 1)[0]) == "Zeile"
    assert page.locator("#notice").is_hidden()


def test_no_answer_is_said(page: Any) -> None:
    page.route("**/v1/recognize*", lambda route: route.abort())
    choose(page, a_png=line_png(1))
    assert "does not answer" in text(read(page, 1)[0])


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_wider_than_the_window(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.select_option("#beam", "8")
    choose(page, **{f"{'long' * 30}_png": line_png(1, width=3000), "set_zip": zipped(pairs())})
    page.locator("#measured table").first.wait_for()
    read(page, 1)
    for view in ("read", "measure", "service"):
        page.evaluate("view => (location.hash = view)", view)
        page.locator(f"#view-{view}").wait_for()
        if view == "service":
            page.locator("#charts canvas").first.wait_for()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width, view


def test_every_control_has_a_name(page: Any) -> None:
    choose(page, a_png=line_png(1))
    read(page, 1)
    for view in ("read", "measure", "service"):
        page.evaluate("view => (location.hash = view)", view)
        page.locator(f"#view-{view}").wait_for()
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("button, input, select, a, summary, [role=listbox], [role=img]")]
                .filter(each => each.checkVisibility())
                .filter(each => !(each.ariaLabel || each.textContent.trim() || each.labels?.length))
                .filter(each => !each.querySelector("img[alt]"))
                .map(each => each.outerHTML)"""
        )
        assert nameless == []


def _luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast(theme: int) -> None:
    """WCAG 2 AA: 4.5 to 1 for text."""
    style = (PAGE / "page.css").read_text()
    found = re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6})\w*, (#[0-9a-f]{6})\w*\);", style)
    colours = {name: both[theme] for name, *both in found}
    for text_colour in ("ink", "soft", "accent", "likely", "doubtful", "guess", "good"):
        for ground in ("page", "card"):
            light, dark = sorted((_luminance(colours[text_colour]), _luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text_colour, ground)


def test_browsers_ask_whether_the_page_has_changed(service: httpx.Client) -> None:
    for path in ("/", "/static/page.js", "/static/vendor/junicode.woff2"):
        first = service.get(path)
        assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
        again = service.get(path, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.headers["cache-control"]) == (304 if "static" in path else 200, "no-cache")


def test_sources_name_nothing_elsewhere() -> None:
    for path in [*PAGE.glob("*.js"), *PAGE.glob("*.css"), *PAGE.glob("*.html")]:
        outside = set(re.findall(r"(?:https?:)?//[\w.]+\.\w+", path.read_text())) - {"http://www.w3.org"}
        assert outside == set(), json.dumps([path.name, sorted(outside)])


def test_what_others_made_is_what_was_taken() -> None:
    folder = PAGE / "vendor"
    pinned = {line[66:]: line[:64] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    ours = {"SHA256SUMS", "README.md"}
    assert set(pinned) == {path.name for path in folder.iterdir()} - ours
    for name, sha256 in pinned.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256, name
