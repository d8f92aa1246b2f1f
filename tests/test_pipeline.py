# SPDX-License-Identifier: Apache-2.0
"""A line's text, places and confidence depend on its picture alone: not on its batch, nor on the engine."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.models import line_pixels, tiny_network, write_tiny_model

from zeile.ctc import Span, native
from zeile.device import Device, open_device
from zeile.errors import BadSettings, DeviceError, ImageTooLarge
from zeile.manifest import Model, load_model
from zeile.pipeline import (
    BeamOptions,
    Character,
    Line,
    Prepared,
    Recognizer,
    characters_reference,
    compose,
    prepare,
)

Grey = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(write_tiny_model(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def device(model: Model) -> Device:
    return open_device("reference", model.network)


@pytest.fixture(scope="module")
def recognizer(model: Model, device: Device) -> Recognizer:
    return Recognizer(model, device)


def test_a_line_is_read(recognizer: Recognizer) -> None:
    line = recognizer.read(line_pixels())
    assert line.text.startswith("tgtgttathghfs")
    assert line.text == "".join(character.text for character in line.characters)
    assert line.confidence == sum(c.confidence for c in line.characters) // len(line.characters)
    assert all(0 <= c.confidence <= 10_000 for c in line.characters)


def test_characters_lie_in_order_within_the_image(recognizer: Recognizer) -> None:
    grey = line_pixels()
    characters = recognizer.read(grey).characters
    for character in characters:
        assert 0 <= character.left_px < character.right_px <= grey.shape[1]
    for before, after in pairwise(characters):
        assert before.left_px <= after.left_px
        assert before.right_px - 1 <= after.left_px  # rounding may share one column


def test_places_follow_the_picture(recognizer: Recognizer) -> None:
    grey = line_pixels()  # its strokes stand from column 12 to 288
    shifted = np.concatenate([np.full((grey.shape[0], 500), 235, np.uint8), grey], axis=1)
    for left, picture in ((0, grey), (500, shifted)):
        characters = recognizer.read(picture).characters
        assert left <= characters[0].left_px <= left + 30
        assert left + 270 <= characters[-1].right_px <= left + 300


def test_polarity_does_not_matter(recognizer: Recognizer) -> None:
    assert recognizer.read(255 - line_pixels()).text == recognizer.read(line_pixels()).text


@pytest.mark.parametrize("shape", [(1, 1), (40, 300), (1, 500), (500, 1)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_image_gives_an_empty_line(recognizer: Recognizer, shape: tuple[int, int], level: int) -> None:
    assert recognizer.read(np.full(shape, level, np.uint8)) == Line("", None, ())


def test_an_empty_batch_is_no_lines(recognizer: Recognizer) -> None:
    assert recognizer.read_batch([]) == []


def pictures() -> st.SearchStrategy[Grey]:
    sizes = st.tuples(st.integers(0, 99), st.integers(12, 60), st.integers(24, 200))
    blank = st.just(np.full((30, 50), 200, np.uint8))
    return sizes.map(lambda s: line_pixels(*s)) | blank


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(pictures(), min_size=1, max_size=5))
def test_a_batch_equals_its_lines(recognizer: Recognizer, greys: list[Grey]) -> None:
    alone = [recognizer.read(grey) for grey in greys]
    assert recognizer.read_batch(greys) == alone
    order = np.random.default_rng(len(greys)).permutation(len(greys))
    assert recognizer.read_batch([greys[i] for i in order]) == [alone[i] for i in order]


def test_engines_agree(model: Model, recognizer: Recognizer) -> None:
    pytest.importorskip("zeile.native", reason="the native engine is not built")
    greys = [line_pixels(seed, 20 + seed, 60 + 17 * seed) for seed in range(12)]
    with open_device("cpu", model.network, threads=2) as device:
        assert Recognizer(model, device).read_batch(greys) == recognizer.read_batch(greys)


def test_readings(model: Model, device: Device) -> None:
    texts = {
        name: [Recognizer(model, device, reading=name).read(line_pixels(seed)).text for seed in range(12)]
        for name in (None, "plain", "diplomatic")
    }
    assert texts[None] == texts["plain"]
    assert not any("ſ" in text for text in texts["plain"])
    with pytest.raises(BadSettings, match="reading 'modern' is unknown to this model; it has plain, diplomatic"):
        Recognizer(model, device, reading="modern")


def test_beam_search_reads_too(model: Model, device: Device) -> None:
    greys = [line_pixels(seed) for seed in range(3)]
    search = Recognizer(model, device, beam=BeamOptions(width=4))
    lines = search.read_batch(greys)
    assert lines == [search.read(grey) for grey in greys]
    assert all(line.text and line.confidence is not None for line in lines)


def test_endless_strips_are_refused(recognizer: Recognizer) -> None:
    strip = np.full((8, 65_000), 255, np.uint8)
    strip[3:5, ::7] = 0
    with pytest.raises(ImageTooLarge, match=r"columns long at the model's height of 16, at most 65536 are"):
        recognizer.read(strip)


def test_prepare_is_what_the_network_takes() -> None:
    network = tiny_network()
    line = prepare(line_pixels(), network)
    assert line.frames.shape == (line.columns, network.input_codes.size)
    assert line.frames.dtype == np.uint8
    assert line.frames.max() <= 15
    assert 0 <= line.left < line.right <= 300


def test_compose_puts_steps_into_pixels(model: Model) -> None:
    # 9 columns, two a step, show pixels 100 to 190: the last step is only half there.
    line = Prepared(np.zeros((9, 16), np.uint8), 9, 100, 190)
    read = compose([Span(1, 0, 1, 5000), Span(2, 3, 5, 7001)], line, 2, model.alphabet)
    assert [(c.left_px, c.right_px) for c in read.characters] == [(100, 120), (160, 190)]
    assert read.confidence == 6000
    assert read.text == "".join(model.alphabet.characters[1:3])


SPAN = st.tuples(st.integers(0, 9), st.integers(0, 99), st.integers(1, 99), st.integers(0, 10_000))


@pytest.mark.skipif(native is None, reason="the native module is not built")
@given(st.lists(SPAN), st.integers(0, 999), st.integers(1, 999), st.integers(1, 200), st.integers(1, 4))
def test_native_characters_are_those_of_the_reference(
    spans: list[tuple[int, int, int, int]], left: int, width: int, columns: int, per_step: int
) -> None:
    given_spans = [Span(*span) for span in spans]
    rest = (tuple("abcdefghiß"), left, width, columns, per_step, Character)
    made = native.characters(given_spans, *rest)
    assert made == characters_reference(given_spans, *rest)
    assert all(type(character) is Character for character in made)


def test_unknown_engines_are_named(model: Model) -> None:
    with pytest.raises(DeviceError, match="engine 'gpu' is unknown; there are cpu, reference"):
        open_device("gpu", model.network)
    with pytest.raises(DeviceError, match="threads is 0, at least 1 is needed"):
        open_device("reference", model.network, threads=0)


def test_devices_say_what_they_are(model: Model) -> None:
    with open_device("reference", model.network) as device:
        assert device.info == {"engine": "reference", "path": "numpy", "threads": 1}
