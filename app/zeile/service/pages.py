# SPDX-License-Identifier: Apache-2.0
"""Whole pages on their way to lines: decoded, their regions found, cut.

A page takes a hundred times the memory of a line, so that few are held at a time, however many are asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from starlette.concurrency import run_in_threadpool

from zeile.errors import BadDocument
from zeile.formats import DocumentLimits, Page, ReadLine, Region, cut_lines, read_regions, segment
from zeile.service.batch import Answer, Grey
from zeile.service.images import CHUNK_LINES, Chunk
from zeile.service.problems import Expired
from zeile.service.ticket import Ticket
from zeile.service.worker import Worker
from zeile.settings import Settings

AT_A_TIME = 2
"""Pages that are held decoded."""

LIMITS = DocumentLimits(bytes=16 << 20, elements=200_000)
"""On a document of regions; one of a newspaper's page with all its characters stays below them."""


@dataclass(frozen=True)
class Laid:
    """A decoded page and where its lines stand.

    Attributes:
        file: its name, as the client calls it.
        sha256: of the image file.
        grey: its pixels.
        kind: of the document that the regions came from: alto, page or json; None if they were searched for.
        regions: in the document's order.
    """

    file: str
    sha256: str
    grey: Grey
    kind: str | None
    regions: Sequence[Region]

    async def chunks(self) -> AsyncIterator[Chunk]:
        """The lines cut out, a few at a time; one empty chunk if there are none."""
        for first in range(0, max(1, len(self.regions)), CHUNK_LINES):
            some = self.regions[first : first + CHUNK_LINES]
            yield Chunk([region.id for region in some], await run_in_threadpool(list, cut_lines(self.grey, some)))

    def page(self, answer: Answer) -> Page:
        """The page with what all its lines say."""
        height, width = self.grey.shape
        lines = tuple(ReadLine(*each) for each in zip(self.regions, answer.lines, strict=True))
        return Page(file=self.file, width=width, height=height, lines=lines, sha256=self.sha256)


class Pages:
    """Those that are worked on.

    Args:
        settings: of the service: limits on images.
        worker: decodes.
    """

    def __init__(self, settings: Settings, worker: Worker) -> None:
        limits = settings.image_limits()
        side = max(limits.width, limits.height)
        self._limits = replace(limits, width=side, height=side)  # the others hold for lines, which are long and low
        self._worker = worker
        self._free = asyncio.Semaphore(AT_A_TIME)

    @asynccontextmanager
    async def laid(self, file: str, image: bytes, document: bytes | None, ticket: Ticket) -> AsyncIterator[Laid]:
        """Decode a page when its turn comes, and find its lines.

        Args:
            file: its name.
            image: the file.
            document: of its regions; None searches for them.
            ticket: of the request.

        Raises:
            BadImage: it cannot be decoded.
            BadDocument: the document cannot be used, or is not of this image.
            Expired: its turn did not come in time.
        """
        try:
            await asyncio.wait_for(self._free.acquire(), ticket.left_s)
        except asyncio.TimeoutError:
            raise Expired(
                f"the deadline passed before the page's turn came, {AT_A_TIME} are read at a time; "
                "ask again later, or with a later deadline"
            ) from None
        try:
            grey = await self._worker.decode(image, self._limits)
            sha256 = await run_in_threadpool(lambda: hashlib.sha256(image).hexdigest())
            kind, regions = await run_in_threadpool(_regions, grey, document)
            yield Laid(file, sha256, grey, kind, regions)
        finally:
            self._free.release()


def _regions(grey: Grey, document: bytes | None) -> tuple[str | None, list[Region]]:
    if document is None:
        return None, segment(grey)
    if not document:
        raise BadDocument("the document of regions is empty (0 bytes); send ALTO, PAGE or JSON")
    return read_regions(document, (grey.shape[1], grey.shape[0]), LIMITS)
