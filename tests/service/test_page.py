# SPDX-License-Identifier: Apache-2.0
"""The page in a real Chromium: what a person sees and does, and that nothing leaves the machine."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.models import line_png
from tests.service.test_measure import pairs, zipped

from zeile.service.app import PAGE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MARKUP = '<b>bold</b><img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, service: httpx.Client) -> Iterator[Any]:
    """The page, once it knows the models; fails on scripts' errors and on requests to elsewhere."""
    home = str(service.base_url)
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{home}/")
    page.locator("#model option").first.wait_for(state="attached")
    yield page
    context.close()
    assert faults == []
    assert [url for url in asked if not url.startswith((f"{home}/", "blob:", "data:"))] == []


def choose(page: Any, **named: bytes) -> None:
    chosen = [{"name": ".".join(n.rsplit("_", 1)), "mimeType": "", "buffer": d} for n, d in named.items()]
    page.set_input_files("#files", chosen)


def read(page: Any, count: int) -> list[Any]:
    """The cards, once so many lines are read or refused."""
    page.locator(".line[aria-busy=false]").nth(count - 1).wait_for(state="attached")
    cards = page.locator(".line").all()
    assert len(cards) == count
    return list(cards)


def texts_of(service: httpx.Client, *images: bytes, query: str = "") -> list[str]:
    form = [("files", (f"{i}.png", data)) for i, data in enumerate(images)]
    return [line["text"] for line in service.post(f"/v1/recognize{query}", files=form).json()["lines"]]


def text(card: Any) -> str:
    return str(card.locator(".text").text_content())


def test_chosen_files_and_a_bad_one_among_them(page: Any, service: httpx.Client) -> None:
    choose(page, a_png=line_png(1), b_png=b"no image", c_png=line_png(2))
    good, bad, last = read(page, 3)
    assert [text(good), text(last)] == texts_of(service, line_png(1), line_png(2))
    assert "no known image format" in text(bad)
    assert bad.evaluate("card => card.className") == "line failed"
    assert "2 of 3 lines read" in page.text_content("#summary")
    assert "1 not readable" in page.text_content("#summary")
    assert re.search(r"\d ms \(decode \d.*network \d", good.locator(".facts").text_content())


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_dropped_and_pasted_files(page: Any, service: httpx.Client, event: str) -> None:
    page.evaluate(
        """([event, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "scan.png", { type: "image/png" }));
            const init = { bubbles: true, dataTransfer: data, clipboardData: data };
            const Kind = event === "drop" ? DragEvent : ClipboardEvent;
            document.body.dispatchEvent(new Kind(event, init));
        }""",
        [event, list(line_png(3))],
    )
    (card,) = read(page, 1)
    assert card.locator("h2").text_content() == "scan.png"
    assert [text(card)] == texts_of(service, line_png(3))


def test_characters_show_their_columns_by_mouse_and_by_keyboard(page: Any, service: httpx.Client) -> None:
    choose(page, a_png=line_png(1))
    (card,) = read(page, 1)
    form = [("files", ("a.png", line_png(1)))]
    characters = service.post("/v1/recognize", files=form).json()["lines"][0]["characters"]

    def marked(index: int) -> None:
        box, image = card.locator(".mark").bounding_box(), card.locator("img").bounding_box()
        scale = image["width"] / 300
        assert box["x"] - image["x"] == pytest.approx(characters[index]["left"] * scale, abs=1)
        assert box["width"] == pytest.approx((characters[index]["right"] - characters[index]["left"]) * scale, abs=1)
        assert f"columns {characters[index]['left']} to" in card.locator(".detail").text_content()

    card.locator(".text span").nth(5).hover()
    marked(5)
    card.locator("h2").hover()
    page.mouse.move(0, 0)
    assert card.locator(".mark").is_hidden()
    card.locator(".copy").focus()
    page.keyboard.press("Tab")  # to the text: one stop a line
    page.keyboard.press("ArrowRight")
    marked(1)
    page.keyboard.press("End")
    marked(len(characters) - 1)
    page.keyboard.press("Tab")
    assert not card.evaluate("card => card.contains(document.activeElement)")


