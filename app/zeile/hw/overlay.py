# SPDX-License-Identifier: Apache-2.0
"""Overlay folders: a bitstream with its hardware handoff, and the manifest that pins both.

    overlays/<name>/manifest.json        facts; the design itself; SHA-256 of every file
                    <name>.bit .hwh      of a build; both or neither
                    <name>.emulated.hwh  for the emulated board alone

Nothing here needs pynq: an overlay is checked as far as its files go, before any of it reaches a board.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeile.errors import BadManifest, OverlayMismatch, OverlayMissing
from zeile.hw.design import Design
from zeile.network import Network
from zeile.schema import MANIFEST, NAME, check, parse_json

FORMAT, FORMAT_VERSION = "zeile-overlay", 1
BUILT, UNBUILT = "built", "no bitstream built yet"

MAX_MANIFEST_BYTES = 1 << 20
MAX_FILE_BYTES = 256 << 20

SUFFIXES = {"bit": ".bit", "hwh": ".hwh", "emulated_hwh": ".emulated.hwh"}
_KEYS: dict[str, type] = {
    "format": str,
    "format_version": int,
    "name": str,
    "description": str,
    "state": str,
    "design": dict,
    "design_id": str,
    "abi": int,
    "board": str,
    "part": str,
    "images": list,
    "clock_mhz": float,
    "dma_length_bits": int,
    "vlnv": dict,
    "files": dict,
}
_VLNV_KEYS: dict[str, type] = {"core": str, "dma": str, "interrupts": str}


@dataclass(frozen=True)
class Overlay:
    """An overlay's manifest, checked.

    Attributes:
        name: of the folder and of the design.
        folder: where it was read.
        description: a sentence.
        design: what the core was built from.
        abi: version of its packets.
        images: releases of PYNQ that it is meant for, as ``4.0``; a release's patches count as it.
        clock_mhz: fastest clock that its timing was closed for.
        dma_length_bits: of the DMA's length register.
        dma_vlnv: vendor, library, name and version of the DMA.
        files: role to (sha256, bytes), for the roles bit, hwh and emulated_hwh that are there.
        built: measured facts of the build; None without one.
    """

    name: str
    folder: Path
    description: str
    design: Design
    abi: int
    images: tuple[str, ...]
    clock_mhz: float
    dma_length_bits: int
    dma_vlnv: str
    files: Mapping[str, tuple[str, int]]
    built: Mapping[str, Any] | None

    def path(self, role: str) -> Path:
        """Where the file of a role lies: bit, hwh or emulated_hwh."""
        return self.folder / f"{self.name}{SUFFIXES[role]}"

    def bitstream(self) -> Path:
        """The .bit, after it and its .hwh were compared with the manifest.

        Raises:
            OverlayMissing: nobody has built it, or a file is not there.
            OverlayMismatch: a file is not the one of the manifest, or the bitstream is for another part.
        """
        if self.built is None or not self.path("bit").is_file():
            raise OverlayMissing(self.missing())
        for role in ("bit", "hwh"):
            self._compare(role)
        part = part_of(self.path("bit"))
        if part != self.design.part:
            raise OverlayMismatch(f"{self.path('bit')} is for the part {part}, its manifest says {self.design.part}")
        return self.path("bit")

    def missing(self) -> str:
        """What to say where the bitstream should be."""
        return (
            f"overlay {self.name!r} has no bitstream: {self.path('bit')} is not there. Build it on a computer with "
            f"AMD's Vitis HLS and Vivado: `make -C hw_src pack DESIGN={self.name}` writes {self.name}.bit, "
            f"{self.name}.hwh and manifest.json into overlays/{self.name}/ of the checkout; copy these three into "
            f"{self.folder} "
            "(overlays/README.md). Until then use the engine 'cpu': it reads the same text"
        )

    def _compare(self, role: str) -> None:
        path, (digest, size) = self.path(role), self.files[role]
        try:
            with path.open("rb") as file:
                data = file.read(min(size, MAX_FILE_BYTES) + 1)
        except OSError as error:
            raise OverlayMissing(f"{path}: {error.strerror}; copy it there, it belongs to the bitstream") from None
        if len(data) != size or hashlib.sha256(data).hexdigest() != digest:
            raise OverlayMismatch(
                f"{path} is not the file that {MANIFEST} names (SHA-256 differs); copy all files again"
            )


def part_of(bit: Path) -> str:
    """The part that a .bit file is for, from its header; empty if it has none.

    The header is a field of 9 bytes, then fields a (design), b (part), c, d of a tag and a counted string each.
    """
    with bit.open("rb") as file:
        data = file.read(1024)
    try:
        at = 2 + struct.unpack_from(">H", data)[0] + 2
        while data[at : at + 1] in (b"a", b"b"):
            size = struct.unpack_from(">H", data, at + 1)[0]
            if data[at : at + 1] == b"b":
                return data[at + 3 : at + 3 + size].rstrip(b"\0").decode("ascii", "replace")
            at += 3 + size
    except struct.error:
        pass
    return ""


def load_overlay(folder: Path) -> Overlay:
    """Read the manifest of an overlay's folder; its other files are looked at by ``bitstream``.

    Raises:
        OverlayMissing: there is none.
        BadManifest: it is damaged, foreign or inconsistent.
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise OverlayMissing(
            f"overlay {path}: {error.strerror}; name a folder of overlays with ZEILE_OVERLAYS"
        ) from None
    if len(data) > MAX_MANIFEST_BYTES:
        raise BadManifest(f"{path} has more than {MAX_MANIFEST_BYTES} bytes")
    try:
        return _from_json(parse_json(data, MANIFEST), folder)
    except BadManifest as error:
        raise BadManifest(f"overlay {folder}: {error}") from None


