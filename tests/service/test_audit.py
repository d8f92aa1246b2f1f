# SPDX-License-Identifier: Apache-2.0
"""The audit log: what was acknowledged is in it, whatever happens, and nobody changes it unseen."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import zeile
from zeile.cli import main
from zeile.ctc import CERTAIN
from zeile.errors import BadImage
from zeile.pipeline import Character, Line
from zeile.service import audit
from zeile.service.audit import Audit, Receipt
from zeile.service.audit_log import BadLog, Mark, all_records, full_files, head_path, records, verify, write_record
from zeile.service.audit_writer import Writer
from zeile.service.metrics import Metrics
from zeile.service.problems import Unlogged
from zeile.settings import Settings

PATIENCE_S = 60.0
ROOMY = 1 << 20
LINES: list[Line | BadImage] = [Line("Zeile", CERTAIN, (Character("Zeile", 0, 9, CERTAIN),)), BadImage("no image")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def written(path: Path, count: int, full_bytes: int = ROOMY) -> list[Mark]:
    """Have a writer append so many records; returns their places."""
    writer = Writer(path, full_bytes)
    try:
        return [writer.append([{"kind": "test", "text": f"Nº {n}"}])[0] for n in range(count)]
    finally:
        writer.close()


def kept(path: Path) -> dict[str, bytes]:
    """All files of a log."""
    return {p.name: p.read_bytes() for p in path.parent.iterdir()}


async def opened(path: Path, **settings: object) -> tuple[Audit, Metrics]:
    metrics = Metrics()
    log = Audit(Settings(audit=path, **settings), metrics)  # type: ignore[arg-type]
    await log.start()
    return log, metrics


def test_each_record_names_the_one_before_it(path: Path) -> None:
    marks = written(path, 5)
    found = list(records(path))
    assert [mark for _, mark, _ in found] == marks
    assert [entry["n"] for entry, _, _ in found] == [1, 2, 3, 4, 5]
    assert [entry["previous"] for entry, _, _ in found] == ["0" * 64, *(mark.sha256 for mark in marks[:-1])]
    assert verify(path) == marks[-1]


def test_the_chain_goes_on_when_the_log_is_opened_again(path: Path) -> None:
    written(path, 3)
    assert [mark.number for mark in written(path, 2)] == [4, 5]
    assert verify(path).number == 5


def test_every_byte_counts(path: Path) -> None:
    written(path, 3)
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(BadLog):
            verify(path)


Lines = list[bytes]
FORGERIES: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "changed": (lambda r: [r[0], r[1].replace(b"test", b"best"), *r[2:]], "record 2): was changed"),
    "dropped": (lambda r: [r[0], *r[2:]], "record 2 should stand here, and record 3 does"),
    "swapped": (lambda r: [r[0], r[2], r[1], *r[3:]], "record 2 should stand here, and record 3 does"),
    "repeated": (lambda r: [r[0], r[0], *r[1:]], "record 2 should stand here, and record 1 does"),
    "hashed anew": (lambda r: [r[0], write_record(Mark(1, "0" * 64), {"kind": "forged"})[0], *r[2:]], "follows"),
    "cut off at the end": (lambda r: r[:-2], "records 4 to 5 are missing at the end"),
    "cut off in a record": (lambda r: [*r[:-1], r[-1][:-9]], "record 5): is cut off"),
    "emptied": (lambda r: [], "records 1 to 5 are missing"),
    "cut off at the beginning": (lambda r: r[1:], "begins with record 2, not 1"),
    "no record": (lambda r: [r[0], b"{}\n", *r[1:]], "record 2): is no record"),
    "other text": (lambda r: [r[0], b"\xff\x00\n", *r[1:]], "record 2): is no record"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_the_first_wrong_record_is_named(path: Path, forgery: str, capsys: pytest.CaptureFixture[str]) -> None:
    written(path, 5)
    change, complaint = FORGERIES[forgery]
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    assert main(["audit", "verify", str(path)]) == 1
    assert complaint in capsys.readouterr().err


def test_a_log_written_anew_from_a_record_on_betrays_itself_by_the_head(path: Path) -> None:
    marks = written(path, 5)
    lines, mark = path.read_bytes().splitlines(keepends=True)[:3], marks[2]
    for n in (3, 4):
        line, mark = write_record(mark, {"kind": "test", "text": f"forged {n}"})
        lines.append(line)
    path.write_bytes(b"".join(lines))
    with pytest.raises(BadLog, match=rf"record 5 is {mark.sha256}, but .* says {marks[4].sha256}"):
        verify(path)
    head_path(path).write_text(f"{5:015d} {mark.sha256}\n")  # who also writes the head anew is found by a receipt
    assert verify(path) == mark
    assert verify(path, head=marks[2].sha256) == mark
    with pytest.raises(BadLog, match=f"no record is {marks[3].sha256}"):
        verify(path, head=marks[3].sha256)


@pytest.mark.parametrize("head", [None, b"", b"garbage", b"000000000000005 " + b"f" * 64 + b"\n"])
def test_without_a_sound_head_a_log_is_neither_whole_nor_gone_on_with(path: Path, head: bytes | None) -> None:
    written(path, 5)
    head_path(path).unlink()
    if head is not None:
        head_path(path).write_bytes(head)
    with pytest.raises(BadLog, match="head"):
        verify(path)
    before = path.read_bytes()
    with pytest.raises(BadLog, match="head"):
        Writer(path, ROOMY)
    assert path.read_bytes() == before


def test_what_a_crash_left_half_written_is_taken_away_and_noted(path: Path) -> None:
    marks = written(path, 3)
    sound = kept(path)
    group = b"".join(write_record(Mark(3 + i, marks[2].sha256), {"kind": "test"})[0] for i in range(2))
    for torn in [*(group[:length] for length in range(1, len(group), 7)), b"\0" * 512, group[:50] + b"\0" * 99 + b"\n"]:
        for name, content in sound.items():
            (path.parent / name).write_bytes(content)
        with path.open("ab") as stream:
            stream.write(torn)
        writer = Writer(path, ROOMY)
        # A whole record that was not acknowledged may stay; what stays is a sound chain.
        assert writer.last.number in (3, 4)
        assert (writer.repaired is None) == (writer.last.number == 4 and torn.endswith(b"\n"))
        writer.append([{"kind": "test"}])
        writer.close()
        assert verify(path).number == writer.last.number


def test_a_log_that_lost_acknowledged_records_is_not_gone_on_with(path: Path) -> None:
    written(path, 3)
    content = path.read_bytes()
    for cut in (content[:-1], content[: content.rindex(b'{"n":3')], content[:50], b""):
        path.write_bytes(cut)
        with pytest.raises(BadLog, match="record"):
            Writer(path, ROOMY)
        assert path.read_bytes() == cut, "evidence was changed"


def test_a_second_service_does_not_write_the_same_log(path: Path) -> None:
    writer = Writer(path, ROOMY)
    with pytest.raises(BadLog, match="another service"):
        Writer(path, ROOMY)
    writer.close()
    Writer(path, ROOMY).close()


def test_full_files_are_put_aside_and_the_chain_goes_on(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marks = written(path, 80, full_bytes=1024)
    full = full_files(path)
    assert len(full) > 10
    assert [p.name for p in full] == [f"audit.jsonl.{n}" for n in range(1, len(full) + 1)]
    assert verify(path) == marks[-1]
    assert [mark for _, mark in all_records(path)] == marks
    assert main(["audit", "verify", str(path)]) == 0
    assert f"records 1 to 80 in {len(full) + 1} files" in capsys.readouterr().out
    first = next(records(full[1]))[1].number
    full[0].unlink()
    with pytest.raises(BadLog, match=f"begins with record {first}, not 1"):
        verify(path)
    assert verify(path, first=first) == marks[-1]
    gone = next(records(full[5]))[1].number
    full[5].unlink()
    with pytest.raises(BadLog, match=f"record {gone} should stand here"):
        verify(path, first=first)


def test_a_crash_between_two_files_loses_nothing(path: Path) -> None:
    marks = written(path, 9, full_bytes=1024)
    path.rename(path.with_name(f"audit.jsonl.{len(full_files(path)) + 1}"))
    assert verify(path) == marks[-1]
    assert [mark.number for mark in written(path, 1)] == [10]
    assert verify(path).number == len(marks) + 1


def test_an_answer_is_on_the_disk_before_it_is_acknowledged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let, synced = threading.Event(), os.fdatasync

    def slow(file: int) -> None:
        assert let.wait(PATIENCE_S)
        synced(file)

    async def scenario() -> None:
        log, metrics = await opened(path)
        monkeypatch.setattr(os, "fdatasync", slow)
        first = asyncio.create_task(log.record("recognize", {"request_id": "0"}, LINES))
        while path.read_bytes().count(b"\n") < 2:
            await asyncio.sleep(0)
        others = [asyncio.create_task(log.record("recognize", {"request_id": str(n)}, LINES)) for n in range(1, 50)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in [first, *others])
        monkeypatch.setattr(os, "fdatasync", lambda file: groups.append(file) or synced(file))  # type: ignore[func-returns-value]
        groups: list[int] = []
        let.set()
        receipts = await asyncio.gather(first, *others)
        assert len(groups) == 1, "requests that wait must share a write"
        assert [receipt.number for receipt in receipts if receipt] == list(range(2, 52))
        assert metrics.registry.get_sample_value("zeile_audit_records_total") == 51
        await log.close()
        assert verify(path, head=receipts[17].sha256 if receipts[17] else None).number == 51

    asyncio.run(scenario())


def full_disk(monkeypatch: pytest.MonkeyPatch, code: int, when: Callable[[], bool]) -> None:
    """Let every write fail while ``when`` says so, once some of it was written."""
    write = os.write

    def failing(file: int, data: bytes) -> int:
        if not when():
            return write(file, data)
        if len(data) > 100:
            return write(file, bytes(data[:100]))
        return _fail(code)

    monkeypatch.setattr(os, "write", failing)


def _fail(code: int) -> int:
    raise OSError(code, os.strerror(code))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_nothing_is_acknowledged_while_the_disk_is_full(path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    full = False
    full_disk(monkeypatch, code, lambda: full)
    monkeypatch.setattr(audit, "PAUSE_S", 0.0)

    async def scenario() -> None:
        nonlocal full
        log, metrics = await opened(path)
        assert await log.record("recognize", {"request_id": "a"}, LINES) is not None
        full = True
        for _ in range(3):
            with pytest.raises(Unlogged, match=os.strerror(code)) as caught:
                await log.record("recognize", {"request_id": "lost"}, LINES)
            assert int(caught.value.headers["retry-after"]) >= 1
            assert log.fault == os.strerror(code)
        full = False
        assert await log.record("recognize", {"request_id": "b"}, LINES) is not None
        assert log.fault is None
        await log.close()
        assert metrics.registry.get_sample_value("zeile_audit_failures_total") == 3

    asyncio.run(scenario())
    verify(path)
    assert [e["provenance"]["request_id"] for e, _ in all_records(path) if "provenance" in e] == ["a", "b"]


def test_a_log_heals_without_being_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAUSE_S", 0.01)
    folder = path.parent / "later"

    async def scenario() -> None:
        log, _ = await opened(folder / path.name)
        assert log.fault is not None
        folder.mkdir()
        while log.fault is not None:
            await asyncio.sleep(0.01)
        assert await log.record("recognize", {"request_id": "a"}, LINES) is not None
        await log.close()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))
    assert verify(folder / path.name).number == 2


def test_after_a_failed_sync_nothing_counts_as_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAUSE_S", 0.0)

    async def scenario() -> None:
        log, _ = await opened(path)
        with monkeypatch.context() as broken:
            broken.setattr(os, "fdatasync", lambda file: _fail(errno.EIO))
            with pytest.raises(Unlogged):
                await log.record("recognize", {"request_id": "lost"}, LINES)
        await log.record("recognize", {"request_id": "kept"}, LINES)
        await log.close()

    asyncio.run(scenario())
    verify(path)
    assert b"lost" not in path.read_bytes()


def test_requests_are_turned_away_at_once_while_nothing_can_be_logged(path: Path) -> None:
    async def scenario() -> None:
        log, _ = await opened(path.parent / "missing" / "audit.jsonl")
        assert log.fault == os.strerror(errno.ENOENT)
        with pytest.raises(Unlogged, match="No such file"):
            log.check()
        with pytest.raises(Unlogged):
            await log.record("recognize", {}, LINES)
        await log.close()

    asyncio.run(scenario())


def test_a_request_that_was_given_up_disturbs_nobody(path: Path) -> None:
    async def scenario() -> None:
        log, _ = await opened(path)
        given_up = asyncio.create_task(log.record("recognize", {"request_id": "a"}, LINES))
        waiting = asyncio.create_task(log.record("recognize", {"request_id": "b"}, LINES))
        await asyncio.sleep(0)
        given_up.cancel()
        assert isinstance(await waiting, Receipt)
        await log.close()

    asyncio.run(scenario())
    assert verify(path).number == 3


def test_what_waits_is_written_when_the_service_stops(path: Path) -> None:
    async def scenario() -> Sequence[Receipt | None]:
        log, _ = await opened(path)
        tasks = [asyncio.create_task(log.record("recognize", {"request_id": str(n)}, LINES)) for n in range(20)]
        await asyncio.sleep(0)
        await log.close()
        with pytest.raises(Unlogged, match="stopping"):
            await log.record("recognize", {}, LINES)
        return await asyncio.gather(*tasks)

    receipts = asyncio.run(scenario())
    assert verify(path, head=receipts[-1].sha256 if receipts[-1] else None).number == 21


@pytest.mark.parametrize("texts", [False, True])
def test_texts_are_logged_only_if_that_is_asked_for(path: Path, texts: bool) -> None:
    async def scenario() -> None:
        log, _ = await opened(path, audit_text=texts)
        await log.record("recognize", {"request_id": "a"}, LINES)
        await log.event("model", {"alias": "default", "target": "tiny/2"})
        await log.close()

    asyncio.run(scenario())
    first, record, event = (entry for entry, _ in all_records(path))
    assert (first["kind"], record["kind"], record["lines"], record["bad"]) == ("opened", "recognize", 2, 1)
    assert first["facts"]["software"]["version"] == zeile.__version__
    assert event["facts"] == {"alias": "default", "target": "tiny/2"}
    assert record.get("texts") == (["Zeile", None] if texts else None)
    assert texts or "Zeile" not in path.read_text("utf-8")


def test_without_a_file_nothing_is_logged(tmp_path: Path) -> None:
    async def scenario() -> None:
        log = Audit(Settings(), Metrics())
        await log.start()
        log.check()
        assert await log.record("recognize", {}, LINES) is None
        assert await log.event("model", {}) is None
        await log.close()

    asyncio.run(scenario())


def test_a_log_can_be_verified_while_it_is_written(path: Path) -> None:
    async def scenario() -> None:
        log, _ = await opened(path, audit_bytes=20_000)
        checks = [asyncio.to_thread(verify, path) for _ in range(8)]
        writing = [log.record("recognize", {"request_id": str(n), "pad": "x" * 5000}, LINES) for n in range(300)]
        await asyncio.gather(*checks, *writing)
        await log.close()

    asyncio.run(scenario())
    assert verify(path).number == 301


CHILD = """
import asyncio, sys
from pathlib import Path
from zeile.service.audit import Audit
from zeile.service.metrics import Metrics
from zeile.settings import Settings

