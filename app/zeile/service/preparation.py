# SPDX-License-Identifier: Apache-2.0
"""From an image to what the engine reads of it; needs nothing else of the service."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zeile.errors import BadImage, bare
from zeile.image import Limits, decode
from zeile.network import Network
from zeile.pipeline import Prepared, prepare

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Preparation:
    """What became of an image.

    Attributes:
        prepared: what the engine reads; None if there is an error.
        digest: SHA-256 of the image, hexadecimal.
        frames: likewise of what the engine reads; empty if there is none.
        size: width and height in pixels; zeros if it could not be decoded.
        decode_s: seconds of decoding.
        prepare_s: of preparing.
        error: why it cannot be read: a ``BadImage`` if that is the image's fault.
    """

    prepared: Prepared | None
    digest: str
    frames: str
    size: tuple[int, int]
    decode_s: float
    prepare_s: float
    error: Exception | None = None


def preparation(image: bytes | Grey, limits: Limits, network: Network, known: str = "") -> Preparation:
    """Decode an image and prepare it; errors are part of the result.

    Args:
        image: encoded, or grey (h, w) uint8.
        limits: on an encoded one.
        network: that it is prepared for.
        known: SHA-256 of the image if somebody has computed it.
    """
    began = decoded = time.perf_counter()
    prepared, frames, size = None, "", (0, 0)
    error: Exception | None = None
    sha256 = known or digest(image)
    try:
        grey = decode(image, limits) if isinstance(image, bytes) else image
        size = (grey.shape[1], grey.shape[0])
        decoded = time.perf_counter()
        prepared = prepare(grey, network)
        frames = digest(prepared.frames)
    except BadImage as caught:
        error = bare(caught)  # with its frames, which hold it, it would keep the picture until garbage is collected
    except Exception as caught:
        error = caught
    return Preparation(prepared, sha256, frames, size, decoded - began, time.perf_counter() - decoded, error)


def digest(image: bytes | Grey) -> str:
    """SHA-256, hexadecimal, of an encoded image's bytes; of an array's shape, a newline, and its bytes."""
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    height, width = image.shape
    sha256 = hashlib.sha256(b"%d %d\n" % (height, width))
    sha256.update(np.ascontiguousarray(image).data)
    return sha256.hexdigest()
