# SPDX-License-Identifier: Apache-2.0
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

_Span = TypeVar("_Span", bound=tuple[int, int, int, int])
_Character = TypeVar("_Character", bound=tuple[str, int, int, int])

class Engine:
    def __init__(self, model: bytes, path: str, threads: int) -> None: ...
    def run(self, lines: Sequence[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.int8]]: ...
    @property
    def path(self) -> str: ...
    @property
    def threads(self) -> int: ...

class Language:
    def __init__(
        self,
        begin: npt.NDArray[np.int32],
        symbol: npt.NDArray[np.int32],
        log: npt.NDArray[np.int32],
        next_state: npt.NDArray[np.int32],
        backoff_log: npt.NDArray[np.int32],
        backoff_state: npt.NDArray[np.int32],
        start: int,
        end: int,
        /,
    ) -> None: ...

class BeamSearch:
    def __init__(
        self,
        merged: npt.NDArray[np.int64],
        blank: int,
        exp: npt.NDArray[np.int64],
        log_add: npt.NDArray[np.int64],
        width: int,
        reach: int,
        language: Language | None,
        spelling: Sequence[Sequence[int]],
        weight: int,
        bonus: int,
        /,
    ) -> None: ...
    def run(self, scores: npt.NDArray[np.int8], most: int, /) -> list[tuple[list[tuple[int, int, int, int]], int]]: ...

def best_path(
    scores: npt.NDArray[np.int8],
    merged: npt.NDArray[np.int64],
    blank: int,
    exp: npt.NDArray[np.int64],
    span: type[_Span],
    /,
) -> list[_Span]: ...
def characters(
    spans: Sequence[tuple[int, int, int, int]],
    names: tuple[str, ...],
    left: int,
    width: int,
    columns: int,
    per_step: int,
    character: type[_Character],
    /,
) -> tuple[_Character, ...]: ...
def paths() -> list[str]: ...
def peak_macs(path: str) -> float: ...
def normalise(
    grey: npt.NDArray[np.uint8], height_px: int, stretch_percent: int, /
) -> tuple[npt.NDArray[np.uint8], int, int]: ...
def resize(grey: npt.NDArray[np.uint8], width: int, height: int, /) -> npt.NDArray[np.uint8]: ...
