# SPDX-License-Identifier: Apache-2.0
"""``zeile broker``: own the device, and run lines for services that ask over a unix socket."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import pwd
import signal
import socket
from pathlib import Path

from zeile import __version__
from zeile.device.broker_engine import Engine
from zeile.device.broker_server import MAX_CONNECTIONS, Server
from zeile.errors import BadSettings
from zeile.settings import Settings


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; returns 0."""
    logging.basicConfig(format="zeile: %(message)s", level=logging.WARNING)
    if settings.engine == "broker":
        raise BadSettings("a broker does not ask another one: name the engine of the device, as --engine fpga")
    users = frozenset({0, os.geteuid(), *(_number(user) for user in args.user)})
    listener = _listening(settings.broker, 0o666 if args.user else 0o600)
    server = Server(listener, Engine(settings), users)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    print(f"Zeile {__version__}: engine {settings.engine} on {listener.getsockname()} (Ctrl-C stops it)", flush=True)
    server.run()
    return 0


def _number(user: str) -> int:
    try:
        return int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError:
        raise BadSettings(
            f"--user {user}: there is no such user here; name one of /etc/passwd, or its number"
        ) from None


def _listening(path: Path | None, mode: int) -> socket.socket:
    """A socket at the path. One that a broker left behind when it was killed is replaced, a broker that runs is not."""
    if path is None:
        raise BadSettings("zeile broker needs --socket PATH, or ZEILE_BROKER, which the service reads as well")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
                if other.connect_ex(str(path)) != errno.ECONNREFUSED:
                    raise BadSettings(f"another broker runs at {path}; stop it, or choose another --socket")
            path.unlink()
        listener.bind(str(path))
        path.chmod(mode)  # who may ask is decided by the user of the other side, not by the file alone
        listener.listen(MAX_CONNECTIONS)
    except OSError as error:
        listener.close()
        why = error.strerror or error
        raise BadSettings(f"cannot listen on {path}: {why}; choose another --socket, shorter than 108 bytes") from None
    except BadSettings:
        listener.close()
        raise
    return listener
