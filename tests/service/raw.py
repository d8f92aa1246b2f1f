# SPDX-License-Identifier: Apache-2.0
"""HTTP by hand: requests that no client library would send."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx

PATIENCE_S = 60


def connect(client: httpx.Client) -> socket.socket:
    """A connection to the client's service."""
    url = client.base_url
    return socket.create_connection((url.host, url.port or 80), timeout=PATIENCE_S)


def answer(connection: socket.socket) -> bytes:
    """All that the service sends until it closes the connection."""
    received = bytearray()
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionResetError:
        pass  # closed with something of ours unread
    return bytes(received)


def one_answer(connection: socket.socket) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers and JSON of the next answer, on a connection that stays open."""
    with connection.makefile("rb") as stream:
        stream.readline()
        lines = iter(lambda: stream.readline().decode().strip(), "")
        head = dict(line.split(": ", 1) for line in lines)
        return head, json.loads(stream.read(int(head["content-length"])))


def until(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
