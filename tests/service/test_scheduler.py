# SPDX-License-Identifier: Apache-2.0
"""Whose line is next: clients share the engine by columns, bulk gives way and is not starved, batches are bounded."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.models import write_tiny_model

from zeile.manifest import Model, load_model
from zeile.pipeline import Prepared
from zeile.service.batch import BATCH_LINES, Job, Piece
from zeile.service.engines import Options
from zeile.service.pace import WINDOW_S, Pace
from zeile.service.scheduler import AHEAD_LINES, Scheduler
from zeile.service.ticket import Ticket

COLUMNS_PER_S = 100_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(write_tiny_model(tmp_path_factory.mktemp("models")))


class Line:
    """A scheduler with a crew that does everything at once, and an engine of ``COLUMNS_PER_S``."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.dropped: Counter[str] = Counter()
        self.queue = Scheduler(lambda reason, lines: self.dropped.update({reason: lines}))
        self.width: dict[Job, int] = {}

    def ask(self, client: str, lines: int, width: int = 512, *, bulk: bool = False) -> Job:
        job = Job(Ticket("", client, bulk=bulk), Options(Path()), model=self.model)
        self.width[job] = width
        self.queue.add(job, [Piece(job, place, b"", 1000, 0.0) for place in range(lines)])
        return job

    def prepare(self) -> Piece | None:
        piece = self.queue.next()
        if piece is not None:
            columns = self.width[piece.job]
            piece.prepared = Prepared(np.zeros((0, 16), np.uint8), columns, 0, columns)
            self.queue.prepared(piece)
        return piece

    def batch(self) -> list[Piece]:
        batch = self.queue.batch()
        if batch:
            self.queue.ran(batch, sum(piece.columns for piece in batch) / COLUMNS_PER_S)
        return batch

    def read(self, lines: int) -> list[Piece]:
        """The first lines that the engine reads, when two are prepared for each look for a batch."""
        read: list[Piece] = []
        while len(read) < lines and self.queue.later:
            self.prepare()
            self.prepare()
            read += self.batch()
        return read[:lines]


def columns_by_client(pieces: list[Piece]) -> Counter[str]:
    columns: Counter[str] = Counter()
    for piece in pieces:
        columns[piece.job.ticket.client] += piece.columns
    return columns


def test_clients_share_the_engine_by_columns_however_much_they_ask_for(model: Model) -> None:
    line = Line(model)
    line.ask("greedy", 900)
    for _ in range(60):
        line.ask("many requests", 5)
    line.ask("long lines", 100, width=3000)
    columns = columns_by_client(line.read(300))
    assert max(columns.values()) - min(columns.values()) <= 2 * 3000 + 512
    assert len(columns) == 3


def test_a_client_that_comes_late_need_not_wait_for_those_before_it(model: Model) -> None:
    line = Line(model)
    line.ask("greedy", 1000)
    line.read(64)
    job = line.ask("late", 1)
    before = [piece.job for piece in line.read(2 * AHEAD_LINES)]
    assert job in before


def test_the_lines_of_a_client_keep_their_order(model: Model) -> None:
    line = Line(model)
    jobs = [line.ask("a", 10, width=400 + 100 * i) for i in range(3)]
    line.ask("b", 30)
    read = [(jobs.index(p.job), p.place) for p in line.read(60) if p.job in jobs]
    assert read == sorted(read)
    assert len(read) == 30


def test_bulk_lines_wait_while_others_do_and_get_an_eighth_all_the_same(model: Model) -> None:
    line = Line(model)
    line.ask("bulk", 900, bulk=True)
    assert {piece.job.ticket.bulk for piece in line.read(32)} == {True}
    for client in ("a", "b"):
        line.ask(client, 400)
    kinds = Counter(piece.job.ticket.bulk for piece in line.read(800))
    assert 1 / 10 <= kinds[True] / (kinds[True] + kinds[False]) <= 1 / 6
    assert kinds[False] > 600


def test_bulk_lines_and_others_share_no_batch(model: Model) -> None:
    line = Line(model)
    line.ask("bulk", 100, bulk=True)
    line.ask("a", 100)
    batches = []
    while line.queue.later:
        line.prepare()
        if batch := line.batch():
            batches.append({piece.job.ticket.bulk for piece in batch})
    assert all(len(kinds) == 1 for kinds in batches)


def test_bulk_lines_do_not_begin_while_another_is_prepared_unless_that_takes_long(model: Model) -> None:
    line = Line(model)
    line.ask("bulk", 40, bulk=True)
    while line.prepare() is not None:
        pass
    line.ask("a", 1)
    piece = line.queue.next()
    assert piece is not None
    assert line.batch() == []
    line.queue.delayed(piece)
    assert line.batch() != []


def test_a_line_alone_is_a_batch_at_once(model: Model) -> None:
    line = Line(model)
    line.ask("a", 1)
    line.prepare()
    assert len(line.batch()) == 1


def test_a_batch_is_bounded_by_lines_and_by_the_time_that_the_engine_needs(model: Model) -> None:
    line = Line(model)
    line.ask("short", 200, width=10)
    line.ask("long", 40, width=1000)
    batches = []
    while line.queue.later:
        while line.prepare() is not None:
            pass
        batches.append(line.batch())
    assert max(len(batch) for batch in batches) == BATCH_LINES
    measured = batches[5:]  # until then its speed is a guess
    assert max(sum(piece.columns for piece in batch) for batch in measured) <= 4 * 1000
    assert sum(len(batch) for batch in batches) == 240


def test_no_more_is_prepared_than_the_engine_will_soon_need(model: Model) -> None:
    line = Line(model)
    line.ask("a", 500)
    prepared = 0
    while line.prepare() is not None:
        prepared += 1
    assert prepared == AHEAD_LINES


def test_lines_that_nobody_waits_for_never_reach_the_engine(model: Model) -> None:
    line = Line(model)
    gone, late, dropped, kept = (line.ask(client, 10) for client in ("gone", "late", "dropped", "kept"))
    for _ in range(8):
        line.prepare()
    gone.ticket.gone = True
    late.ticket.deadline = time.monotonic() - 1
    line.queue.drop(dropped, "canceled")
    read = line.read(40)
    assert {piece.job for piece in read} == {kept}
    assert len(read) == 10
    assert line.dropped == {"canceled": 20, "expired": 10}
    assert (line.queue.lines, line.queue.bytes, line.queue.clients) == (0, 0, 0)


def test_lines_that_nobody_waits_for_do_not_hold_up_the_others(model: Model) -> None:
    line = Line(model)
    line.ask("bulk", 3, bulk=True)
    job = line.ask("gone", 3)
    while line.prepare() is not None:
        pass
    line.queue.drop(job, "canceled")
    assert {piece.job.ticket.client for piece in line.batch()} == {"bulk"}


def test_pace_is_what_was_measured_lately() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    assert (pace.rate, pace.seconds(10)) == (0, 0)
    for _ in range(4):
        now += 0.25
        pace.note(50, 0.25)
    assert pace.rate == 200 / WINDOW_S
    assert pace.seconds(400) == 2.0
    now += WINDOW_S + 1
    assert (pace.rate, pace.seconds(10)) == (0, 0)
