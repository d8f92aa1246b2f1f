# SPDX-License-Identifier: Apache-2.0
"""The programmable logic of a board as a device, through pynq: the same file on a ZCU104 and on the emulated board.

    overlay's files -> board, image -> pynq.Overlay -> clock -> DMA -> status of the core -> weights -> lines

Each step checks what the next relies on, and says what is wrong before anything can hang. A fault while lines are
read (a DMA error, a damaged answer, silence) costs one retry, after the DMA was reset and everything loaded again;
what fails twice is the caller's to see.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import pynq
from pynq.pl_server.global_state import clear_global_state

from zeile.device import Frames, Scores, checked
from zeile.errors import DeviceError, DeviceFault, DeviceTimeout, LineTooWide, OverlayMismatch
from zeile.hw import packets
from zeile.hw.fit import DMA, check_core, check_logic, check_machine
from zeile.hw.link import Link, buffer_words, reset_dma
from zeile.hw.lock import Ownership
from zeile.hw.overlay import Overlay
from zeile.hw.upload import Upload, status_of
from zeile.network import Network

log = logging.getLogger(__name__)

PATIENCE_S = 2.0
"""The core moves a word within microseconds; the longest line takes it some ten milliseconds."""

EMULATED_PATIENCE_S = 60.0


class Fpga:
    """A network on the programmable logic.

    Devices of one process share it: whichever reads next has its weights, or its overlay, loaded first. A second
    process is refused.

    Args:
        network: checked layers and tensors.
        overlay: whose design the network fits.
        emulate: whether the board is the emulated one.
        patience_s: how long nothing may move before the core counts as hanging; default PATIENCE_S.

    Raises:
        OverlayMissing: the overlay has no bitstream.
        OverlayMismatch: overlay, board, image, clock and network do not belong together.
        DeviceBusy: another process owns the logic.
        DeviceError: pynq cannot load it, or the core does not answer, also after a retry.
    """

    def __init__(
        self, network: Network, overlay: Overlay, *, emulate: bool = False, patience_s: float | None = None
    ) -> None:
        self.network, self._overlay, self._emulate = network, overlay, emulate
        self._patience_s = patience_s or (EMULATED_PATIENCE_S if emulate else PATIENCE_S)
        self._upload = Upload(overlay.design, network)
        self._in_flight = 2 * max(fold.slots for fold in overlay.design.folds if fold)  # as many again come or go
        self._retries = 0
        self._board: _Board | None = _Board.shared(emulate)
        try:
            self._twice(lambda link: None)
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> dict[str, Any]:
        """Engine, overlay and what the board runs it at; ``retries`` counts faults that a second try mended."""
        design = self._overlay.design
        return {
            "engine": "fpga",
            "path": self._overlay.name + (", emulated" if self._emulate else ""),
            "threads": 1,
            "design_id": f"{design.design_id:016x}",
            "clock_mhz": round(self._board.clock_mhz, 3) if self._board else None,
            "pynq": pynq.__version__,
            "retries": self._retries,
            "overlay": overlay_facts(self._overlay, emulate=self._emulate),
        }

    @property
    def rails(self) -> Callable[[], Mapping[str, float]] | None:
        """Reads the board's power rails in watts, for ``zeile.hw.power.Sampler``; None where there are none."""
        found = {name: rail for name, rail in pynq.get_rails().items() if rail.power or (rail.voltage and rail.current)}

        def read() -> dict[str, float]:
            return {
                name: float(rail.power.value if rail.power else rail.voltage.value * rail.current.value)
                for name, rail in found.items()
            }

        return read if found else None

    def run(self, frames: Frames) -> Scores:
        """Scores of one line, see ``run_batch``."""
        return self.run_batch([frames])[0]

    def run_batch(self, lines: Sequence[Frames]) -> list[Scores]:
        """Scores of several lines, twice as many in flight as the core has slots.

        Args:
            lines: each (T, F) uint8 pixel codes.

        Returns:
            For each (S, K) int8.

        Raises:
            LineTooWide: a line has more columns than the overlay was built for; nothing was sent.
            DeviceError: frames do not fit the network, the board failed twice, or the device is closed.
        """
        for frames in lines:
            self._check_width(checked(frames, self.network))
        results: dict[int, Scores] = {}

        def read(link: Link) -> None:
            missing = [index for index in range(len(lines)) if index not in results]  # all, or those of a first try
            questions = (packets.infer(link.tag(), lines[index], self.network.pixel_bits) for index in missing)
            for index, answer in zip(missing, link.exchange(questions, self._in_flight), strict=True):
                steps = self.network.steps(len(lines[index]) * self.network.columns_per_frame)
                if (answer.count, answer.classes) != (steps, self.network.classes):
                    raise DeviceFault(
                        f"the core sent {answer.count} steps of {answer.classes} classes, "
                        f"the line has {steps} of {self.network.classes}"
                    )
                results[index] = packets.scores(answer).copy()  # out of the DMA's buffer

        self._twice(read)
        return [results[index] for index in range(len(lines))]

    def status(self) -> packets.Status:
        """The core's account of itself: cycles, lines, stalls, errors; once it has shown that it is the overlay's."""
        found: list[packets.Status] = []
        self._twice(lambda link: found.append(status_of(link)))
        check_core(found[-1], self._overlay)
        return found[-1]

    def close(self) -> None:
        """Let go of the board; the last device of the process frees it."""
        if self._board is not None:
            self._board.release()
            self._board = None

    def __enter__(self) -> Fpga:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _twice(self, work: Callable[[Link], None]) -> None:
        """Work with the board that holds this network; after a fault once more, with everything loaded again."""
        board = self._board
        if board is None:
            raise DeviceError("engine 'fpga': closed")
        with board.lock:
            try:
                work(board.holding(self._overlay, self._upload, self._patience_s))
            except (DeviceFault, DeviceTimeout) as error:
                log.warning("overlay %s: %s; loading it again", self._overlay.name, error)
                board.forget()
                self._retries += 1
            except BaseException:  # an interrupt leaves answers under way, and what does not belong here must go
                board.forget()
                raise
            else:
                return
            try:
                work(board.holding(self._overlay, self._upload, self._patience_s))
            except BaseException:
                board.forget()
                raise

    def _check_width(self, frames: Frames) -> None:
        columns = len(frames) * self.network.columns_per_frame
        most = self._overlay.design.max_frames * self.network.columns_per_frame
        if columns > most:
            raise LineTooWide(
                f"the line is {columns} columns long at the model's height, overlay {self._overlay.name!r} takes "
                f"{most}; cut it into lines of text, or use the engine 'cpu'"
            )


