# SPDX-License-Identifier: Apache-2.0
"""Lines as JSON."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from zeile.errors import BadImage
from zeile.pipeline import Alternative, Character, Line
from zeile.service import answers

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
confidences = st.integers(0, 10_000)
characters = st.builds(Character, texts, st.integers(0, 70_000), st.integers(0, 70_000), confidences)
alternatives = st.lists(st.builds(Alternative, texts, st.integers(-(10**9), 0)), max_size=2)
lines = st.builds(
    Line, texts, st.none() | confidences, st.lists(characters).map(tuple), alternatives.map(tuple)
) | st.builds(BadImage, texts)


@given(texts, lines)
def test_a_line_is_written_as_the_standard_library_writes_it(name: str, line: Line | BadImage) -> None:
    head = {"index": 7, "file": name}
    plain = json.dumps({**head, **answers.reading(line)}, ensure_ascii=False, separators=(",", ":"))
    assert answers.encoded_line(head, line) == plain.encode()


def test_every_confidence_has_at_most_four_decimals() -> None:
    for value in range(10_001):
        written = json.dumps(answers.confidence(value))
        assert len(written.partition(".")[2]) <= 4
        assert round(10_000 * float(written)) == value
