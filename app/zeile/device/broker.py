# SPDX-License-Identifier: Apache-2.0
"""A device that another process owns: ``zeile broker``, asked over a unix socket.

So the process that talks to the network needs no access to the device, and the one that owns the device none to the
network. The broker may end and come back at any time: what was asked of it meanwhile is a DeviceFault, which costs
the service a line on the CPU, and the next question finds the new one.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from zeile.device import Frames, Scores, checked
from zeile.device.broker_frames import (
    MAX_BYTES,
    MAX_LINES,
    HungUp,
    Kind,
    digest_of,
    facts_of,
    receive,
    run_parts,
    scores_of,
    send,
)
from zeile.errors import (
    BadManifest,
    DeviceBusy,
    DeviceError,
    DeviceFault,
    DeviceTimeout,
    LineTooWide,
    OverlayMismatch,
    OverlayMissing,
    ZeileError,
)
from zeile.network import Network

SILENCE_S = 5.0
"""A broker that works says so twice a second; after so long it counts as gone."""

_ROOM = MAX_BYTES - (64 << 10)
"""Bytes of a message for codes or scores; the rest is for what describes them."""

_KNOWN: tuple[type[ZeileError], ...] = (
    BadManifest,
    LineTooWide,
    DeviceError,
    DeviceBusy,
    DeviceTimeout,
    OverlayMismatch,
    OverlayMissing,
)
"""Errors of a broker that are raised here as they are; all others are faults of its device."""


class Broker:
    """A network on the device of a broker.

    Args:
        network: checked layers and tensors; the broker must have a model with the same.
        path: of the broker's socket.
        silence_s: how long the broker may say nothing.

    Raises:
        DeviceError: there is no broker, or it cannot run the network; the broker's own errors come as they are.
    """

    def __init__(self, network: Network, path: Path, silence_s: float = SILENCE_S) -> None:
        self.network, self._path, self._silence_s = network, path, silence_s
        self._digest = digest_of(network)
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._info: dict[str, Any] = {}
        self._closed = False
        with self._lock:
            self._connected()

    @property
    def info(self) -> dict[str, Any]:
        """Facts of the engine that did the last batch, and that it did so ``through`` a broker."""
        return self._info | {"through": "broker"}

    @property
    def rails(self) -> Callable[[], Mapping[str, float]] | None:
        """Reads the power rails of the broker's board in watts; None where there are none, or no broker.

        What it gives raises OSError while the broker is gone, as a sensor that does not answer.
        """

        def read() -> dict[str, float]:
            try:
                with contextlib.closing(_connect(self._path, self._silence_s)) as own:  # a batch is not waited for
                    return {str(name): float(watts) for name, watts in facts_of(self._answer(own, Kind.RAILS)).items()}
            except (DeviceError, ValueError, TypeError) as error:
                raise OSError(str(error)) from None

        try:
            return read if read() else None
        except OSError:
            return None

    def run(self, frames: Frames) -> Scores:
        """Scores of one line, see ``run_batch``."""
        return self.run_batch([frames])[0]

    def run_batch(self, lines: Sequence[Frames]) -> list[Scores]:
        """Scores of several lines.

        Args:
            lines: each (T, F) uint8 pixel codes.

        Returns:
            For each (S, K) int8.

        Raises:
            LineTooWide: a line fits no message, or not the broker's device.
            DeviceError: frames do not fit the network, the broker is gone, or its device failed.
        """
        frames = [checked(line, self.network) for line in lines]
        with self._lock:
            return [scores for part in self._parts(frames) for scores in self._run(part)]

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._drop()

    def __enter__(self) -> Broker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, lines: Sequence[Frames]) -> list[Scores]:
        steps = [self.network.steps(len(line) * self.network.columns_per_frame) for line in lines]
        parts = run_parts(self._digest, lines)
        kept = self._connection is not None
        try:
            payload = self._asked(parts)
        except HungUp:
            if not kept:
                raise
            payload = self._asked(parts)  # a broker that was started anew since the last batch is no fault
        try:
            self._info, scores = scores_of(payload, steps, self.network.classes)
        except DeviceFault:
            self._drop()
            raise
        return scores

    def _parts(self, lines: Sequence[Frames]) -> Iterator[Sequence[Frames]]:
        """The lines in as few messages as they and their scores fit into."""
        first = size = 0
        for index, line in enumerate(lines):
            steps = self.network.steps(len(line) * self.network.columns_per_frame)
            own = 4 + max(line.nbytes, steps * self.network.classes)
            if own > _ROOM:
                raise LineTooWide(
                    f"the line is {len(line) * self.network.columns_per_frame} columns long at the model's height, "
                    f"which makes {own} bytes; a broker takes {_ROOM}; cut it into lines of text"
                )
            if index > first and (index - first == MAX_LINES or size + own > _ROOM):
                yield lines[first:index]
                first, size = index, 0
            size += own
        if len(lines) > first:
            yield lines[first:]

    def _asked(self, parts: Sequence[bytes | memoryview]) -> memoryview:
        connection = self._connected()
        with self._dropped_on_fault():
            return self._answer(connection, Kind.RUN, *parts)

    def _connected(self) -> socket.socket:
        if self._closed:
            raise DeviceError("engine 'broker': closed")
        if self._connection is None:
            self._connection = _connect(self._path, self._silence_s)
            with self._dropped_on_fault():
                self._info = facts_of(self._answer(self._connection, Kind.OPEN, self._digest))
        return self._connection

    def _answer(self, connection: socket.socket, question: Kind, *parts: bytes | memoryview) -> memoryview:
        """The payload of the answer, which may take as long as the broker says that it works on it."""
        connection.settimeout(self._silence_s)
        try:
            send(connection, question, *parts)
        except HungUp as gone:  # a broker that refuses does not listen first, but what it said is still there
            try:
                kind, payload = receive(connection, self._silence_s)
            except DeviceError:
                raise gone from None
            if kind == Kind.ERROR:
                raise _error(facts_of(payload)) from None
            raise
        wanted = Kind.SCORES if question == Kind.RUN else Kind.READY
        while True:
            kind, payload = receive(connection, self._silence_s)
            if kind == wanted:
                return payload
            if kind == Kind.ERROR:
                raise _error(facts_of(payload))
            if kind != Kind.WORKING:
                raise DeviceFault(f"the broker at {self._path} answered {question.name} with {kind.name}")

    @contextlib.contextmanager
    def _dropped_on_fault(self) -> Iterator[None]:
        """Whatever goes wrong, an answer may still be under way: the next question takes a new connection."""
        try:
            yield
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connect(path: Path, seconds: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        why = getattr(error, "strerror", None) or error
        raise HungUp(f"no broker at {path}: {why}; start `zeile broker`, or name its socket in ZEILE_BROKER") from None
    return connection


def _error(facts: Mapping[str, Any]) -> ZeileError:
    """The broker's error as its own class; one that is not known here counts as a fault."""
    name, message = str(facts.get("class")), str(facts.get("message"))[:2000]
    return next((kind for kind in _KNOWN if kind.__name__ == name), DeviceFault)(message)
