# SPDX-License-Identifier: Apache-2.0
"""A service in a process of its own, as the scripts that measure it start it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from tests.models import write_tiny_model

from zeile.commands.serve import _listening
from zeile.errors import DeviceError
from zeile.http import Host
from zeile.load.bodies import get
from zeile.load.child import serving
from zeile.settings import Settings

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="figures are read from /proc")


def test_a_child_serves_is_watched_and_ends(tmp_path: Path) -> None:
    write_tiny_model(tmp_path, version="1")

    async def status(url: str) -> int:
        host = Host(url)
        try:
            return (await host.ask(get(host.name, "/livez"))).status
        finally:
            host.close()

    with serving({"ZEILE_MODELS": str(tmp_path), "ZEILE_MODEL": "tiny/1"}) as child:
        assert asyncio.run(status(child.url)) == 200
        assert child.resident_mib > 10
        assert child.cpu_s > 0
        assert child.open_files > 3
        assert child.ended() is None
    assert child.ended() is not None


def test_a_service_that_does_not_start_is_said() -> None:
    with pytest.raises(DeviceError, match="zeile serve says why"), serving({"ZEILE_THREADS": "many"}):
        pass


def test_accepted_connections_are_known_as_tcp_so_that_asyncio_does_not_hold_answers_back() -> None:
    with _listening(Settings(host="127.0.0.1", port=0)) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.proto == socket.IPPROTO_TCP
