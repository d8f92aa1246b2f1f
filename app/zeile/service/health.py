# SPDX-License-Identifier: Apache-2.0
"""Whether the service can be trusted with a line: a self-test on the engine in use, at the start and again and again.

    self-test: golden lines -> the engine that reads the default model -> the expected integers, or not ready

A board that fails it is left alone and the CPU is tested in its place. Once a second it is looked whether a board whose
pause is over has healed, and what the sensors say.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import datetime
import logging
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import zeile
from zeile.errors import DeviceError, ZeileError
from zeile.hw.power import Rails
from zeile.manifest import Model
from zeile.service.circuit import Circuit
from zeile.service.engines import BOARDS, Engine, Engines
from zeile.service.golden import Golden, SelfTestFailed, golden_of
from zeile.service.metrics import Metrics
from zeile.service.power import Power
from zeile.service.problems import Conflict
from zeile.service.registry import Registry
from zeile.settings import Settings

log = logging.getLogger(__name__)

TICK_S = 1.0
RETRY_S = 10.0
"""A self-test that has failed is made again after so long, or earlier if ZEILE_SELF_TEST_S says so."""

Result = TypeVar("Result")

STUCK_S = 120.0
"""The engine's thread counts as hanging if it has not finished what it does for so long; the longest line of the
slowest engine takes seconds."""


class Crew(Protocol):
    """What is used of ``Worker``."""

    @property
    def alive(self) -> bool:
        """Whether the engine's thread runs."""

    @property
    def busy_s(self) -> float:
        """Seconds that it has spent on what it does now."""

    @property
    def open_folders(self) -> frozenset[Path]:
        """Of the models on an engine."""

    @property
    def engines(self) -> Engines | None:
        """Those of this process, whose state can be looked at; None if another one has them."""

    @property
    def stopping(self) -> bool:
        """Whether nothing new is taken."""

    def distrust(self, because: str | None) -> None:
        """Read nothing until the engine is trusted again, which None says."""

    def submit_exclusive(self, work: Callable[[Engines], Any]) -> Future[Any]:
        """Run a function in the engine's thread."""


