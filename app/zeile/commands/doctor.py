# SPDX-License-Identifier: Apache-2.0
"""``zeile doctor``: what an engine needs, whether it is here, and the remedy where it is not. Changes nothing."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from zeile.device import open_device
from zeile.errors import DeviceBusy, DeviceError, OverlayMissing, ZeileError
from zeile.hw.csim import COMPILERS
from zeile.hw.design import hw_source
from zeile.hw.fit import board_name, check_machine
from zeile.hw.link import buffer_words
from zeile.hw.lock import LOCK, Ownership
from zeile.hw.overlay import Overlay, find_overlay
from zeile.hw.verilate import find_verilator
from zeile.manifest import Model, find_model, load_model
from zeile.settings import Settings

IOPLL_MHZ = 1499.985
"""Of the ZCU104 as PYNQ boots it; the logic's clock is a whole fraction."""

MEMINFO = Path("/proc/meminfo")
FPGA_MANAGER = Path("/sys/class/fpga_manager/fpga0/firmware")
FIRMWARE = Path("/lib/firmware")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what.
        ok: whether it is as it must be.
        found: how it is.
        remedy: what to do; empty if nothing.
    """

    name: str
    ok: bool
    found: str
    remedy: str = ""


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the findings; returns 0, or 1 if something is missing."""
    findings = list(examine(settings))
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=1))
    else:
        for finding in findings:
            print(f"{'ok     ' if finding.ok else 'MISSING'} {finding.name}: {finding.found}")
            if finding.remedy:
                print(f"        -> {finding.remedy}")
    return 0 if all(finding.ok for finding in findings) else 1


def examine(settings: Settings) -> Iterator[Finding]:
    """What the engine of the settings needs, in the order in which it would fail."""
    model: Model | None = None
    try:
        model = load_model(find_model(settings.model, settings.models))
        yield Finding("model", True, f"{model.name}/{model.version} in {settings.models}")
    except ZeileError as error:
        yield Finding("model", False, str(error), "name one of `zeile models list`, or set ZEILE_MODELS")
    if settings.engine == "fpga":
        yield from _fpga(settings, model)
    elif settings.engine == "cpu":
        yield _imported("native module", "zeile.native", "build it: `pip install .`, or use --engine reference")
    elif settings.engine == "broker" and model is not None:
        yield _broker(settings, model)


def _broker(settings: Settings, model: Model) -> Finding:
    """Whether the broker answers, and has the model."""
    try:
        with open_device("broker", model.network, settings=settings) as device:
            facts = device.info
    except ZeileError as error:
        remedy = "start `zeile broker` with the same ZEILE_BROKER and ZEILE_MODELS, and --user for this user"
        return Finding("broker", False, str(error), remedy)
    return Finding("broker", True, f"at {settings.broker}, its engine is {facts.get('engine')} ({facts.get('path')})")


def _fpga(settings: Settings, model: Model | None) -> Iterator[Finding]:
    emulate = settings.emulate != "0"
    pynq = _imported(
        "pynq",
        "pynq",
        "on a board run the image's Python, /usr/local/share/pynq-venv; elsewhere `pip install 'zeile[board]'` "
        "(Python 3.10 or 3.12; pynq needs setuptools<=80, numpy<2 and, before 4.0, pycparser<3)",
    )
    yield pynq
    overlay = None
    if model is not None:
        try:
            overlay = find_overlay(settings.overlay, settings.overlays, model.network)
            yield Finding("overlay", True, f"{overlay.name} in {settings.overlays}: {overlay.description}")
        except ZeileError as error:
            yield Finding("overlay", False, str(error), "set ZEILE_OVERLAYS and ZEILE_OVERLAY (overlays/README.md)")
    if emulate:
        yield from _emulation(settings.emulate)
    else:
        yield from _board()
    if overlay is not None:
        yield from _fitting(overlay, emulate, pynq)


