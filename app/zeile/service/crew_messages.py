# SPDX-License-Identifier: Apache-2.0
"""What the service and the process that reads for it say to each other, over a pair of sockets of their own.

A message is a Python object, pickled, behind its length. Both ends are the same program on the same machine, and nobody
else holds the sockets; nothing that a client sends is ever unpickled, it only travels as bytes.
"""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from zeile.errors import BadImage
from zeile.pipeline import Alternative, Character, Line

LENGTH = struct.Struct("<Q")
READ_BYTES = 1 << 18

Call = tuple[str, tuple[str, ...], str, float]
"""Something that a metric was told: its name, its labels, the method, and the argument."""


@dataclass(frozen=True, slots=True)
class State:
    """How the reading process is, with each of its messages.

    Attributes:
        added: messages with lines that it has taken from the service so far.
        lines: that wait in its queue.
        bytes: of their images.
        held: of ``lines``, those of each client.
        busy_s: that the engine's thread has spent on what it does now.
        folders: of the models that are open.
        metrics: what they were told since the last message, in order.
    """

    added: int = 0
    lines: int = 0
    bytes: int = 0
    held: dict[str, int] = field(default_factory=dict)
    busy_s: float = 0.0
    folders: frozenset[Any] = frozenset()
    metrics: tuple[Call, ...] = ()


def packed(message: Any) -> bytes:
    """A message as it is sent."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body


class Unpacker:
    """Messages from pieces of a stream."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """The messages that are complete now."""
        self._kept += data
        while len(self._kept) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self._kept)[0]
            if len(self._kept) < end:
                return
            body = bytes(self._kept[LENGTH.size : end])
            del self._kept[:end]
            yield pickle.loads(body)


def received(end: socket.socket) -> Iterator[Any]:
    """Messages of a blocking socket, until the other end closes it."""
    unpacker = Unpacker()
    while data := end.recv(READ_BYTES):
        yield from unpacker.feed(data)


def flat(result: Line | BadImage) -> Any:
    """A result without classes of ours: pickling the characters one by one would take longer than finding them."""
    if isinstance(result, BadImage):
        return result
    columns = tuple(zip(*result.characters, strict=True))
    return result.text, result.confidence, columns, [tuple(each) for each in result.alternatives]


def unflat(result: Any) -> Line | BadImage:
    """The result that ``flat`` was given."""
    if isinstance(result, BadImage):
        return result
    text, confidence, columns, alternatives = result
    characters = tuple(map(Character._make, zip(*columns, strict=True)))
    return Line(text, confidence, characters, tuple(map(Alternative._make, alternatives)))
