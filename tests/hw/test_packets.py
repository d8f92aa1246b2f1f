# SPDX-License-Identifier: Apache-2.0
"""Packets: what is sent, to the bit; what comes back, or a typed error for whatever is damaged."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from zeile.errors import DeviceError, PacketError
from zeile.hw import packets
from zeile.hw.packets import BEST, SCORES, Answer, Fault, Kind, Words

WORD = st.integers(0, 2**64 - 1)
TAG = st.integers(0, 0xFFFF)


def words_of(values: list[int]) -> Words:
    return np.array(values, np.uint64)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    kind = draw(st.sampled_from([*Kind]))
    count = classes = detail = 0
    error, emits = None, draw(st.integers(0, 255))
    if kind == Kind.INFER:
        emits, count, classes = (
            draw(st.sampled_from([SCORES, BEST])),
            draw(st.integers(0, 9)),
            draw(st.integers(2, 192)),
        )
    elif kind in (Kind.READ, Kind.ECHO):
        count = draw(st.integers(0, 20))
    elif kind == Kind.STATUS:
        count = packets.STATUS_WORDS
    elif kind == Kind.ERROR:
        error, detail = draw(st.sampled_from([*Fault])), draw(st.integers(0, 2**32 - 1))
    room = packets.answer_words(kind, emits, count, classes) - 3
    payload = words_of(draw(st.lists(WORD, min_size=room, max_size=room)))
    cycles = draw(st.integers(0, 2**32 - 1))
    return Answer(kind, draw(TAG), int(emits), count, classes, payload, cycles, error, detail)


@given(bits=st.integers(1, 8), rows=st.integers(0, 5), codes=st.integers(0, 70), seed=st.integers(0, 2**32 - 1))
def test_codes_are_packed_from_bit_0_up_and_never_straddle_words(bits: int, rows: int, codes: int, seed: int) -> None:
    given_codes = np.random.default_rng(seed).integers(0, 2**bits, (rows, codes), np.uint8)
    words = packets.pack(given_codes, bits)
    each = 64 // bits
    assert words.shape == (rows, -(-codes // each))
    assert words.dtype == np.uint64
    for row in range(rows):
        for k in range(codes):
            word = int(words[row, k // each])
            assert word >> (k % each * bits) & ((1 << bits) - 1) == given_codes[row, k]
    np.testing.assert_array_equal(packets.unpack(words, bits, codes), given_codes)


def test_a_line_is_header_frames_and_checksum() -> None:
    frames = np.arange(32, dtype=np.uint8).reshape(2, 16) % 16
    packet = packets.infer(0x1234, frames, 4, BEST)
    assert [f"{word:016x}" for word in packet] == [
        "000012340101025a",
        "0000000000000002",
        "fedcba9876543210",
        "fedcba9876543210",
        f"{zlib.crc32(packet[:4].tobytes()):016x}",
    ]


def test_a_line_without_columns_is_header_and_checksum() -> None:
    assert len(packets.infer(1, np.zeros((0, 32), np.uint8), 4)) == 3


def test_the_other_packets_are_as_specified() -> None:
    load = packets.load(3, 6, 0x0800_0010, words_of([5, 6]))
    assert [int(word) for word in load[:4]] == [0x0003_0602_025A, 0x0800_0010_0000_0002, 5, 6]
    assert int(load[4]) == zlib.crc32(load[:4].tobytes())
    assert [int(word) for word in packets.commit(4, 146, 7)] == [0x0004_0003_025A, 2, 146, 7]
    assert [int(word) for word in packets.read(5, 1, 0x0100_0000, 9)] == [0x0005_0104_025A, 0x0100_0000_0000_0009]
    assert [int(word) for word in packets.echo(6, words_of([1]))] == [0x0006_0005_025A, 1, 1]
    assert [int(word) for word in packets.status(0xFFFF)] == [0xFFFF_0006_025A, 0]


@pytest.mark.parametrize("tag", [-1, 65536])
def test_a_tag_out_of_range_is_refused(tag: int) -> None:
    with pytest.raises(DeviceError, match=r"tag is .*, it must be from 0 to 65535"):
        packets.status(tag)


def test_a_pixel_code_that_is_too_wide_is_refused() -> None:
    with pytest.raises(DeviceError, match="a pixel code is 16, the overlay's pixels have 4 bits"):
        packets.infer(1, np.full((2, 32), 16, np.uint8), 4)


@given(answers())
def test_an_answer_comes_back_as_it_was_sent(sent: Answer) -> None:
    words = packets.answer(sent)
    assert len(words) == packets.answer_words(sent.kind, sent.emits, sent.count, sent.classes)
    found = packets.parse(words)
    np.testing.assert_array_equal(found.payload, sent.payload)
    for name in ("kind", "tag", "emits", "count", "classes", "cycles", "error", "detail"):
        assert getattr(found, name) == getattr(sent, name), name
    assert bool(found.sentence) == (found.error is not None)


@given(answers(), st.data())
def test_any_damaged_word_is_found(sent: Answer, data: st.DataObject) -> None:
    words = packets.answer(sent)
    place = data.draw(st.integers(0, len(words) - 1))
    limit = 2**32 if place == len(words) - 1 else 2**64  # the upper half of the trailer counts cycles, a figure
    words[place] ^= np.uint64(data.draw(st.integers(1, limit - 1)))
    with pytest.raises(PacketError):
        packets.parse(words)


@given(answers(), st.data())
def test_a_cut_off_answer_is_found(sent: Answer, data: st.DataObject) -> None:
    words = packets.answer(sent)
    with pytest.raises(PacketError):
        packets.parse(words[: data.draw(st.integers(0, len(words) - 1))])


@given(st.lists(WORD, max_size=12))
def test_noise_is_no_answer(values: list[int]) -> None:
    with pytest.raises(PacketError):
        packets.parse(words_of(values))


@given(st.lists(WORD, min_size=2, max_size=12))
def test_a_foreign_packet_with_a_right_checksum_is_refused(values: list[int]) -> None:
    assume(values[0] & 0xFFFF != 0x025A or values[0] >> 48)
    words = words_of(values)
    with pytest.raises(PacketError, match="not of ABI 2"):
        packets.parse(np.append(words, np.uint64(packets.crc(words))))


def line_answer(emits: int, count: int, classes: int, payload: npt.NDArray[np.uint8]) -> Answer:
    return packets.parse(
        packets.answer(Answer(Kind.INFER, 9, emits, count, classes, payload.reshape(-1).view(np.uint64), 1))
    )


@given(steps=st.integers(0, 7), classes=st.integers(2, 192), seed=st.integers(0, 2**32 - 1))
def test_scores_are_rows_of_whole_words(steps: int, classes: int, seed: int) -> None:
    wanted = np.random.default_rng(seed).integers(-128, 128, (steps, classes), np.int8)
    rows = np.zeros((steps, -(-classes // 8) * 8), np.uint8)
    rows[:, :classes] = wanted.view(np.uint8)
    found = packets.scores(line_answer(SCORES, steps, classes, rows))
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, wanted)


@given(steps=st.integers(0, 9), seed=st.integers(0, 2**32 - 1))
def test_best_labels_are_four_to_a_word(steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(0, 192, steps, np.uint8), rng.integers(-128, 128, steps, np.int8)
    pairs = np.zeros((-(-steps // 4) * 4, 2), np.uint8)
    pairs[:steps, 0], pairs[:steps, 1] = labels, scores.view(np.uint8)
    found = packets.best(line_answer(BEST, steps, 192, pairs))
    np.testing.assert_array_equal(found[0], labels)
    np.testing.assert_array_equal(found[1], scores)


def test_the_wrong_answer_or_an_error_is_no_line() -> None:
    refused = Answer(Kind.ERROR, 5, 0, 0, 0, words_of([]), 0, Fault.NO_MODEL, 0)
    with pytest.raises(PacketError, match="the core refused packet 5: no model is loaded"):
        packets.scores(refused)
    with pytest.raises(PacketError, match="packet 5 answers ECHO"):
        packets.best(Answer(Kind.ECHO, 5, 0, 0, 0, words_of([]), 0))
    with pytest.raises(PacketError, match="packet 5 answers ECHO"):
        packets.parse_status(Answer(Kind.ECHO, 5, 0, 0, 0, words_of([]), 0))


def test_the_status_is_read_field_by_field() -> None:
    payload = words_of([0xABCD, 1 | 192 << 16 | 8192 << 32, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0, 8192, 1])
    status = packets.parse_status(packets.parse(packets.answer(Answer(Kind.STATUS, 1, 0, 16, 0, payload, 2))))
    assert (status.design_id, status.abi, status.max_classes, status.max_columns) == (0xABCD, 1, 192, 8192)
    assert (status.cycles, status.model_id, status.model_valid, status.ring_steps) == (3, 4, True, 8192)
    assert (status.issued, status.starved, status.stalled) == ((5, 6), (7, 8), (9, 10))
    assert (status.lines, status.packets, status.errors, status.in_flight) == (11, 12, 13, 0)
