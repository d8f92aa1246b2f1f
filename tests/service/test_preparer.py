# SPDX-License-Identifier: Apache-2.0
"""Processes that decode images: the same integers as here, and an end of one of them costs nobody a line."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tests.models import line_png
from tests.service.raw import until
from tests.service.serving import files, running

from zeile.errors import BadImage, ImageTooLarge
from zeile.image import Limits
from zeile.service import crew
from zeile.service.app import create_app
from zeile.service.preparation import Preparation, preparation
from zeile.service.preparer import Preparer, Shape
from zeile.settings import Settings

SHAPE = Shape(32, 2, 4)


@pytest.fixture
def preparer() -> Iterator[Preparer]:
    made = Preparer()
    made.start()
    until(made.ready)
    yield made
    made.close()


def facts(found: Preparation) -> object:
    """All but the times."""
    timeless = replace(found, decode_s=0.0, prepare_s=0.0, prepared=None, error=None)
    prepared = found.prepared and (found.prepared.columns, found.prepared.left, found.prepared.right)
    frames = found.prepared and (
        found.prepared.frames.dtype,
        found.prepared.frames.shape,
        found.prepared.frames.tobytes(),
    )
    return timeless, prepared, frames, type(found.error), str(found.error)


def children() -> list[int]:
    """Processes of this one that decode."""
    found = [int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]
    return [pid for pid in found if b"zeile.service.preparer" in Path(f"/proc/{pid}/cmdline").read_bytes()]


class Deadly:
    """Whoever takes this out of a message dies."""

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return os.abort, ()


@pytest.mark.parametrize(
    ("image", "limits"),
    [
        (line_png(1), Limits()),
        (line_png(2, width=3000), Limits()),
        (line_png(1)[:200], Limits()),
        (b"no image", Limits()),
        (b"", Limits()),
        (line_png(1), Limits(pixels=10)),
    ],
    ids=["line", "long line", "cut off", "no image", "nothing", "too large"],
)
def test_a_process_gives_what_a_thread_gives(preparer: Preparer, image: bytes, limits: Limits) -> None:
    here = preparation(image, limits, SHAPE)
    assert facts(preparer.prepare(image, limits, SHAPE)) == facts(here)
    assert (here.prepared is None) == isinstance(here.error, BadImage)


def test_an_image_is_read_although_the_process_was_killed(preparer: Preparer) -> None:
    (pid,) = children()
    os.kill(pid, signal.SIGKILL)
    assert facts(preparer.prepare(line_png(1), Limits(), SHAPE)) == facts(preparation(line_png(1), Limits(), SHAPE))
    assert children() not in ([], [pid])


def test_an_image_that_ends_every_process_is_a_bad_one_and_the_next_is_read(preparer: Preparer) -> None:
    error = preparer.prepare(line_png(1), Deadly(), SHAPE).error  # type: ignore[arg-type]
    assert isinstance(error, BadImage)
    assert f"was ended by signal {signal.SIGABRT}" in str(error)
    assert isinstance(preparer.prepare(line_png(1), Limits(pixels=10), SHAPE).error, ImageTooLarge)
    assert preparer.prepare(line_png(1), Limits(), SHAPE).error is None


def test_a_process_survives_what_stops_the_service_and_ends_with_it(preparer: Preparer) -> None:
    (pid,) = children()
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    assert preparer.prepare(line_png(1), Limits(), SHAPE).error is None
    assert children() == [pid]
    preparer.close()
    assert children() == []


def test_a_service_under_pressure_reads_the_same_with_processes_that_are_killed(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "PRESSED", 1)
    images = {f"{i}_png": line_png(i, width=60 + 40 * (i % 7)) for i in range(40)} | {"bad_png": b"bad"}
    with running(create_app(Settings(models=models, model="tiny/1", threads=2))) as client:

        def post() -> object:
            answer = client.post("/v1/recognize", files=files(**images))
            return answer.status_code, answer.json()["lines"]

        alone = {
            name: client.post("/v1/recognize", files=files(**{name: image})).json().get("lines")
            for name, image in images.items()
        }
        first = post()
        until(lambda: bool(children()) or post() != first)
        with ThreadPoolExecutor(4) as pool:
            for _ in range(5):
                asked = [pool.submit(post) for _ in range(4)]
                for pid in children():
                    os.kill(pid, signal.SIGKILL)
                assert all(each.result() == first for each in asked)
        assert first[0] == 200  # type: ignore[index]
        lines = first[1]  # type: ignore[index]
        assert [line["text"] for line in lines[:-1]] == [alone[name][0]["text"] for name in images if name != "bad_png"]
        assert lines[-1]["error"]["type"].endswith("bad-image")
    assert children() == []
