# SPDX-License-Identifier: Apache-2.0
"""Images are decoded and prepared in processes of their own once there is much to do.

Python runs one thread at a time, and decoding takes its lock and gives it up so often that two threads read little more
than one does, while the event loop waits for both. A process that does nothing else has a lock of its own, and if a
file makes its decoder crash, only that process ends, and only that file is not read.

Messages are pickled, behind their length: both ends are the same program.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
from typing import NamedTuple

from zeile.errors import BadImage, ZeileError, bare
from zeile.image import Limits
from zeile.service import memory
from zeile.service.preparation import Preparation, preparation

log = logging.getLogger(__name__)

ANSWER_S = 120.0
"""Seconds after which a process that has not answered is taken for hanging."""

START_S = 60.0
"""Likewise of one that has been started again."""

TRIES = 2
"""Processes that an image may end before it is called bad: the first may have been ended by something else."""

_LENGTH = struct.Struct("<Q")
_READY = b"\n"


class Shape(NamedTuple):
    """Of a network's input, see ``network.Network``."""

    height_px: int
    columns_per_frame: int
    pixel_bits: int


class Gone(Exception):
    """The process has ended, or hangs."""


class Preparer:
    """A process that prepares images for one thread, one at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._is_ready = False

    def start(self) -> None:
        """Start the process; it is ready some time later."""
        ours, its = socket.socketpair()
        with its:
            # The same packages from the same places, whatever lies in the folder that the service was started in.
            places = os.pathsep.join(os.path.abspath(path) for path in sys.path)
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(its.fileno())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                cwd="/",
                env=os.environ | {"PYTHONPATH": places},
            )
        self._socket, self._is_ready = ours, False

    @property
    def started(self) -> bool:
        """Whether there is a process."""
        return self._socket is not None

    def ready(self) -> bool:
        """Whether it can be given an image; never waits."""
        if self._socket is not None and not self._is_ready:
            self._socket.setblocking(False)
            try:
                self._is_ready = self._socket.recv(1) == _READY
                if not self._is_ready:  # it has ended
                    self.close()
            except BlockingIOError:
                pass
        return self._is_ready

    def prepare(self, image: bytes, limits: Limits, shape: Shape) -> Preparation:
        """Prepare an image; the process must be ready.

        Returns:
            As ``preparation.preparation``; with an error of ours if the image makes its decoder crash or hang.
        """
        message = pickle.dumps((image, limits, shape), pickle.HIGHEST_PROTOCOL)
        why = ""
        for _ in range(TRIES):
            try:
                self._send(message)
                answer: Preparation = pickle.loads(self._received(ANSWER_S))
                return answer
            except Gone as error:
                why = str(error)
                log.warning("a process that decodes images %s, and is started again", why)
                self._start_again()
        return Preparation(None, "", "", (0, 0), 0.0, 0.0, BadImage(f"the image's decoder {why}; save it anew"))

    def close(self) -> None:
        """End the process."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            try:
                self._process.wait(1)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._is_ready = False

    def _start_again(self) -> None:
        self.close()
        self.start()
        assert self._socket is not None
        self._socket.settimeout(START_S)
        with contextlib.suppress(OSError):
            self._is_ready = self._socket.recv(1) == _READY

    def _send(self, message: bytes) -> None:
        if self._socket is None:
            raise Gone("does not start")
        self._socket.settimeout(ANSWER_S)
        try:
            _send(self._socket, message)
        except OSError:
            raise Gone(self._fate()) from None

    def _received(self, seconds: float) -> bytes:
        assert self._socket is not None
        self._socket.settimeout(seconds)
        try:
            message = _received(self._socket)
        except TimeoutError:
            raise Gone(f"has not answered within {seconds:g} s") from None
        except OSError:
            message = None
        if message is None:
            raise Gone(self._fate())
        return message

    def _fate(self) -> str:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        code = self._process.returncode
        return f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"


def _send(to: socket.socket, message: bytes) -> None:
    to.sendall(_LENGTH.pack(len(message)) + message)


def _received(by: socket.socket) -> bytes | None:
    """A message; None at the end."""
    head = _exactly(by, _LENGTH.size)
    return None if head is None else _exactly(by, _LENGTH.unpack(head)[0])


def _exactly(by: socket.socket, size: int) -> bytes | None:
    data = by.recv(size, socket.MSG_WAITALL)
    if len(data) < size:  # a timeout makes the socket one that does not wait for all
        parts = bytearray(data)
        while len(parts) < size:
            if not (piece := by.recv(size - len(parts))):
                return None
            parts += piece
        data = bytes(parts)
    return data


def _answered(message: bytes) -> Preparation:
    image, limits, shape = pickle.loads(message)
    found = preparation(image, limits, shape)
    if found.error is not None:
        known = isinstance(found.error, ZeileError | MemoryError)
        error = bare(found.error) if known else RuntimeError(f"{type(found.error).__name__}: {found.error}")
        found = Preparation(None, found.digest, "", found.size, found.decode_s, found.prepare_s, error)
    return found


def main(descriptor: int) -> None:
    """Answer until nobody asks any more; whoever stops the service stops this by closing its end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    memory.give_back()
    with socket.socket(fileno=descriptor) as asked:
        asked.sendall(_READY)
        while (message := _received(asked)) is not None:
            _send(asked, pickle.dumps(_answered(message), pickle.HIGHEST_PROTOCOL))


if __name__ == "__main__":
    main(int(sys.argv[1]))
