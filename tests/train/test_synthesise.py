# SPDX-License-Identifier: Apache-2.0
"""Synthetic lines: what is drawn is what the text says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fontTools", reason="fonts are read with fonttools (the extra train)")
matplotlib = pytest.importorskip("matplotlib", reason="its fonts are drawn with (the extra train)")

from zeile.train import fonts, synthesise  # noqa: E402
from zeile.train.fonts import Font  # noqa: E402
from zeile.train.synthesise import Synthesiser  # noqa: E402

CHARACTERS = " !'()*,-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyzéà½«»—’ᵉᵐ"
SERIF = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSerif.ttf"
PROSE = ["Le cheval-vapeur de la machine, dit-il, ne vaut pas celui du pré ; il mange davantage et ne hennit pas."]
SIZE, SEEN = 48, 40


@pytest.fixture
def drawer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Synthesiser:
    monkeypatch.setattr(synthesise, "paragraphs", lambda language, cache: PROSE)
    monkeypatch.setattr(fonts, "_listed", lambda: [])
    return Synthesiser({"fr": 1.0}, CHARACTERS, 3, tmp_path, fonts=[SERIF])


def serif(drawer: Synthesiser) -> Font:
    return next(font for families in drawer.families.values() for family in families.values() for font in family)


def ink(drawer: Synthesiser, text: str) -> tuple[slice, slice]:
    """Rows and columns that a text is drawn in."""
    drawn = drawer._draw(text, serif(drawer), SIZE) > SEEN
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def test_texts_keep_to_the_alphabet_and_lines_have_ink(drawer: Synthesiser) -> None:
    lines = [drawer.line() for _ in range(60)]
    assert {c for _, text in lines for c in text} <= set(CHARACTERS)
    assert all(grey.dtype == np.uint8 and np.ptp(grey) > SEEN for grey, _ in lines)
    texts = [drawer.texts.line() for _ in range(4000)]
    assert any(text.startswith("*") for text in texts)
    assert set(CHARACTERS) - {c for text in texts for c in text} == set()


def test_superscripts_are_set_smaller_and_higher_in_any_font(drawer: Synthesiser) -> None:
    for _ in range(20):
        plain_rows, plain = ink(drawer, "me")
        rows, raised = ink(drawer, "ᵐᵉ")
        assert rows.stop < plain_rows.stop - SIZE // 8
        assert rows.stop - rows.start < plain_rows.stop - plain_rows.start
        assert raised.stop - raised.start < 0.9 * (plain.stop - plain.start)


def test_what_cuts_into_the_last_mark_leaves_enough_of_it(drawer: Synthesiser) -> None:
    ink = np.zeros((108, 300), np.float32)
    ink[60:72, 50:180] = 1
    ink[60:72, 200:220] = 1  # the last mark
    ends = {drawer._box(ink, SIZE)[1].stop for _ in range(600)}  # type: ignore[index]
    assert 209 <= min(ends) < 220
    assert max(ends) > 221
