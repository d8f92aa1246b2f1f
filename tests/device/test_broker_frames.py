# SPDX-License-Identifier: Apache-2.0
"""Neither side of a broker's socket believes the other: whatever comes is an answer, an error, or hung up on."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.device.brokers import running, socket_path
from tests.device.networks import random_line
from tests.models import tiny_network, write_tiny_model

from zeile.device.broker import Broker
from zeile.device.broker_frames import (
    HEADER,
    MAX_BYTES,
    MAX_LINES,
    HungUp,
    Kind,
    digest_of,
    lines_of,
    receive,
    run_parts,
    score_parts,
    scores_of,
    send,
)
from zeile.device.reference import Reference
from zeile.errors import DeviceError, DeviceFault
from zeile.settings import Settings

NETWORK = tiny_network()
LINES = [random_line(np.random.default_rng(1), NETWORK, frames) for frames in (0, 3, 8)]
WANTED = Reference(NETWORK).run_batch(LINES)
PATIENT = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def message(kind: int, payload: bytes, magic: bytes = b"ZLB1", length: int | None = None) -> bytes:
    return HEADER.pack(magic, kind, len(payload) if length is None else length) + payload


RUN = b"".join(bytes(part) for part in run_parts(digest_of(NETWORK), LINES))
SCORES = b"".join(bytes(part) for part in score_parts({"engine": "cpu"}, WANTED))
READY = message(Kind.READY, b'{"engine": "cpu"}')


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """The message with some bytes changed, removed or added."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        change = draw(st.sampled_from(("set", "cut", "add", "number")))
        if change == "set" and data:
            data[at] = draw(st.integers(0, 255))
        elif change == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        elif change == "add":
            data[at:at] = draw(st.binary(min_size=1, max_size=40))
        else:
            data[at : at + 4] = struct.pack("<I", draw(st.sampled_from((0, 1, 1 << 24, 1 << 31, 0xFFFFFFFF))))
    return bytes(data)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_model(models)
    with running(Settings(models=models, model="tiny/1", engine="cpu")) as path:
        yield path


def answered(path: Path, data: bytes) -> list[Kind]:
    """Kinds of all that the broker says to the data, once it has hung up."""
    said: list[Kind] = []
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        with suppress(OSError):  # it may hang up before it has everything
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        with suppress(HungUp):
            while True:
                said.append(receive(client, 60)[0])
    return said


@PATIENT
@given(
    data=st.one_of(
        st.binary(max_size=300),
        damaged(message(Kind.RUN, RUN)),
        damaged(message(Kind.OPEN, digest_of(NETWORK))),
        st.builds(message, st.sampled_from(list(Kind)), st.binary(max_size=100)),
        st.builds(lambda tail: message(Kind.RUN, digest_of(NETWORK) + tail), st.binary(max_size=200)),
    )
)
def test_whatever_a_client_sends_the_broker_works_on(path: Path, data: bytes) -> None:
    assert set(answered(path, data)) <= {Kind.WORKING, Kind.READY, Kind.SCORES, Kind.ERROR}
    with Broker(NETWORK, path) as device:
        for got, wanted in zip(device.run_batch(LINES), WANTED, strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_refusals_leave_the_connection_in_step(path: Path) -> None:
    wide = run_parts(digest_of(NETWORK), [np.full((2, 16), 255, np.uint8)])
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        send(client, Kind.RUN, *wide)
        kind, payload = receive(client, 60)
        assert kind == Kind.ERROR
        assert b"a pixel code is 255" in bytes(payload)
        send(client, Kind.RUN, *run_parts(digest_of(NETWORK), LINES))
        assert receive(client, 60)[0] == Kind.SCORES


@pytest.mark.parametrize(
    "data",
    [
        message(Kind.RUN, b"", length=MAX_BYTES + 1),
        message(Kind.RUN, b"", length=0xFFFFFFFF),
        message(99, b""),
        message(Kind.OPEN, b"", magic=b"HTTP"),
        message(Kind.SCORES, SCORES),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_what_breaks_the_format_is_hung_up_on_with_the_reason(path: Path, data: bytes) -> None:
    assert answered(path, data) == [Kind.ERROR]


@contextmanager
def saying(*answers: bytes) -> Iterator[Path]:
    """A broker that says these bytes to its clients' questions, one after another, then hangs up."""
    with socket_path() as path, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            left = list(answers)
            while left:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(DeviceError, OSError):
                    while left:
                        receive(connection, 60)
                        connection.sendall(left.pop(0))
            listener.close()  # whoever asks again is refused, and need not wait

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield path
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@PATIENT
@given(
    answer=st.one_of(
        st.binary(max_size=300),
        damaged(message(Kind.SCORES, SCORES)),
        st.builds(message, st.sampled_from(list(Kind)), st.binary(max_size=100)),
        st.builds(lambda tail: message(Kind.SCORES, tail), damaged(SCORES)),
    )
)
def test_whatever_a_broker_answers_it_is_right_or_an_error(answer: bytes) -> None:
    with saying(READY, answer) as path, Broker(NETWORK, path, silence_s=60) as device:
        with suppress(DeviceError):
            for got, wanted in zip(device.run_batch(LINES), WANTED, strict=True):
                assert got.shape == wanted.shape
                assert got.dtype == np.int8


def test_a_first_answer_that_is_none_is_an_error() -> None:
    for first in (b"", b"SSH-2.0-OpenSSH\r\n" * 9, message(Kind.READY, b"[1]"), message(Kind.READY, b"[" * 10_000)):
        with saying(first) as path, pytest.raises(DeviceFault):
            Broker(NETWORK, path, silence_s=60)


def test_scores_of_other_lines_are_refused() -> None:
    steps = [len(scores) for scores in WANTED]
    info, scores = scores_of(memoryview(SCORES), steps, NETWORK.classes)
    assert info == {"engine": "cpu"}
    assert [part.tolist() for part in scores] == [part.tolist() for part in WANTED]
    for wrong in ([*steps, 0], steps[:-1], steps[::-1], [0] * len(steps)):
        with pytest.raises(DeviceFault):
            scores_of(memoryview(SCORES), wrong, NETWORK.classes)
    with pytest.raises(DeviceFault):
        scores_of(memoryview(SCORES), steps, NETWORK.classes + 1)


def test_the_number_of_lines_is_bounded() -> None:
    with pytest.raises(DeviceFault, match=f"allowed are {MAX_LINES}"):
        lines_of(memoryview(struct.pack("<I", MAX_LINES + 1) + bytes(4 * MAX_LINES + 4)), 16)


def test_a_network_s_digest_is_of_all_that_a_device_computes_with() -> None:
    digests = {digest_of(tiny_network(seed)) for seed in range(5)}
    assert len(digests) == 5
    assert digest_of(tiny_network()) == digest_of(NETWORK)
