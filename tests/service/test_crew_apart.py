# SPDX-License-Identifier: Apache-2.0
"""Lines that are read by a process of their own: the same answers, and none is lost when that process ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models import line_pixels, line_png, write_tiny_model
from tests.service.serving import files, refused, running
from tests.service.working import PNG, Service, until, with_worker

from zeile.errors import BadImage, BadManifest, BadSettings
from zeile.image import Limits
from zeile.pipeline import Alternative, Character, Line
from zeile.service import crew_apart, crew_talk
from zeile.service.app import create_app
from zeile.service.batch import Answer
from zeile.service.crew_apart import CrewApart
from zeile.service.crew_messages import Unpacker, flat, packed, unflat
from zeile.service.engines import Options
from zeile.service.problems import Expired, Overloaded
from zeile.settings import Settings

POISONED = (sys.executable, str(Path(__file__).with_name("poisoned.py")))

with_apart = partial(with_worker, apart=True)


def crew_of(service: Service) -> CrewApart:
    crew = service.worker._crew
    assert isinstance(crew, CrewApart)
    return crew


def pid_of(service: Service) -> int:
    pid = crew_of(service).pid
    assert pid is not None
    return pid


def shown(answer: Answer) -> list[Any]:
    """What does not depend on time."""
    lines = [repr(line) if isinstance(line, BadImage) else line for line in answer.lines]
    return [lines, answer.sizes, answer.inputs, answer.frames, answer.model.sha256, answer.engine]


characters = st.builds(Character, st.text(max_size=3), st.integers(), st.integers(), st.integers(0, 10_000))
lines = st.builds(
    Line,
    st.text(),
    st.none() | st.integers(0, 10_000),
    st.lists(characters).map(tuple),
    st.lists(st.builds(Alternative, st.text(), st.integers())).map(tuple),
)


@given(lines)
def test_a_line_travels_whole(line: Line) -> None:
    back = unflat(pickle.loads(pickle.dumps(flat(line))))
    assert back == line
    assert isinstance(back, Line)
    assert all(type(character) is Character for character in back.characters)
    assert all(type(alternative) is Alternative for alternative in back.alternatives)


@given(st.lists(st.binary(max_size=300)), st.integers(1, 64))
def test_messages_are_found_in_a_stream_however_it_is_cut(messages: list[bytes], size: int) -> None:
    stream = b"".join(map(packed, messages))
    unpacker = Unpacker()
    found = [m for at in range(0, len(stream), size) for m in unpacker.feed(stream[at : at + size])]
    assert found == messages


def test_both_kinds_of_crew_give_the_same_answers_and_counts(models: Path) -> None:
    images = [line_png(seed, 20 + seed, 200 + 9 * seed) for seed in range(40)]
    images[7:9] = [b"no image", images[7][:100]]
    greys = [line_pixels(seed, 24, 300) for seed in range(3)]
    found: list[Any] = []

    async def test(service: Service) -> None:
        answers = [await service.read(images), await service.read([np.ascontiguousarray(grey) for grey in greys])]
        service.options = Options(service.options.folder, beam=4, alternatives=3)
        answers.append(await service.read(images[:5]))
        counts = [service.sample(name) for name in ("bad_images_total", "decode_seconds_count", "models_open")]
        tally = service.sample("lines_total", engine="cpu", model="tiny/1")
        assert service.sample("batches_total") == service.sample("batch_lines_count") > 0
        found.append(([shown(answer) for answer in answers], counts[0], counts[2], tally))
        assert answers[2].lines[0].alternatives  # type: ignore[union-attr]

    with_worker(models, test)
    with_apart(models, test)
    assert found[0] == found[1]


def test_a_process_that_is_killed_loses_no_line(models: Path) -> None:
    images = [line_png(seed) for seed in range(60)]

    async def test(service: Service) -> None:
        expected = shown(await service.read(images))
        for _ in range(3):
            before = pid_of(service)
            tasks = [service.begun(images, service.ticket(str(n))) for n in range(8)]
            await asyncio.sleep(0.02)
            os.kill(before, signal.SIGKILL)
            assert [shown(answer) for answer in await asyncio.gather(*tasks)] == [expected] * 8
            assert pid_of(service) != before
            assert service.worker.waiting == 0
        assert service.worker.alive

    with_apart(models, test)


def test_an_image_that_ends_the_process_has_an_answer_and_so_have_all_others(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_talk, "COMMAND", POISONED)

    async def test(service: Service) -> None:
        good = (await service.read(1)).lines[0]
        beside = [service.begun(4, service.ticket("other")) for _ in range(5)]
        answer = await service.read([PNG, b"poison", PNG, b"poison too"])
        assert [answer.lines[0], answer.lines[2]] == [good, good]
        for place in (1, 3):
            assert "ended each time that it came to this image" in str(answer.lines[place])
        for other in await asyncio.gather(*beside):
            assert list(other.lines) == [good] * 4
        assert (await service.read(1)).lines[0] == good
        assert service.worker.alive

    with_apart(models, test)


@pytest.mark.parametrize("command", ["raise SystemExit(1)", "import os, time; os.closerange(0, 64); time.sleep(600)"])
def test_a_process_that_never_starts_is_given_up_and_no_image_is_blamed(
    models: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(crew_apart, "PAUSE_S", 0.001)

    async def test(service: Service) -> None:
        monkeypatch.setattr(crew_talk, "COMMAND", (sys.executable, "-c", command))
        os.kill(pid_of(service), signal.SIGKILL)
        with pytest.raises(Exception, match="the engine's process is gone"):
            await service.read(3)
        assert not service.worker.alive
        with pytest.raises(Overloaded, match="nothing can be read any more"):
            await service.read(1)
        with pytest.raises(Exception, match="restart the service"):
            await service.worker.decode(PNG)

    with_apart(models, test)


def test_signals_that_end_the_service_do_not_end_the_process_before_it(models: Path) -> None:
    async def test(service: Service) -> None:
        pid = pid_of(service)
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(pid, number)
        await service.read(20)
        assert pid_of(service) == pid

    with_apart(models, test)


def test_the_process_ends_with_the_worker(models: Path) -> None:
    pids = []

    async def test(service: Service) -> None:
        pids.append(pid_of(service))

    with_apart(models, test)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def stopped(test: Callable[[Service, int], Any]) -> Callable[[Service], Any]:
    """A test that begins while the process is held."""

    async def run(service: Service) -> None:
        pid = pid_of(service)
        os.kill(pid, signal.SIGSTOP)
        try:
            await test(service, pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    return run


def test_a_process_that_hangs_is_seen_and_goes_on_where_it_was(models: Path) -> None:
    async def test(service: Service, pid: int) -> None:
        assert service.worker.busy_s == 0
        task = service.begun(3)
        await until(lambda: service.worker.busy_s > 0.1)
        assert service.worker.waiting == 3
        os.kill(pid, signal.SIGCONT)
        await task
        assert (service.worker.busy_s, service.worker.waiting) == (0, 0)

    with_apart(models, stopped(test))


def test_a_process_that_hangs_too_long_is_replaced(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_apart, "HANGS_S", 2.0)

    async def test(service: Service, pid: int) -> None:
        answer = await service.read(5)
        assert len(answer.lines) == 5
        assert pid_of(service) != pid

    with_apart(models, stopped(test))


def test_lines_that_nobody_waits_for_are_dropped_there_too(models: Path) -> None:
    async def test(service: Service, pid: int) -> None:
        late = service.begun(50, service.ticket("late", deadline=time.monotonic() + 0.1))
        given_up = service.begun(70, service.ticket("gone"))
        kept = service.begun(2, service.ticket("kept"))
        await until(lambda: service.worker.waiting == 122)
        crew = crew_of(service)
        assert (crew.queue.held_by("gone"), crew.queue.clients) == (70, 3)
        given_up.cancel()
        with pytest.raises(Expired, match="0 of 50 lines were read"):
            await late
        os.kill(pid, signal.SIGCONT)
        assert len((await kept).lines) == 2
        await until(lambda: service.worker.waiting == 0)
        dropped = [service.sample("dropped_lines_total", reason=reason) for reason in ("canceled", "expired")]
        assert dropped == [70, 50]

    with_apart(models, stopped(test))


def test_a_full_queue_refuses(models: Path) -> None:
    async def test(service: Service, pid: int) -> None:
        tasks = [service.begun(4, service.ticket(str(n))) for n in range(4)]
        await until(lambda: service.worker.waiting == 16)
        with pytest.raises(Overloaded, match="16 lines"):
            await service.read(1)
        os.kill(pid, signal.SIGCONT)
        await asyncio.gather(*tasks)
        await service.read(1)

    with_apart(models, stopped(test), queue_lines=16)


def test_what_cannot_be_read_is_said_as_in_one_process(models: Path, tmp_path: Path) -> None:
    write_tiny_model(tmp_path, version="1")
    (tmp_path / "tiny" / "1" / "weights.npz").write_bytes(b"damaged")

    async def test(service: Service) -> None:
        service.options = Options(models / "tiny" / "1", reading="none such")
        with pytest.raises(BadSettings, match="none such"):
            await service.read(2)
        service.options = Options(tmp_path / "tiny" / "1")
        with pytest.raises(BadManifest, match="weights"):
            await service.read(2)
        with pytest.raises(BadImage, match="at most 59 x"):
            await service.worker.decode(line_png(2, 50, 60), Limits(width=59))
        assert np.array_equal(await service.worker.decode(line_png(2, 50, 60)), line_pixels(2, 50, 60))
        service.options = Options(models / "tiny" / "2")
        assert (await service.read(1)).model.version == "2"

    with_apart(models, test)


def test_the_whole_service_runs_on_it(models: Path) -> None:
    app = create_app(Settings(models=models, model="tiny/1"), apart=True)
    with running(app) as client:
        found = client.post("/v1/recognize", files=files(a_png=PNG)).json()
        assert found["lines"][0]["text"]
        assert client.get("/readyz").json()["self_test"]["engine"] == "cpu"
        listed = {f"{m['name']}/{m['version']}": m["state"] for m in client.get("/v1/models").json()["models"]}
        assert listed == {"tiny/1": "open", "tiny/2": "ready"}
        assert client.put("/v1/aliases/default", json={"target": "tiny/2"}).status_code == 200
        assert client.post("/v1/recognize", files=files(a_png=PNG)).json()["model"]["version"] == "2"
        assert client.post("/v1/models/tiny/1/unload").status_code in (200, 404, 405)
        refused(client.post("/v1/device/close-circuit"), 409, "conflict")
        assert "zeile_batches_total 2.0" in client.get("/metrics").text
        os.kill(app.state.worker._crew.pid, signal.SIGKILL)
        assert client.post("/v1/recognize", files=files(a_png=PNG)).status_code == 200
        assert client.get("/livez").status_code == 200


def test_boards_are_read_from_the_service_itself(models: Path) -> None:
    service = Service(Settings(models=models, model="tiny/1", engine="broker", broker=Path("/nowhere")), apart=True)
    assert service.worker.engines is not None
