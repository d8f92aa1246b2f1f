# SPDX-License-Identifier: Apache-2.0
"""The process that owns the device: ``zeile broker``. It reads model folders, runs lines, and talks to a unix socket.

One thread owns the devices; each connection has a thread of its own, which checks what it is sent and waits. Whoever
is neither root, nor the broker's own user, nor one that was named is turned away before a byte is read.
"""

from __future__ import annotations

import contextlib
import json
import logging
import selectors
import socket
import struct
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet  # TimeoutError itself from Python 3.11 on
from typing import Any

from zeile.device.broker_engine import Engine
from zeile.device.broker_frames import DIGEST, HungUp, Kind, Silent, lines_of, receive, score_parts, send
from zeile.errors import DeviceBusy, DeviceError, DeviceFault, ZeileError
from zeile.network import Network
from zeile.notify import notify, watchdog_s

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 16

WORKING_S = 0.5
"""How often a client that waits is told that its lines are worked on."""

SEND_S = 10.0
"""How long a client may take to fetch its answer."""

DRAIN_S = 25.0
"""How long what was begun is waited for when the broker stops; its unit is killed after 30 s."""

_CREDENTIALS = struct.Struct("3i")  # struct ucred: process, user, group


class Server:
    """Serves one device.

    Args:
        listener: a listening unix socket.
        engine: owns the device.
        users: numbers of the users that may ask.
    """

    def __init__(self, listener: socket.socket, engine: Engine, users: frozenset[int]) -> None:
        self._listener, self._engine, self._users = listener, engine, users
        self._woken, self._wake = socket.socketpair()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._guard = threading.Lock()

    def run(self) -> None:
        """Serve until ``stop``; what was begun is finished and answered."""
        self._engine.start()
        pause = watchdog_s()
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            notify("READY=1")
            while True:
                ready = {key.fileobj for key, _ in selector.select(pause)}
                if self._woken in ready:
                    break
                if self._listener in ready:
                    self._accept()
                if pause is not None and self._engine.alive:
                    notify("WATCHDOG=1")
        notify("STOPPING=1")
        self._end()

    def stop(self) -> None:
        """Let ``run`` end; may be called from a signal's handler."""
        with contextlib.suppress(OSError):  # it has ended already
            self._wake.send(b"\0")

    def _end(self) -> None:
        self._listener.close()
        with self._guard:
            connections = dict(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)  # no further questions; the answer still goes out
        end = time.monotonic() + DRAIN_S
        for thread in connections.values():
            thread.join(max(0.0, end - time.monotonic()))
        self._engine.close()
        self._woken.close()
        self._wake.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:  # gone before it was accepted, or no file descriptor is left
            log.warning("a connection could not be accepted: %s", error.strerror or error)
            return
        user = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1]
        with self._guard:
            full = len(self._connections) >= MAX_CONNECTIONS
            if user in self._users and not full:
                thread = threading.Thread(target=self._serve, args=(connection,), name="zeile-client", daemon=True)
                self._connections[connection] = thread
                thread.start()
                return
        log.warning("user %d is turned away: %s", user, "too many connections" if full else "not allowed")
        with connection, contextlib.suppress(ZeileError):
            connection.settimeout(WORKING_S)
            _refuse(
                connection,
                DeviceBusy(f"the broker has {MAX_CONNECTIONS} connections, which is its limit; close one")
                if full
                else DeviceError(f"user {user} may not ask this broker; start it with --user and that user's name"),
            )

    def _serve(self, connection: socket.socket) -> None:
        try:
            while True:
                self._answer(connection, *receive(connection))
        except HungUp:
            pass
        except DeviceError as error:  # it does not follow the format, or does not fetch its answer
            log.warning("a client is hung up on: %s", error)
            with contextlib.suppress(ZeileError):
                _refuse(connection, error)
        except Exception:
            log.exception("a client is hung up on")
        finally:
            with self._guard:
                del self._connections[connection]
            connection.close()

    def _answer(self, connection: socket.socket, kind: Kind, payload: memoryview) -> None:
        connection.settimeout(SEND_S)
        if kind not in (Kind.OPEN, Kind.RUN, Kind.RAILS):
            raise DeviceFault(f"a client sent {kind.name}, which is for brokers to send")
        try:
            answer, parts = self._worked(connection, kind, payload)
        except (HungUp, Silent):
            raise
        except ZeileError as error:
            _refuse(connection, error)
        else:
            send(connection, answer, *parts)

    def _worked(
        self, connection: socket.socket, kind: Kind, payload: memoryview
    ) -> tuple[Kind, Sequence[bytes | memoryview]]:
        """Kind and payload of the answer."""
        if kind == Kind.RAILS:
            return Kind.READY, [json.dumps(self._waited(connection, self._engine.rails())).encode()]
        digest = bytes(payload[:DIGEST])
        network: Network = self._waited(connection, self._engine.network(digest))
        lines = lines_of(payload[DIGEST:], network.input_codes.size) if kind == Kind.RUN else []
        info, scores = self._waited(connection, self._engine.run(digest, network, lines))
        if kind == Kind.OPEN:
            return Kind.READY, [json.dumps(info).encode()]
        return Kind.SCORES, score_parts(info, scores)

    def _waited(self, connection: socket.socket, result: Future[Any]) -> Any:
        """The result; meanwhile the client hears of it, as long as the engine makes progress."""
        said = time.monotonic()
        while True:
            try:
                return result.result(WORKING_S)
            except NotYet:
                if self._engine.alive:
                    send(connection, Kind.WORKING)
                    said = time.monotonic()
                elif time.monotonic() - said > SEND_S:
                    raise DeviceFault("the broker's engine makes no progress") from None


def _refuse(connection: socket.socket, error: ZeileError) -> None:
    facts = {"class": type(error).__name__, "message": str(error)[:2000]}
    send(connection, Kind.ERROR, json.dumps(facts).encode())
