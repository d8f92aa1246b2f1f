# SPDX-License-Identifier: Apache-2.0
"""What a broker and its clients say to each other: messages over a stream socket, none longer than MAX_BYTES.

    message   "ZLB1", kind u32, length u32, payload; all numbers are little-endian
    OPEN      to the broker    digest of the network, 32 bytes                  answered by READY
    RUN       to the broker    digest, number of lines u32, frames of each u32, codes of all   answered by SCORES
    RAILS     to the broker    nothing                                          answered by READY
    WORKING   to the client    nothing; twice a second until the answer comes, while the engine makes progress
    READY     to the client    JSON: facts of the engine, or watts by rail
    SCORES    to the client    length of the facts u32, facts as JSON, rows of scores of each line u32, scores of all
    ERROR     to the client    JSON: the class of the error and its message

A client names a network by its digest and never sends one, nor a path: the broker runs what lies in its own folder
of models, and nothing else. Neither side believes the other: lengths are bounded before memory is taken for them.
"""

from __future__ import annotations

import enum
import hashlib
import json
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from zeile.device import Frames, Scores
from zeile.errors import DeviceFault, DeviceTimeout
from zeile.network import Network, layer_to_json

MAX_BYTES = 32 << 20
"""Of a payload: 32 lines of 20,000 columns and 48 rows."""

MAX_LINES = 1024

DIGEST = 32

HEADER = struct.Struct("<4sII")
_MAGIC = b"ZLB1"


class Kind(enum.IntEnum):
    """What a message is."""

    OPEN = 1
    RUN = 2
    RAILS = 3
    WORKING = 16
    READY = 17
    SCORES = 18
    ERROR = 19


class HungUp(DeviceFault):
    """The other side closed the connection."""


class Silent(DeviceTimeout):
    """The other side neither speaks nor listens."""


def digest_of(network: Network) -> bytes:
    """SHA-256 over all that a device needs to know of a network."""
    shape = {
        "height_px": network.height_px,
        "columns_per_frame": network.columns_per_frame,
        "pixel_bits": network.pixel_bits,
        "layers": [layer_to_json(layer) for layer in network.layers],
        "tensors": [[name, str(array.dtype), list(array.shape)] for name, array in sorted(network.tensors.items())],
    }
    digest = hashlib.sha256(json.dumps(shape, sort_keys=True).encode())
    for _, array in sorted(network.tensors.items()):
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


def send(to: socket.socket, kind: Kind, *parts: bytes | memoryview) -> None:
    """Send a message, in one piece if the socket takes it.

    Raises:
        HungUp: nobody is there.
        Silent: the other side takes nothing any more.
    """
    sizes = [memoryview(part).nbytes for part in parts]
    left = [memoryview(HEADER.pack(_MAGIC, kind, sum(sizes))), *(memoryview(p).cast("B") for p in parts if len(p))]
    try:
        while left:
            sent = to.sendmsg(left[:64])  # fewer than the kernel's limit on pieces
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if left:
                left[0] = left[0][sent:]
    except TimeoutError:
        raise Silent("the other side of the broker's socket takes nothing any more") from None
    except OSError as error:
        raise HungUp(f"the broker's socket: {error.strerror or error}") from None


def receive(source: socket.socket, seconds: float | None = None) -> tuple[Kind, memoryview]:
    """Receive a message.

    Args:
        source: a connected socket; its own timeout is changed.
        seconds: until its last byte; None waits for its first one without end, and a while for the rest.

    Raises:
        HungUp: the other side closed the connection.
        Silent: it did not come in time.
        DeviceFault: it is none, or longer than MAX_BYTES.
    """
    end = None if seconds is None else time.monotonic() + seconds
    magic, number, length = HEADER.unpack(_exactly(source, HEADER.size, end))
    if magic != _MAGIC or number not in list(Kind):
        raise DeviceFault(
            f"not a message of a broker: {magic!r}, kind {number}; do both run the same version of Zeile?"
        )
    if length > MAX_BYTES:
        raise DeviceFault(f"a message of {length} bytes, allowed are {MAX_BYTES}")
    return Kind(number), _exactly(source, length, end or time.monotonic() + 10)