class Health:
    """Tests the engines, and has them in hand for the registry.

    Args:
        settings: how often to test.
        metrics: of the service.
        registry: of models.
        worker: the thread that owns the engines.

    Attributes:
        power: the sensors.
        self_test: facts of the last self-test, or None: ok, time, model, engine, lines, and because if it failed.
    """

    def __init__(self, settings: Settings, metrics: Metrics, registry: Registry, worker: Crew) -> None:
        self._settings, self._metrics, self._registry, self._worker = settings, metrics, registry, worker
        self._engine: dict[str, Any] = {"engine": settings.engine}
        self._model: Model | None = None
        self._task: asyncio.Task[None] | None = None
        self.self_test: dict[str, Any] | None = None
        self.power = Power()
        metrics.self_test.set(0)
        metrics.registry.register(self.power)

    async def start(self) -> None:
        """Make the first self-test; one that fails does not keep the service from starting."""
        self._registry.attach(self)
        await asyncio.to_thread(self.test)
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Test no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def dead(self) -> str | None:
        """Why the process should be ended and started again; None while it works."""
        if not self._worker.alive:
            return "the engine's thread has ended; restart the service"
        if self._worker.busy_s > STUCK_S:
            return (
                f"the engine's thread hangs for {self._worker.busy_s:.0f} s, at most {STUCK_S:.0f} s are usual; restart"
            )
        return None

    @property
    def fault(self) -> str | None:
        """Why nothing should be sent here now; None if the service is ready."""
        if self._worker.stopping:
            return "the service is stopping; ask another one"
        if self.dead is not None:
            return self.dead
        if self.self_test is None:
            return "the service is starting; ask again in a moment"
        because: str | None = self.self_test.get("because")
        return because

    @property
    def engine(self) -> dict[str, Any]:
        """Facts of the engine that made the last self-test."""
        return dict(self._engine)

    @property
    def model(self) -> Model | None:
        """The default model, as it was tested last; None before it could be read."""
        return self._model

    def circuit(self) -> dict[str, Any] | None:
        """Facts of the board's circuit; None without a board."""
        circuit = self._board()
        return None if circuit is None else circuit.facts()

    def close_circuit(self) -> dict[str, Any]:
        """Have a board that is left alone tested at once; facts of its circuit. In any thread but the engine's.

        Raises:
            Conflict: there is no board.
        """
        circuit = self._board()
        if circuit is None:
            raise Conflict(f"the engine is {self._settings.engine!r}, which has no circuit; only boards have one")
        circuit.release()
        self._in_thread(Engines.probe)
        return circuit.facts()

    def prove(self, model: Model) -> None:
        """For the registry, in any thread but the engine's."""
        self._in_thread(partial(_tested, model=model, golden=golden_of(model)))

    def drop(self, folder: Path) -> None:
        """For the registry, likewise."""
        self._in_thread(partial(Engines.drop, folder=folder))

    def opened(self) -> frozenset[Path]:
        """For the registry, in any thread."""
        return self._worker.open_folders

    def test(self) -> None:
        """Test the engine that reads the default model; ``fault`` says what came of it. In any thread but its own.

        Wrong integers are the end of all reading until a test is passed: no answer is better than a wrong one. A model
        that is missing or damaged is its own requests' fault, and others are read.
        """
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        try:
            self._model = model = self._registry.model(self._registry.resolve(None))
            golden = golden_of(model)
            engine, rails = self._in_thread(partial(_tested, model=model, golden=golden))
        except ZeileError as error:
            self.self_test = {"ok": False, "time": now, "because": str(error)}
            log.error("the self-test failed: %s", error)
            if isinstance(error, SelfTestFailed):
                self._worker.distrust(str(error))
        else:
            self._worker.distrust(None)
            self._engine, self.power.rails = engine, rails
            facts = {"model": f"{model.name}/{model.version}", "engine": self._engine["engine"]}
            self.self_test = {"ok": True, "time": now, "lines": len(golden.frames), **facts}
        self._metrics.self_test.set(self.self_test["ok"])
        self._metrics.build.info(self._build())

    async def _watch(self) -> None:
        """Once a second: sensors, a board whose pause is over, and a self-test if it is time for one."""
        again = time.monotonic() + self._pause_s()
        was_closed = True
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await asyncio.to_thread(self.power.sample)
                circuit = self._board()
                closed = circuit is None or circuit.closed
                if circuit is not None and not closed:
                    await asyncio.wrap_future(self._worker.submit_exclusive(Engines.probe))
                healed, was_closed = closed and not was_closed, closed
                if healed or time.monotonic() >= again or await asyncio.to_thread(self._other_default):
                    await asyncio.to_thread(self.test)
                    again = time.monotonic() + self._pause_s()
            except ZeileError as error:  # the service is stopping, or its engine's thread has ended
                log.warning("nothing can be tested: %s", error)

    def _pause_s(self) -> float:
        """Seconds until the next self-test."""
        ok = self.self_test is not None and self.self_test["ok"]
        return self._settings.self_test_s if ok else min(RETRY_S, self._settings.self_test_s)

    def _other_default(self) -> bool:
        """Whether another model has become the default since the last self-test that was passed."""
        try:
            model = self._registry.model(self._registry.resolve(None))
        except ZeileError:
            return False  # it is tried again when the pause is over
        return self._model is not None and model.sha256 != self._model.sha256

    def _board(self) -> Circuit | None:
        """The board's circuit; None without a board."""
        engines = self._worker.engines
        return engines.circuit if engines is not None and self._settings.engine in BOARDS else None

    def _in_thread(self, work: Callable[[Engines], Result]) -> Result:
        """Run a function in the engine's thread, and wait for it."""
        if not self._worker.alive:
            raise DeviceError("the engine's thread has ended; restart the service")
        try:
            result: Result = self._worker.submit_exclusive(work).result(STUCK_S)
        except concurrent.futures.TimeoutError:
            raise DeviceError(f"the engine's thread did not answer for {STUCK_S:.0f} s; restart the service") from None
        return result

    def _build(self) -> dict[str, str]:
        facts = {"version": zeile.__version__, "engine": str(self._engine.get("engine", ""))}
        if self._model is not None:
            facts |= {"model": f"{self._model.name}/{self._model.version}", "model_sha256": self._model.sha256}
        return facts


def _tested(engines: Engines, model: Model, golden: Golden) -> tuple[dict[str, Any], Rails | None]:
    """Facts of the engine that has passed a test, and its power rails."""
    engine = engines.test(model, golden)
    return dict(engine.device.info), _rails(engine)


def _rails(engine: Engine) -> Rails | None:
    """The board's power rails; None where there are none. No sensor is worth an error."""
    if engine.breaker is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pynq warns where libsensors is missing
        try:
            rails: Rails | None = engine.breaker.rails
        except Exception as error:  # pynq raises what it likes
            log.info("the board's power rails cannot be read: %s: %s", type(error).__name__, error)
            return None
    return rails