def test_confidence_has_a_colour_and_an_underline(page: Any) -> None:
    answer = {
        "lines": [
            {
                "file": "a.png",
                "text": "abcd",
                "confidence": 0.7,
                "characters": [
                    {"text": t, "left": i, "right": i + 1, "confidence": c}
                    for i, (t, c) in enumerate(zip("abcd", (0.99, 0.9, 0.6, 0.2), strict=True))
                ],
            }
        ],
        "time_ms": dict.fromkeys(("decode", "preprocess", "network", "ctc", "total"), 1),
    }
    page.route("**/v1/recognize*", lambda route: route.fulfill(json=answer))
    choose(page, a_png=line_png(1))
    (card,) = read(page, 1)
    looks = card.locator(".text span").evaluate_all(
        """spans => spans.map(span => {
            const style = getComputedStyle(span);
            return [style.color, style.textDecorationLine + " " + style.textDecorationStyle];
        })"""
    )
    assert len({colour for colour, _ in looks}) == 4
    assert [line for _, line in looks] == ["none solid", "underline dotted", "underline dashed", "underline wavy"]
    labels = card.locator(".text span").evaluate_all("spans => spans.map(span => span.ariaLabel)")
    assert labels[1] == "b, 90.0 % sure, columns 1 to 1"


def test_texts_names_and_errors_stay_inert(page: Any) -> None:
    answer = {
        "lines": [
            {
                "file": MARKUP,
                "text": MARKUP,
                "confidence": 1.0,
                "characters": [{"text": MARKUP, "left": 0, "right": 9, "confidence": 1.0}],
            }
        ],
        "time_ms": dict.fromkeys(("decode", "preprocess", "network", "ctc", "total"), 1),
    }
    replies: list[dict[str, Any]] = [{"json": answer}, {"status": 422, "json": {"detail": MARKUP}}]
    page.route("**/v1/recognize*", lambda route: route.fulfill(**replies.pop(0)))
    page.set_input_files("#files", [{"name": f"{MARKUP}.png", "mimeType": "", "buffer": line_png(1)}])
    assert text(read(page, 1)[0]) == MARKUP
    choose(page, b_png=line_png(2))
    assert text(read(page, 2)[1]) == MARKUP
    assert page.locator("#lines b, #lines img[src=x]").count() == 0
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
    assert page.locator("h2").all_text_contents()[:2] == ["l0.png", "l1.png"]


def test_a_measurement(page: Any) -> None:
    choose(page, set_zip=zipped(pairs()))
    page.locator("#measured table").first.wait_for()
    assert "set.zip, read by tiny/1" in page.text_content("#measured")
    assert page.locator("#measured dd").count() == 6
    choose(page, set_zip=b"PK damaged")
    page.locator("#measured", has_text="cannot be measured").wait_for()


def test_no_answer_is_said(page: Any) -> None:
    page.route("**/v1/recognize*", lambda route: route.abort())
    choose(page, a_png=line_png(1))
    assert "does not answer" in text(read(page, 1)[0])


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_wider_than_the_window(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    choose(page, **{f"{'long' * 30}_png": line_png(1, width=3000), "set_zip": zipped(pairs())})
    page.locator("#measured table").first.wait_for()
    read(page, 1)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def _luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast(theme: int) -> None:
    """WCAG 2 AA: 4.5 to 1 for text."""
    style = Path(PAGE / "page.css").read_text()
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", style.split(":root")[theme + 1].split("}")[0]))
    for text_colour in ("ink", "soft", "accent", "likely", "doubtful", "guess"):
        for ground in ("page", "card"):
            light, dark = sorted((_luminance(colours[text_colour]), _luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text_colour, ground)


def test_sources_name_nothing_elsewhere() -> None:
    for path in PAGE.iterdir():
        outside = set(re.findall(r"(?:https?:)?//[\w.]+\.\w+", path.read_text())) - {"http://www.w3.org"}
        assert outside == set(), json.dumps([path.name, sorted(outside)])
