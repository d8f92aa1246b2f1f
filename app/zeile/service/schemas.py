# SPDX-License-Identifier: Apache-2.0
"""What the service answers, for its OpenAPI description and for whoever checks answers against it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from zeile.service.provenance_schema import Provenance

SHA256 = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"

Confidence = Field(ge=0, le=1, description="0 to 1, four decimals; the same on every engine")


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field(examples=["urn:zeile:problem:bad-image"])
    title: str = Field(examples=["Image cannot be read"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["The file has 0 bytes; send a PNG, JPEG or TIFF file."])


class Character(BaseModel):
    """A character and where it stands."""

    text: str = Field(examples=["Z"])
    left: int = Field(description="first pixel column of the image as it was sent", examples=[12])
    right: int = Field(description="the column behind the last one", examples=[31])
    confidence: float = Confidence


class Alternative(BaseModel):
    """A reading of a line among the best."""

    text: str = Field(examples=["Zelle"])
    score: int = Field(description="logarithm of its probability, in units of 2**-16; an integer on every engine")


class _Read(BaseModel):
    text: str | None = Field(description="empty for a blank line, null with an error", examples=["Zeile"])
    confidence: float | None = Field(description="mean of the characters, null without any", examples=[0.9871])
    characters: list[Character]
    alternatives: list[Alternative] = Field(default=[], description="best first, with the text; if asked for")
    error: Problem | None = Field(default=None, description="only where it could not be read")


class Line(_Read):
    """A file and its text, or why it has none."""

    file: str = Field(description="as the client called it", examples=["page1_line1.png"])


class PageLine(_Read):
    """A line of a page; columns of its characters count from the left edge of its box."""

    id: str = Field(description="as the regions' document calls it", examples=["line_1"])
    box: tuple[int, int, int, int] = Field(description="left, top, right, bottom; the last two lie behind it")
    polygon: list[tuple[int, int]] = Field(default=[], description="its outline, where that is not the box")


class ModelName(BaseModel):
    """The model that read the lines."""

    name: str = Field(examples=["latin-print"])
    version: str = Field(examples=["1"])
    sha256: str = Field(description="of manifest.json, which pins every file", examples=[SHA256])


class Times(BaseModel):
    """Milliseconds. Stages count the batches that the lines were in; lines of other requests may have shared them."""

    queue: float = Field(description="the longest wait of a line")
    decode: float = Field(description="image file to grey pixels")
    preprocess: float = Field(description="grey pixels to a line of the model's height")
    network: float = Field(description="the engine")
    ctc: float = Field(description="scores to text, confidence and positions")
    total: float = Field(description="from the whole request received to the answer, waiting included")


class AuditReceipt(BaseModel):
    """Where an answer stands in the audit log."""

    number: int = Field(description="of the record", examples=[1742])
    sha256: str = Field(description="of the record, for zeile audit verify --head", examples=[SHA256])


class Recognition(BaseModel):
    """Answer of /v1/recognize."""

    lines: list[Line] = Field(description="one for each file, in the order sent")
    model: ModelName
    engine: dict[str, Any] = Field(examples=[{"engine": "cpu", "path": "avx2", "threads": 2}])
    time_ms: Times
    provenance: Provenance
    audit: AuditReceipt | None = Field(default=None, description="if the service keeps an audit log")


class PageRecognition(BaseModel):
    """Answer of /v1/pages; it can be sent as the regions of the same page again."""

    file: str = Field(description="as the client called it", examples=["page1.png"])
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    segmented: bool = Field(description="whether the lines were found by the service itself, which is a convenience")
    lines: list[PageLine] = Field(description="in the order of the regions' document")
    model: ModelName
    engine: dict[str, Any]
    time_ms: Times
    provenance: Provenance
    audit: AuditReceipt | None = Field(default=None, description="if the service keeps an audit log")


RECOGNITION: dict[str, Any] = {
    "lines": [
        {
            "file": "line.png",
            "text": "Zu",
            "confidence": 0.9746,
            "characters": [
                {"text": "Z", "left": 12, "right": 31, "confidence": 0.9981},
                {"text": "u", "left": 33, "right": 47, "confidence": 0.9512},
            ],
        },
        {
            "file": "empty.png",
            "text": None,
            "confidence": None,
            "characters": [],
            "error": {
                "type": "urn:zeile:problem:bad-image",
                "title": "Image cannot be read",
                "status": 422,
                "detail": "the image file is empty (0 bytes)",
            },
        },
    ],
    "model": {"name": "latin-print", "version": "1", "sha256": SHA256},
    "engine": {"engine": "cpu", "path": "avx2", "threads": 2},
    "time_ms": {"queue": 0.08, "decode": 0.41, "preprocess": 0.62, "network": 1.94, "ctc": 0.13, "total": 3.6},
}
"""Example of a ``Recognition``, without its provenance."""

PAGE: dict[str, Any] = {
    "file": "page.png",
    "width": 1200,
    "height": 1800,
    "segmented": False,
    "lines": [
        {"id": "line_1", "box": [100, 120, 1100, 168]}
        | {k: v for k, v in RECOGNITION["lines"][0].items() if k != "file"}
    ],
    **{name: RECOGNITION[name] for name in ("model", "engine", "time_ms")},
}
"""Example of a ``PageRecognition``, without its provenance."""


class Interval(BaseModel):
    """Interval of the character error rate."""

    low: float | None
    high: float | None
    level: float = Field(examples=[0.95])
    over: Literal["documents", "lines"] = Field(description="what the bootstrap drew")
    units: int
    replicates: int
    seed: int
    warning: str | None = Field(description="why it should not be trusted")


class WorstLine(BaseModel):
    """A line with errors."""

    id: str
    errors: int
    truth: str
    text: str


class BoundedRate(BaseModel):
    """A character error rate that does not exceed 1."""

    total: float = Field(description="of all lines", examples=[0.0122])
    line_mean: float = Field(description="mean of the lines' rates", examples=[0.0131])


class Evaluation(BaseModel):
    """Errors on all lines: NFC, extended grapheme clusters, blanks count, nothing folded, micro average."""

    lines: int = Field(examples=[411])
    documents: int
    characters: int
    cer: float | None = Field(description="character error rate, the primary figure", examples=[0.0123])
    cer_interval: Interval
    cer_codepoints: float | None
    cer_lenient: float | None = Field(description="quotes, dashes, long s and ligatures folded")
    cer_aligned: BoundedRate = Field(description="errors over errors and matches, OCR-D's normalised CER")
    cer_longer: BoundedRate = Field(description="errors over the longer of ground truth and reading")
    wer: float | None = Field(description="word error rate, UAX #29", examples=[0.048])
    exact_lines: float | None = Field(description="share of lines without an error")
    errors: int
    substitutions: int
    insertions: int
    deletions: int
    words: int
    confusions: list[tuple[str, str, int]] = Field(
        description="[ground truth, read, times], most frequent first; an empty string is nothing",
        examples=[[["ſ", "f", 12], ["", ",", 3]]],
    )
    worst_lines: list[WorstLine]


class ModelFacts(BaseModel):
    """A model that can be asked for as ``name`` (its highest version) or ``name/version``."""

    name: str = Field(examples=["latin-print"])
    version: str = Field(examples=["1"])
    sha256: str | None = Field(examples=[SHA256])
    default: bool = Field(description="read with when a request names none")
    aliases: list[str] = Field(default=[], description="names that point to it", examples=[["default", "stable"]])
    state: Literal["open", "ready", "unloaded", "damaged"] = Field(
        default="ready", description="open: on an engine; ready: opened when asked for; unloaded: not until loaded"
    )
    description: str | None = None
    license: str | None = None
    readings: list[str] = Field(default=[], description="the first is the default", examples=[["plain", "diplomatic"]])
    characters: list[str] = Field(default=[], description="all that it can read")
    evaluation: dict[str, Any] = Field(default={}, description="figures of its training, by split and set")
    error: Problem | None = Field(default=None, description="why it cannot be used")


class Models(BaseModel):
    """Answer of /v1/models."""

    models: list[ModelFacts]
    aliases: dict[str, str] = Field(default={}, examples=[{"default": "latin-print/1"}])


class AliasTarget(BaseModel):
    """Where an alias points."""

    model_config = ConfigDict(extra="forbid")

    target: str = Field(min_length=1, max_length=200, examples=["latin-print/1"])


class Alive(BaseModel):
    """Answer of /livez."""

    status: Literal["alive"]


class SelfTest(BaseModel):
    """The last self-test: lines that come with Zeile, and the integers that they must give."""

    ok: bool
    time: str = Field(description="UTC, ISO 8601", examples=["2026-11-21T14:55:00+00:00"])
    model: str | None = Field(default=None, examples=["latin-print/1"])
    engine: str | None = Field(default=None, description="that was tested", examples=["cpu"])
    lines: int | None = Field(default=None, examples=[3])
    because: str | None = Field(default=None, description="why it failed")


class Circuit(BaseModel):
    """Whether the board is used; while it is not, the CPU gives the same answers."""

    state: Literal["closed", "open", "half-open", "held"] = Field(
        description="closed: it is used; open: it failed and is tried again; held: it was wrong, an operator decides"
    )
    because: str | None
    for_s: float = Field(description="seconds in this state")
    next_try_s: float | None
    faults: dict[str, int] = Field(description="since the start, by kind", examples=[{"timeout": 2}])


class Ready(BaseModel):
    """Answer of /readyz."""

    status: Literal["ready"]
    self_test: SelfTest
    circuit: Circuit | None = Field(description="null without a board")


class Health(BaseModel):
    """Answer of /healthz."""

    status: Literal["ok"]
    version: str = Field(description="of Zeile", examples=["0.1.0"])
    model: ModelName = Field(description="the default")
    engine: dict[str, Any]
    waiting: int = Field(description="lines in the queue")
    self_test: SelfTest
    circuit: Circuit | None = Field(description="null without a board")
    watts: dict[str, float] = Field(description="by rail; empty without sensors")
