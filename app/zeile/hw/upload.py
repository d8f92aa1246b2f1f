# SPDX-License-Identifier: Apache-2.0
"""A model goes to the core: loaded, read back, compared, and only then declared valid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np

from zeile.errors import DeviceFault
from zeile.hw import packets
from zeile.hw.design import Design
from zeile.hw.layout import Load, model_words
from zeile.hw.link import Link
from zeile.hw.packets import Status
from zeile.network import Network, layer_to_json

_IN_FLIGHT = 2  # one on its way while the core answers the other


def model_id(network: Network) -> int:
    """64 bits, not 0, that name a network with its tensors: of their SHA-256."""
    digest = hashlib.sha256(json.dumps([layer_to_json(layer) for layer in network.layers]).encode())
    for name in sorted(network.tensors):
        digest.update(f"{name} {network.tensors[name].shape}".encode())
        digest.update(np.ascontiguousarray(network.tensors[name]).data)
    return int.from_bytes(digest.digest()[:8], "little") or 1


class Upload:
    """What is loaded for a model, laid out once.

    Args:
        design: of the core.
        network: of the model.

    Attributes:
        id: ``model_id`` of the network.

    Raises:
        OverlayMismatch: the model does not fit the design.
    """

    def __init__(self, design: Design, network: Network) -> None:
        self.id = model_id(network)
        self._classes = network.classes
        self._loads = model_words(design, network)

    def write(self, link: Link) -> None:
        """Load, read back, compare, commit; ends with the core saying that it holds this model.

        Raises:
            DeviceFault: what was read back differs, or the way to the core fails.
            DeviceTimeout: the core does not answer.
        """
        pieces = list(self._pieces(link.room))
        loads = (packets.load(link.tag(), *piece) for piece in pieces)
        for _ in link.exchange(loads, _IN_FLIGHT):
            pass  # an answer that is none is an error
        reads = (packets.read(link.tag(), target, address, len(words)) for target, address, words in pieces)
        for (target, address, words), answer in zip(pieces, link.exchange(reads, _IN_FLIGHT), strict=True):
            if not np.array_equal(answer.payload, words):
                raise DeviceFault(
                    f"the weights of layer {target} at 0x{address:08x} read back differ from those that were loaded; "
                    "the overlay, its clock or its memory is faulty"
                )
        link.ask(packets.commit(link.tag(), self._classes, self.id))
        status = status_of(link)
        if not status.model_valid or status.model_id != self.id:
            raise DeviceFault(f"the core says it holds model {status.model_id:016x}, {self.id:016x} was loaded")

    def _pieces(self, room: int) -> Iterator[Load]:
        """The loads, none longer than a buffer."""
        for target, address, words in self._loads:
            for first in range(0, len(words), room):
                yield target, address + first, words[first : first + room]


def status_of(link: Link) -> Status:
    """Ask the core for its Status."""
    return packets.parse_status(link.ask(packets.status(link.tag())))