class _Board:
    """The logic of this machine, with what it holds: an overlay and a model, or nothing.

    Attributes:
        lock: of all who use it.
        clock_mhz: of the core.
    """

    _only: _Board | None = None
    _guard = threading.Lock()

    def __init__(self, emulate: bool) -> None:
        self._emulate, self._users = emulate, 0
        self._owner = None if emulate else Ownership()
        self._loop = asyncio.new_event_loop()
        self._overlay: Overlay | None = None
        self._model = 0
        self._link: Link | None = None
        self._registers: Any = None
        self.lock = threading.RLock()
        self.clock_mhz = 0.0

    @classmethod
    def shared(cls, emulate: bool) -> _Board:
        """The board of this process, for one user more."""
        with cls._guard:
            if cls._only is None:
                cls._only = cls(emulate)
            if cls._only._emulate != emulate:
                raise DeviceError("this process has the other kind of board open, real or emulated; close that first")
            cls._only._users += 1
            return cls._only

    def release(self) -> None:
        """One user less; without any, the logic is free for other processes."""
        with self._guard, self.lock:
            self._users -= 1
            if self._users == 0:
                self._in_loop(self.forget)
                self._loop.close()
                if self._owner is not None:
                    self._owner.close()
                _Board._only = None

    def holding(self, overlay: Overlay, upload: Upload, patience_s: float) -> Link:
        """A link to the core, once it is this overlay's and holds this model."""
        if self._link is None or self._overlay is not overlay:
            self.forget()
            self._in_loop(lambda: self._program(overlay, patience_s))
            self._overlay = overlay
        assert self._link is not None
        if self._model != upload.id:
            self._model = 0
            upload.write(self._link)
            self._model = upload.id
        return self._link

    def forget(self) -> None:
        """Stop the DMA and free its buffers: nothing is known of the logic any more."""
        if self._registers is not None:
            try:
                reset_dma(self._registers)  # before its buffers become someone else's memory
            except DeviceFault as error:
                log.warning("%s", error)
        self._overlay = self._link = self._registers = None
        self._model = 0

    def _program(self, overlay: Overlay, patience_s: float) -> None:
        if self._emulate:
            from zeile.device import emulated  # here, so that a real board never sees it

            bit = emulated.overlay(overlay.design)
        else:
            bit = overlay.bitstream()
        check_machine(overlay, str(pynq.__version__))
        try:
            clear_global_state()  # else pynq serves a changed .hwh from its cache (Xilinx/PYNQ#1409)
            logic = pynq.Overlay(str(bit))
            self.clock_mhz = float(pynq.Clocks.fclk0_mhz)
            found = check_logic(overlay, logic.ip_dict, self.clock_mhz)
            self._registers = pynq.MMIO(found["phys_addr"], found["addr_range"])
            reset_dma(self._registers)  # pynq's DMA spins until it runs
            self._link = _link(getattr(logic, DMA), self._registers, overlay, patience_s)
        except DeviceError:
            raise
        except Exception as error:  # pynq raises what it likes; none of it says what to do
            raise DeviceError(
                f"overlay {overlay.name!r} cannot be loaded: {type(error).__name__}: {error}; "
                "`zeile doctor` says what is missing"
            ) from error
        check_core(status_of(self._link), overlay)

    def _in_loop(self, work: Callable[[], None]) -> None:
        """Work in an event loop: pynq asks for the thread's, which threads other than the main one do not have."""

        async def call() -> None:
            work()

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._loop.run_until_complete(call())
        else:
            work()


def overlay_facts(overlay: Overlay, *, emulate: bool) -> dict[str, Any]:
    """What an answer's provenance says of an overlay; an emulated board makes no use of a bitstream."""
    roles = ("emulated_hwh",) if emulate else ("bit", "hwh")
    return {
        "name": overlay.name,
        "design_id": f"{overlay.design.design_id:016x}",
        "emulated": emulate,
        "files": {role: overlay.files[role][0] for role in roles if role in overlay.files},
    }


def _link(dma: Any, registers: Any, overlay: Overlay, patience_s: float) -> Link:
    """Buffers for the longest line, and the channels that move them; allocated once an overlay."""
    out, into = buffer_words(overlay.design)
    if 8 * max(out, into) > dma.buffer_max_size:
        raise OverlayMismatch(
            f"overlay {overlay.name!r}: the DMA moves {dma.buffer_max_size} bytes, too few for a line"
        )
    buffers = [pynq.allocate(shape=(words,), dtype=np.uint64) for words in (out, out, into, into)]
    return Link(registers, dma.sendchannel, dma.recvchannel, buffers[:2], buffers[2:], patience_s)
