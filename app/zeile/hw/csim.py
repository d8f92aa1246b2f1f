# SPDX-License-Identifier: Apache-2.0
"""C simulation: the HLS sources of a design, compiled into a shared library and driven by packets.

The library holds the units that Vitis HLS synthesises, between FIFOs of the synthesised depth (hw_src/hls/sim).
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from zeile.errors import DeviceError, DeviceFault
from zeile.hw import packets
from zeile.hw.config import write_headers
from zeile.hw.design import Design
from zeile.hw.layout import model_words
from zeile.hw.packets import Words
from zeile.network import Network

COMPILERS = ("clang++-19", "clang++", "g++")
"""Compilers in the order of preference: clang's _BitInt makes the quickest simulation."""
MODES = ("lockstep", "threads", "shuffled")
"""Ways of running the units."""
VENDOR_TYPES = "ZEILE_AP_TYPES"
"""Environment variable: folder of the vendor's ap_int.h, for ``headers="vendor"``."""

_FLAGS = ("-std=c++14", "-fPIC", "-shared", "-pthread", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Wno-unused-label")
_FAST = ("-O3", "-march=native")
_SANITIZED = ("-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all")
_VENDOR = ("-Wno-uninitialized", "-Wno-maybe-uninitialized")  # inlined from the vendor's headers
_ROOM = 4096


def build(
    design: Design,
    hw_src: Path,
    cache: Path | None = None,
    compiler: str = "auto",
    headers: str = "fast",
    sanitize: str = "",
    flags: Sequence[str] = (),
) -> Path:
    """The shared library of a design's core; compiled where the cache has none of these sources and this compiler.

    Args:
        design: is generated into config.h and chain.h.
        hw_src: folder of the hardware sources.
        cache: where libraries are kept; default $XDG_CACHE_HOME/zeile/csim, or ~/.cache/zeile/csim.
        compiler: ``auto`` takes the first of COMPILERS that is there.
        headers: ``fast``, our own ap_int.h, or ``vendor``, that of the folder named by ZEILE_AP_TYPES.
        sanitize: of ``-fsanitize=``, as ``address,undefined`` or ``thread``.
        flags: more flags for the compiler.

    Raises:
        DeviceError: no compiler, no vendor's headers, or the sources do not compile.
    """
    found = _compiler(compiler)
    hls = hw_src / "hls"
    if not (hls / "sim" / "core.cpp").is_file():
        raise DeviceError(f"{hls} holds no HLS sources; set ZEILE_HW to the folder hw_src of a checkout")
    command = [found, *_FLAGS, *(_SANITIZED if sanitize else _FAST), *flags]
    if sanitize:
        command.append(f"-fsanitize={sanitize}")
        if headers == "vendor":
            command.append("-fno-sanitize=shift")  # it shifts negative values to the left, on purpose
    command += [f"-I{hls}", *_include(headers, hls)]
    cache = _default_cache() if cache is None else cache
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        generated = Path(temporary)
        write_headers(design, generated)
        library = cache / f"{design.name}-{_key(command, generated, hls)}.so"
        if not library.is_file():
            made = generated / "core.so"
            _compile([*command, f"-I{generated}", str(hls / "sim" / "core.cpp"), "-o", str(made)])
            made.replace(library)
    return library


def _compiler(wanted: str) -> str:
    names = COMPILERS if wanted == "auto" else (wanted,)
    for name in names:
        if path := shutil.which(name):
            return path
    raise DeviceError(f"no C++ compiler for the simulated core: {', '.join(names)} not found; install g++ or clang")


def _include(headers: str, hls: Path) -> list[str]:
    if headers == "fast":
        return [f"-I{hls / 'sim'}"]
    if headers != "vendor":
        raise DeviceError(f"headers is {headers!r}; it must be fast or vendor")
    folder = os.environ.get(VENDOR_TYPES, "")
    if not Path(folder, "ap_int.h").is_file():
        raise DeviceError(f"{VENDOR_TYPES} is {folder!r}, where no ap_int.h is; unpack that of the hls4ml wheel there")
    return [*_VENDOR, "-isystem", folder, "-isystem", str(hls / "sim")]  # in this order: sim has an ap_int.h too


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zeile" / "csim"


def _key(command: Sequence[str], generated: Path, hls: Path) -> str:
    """Names the library by all that went into it; the CPU too, for it is compiled for this one."""
    digest = hashlib.sha256(repr(command).encode())
    digest.update(subprocess.run([command[0], "--version"], capture_output=True, check=True).stdout)
    digest.update(platform.machine().encode())
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text("utf-8").splitlines() if cpu.is_file() else []
    digest.update("".join(sorted({line for line in lines if line.startswith(("flags", "Features"))})).encode())
    for path in sorted([*generated.iterdir(), *hls.glob("*.h"), *(hls / "sim").iterdir()]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise DeviceError(f"the simulated core does not compile:\n{' '.join(command)}\n{done.stderr[-4000:]}")


class Core:
    """A core after reset, with an unbounded host on either side.

    Args:
        library: from ``build``.
        seed: of the stalls.
        in_stall: how often in a thousand the input port holds back a word.
        out_stall: how often in a thousand the output port does.
        mode: one of MODES. ``lockstep`` calls every unit once a cycle: the same every time, close to the hardware's
            cycles. ``shuffled`` calls units in random order, ``threads`` gives each a thread: what the FIFOs allow
            must not change a result; cycles mean little.
    """

    def __init__(
        self, library: Path, *, seed: int = 0, in_stall: int = 0, out_stall: int = 0, mode: str = "lockstep"
    ) -> None:
        self._library = _load(library)
        self._core: ctypes.c_void_p | None = ctypes.c_void_p(
            self._library.zeile_core_new(seed, in_stall, out_stall, MODES.index(mode))
        )

    def send(self, words: Words, last: bool = True) -> None:
        """Offer words of a packet, ``last`` with TLAST on the final one; takes them all."""
        words = np.ascontiguousarray(words, np.uint64)
        self._library.zeile_core_send(self._open(), words.ctypes.data, len(words), int(last))

    def run(self, cycles: int = 1 << 40) -> int:
        """Run at most so many cycles, fewer if there is nothing to do or an answer is complete.

        Returns:
            The cycles run.

        Raises:
            DeviceFault: a deadlock: no unit moves, and a whole packet waits for its answer. Says what the FIFOs hold.
        """
        ran = int(self._library.zeile_core_run(self._open(), cycles))
        if ran < 0:
            fifos = [f"{f['name']} {f['fill']} of {f['depth']}" for f in self.report()["fifos"] if f["fill"]]
            raise DeviceFault(f"the simulated core is in a deadlock; FIFOs: {', '.join(fifos) or 'all empty'}")
        return ran

    def receive(self) -> tuple[Words, bool]:
        """The words of the oldest answer that are there, and whether its TLAST is among them."""
        parts, last, taken = [], ctypes.c_int(0), _ROOM
        while taken == _ROOM and not last.value:
            words = np.empty(_ROOM, np.uint64)
            taken = self._library.zeile_core_receive(self._open(), words.ctypes.data, _ROOM, ctypes.byref(last))
            parts.append(words[:taken])
        return np.concatenate(parts), bool(last.value)

    def ask(self, *questions: Words) -> list[Words]:
        """Send whole packets back to back, and return the whole answers to them.

        Raises:
            DeviceFault: a deadlock, or an answer does not end.
        """
        for question in questions:
            self.send(question)
        answers = []
        for _ in questions:
            self.run()
            answer, last = self.receive()
            if not last:
                raise DeviceFault(f"the simulated core's answer has no TLAST after {len(answer)} words")
            answers.append(answer)
        return answers

    def report(self) -> dict[str, Any]:
        """``mode``, ``cycles``, ``deadlock``, ``units`` (steps, busy) and ``fifos`` (depth, high_water, fill)."""
        room = self._library.zeile_core_report(self._open(), None, 0) + 256  # counters may grow by a digit
        text = ctypes.create_string_buffer(room)
        self._library.zeile_core_report(self._open(), text, room)
        report: dict[str, Any] = json.loads(text.value)
        return report

    def close(self) -> None:
        """Release the core; a second time does nothing."""
        if self._core is not None:
            self._library.zeile_core_delete(self._core)
            self._core = None

    def _open(self) -> ctypes.c_void_p:
        if self._core is None:
            raise DeviceError("the simulated core is closed")
        return self._core

    def __enter__(self) -> Core:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _load(path: Path) -> ctypes.CDLL:
    library, words = ctypes.CDLL(str(path)), ctypes.c_void_p
    library.zeile_core_new.argtypes = [ctypes.c_uint64, ctypes.c_int, ctypes.c_int, ctypes.c_int]
    library.zeile_core_new.restype = ctypes.c_void_p
    library.zeile_core_delete.argtypes = [ctypes.c_void_p]
    library.zeile_core_delete.restype = None
    library.zeile_core_send.argtypes = [ctypes.c_void_p, words, ctypes.c_int64, ctypes.c_int]
    library.zeile_core_send.restype = ctypes.c_int64
    library.zeile_core_run.argtypes = [ctypes.c_void_p, ctypes.c_int64]
    library.zeile_core_run.restype = ctypes.c_int64
    library.zeile_core_receive.argtypes = [ctypes.c_void_p, words, ctypes.c_int64, ctypes.POINTER(ctypes.c_int)]
    library.zeile_core_receive.restype = ctypes.c_int64
    library.zeile_core_report.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64]
    return library


class CoreDevice:
    """A simulated core as a device for one network, without a board around it.

    Args:
        core: is loaded with the network, and closed with the device.
        design: of the core.
        network: of the model.

    Raises:
        OverlayMismatch: the network does not fit the design.
        DeviceFault: the core refuses something.
    """

    def __init__(self, core: Core, design: Design, network: Network, model_id: int = 1) -> None:
        self.core, self.design = core, design
        self.info: dict[str, Any] = {"engine": "csim", "path": design.name, "threads": 1}
        self.load(network, model_id)

    def load(self, network: Network, model_id: int = 1) -> None:
        """Switch to another network of the design's shape."""
        self.network = network
        loads = [packets.load(tag, *load) for tag, load in enumerate(model_words(self.design, network))]
        for words in self.core.ask(*loads, packets.commit(len(loads), network.classes, model_id)):
            answer = packets.parse(words)
            if answer.error is not None:
                raise DeviceFault(f"the simulated core refused the model: {answer.sentence}")

    def run(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
        """(S, K) int8 scores of a line's (T, F) frames."""
        return self.run_batch([frames])[0]

    def run_batch(self, lines: Sequence[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.int8]]:
        """Scores of several lines, sent back to back."""
        questions = [packets.infer(tag, frames, self.design.pixel_bits) for tag, frames in enumerate(lines)]
        return [packets.scores(packets.parse(answer)) for answer in self.core.ask(*questions)]

    def close(self) -> None:
        """Release the core."""
        self.core.close()

    def __enter__(self) -> CoreDevice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
