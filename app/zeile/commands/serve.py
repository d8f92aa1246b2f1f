# SPDX-License-Identifier: Apache-2.0
"""``zeile serve``: the HTTP service, in this process; another one reads the lines, unless it is told not to."""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from zeile import __version__
from zeile.errors import BadSettings
from zeile.http import allow_connections
from zeile.notify import notify
from zeile.service import logs, memory
from zeile.service.app import create_app
from zeile.service.connections import connection
from zeile.service.crew_child import SWITCH_S
from zeile.settings import Settings

_DRAIN_S = 20  # seconds that running requests are given when the service is told to stop


class _Server(uvicorn.Server):
    """Says where it serves, once it does; told to stop, it finishes what it accepted and turns away the rest.

    Until that is finished it keeps listening: whoever comes meanwhile is told to go elsewhere, instead of finding
    nobody. A second signal ends it at once.
    """

    def __init__(self, config: uvicorn.Config, where: str, drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._where, self._drain = where, drain
        self._told: int | None = None  # the signal
        self._end = 0.0
        self._accepted: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            memory.leave_alone(memory.BUSY)
            print(self._where, flush=True)
            notify("READY=1")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._told is not None or not self.started:
            super().handle_exit(sig, frame)
            return
        self._told, self._end = sig, time.monotonic() + _DRAIN_S
        self._accepted = set(self.server_state.tasks)
        self._drain()
        notify("STOPPING=1")

    async def on_tick(self, counter: int) -> bool:
        if self._told is not None and not self.should_exit:
            left_s = self._end - time.monotonic()
            if left_s <= 0 or all(task.done() for task in self._accepted):
                self.config.timeout_graceful_shutdown = max(1, int(left_s))
                super().handle_exit(self._told, None)
        return await super().on_tick(counter)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Serve until interrupted; returns 0, or 1 if the service could not start."""
    logs.install(settings.log)
    sys.setswitchinterval(SWITCH_S)
    memory.give_back()
    allow_connections()
    app = create_app(settings, apart=settings.apart)
    with _listening(settings) as listener:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        where = f"Zeile {__version__} serves {settings.model} on http://{shown}:{port} (Ctrl-C stops it)"
        config = uvicorn.Config(
            app,
            http=connection(app.state),
            loop="asyncio",  # uvloop, which would be taken where it is installed, is not faster here and not tested
            ws="none",
            log_level="warning",
            log_config=None,
            access_log=False,  # the service has its own
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_S,
        )
        server = _Server(config, where, lambda: app.state.worker.drain())
        server.run(sockets=[listener])
    return 0 if server.started else 1


def _listening(settings: Settings) -> socket.socket:
    """A socket bound to the host and port, so that a port in use is an error of ours, with a remedy."""
    try:
        kind, *_, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # By its protocol asyncio knows TCP, and sets TCP_NODELAY; otherwise each answer waits 40 ms for an ACK.
        listener = socket.socket(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        where, why = f"{settings.host} port {settings.port}", error.strerror or error
        raise BadSettings(f"cannot listen on {where}: {why}; choose another --host or --port") from None
    return listener
