# SPDX-License-Identifier: Apache-2.0
"""What the formats write and read: pages, lines on them, and where the texts come from.

An image of one line is a page with one line that covers it (``line_page``). Coordinates are pixels of the image as it
is seen, from the upper left corner; right and bottom lie behind the last pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import NamedTuple

from zeile.ctc import CERTAIN
from zeile.errors import BadSettings, ZeileError
from zeile.manifest import Model
from zeile.pipeline import Line

Point = tuple[int, int]
Answer = Line | ZeileError
"""A line as it was read, or why it could not be."""


class Box(NamedTuple):
    """A rectangle; ``right`` and ``bottom`` are the column and row behind the last ones."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def clipped(self, width: int, height: int) -> Box:
        """The part inside an image; empty (width or height 0) if there is none."""
        left, top = min(max(self.left, 0), width), min(max(self.top, 0), height)
        return Box(left, top, max(left, min(self.right, width)), max(top, min(self.bottom, height)))


@dataclass(frozen=True, slots=True)
class Region:
    """Where a line stands.

    Attributes:
        id: as the document calls it, or ours; empty if it has no name.
        box: rectangle around the line, inside the image; empty if the line lies outside.
        polygon: its outline, pixels that belong to it, inside the image; empty where the box is the outline.
    """

    id: str
    box: Box
    polygon: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A region and what it says; the columns of the line's characters count from ``region.box.left``."""

    region: Region
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An image and its lines.

    Attributes:
        file: as the user called it.
        width: of the image, pixels; 0 if it could not be decoded.
        height: likewise.
        lines: in reading order.
        whole: a page of lines; else the image of one line.
        error: why the image could not be decoded or searched for lines.
        sha256: of the image file, in hexadecimal; None is not said.
    """

    file: str
    width: int = 0
    height: int = 0
    lines: tuple[ReadLine, ...] = ()
    whole: bool = True
    error: ZeileError | None = None
    sha256: str | None = None


def line_page(file: str, size: tuple[int, int], answer: Answer, sha256: str | None = None) -> Page:
    """The page that the image of one line is.

    Args:
        file: its name.
        size: width and height, pixels; (0, 0) if it could not be decoded.
        answer: what it says, or what is wrong with it.
        sha256: of the file.
    """
    width, height = size
    line = ReadLine(Region("", Box(0, 0, width, height)), answer)
    error = answer if isinstance(answer, ZeileError) else None
    return Page(file=file, width=width, height=height, lines=(line,), whole=False, error=error, sha256=sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What made the texts; the hash of the input stands with its ``Page``.

    Attributes:
        model: name and version, ``fraktur/1``.
        model_sha256: of the model's manifest.json, which pins every file of it.
        engine: that computed, ``cpu``.
        software: version of Zeile.
        settings: whatever else decided the text: reading, beam, overlay; names and values.
        time: when it was read, with a time zone; None leaves it out, so that equal inputs give equal documents.

    Raises:
        BadSettings: the time has no time zone.
    """

    model: str
    model_sha256: str
    engine: str
    software: str
    settings: tuple[tuple[str, str], ...] = ()
    time: datetime | None = None

    def __post_init__(self) -> None:
        if self.time is not None and self.time.tzinfo is None:
            raise BadSettings(f"the time {self.time} of a provenance has no time zone; use datetime.now(timezone.utc)")

    @classmethod
    def of(
        cls, model: Model, engine: str, software: str, settings: Mapping[str, str], time: datetime | None = None
    ) -> Provenance:
        """The provenance of what ``model`` read on ``engine``; see the attributes."""
        name = f"{model.name}/{model.version}"
        return cls(
            model=name,
            model_sha256=model.sha256,
            engine=engine,
            software=software,
            settings=tuple(sorted(settings.items())),
            time=time,
        )

    def facts(self, page: Page | None = None) -> list[tuple[str, str]]:
        """Names and values, all but the time; with a page also its SHA-256."""
        facts = [
            ("model", self.model),
            ("model.sha256", self.model_sha256),
            ("engine", self.engine),
            ("software", f"zeile {self.software}"),
            *self.settings,
        ]
        return [*facts, ("input.sha256", page.sha256)] if page and page.sha256 else facts

    @property
    def utc(self) -> str | None:
        """The time as XML Schema's dateTime, UTC, whole seconds."""
        return self.time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if self.time else None


def fraction(confidence: int) -> str:
    """0 ... 10000 as 0.0000 ... 1.0000, exactly."""
    return f"{confidence // CERTAIN}.{confidence % CERTAIN:04d}"


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box around others, of which there is at least one."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return Box(min(lefts), min(tops), max(rights), max(bottoms))
