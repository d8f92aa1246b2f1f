# SPDX-License-Identifier: Apache-2.0
"""The provenance of an answer, for the OpenAPI description and for whoever checks answers against it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", examples=["8f43" * 16])]


class _Closed(BaseModel):
    """Keys that are not described are an error."""

    model_config = ConfigDict(extra="forbid")


class Output(_Closed):
    """All lines of an answer."""

    sha256: Sha256 = Field(description="of all lines in canonical JSON, each followed by a newline")


class RegionFacts(_Closed):
    """Where a line was cut out of a page."""

    id: str
    box: tuple[int, int, int, int] = Field(description="left, top, right, bottom; the last two lie behind it")
    polygon: list[tuple[int, int]] = Field(description="its outline; empty where the box is the outline")


class PageFacts(_Closed):
    """The page that the lines were cut from."""

    sha256: Sha256 = Field(description="of its image file")
    regions: list[RegionFacts]


class ModelOrigin(_Closed):
    """The model."""

    name: str
    version: str
    sha256: Sha256 = Field(description="of manifest.json, which pins every file")
    license: str = Field(description="SPDX expression", examples=["Apache-2.0"])
    data: list[str] = Field(description="names of the sets that it was trained on")
    normalisation: str = Field(description="what was done to the training texts")
    alphabet_sha256: Sha256 = Field(description="of its characters, as a JSON array")


class ReadingOptions(_Closed):
    """How the lines were read."""

    reading: str
    beam: int = Field(description="width of the beam search; 0: the best path")
    alternatives: int = Field(description="readings of each line that were kept")


class OverlayOrigin(_Closed):
    """What the board was programmed with."""

    name: str
    design_id: str
    emulated: bool = Field(description="a simulation of the board computed")
    files: dict[str, Sha256] = Field(description="bit and hwh of a build, emulated_hwh without one")


class Software(_Closed):
    """The code."""

    name: Literal["zeile"]
    version: str
    source: Sha256 = Field(description="of all Python files of the package")
    native: Sha256 | None = Field(description="of the compiled module, which depends on the machine")
    python: str
    machine: str = Field(examples=["aarch64"])


class Decoder(_Closed):
    """Versions of what turned files into pixels."""

    pillow: str
    libjpeg: str | None
    zlib: str | None
    libtiff: str | None
    webp: str | None
    opencv: str
    numpy: str


class Provenance(_Closed):
    """Everything that decided an answer; but for request_id and time, the same request gives the same."""

    format: Literal["zeile-provenance"]
    format_version: Literal[1]
    request_id: str
    time: str = Field(description="UTC, RFC 3339", examples=["2026-11-21T09:30:00.000Z"])
    inputs: list[Sha256] = Field(description="of each image: the file's bytes, or a cut line's shape and grey pixels")
    frames: list[Sha256 | None] = Field(description="of what the engine read of each, null if it could not be prepared")
    outputs: list[Sha256] = Field(description="of each line in canonical JSON")
    output: Output
    page: PageFacts | None
    model: ModelOrigin
    options: ReadingOptions
    engines: list[dict[str, Any]] = Field(description="all that read lines of this answer; their texts are the same")
    overlay: OverlayOrigin | None = Field(description="null where no board had a part in it")
    software: Software
    decoder: Decoder
    self_test: dict[str, Any] | None = Field(description="the last one of the engine")
