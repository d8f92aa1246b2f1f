# SPDX-License-Identifier: Apache-2.0
"""``zeile serve``: the HTTP service, in this process."""

from __future__ import annotations

import argparse
import socket

import uvicorn

from zeile import __version__
from zeile.errors import BadSettings
from zeile.service.app import create_app
from zeile.settings import Settings

_DRAIN_S = 20  # seconds that running requests are given when the service is told to stop


class _Server(uvicorn.Server):
    """Says where it serves, once it does."""

    def __init__(self, config: uvicorn.Config, where: str) -> None:
        super().__init__(config)
        self._where = where

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self._where, flush=True)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Serve until interrupted; returns 0, or 1 if the service could not start."""
    app = create_app(settings)
    with _listening(settings) as listener:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        where = f"Zeile {__version__} serves {settings.model} on http://{shown}:{port} (Ctrl-C stops it)"
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_S,
        )
        server = _Server(config, where)
        server.run(sockets=[listener])
    return 0 if server.started else 1


def _listening(settings: Settings) -> socket.socket:
    """A socket bound to the host and port, so that a port in use is an error of ours, with a remedy."""
    try:
        kind, *_, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(kind, socket.SOCK_STREAM)
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
