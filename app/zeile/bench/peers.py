# SPDX-License-Identifier: Apache-2.0
"""Which peers were asked for, and which of them can run here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zeile.bench.line_peers import LinePeer, Rapid, Tesseract, Tesserocr
from zeile.bench.network_peers import NetworkPeer, TorchPeer, onnx_peers
from zeile.errors import BadSettings
from zeile.network import Network

PEERS = ("tesseract", "onnx", "rapidocr", "torch")
"""Families of peers; "tesseract" is the command and the library."""

_PROGRAMS: dict[str, dict[str, Callable[[Sequence[str]], LinePeer]]] = {
    "tesseract": {"tesserocr": Tesserocr, "tesseract command": Tesseract},
    "rapidocr": {"rapidocr": Rapid},
}


@dataclass
class Peers:
    """Peers that can run.

    Attributes:
        networks: engines with the same network.
        programs: other programs that read a line.
        not_run: name of a peer to why it does not run.
    """

    networks: list[NetworkPeer] = field(default_factory=list)
    programs: list[LinePeer] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)

    def close(self) -> None:
        """Release what the programs hold."""
        for program in self.programs:
            program.close()


def chosen(text: str) -> tuple[str, ...]:
    """Families named in ``--peers``: "all", "none" or names with commas.

    Raises:
        BadSettings: a name is unknown.
    """
    if text in ("all", "none"):
        return PEERS if text == "all" else ()
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := sorted(set(names) - set(PEERS)):
        raise BadSettings(f"peers {unknown} are unknown; known are {', '.join(PEERS)}, all and none")
    return names


def find_peers(names: Sequence[str], network: Network, texts: Sequence[str], folder: Path) -> Peers:
    """Start the peers of the named families.

    Args:
        names: of ``PEERS``.
        network: for engines that run the same one.
        texts: ground truth, by which Tesseract's language data are picked.
        folder: for exported graphs; must outlive the peers.
    """
    peers = Peers()
    for family in names:
        try:
            if family == "onnx":
                peers.networks += onnx_peers(network, folder)
            elif family == "torch":
                peers.networks.append(TorchPeer(network))
        except ImportError as error:
            peers.not_run[family] = _reason(error)
        for name, start in _PROGRAMS.get(family, {}).items():
            try:
                peers.programs.append(start(texts))
            except ImportError as error:
                peers.not_run[name] = _reason(error)
    return peers


def _reason(error: ImportError) -> str:
    return f"{error.name} is not installed" if isinstance(error, ModuleNotFoundError) else str(error)