def list_overlays(overlays: Path) -> list[Path]:
    """Folders of all overlays, by name; a missing ``overlays`` has none."""
    return sorted(path.parent for path in overlays.glob(f"*/{MANIFEST}") if NAME.fullmatch(path.parent.name))


def find_overlay(name: str, overlays: Path, network: Network) -> Overlay:
    """The overlay of this name, or any that the model fits.

    Args:
        name: of a folder in ``overlays``; empty for the first that the model fits, a built one before others.
        overlays: folder of overlays.
        network: of the model.

    Raises:
        OverlayMissing: there is none of that name, or none at all.
        OverlayMismatch: the model fits none.
        BadManifest: the one of that name is damaged.
    """
    known = list_overlays(overlays)
    if not known:
        raise OverlayMissing(f"{overlays} holds no overlays; set ZEILE_OVERLAYS to the folder of yours")
    if name:
        if overlays / name not in known:
            raise OverlayMissing(f"overlay {name!r} is not in {overlays}; there: {', '.join(f.name for f in known)}")
        chosen = load_overlay(overlays / name)
        chosen.design.check(network)
        return chosen
    fitting, reasons = [], []
    for folder in known:
        try:
            overlay = load_overlay(folder)
            overlay.design.check(network)
            fitting.append(overlay)
        except (BadManifest, OverlayMismatch) as error:
            reasons.append(str(error))
    if not fitting:
        raise OverlayMismatch(f"the model fits no overlay of {overlays}: " + "; ".join(reasons))
    return min(fitting, key=lambda overlay: overlay.built is None)


def _from_json(entry: Any, folder: Path) -> Overlay:
    if not isinstance(entry, dict) or entry.get("format") != FORMAT:
        raise BadManifest(f'{MANIFEST} does not say "format": "{FORMAT}"; this is no overlay')
    if entry.get("format_version") != FORMAT_VERSION:
        raise BadManifest(f"format_version is {entry.get('format_version')!r}, this Zeile reads {FORMAT_VERSION}")
    if "built" not in entry or not isinstance(entry["built"], dict | None):
        raise BadManifest("built must be an object, or null without a build")
    built = entry["built"]
    check({key: value for key, value in entry.items() if key != "built"}, _KEYS, MANIFEST)
    check(entry["vlnv"], _VLNV_KEYS, "vlnv")
    design = Design.from_json(entry["design"])
    for key, has, needs in (
        ("name", entry["name"], design.name),
        ("name", entry["name"], folder.name),
        ("design_id", entry["design_id"], f"{design.design_id:016x}"),
        ("board", entry["board"], design.board),
        ("part", entry["part"], design.part),
        ("clock_mhz", entry["clock_mhz"], design.clock_mhz),
        ("state", entry["state"], UNBUILT if built is None else BUILT),
    ):
        if has != needs:
            raise BadManifest(f"{key} is {has!r}, but by its design, folder and files it is {needs!r}; pack it again")
    if not all(isinstance(image, str) and image for image in entry["images"]):
        raise BadManifest(f"images is {entry['images']!r}, it must be a list of releases")
    if not 8 <= entry["dma_length_bits"] <= 26:
        raise BadManifest(f"dma_length_bits is {entry['dma_length_bits']}, allowed are 8 to 26")
    return Overlay(
        name=entry["name"],
        folder=folder,
        description=entry["description"],
        design=design,
        abi=entry["abi"],
        images=tuple(entry["images"]),
        clock_mhz=entry["clock_mhz"],
        dma_length_bits=entry["dma_length_bits"],
        dma_vlnv=entry["vlnv"]["dma"],
        files=_files(entry["files"], built is not None),
        built=built,
    )


def _files(entries: Mapping[str, Any], built: bool) -> dict[str, tuple[str, int]]:
    if unknown := sorted(set(entries) - set(SUFFIXES)):
        raise BadManifest(f"files has the unknown roles {unknown}; known are {', '.join(SUFFIXES)}")
    if built != {"bit", "hwh"}.issubset(entries) or built != bool({"bit", "hwh"} & set(entries)):
        raise BadManifest("files must name bit and hwh if, and only if, built is not null; pack it again")
    for role, entry in entries.items():
        check(entry, {"sha256": str, "bytes": int}, f"files {role}")
    return {role: (entry["sha256"], entry["bytes"]) for role, entry in entries.items()}