async def run():
    log = Audit(Settings(audit=Path(sys.argv[1]), audit_bytes=65536), Metrics())
    await log.start()
    async def client(name):
        while True:
            receipt = await log.record("recognize", {"request_id": name}, [])
            sys.stdout.write(f"{receipt.number} {receipt.sha256}\\n")
            sys.stdout.flush()
    await asyncio.gather(*(client(str(n)) for n in range(8)))

asyncio.run(run())
"""


def test_a_killed_service_loses_nothing_that_it_acknowledged(path: Path) -> None:
    receipts: list[str] = []
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(Path(zeile.__file__).parents[1])},
        ) as child:
            assert child.stdout is not None
            acknowledged = [child.stdout.readline() for _ in range(200)]
            child.send_signal(signal.SIGKILL)
            acknowledged += child.stdout.readlines()
        receipts += [line.decode().strip() for line in acknowledged if line.endswith(b"\n")]
    Writer(path, ROOMY).close()  # repairs what the last kill left
    verify(path)
    assert full_files(path)
    logged = {f"{mark.number} {mark.sha256}" for _, mark in all_records(path)}
    assert len(receipts) >= 400
    assert [receipt for receipt in receipts if receipt not in logged] == []


def test_records_can_be_shown(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        log, _ = await opened(path)
        for name in ("a", "b", "a"):
            await log.record("recognize", {"request_id": name}, LINES)
        await log.close()

    asyncio.run(scenario())
    assert main(["audit", "show", str(path), "--request", "a"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["n"] for entry in shown] == [2, 4]
    assert main(["audit", "show", str(path), "--record", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["provenance"]["request_id"] == "b"
    assert main(["audit", "head", str(path)]) == 0
    head = capsys.readouterr().out.split()
    assert main(["audit", "verify", str(path), "--head", head[1]]) == 0
    for wrong in (
        ["show", str(path)],
        ["show", str(path), "--record", "9"],
        ["verify"],
        ["head", "x", "--record", "1"],
    ):
        assert main(["audit", *wrong]) == 2
    assert main(["audit", "verify", str(path.parent / "none.jsonl")]) == 1
    assert "cannot be read" in capsys.readouterr().err