def _board() -> Iterator[Finding]:
    """What the image and the session bring."""
    name = board_name()
    yield Finding(
        "board", bool(name), name or "unknown", "" if name else "this is no PYNQ image; set ZEILE_EMULATE=1 to emulate"
    )
    root = os.geteuid() == 0
    remedy = "pynq maps /dev/mem and programs the FPGA: use sudo, or the service unit"
    yield Finding("root", root, f"user id {os.geteuid()}", "" if root else remedy)
    xrt = os.environ.get("XILINX_XRT", "")
    remedy = "set XILINX_XRT=/usr, as /etc/profile.d/xrt_setup.sh does; sudo drops it: `sudo -E`, or sudo -i"
    yield Finding("XRT", bool(xrt), f"XILINX_XRT={xrt}" if xrt else "XILINX_XRT is not set", "" if xrt else remedy)
    managed = FPGA_MANAGER.exists()
    remedy = "the kernel has no FPGA manager: boot a PYNQ image"
    yield Finding("FPGA manager", managed, str(FPGA_MANAGER), "" if managed else remedy)
    for folder in (FIRMWARE, Path.cwd()):
        writable = os.access(folder, os.W_OK)
        remedy = "pynq writes there when it loads an overlay: use another working directory, or root"
        yield Finding(
            "folder", writable, f"{folder} {'can' if writable else 'cannot'} be written", "" if writable else remedy
        )
    yield _owner()


def _owner() -> Finding:
    if not LOCK.exists():
        return Finding("owner", True, "the logic is free")
    try:
        Ownership(LOCK).close()
    except DeviceBusy as error:
        return Finding("owner", False, str(error), "stop that process, or read through its HTTP service")
    except DeviceError as error:
        return Finding("owner", False, str(error), "use sudo")
    return Finding("owner", True, "the logic is free")


def _emulation(kind: str) -> Iterator[Finding]:
    if kind == "reference":
        return
    found = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if kind == "rtl":
        yield _checked("Verilator", find_verilator, "of this Python, or on PATH")
    remedy = "apt install clang-19 (or g++, far slower); or ZEILE_EMULATE=reference, which needs none"
    yield Finding("compiler", found is not None, found or f"none of {', '.join(COMPILERS)}", "" if found else remedy)
    source = hw_source() / ("rtl" if kind == "rtl" else "hls")
    remedy = "run from a checkout, or set ZEILE_HW to its hw_src"
    yield Finding("hardware sources", source.is_dir(), str(source), "" if source.is_dir() else remedy)


def _fitting(overlay: Overlay, emulate: bool, pynq: Finding) -> Iterator[Finding]:
    """Whether the overlay fits what is here."""
    if pynq.ok:
        version = pynq.found.rpartition(" ")[2]
        yield _checked("image", lambda: check_machine(overlay, version), f"PYNQ {version}")
    divisor = round(IOPLL_MHZ / overlay.clock_mhz)
    exact = abs(IOPLL_MHZ / divisor - overlay.clock_mhz) < 0.001 * overlay.clock_mhz
    clock = f"{overlay.clock_mhz} MHz{'' if exact else f' is no {IOPLL_MHZ} MHz / n'}"
    remedy = f"pynq would take the nearest, perhaps a faster one; build the design for {IOPLL_MHZ / divisor:.4f}"
    yield Finding("clock", exact, clock, "" if exact else remedy)
    if not emulate:
        yield _checked("bitstream", overlay.bitstream, f"{overlay.path('bit')}, its .hwh and part as in the manifest")
        yield _memory(8 * 2 * sum(buffer_words(overlay.design)))


def _memory(needed: int) -> Finding:
    """Contiguous memory for the buffers."""
    try:
        lines = MEMINFO.read_text("ascii", "replace").splitlines()
    except OSError:
        lines = []
    free = next((int(line.split()[1]) << 10 for line in lines if line.startswith("CmaFree:")), None)
    if free is None:
        return Finding("memory", False, "the kernel has no CMA memory", "boot a PYNQ image; its kernel reserves 512 MB")
    ok = free >= needed
    remedy = "" if ok else "restart what holds buffers (notebooks), or boot with a larger cma="
    return Finding("memory", ok, f"{free >> 20} MiB of CMA memory free, {needed / 2**20:.1f} needed", remedy)


def _imported(name: str, module: str, remedy: str) -> Finding:
    try:
        found = import_module(module)
    except ImportError as error:
        return Finding(name, False, f"cannot be imported: {error}", remedy)
    return Finding(name, True, f"{module} {getattr(found, '__version__', '')}".rstrip())


def _checked(name: str, check: Callable[[], object], found: str) -> Finding:
    try:
        check()
    except OverlayMissing as error:
        return Finding(name, False, "not there", str(error))
    except ZeileError as error:
        what, _, remedy = str(error).rpartition("; ")
        return Finding(name, False, what or remedy, remedy if what else "")
    return Finding(name, True, found)