def _exactly(source: socket.socket, length: int, end: float | None) -> memoryview:
    data = memoryview(bytearray(length))
    have = 0
    try:
        while have < length:
            source.settimeout(None if end is None else max(1e-3, end - time.monotonic()))
            count = source.recv_into(data[have:])
            if count == 0:
                raise HungUp("the other side of the broker's socket is gone")
            have += count
    except TimeoutError:
        raise Silent("the other side of the broker's socket says nothing any more") from None
    except OSError as error:
        raise HungUp(f"the broker's socket: {error.strerror or error}") from None
    return data


def run_parts(digest: bytes, lines: Sequence[Frames]) -> list[bytes | memoryview]:
    """Payload of RUN."""
    lengths = np.array([len(lines), *(len(line) for line in lines)], "<u4")
    return [digest, lengths.data, *(np.ascontiguousarray(line).data for line in lines)]


def lines_of(payload: memoryview, width: int) -> list[Frames]:
    """Lines of a RUN, without its digest.

    Args:
        payload: what follows the digest.
        width: codes of a frame.

    Raises:
        DeviceFault: it is inconsistent.
    """
    if len(payload) < 4:
        raise DeviceFault(f"RUN is cut off at {len(payload)} bytes")
    (count,) = struct.unpack_from("<I", payload)
    if count > MAX_LINES or len(payload) < 4 + 4 * count:
        raise DeviceFault(f"RUN announces {count} lines in {len(payload)} bytes, allowed are {MAX_LINES}")
    return _cut(payload[4 + 4 * count :], np.frombuffer(payload, "<u4", count, 4), width, np.uint8)


def score_parts(info: dict[str, Any], scores: Sequence[Scores]) -> list[bytes | memoryview]:
    """Payload of SCORES."""
    facts = json.dumps(info).encode()
    rows = np.array([len(s) for s in scores], "<u4")
    return [struct.pack("<I", len(facts)), facts, rows.data, *(np.ascontiguousarray(s).data for s in scores)]


def scores_of(payload: memoryview, steps: Sequence[int], classes: int) -> tuple[dict[str, Any], list[Scores]]:
    """Facts of the engine and the scores of a SCORES.

    Args:
        payload: of the message.
        steps: rows of scores that each line must have.
        classes: values of a row.

    Raises:
        DeviceFault: it is inconsistent, or not what these lines have.
    """
    if len(payload) < 4:
        raise DeviceFault(f"SCORES is cut off at {len(payload)} bytes")
    start = 4 + struct.unpack_from("<I", payload)[0]
    data = start + 4 * len(steps)
    if len(payload) < data:
        raise DeviceFault(f"SCORES is cut off at {len(payload)} bytes")
    rows = np.frombuffer(payload, "<u4", len(steps), start)
    if rows.tolist() != list(steps):
        raise DeviceFault(f"the broker sent {rows.tolist()[:8]} rows of scores, the lines have {list(steps)[:8]}")
    return facts_of(payload[4:start]), _cut(payload[data:], rows, classes, np.int8)


def facts_of(payload: memoryview) -> dict[str, Any]:
    """The JSON object of a payload.

    Raises:
        DeviceFault: it is none.
    """
    try:
        facts = json.loads(bytes(payload))
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        raise DeviceFault("the broker's socket: a JSON object was expected")
    return facts


def _cut(data: memoryview, rows: np.ndarray[Any, Any], width: int, kind: type[np.generic]) -> list[Any]:
    ends = np.cumsum(rows.astype(np.int64)) * width
    if len(data) != (int(ends[-1]) if len(ends) else 0):
        raise DeviceFault(
            f"the message holds {len(data)} bytes of codes, its lines {int(ends[-1]) if len(ends) else 0}"
        )
    whole = np.frombuffer(data, kind)
    return [part.reshape(-1, width) for part in np.split(whole, ends[:-1])] if len(ends) else []
