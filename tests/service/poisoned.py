# SPDX-License-Identifier: Apache-2.0
"""A process that reads, and that some images end, as a decoder with an error in it would: for test_crew_apart.py."""

from __future__ import annotations

import os

from zeile.image import Limits
from zeile.service import crew, crew_child
from zeile.service.batch import Piece, begin

POISON = b"poison"
"""An image that begins so ends the process."""


def _poisoned(piece: Piece, limits: Limits) -> None:
    if isinstance(piece.image, bytes) and piece.image.startswith(POISON):
        os._exit(9)
    begin(piece, limits)


if __name__ == "__main__":
    vars(crew)["begin"] = _poisoned
    crew_child.main()
