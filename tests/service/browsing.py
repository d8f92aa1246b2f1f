# SPDX-License-Identifier: Apache-2.0
"""The page in a real Chromium, and what a person does there; fixtures for tests that import them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000

Open = Callable[[httpx.Client], Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, service: httpx.Client, **options: Any) -> Iterator[Any]:
    """The page; afterwards fails on scripts' errors, on what its policy forbade, and on requests to elsewhere."""
    home = str(service.base_url).rstrip("/")
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **options)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda m: faults.append(m.text) if "Content Security Policy" in m.text else None)
    page.goto(f"{home}/")
    try:
        yield page
    finally:
        context.close()
    assert faults == []
    assert [url for url in asked if not url.startswith((f"{home}/", "blob:", "data:"))] == []


@pytest.fixture
def page(browser: Any, service: httpx.Client) -> Iterator[Any]:
    """The page, once it knows the models."""
    with opened(browser, service) as page:
        page.locator("#model option").first.wait_for(state="attached")
        yield page


def choose(page: Any, **named: bytes) -> None:
    """Choose files; ``_`` in a name stands for its last dot."""
    chosen = [{"name": ".".join(n.rsplit("_", 1)), "mimeType": "", "buffer": d} for n, d in named.items()]
    page.set_input_files("#files", chosen)


def read(page: Any, count: int) -> list[Any]:
    """The cards, once so many lines are read or refused."""
    page.locator(".line[aria-busy=false]").nth(count - 1).wait_for(state="attached")
    cards = page.locator(".line").all()
    assert len(cards) == count
    return list(cards)


def text(card: Any) -> str:
    """What a card says, character by character."""
    return str(card.locator(".text").text_content())


def saved(page: Any, format_name: str) -> tuple[str, bytes]:
    """Export in a format; the file's name and content."""
    page.click("#export summary")
    with page.expect_download() as download:
        page.click(f"#export [data-format={format_name}]")
    return str(download.value.suggested_filename), Path(download.value.path()).read_bytes()


def line_answer(text: str, confidences: list[float] | None = None, width: int = 300, **more: Any) -> dict[str, Any]:
    """An answer of /v1/recognize: one character behind the other over the width of the image, as wide as in print."""
    sure = confidences or [0.99] * len(text)
    wide = [1.5 if t.isupper() else 0.6 if t in "filrtſ" else 1 for t in text]
    unit = width / max(1, sum(wide))
    middles = [unit * (sum(wide[:i]) + wide[i] / 2) for i in range(len(text))]
    characters = [
        {"text": t, "left": int(middle - unit / 4), "right": int(middle + unit / 4), "confidence": c}
        for t, middle, c in zip(text, middles, sure, strict=True)
    ]
    mean = sum(sure) / len(sure) if sure else None
    line = {"file": "a.png", "text": text, "confidence": mean, "characters": characters, **more}
    stages = ("queue", "decode", "preprocess", "network", "ctc", "total")
    return {"lines": [line], "time_ms": dict.fromkeys(stages, 1), "provenance": None}


def answered(page: Any, *replies: dict[str, Any]) -> None:
    """Answer requests for lines with these, one after another, the last one ever after."""
    left = list(replies)
    page.route("**/v1/recognize*", lambda route: route.fulfill(**(left.pop(0) if len(left) > 1 else left[0])))
