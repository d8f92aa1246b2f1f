# SPDX-License-Identifier: Apache-2.0
"""Character language models from ARPA files, as an automaton of integers.

Any n-gram model with back-off in the ARPA format will do (KenLM, SRILM, or ``train_language_model``), plain or
gzipped. Its words are characters: a token is a character of the alphabet or, where that one is several code
points and not a token itself, each of its code points; the space is ``<space>`` (or U+2581). What the file does
not know counts as ``<unk>``.

A state is a history. Its arcs are the symbols seen after it; any other symbol costs the back-off of the state and
is looked for in the next shorter history. Histories without arcs and back-off are left out: nothing is lost.

Source: Jelinek, "Statistical methods for speech recognition", 1997; the ARPA format as of SRILM, ngram-format(5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from zeile import ctc
from zeile.arpa import BEGIN, END, SPACES, UNKNOWN, Arpa, read_arpa
from zeile.fixed_log import UNIT
from zeile.kneser_ney import train_language_model

__all__ = ["LanguageModel", "load_language_model", "quantised", "train_language_model"]

Ints = npt.NDArray[np.int32]

_LN_10 = 2.302585092994045684
_LOWEST = -100.0 * _LN_10  # KenLM's and SRILM's "never"


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """Automaton with back-off; state 0 is the empty history and has an arc for every symbol.

    Attributes:
        order: length of the longest n-gram.
        symbols: token to symbol.
        begin: (states + 1) int32, the first arc of each state.
        symbol: (arcs) int32, ascending within a state.
        log: (arcs) int32, natural logarithm in units of 2**-16 nat.
        next_state: (arcs) int32.
        backoff_log: (states) int32, units.
        backoff_state: (states) int32.
        start: state at the begin of a line.
        end: symbol of the end of a line, -1 if the model has none.
    """

    order: int
    symbols: dict[str, int]
    begin: Ints
    symbol: Ints
    log: Ints
    next_state: Ints
    backoff_log: Ints
    backoff_state: Ints
    start: int
    end: int
    _space: str = field(default=SPACES[0])

    def step(self, state: int, symbol: int) -> tuple[int, int]:
        """Logarithm of a symbol's probability after a history, in units, and the history with it."""
        total = 0
        while True:
            first, last = int(self.begin[state]), int(self.begin[state + 1])
            arc = first + int(np.searchsorted(self.symbol[first:last], symbol))
            if arc < last and self.symbol[arc] == symbol:
                return total + int(self.log[arc]), int(self.next_state[arc])
            total += int(self.backoff_log[state])
            state = int(self.backoff_state[state])

    def spell(self, character: str) -> tuple[int, ...]:
        """Symbols of a character: the one that is the character, or one for each of its code points."""
        unknown = self.symbols[UNKNOWN]
        token = self._token(character)
        if token in self.symbols:
            return (self.symbols[token],)
        return tuple(self.symbols.get(self._token(point), unknown) for point in character)

    def score(self, text: str) -> int:
        """Logarithm of the probability of a whole line, in units, each code point a symbol."""
        state, total = self.start, 0
        for symbol in [s for point in text for s in self.spell(point)] + [self.end] * (self.end >= 0):
            log, state = self.step(state, symbol)
            total += log
        return total

    def native(self) -> ctc.native.Language:
        """The same automaton for the native beam search; the arrays are shared."""
        arrays = (self.begin, self.symbol, self.log, self.next_state, self.backoff_log, self.backoff_state)
        return ctc.native.Language(*arrays, self.start, self.end)

    def _token(self, character: str) -> str:
        return self._space if character == " " else character


def load_language_model(path: Path) -> LanguageModel:
    """Read an ARPA file.

    Logarithms are quantised once, here: natural, 16 binary places, rounded half up. Only IEEE multiplication is
    used, so every machine gets the same integers.

    Args:
        path: the file, plain or gzipped.

    Raises:
        BadData: the file cannot be read or is not an ARPA file.
    """
    arpa = read_arpa(path)
    _add_unknown(arpa)
    states = _states(arpa)
    columns = _arcs(arpa, states)
    begin = np.zeros(len(states) + 1, np.int32)
    np.cumsum(np.bincount(columns[0], minlength=len(states)), out=begin[1:])
    backoffs = [arpa.backoffs.get(history, 0.0) for history in states]
    shorter = [_state_of(history[1:], states) if history else 0 for history in states]
    return LanguageModel(
        order=arpa.order,
        symbols=arpa.symbols,
        begin=begin,
        symbol=columns[1],
        log=columns[2],
        next_state=columns[3],
        backoff_log=quantised(np.array(backoffs)),
        backoff_state=np.array(shorter, np.int32),
        start=_state_of(chr(arpa.symbols[BEGIN]), states) if BEGIN in arpa.symbols else 0,
        end=arpa.symbols.get(END, -1),
        _space=next((token for token in SPACES if token in arpa.symbols), SPACES[0]),
    )


def quantised(log10: npt.NDArray[np.float64]) -> Ints:
    """Decimal logarithms as natural ones in units of 2**-16 nat, rounding half up; -100 is the lowest."""
    nats = np.maximum(log10 * _LN_10, _LOWEST)
    return np.floor(nats * UNIT + 0.5).astype(np.int32)


def _add_unknown(arpa: Arpa) -> None:
    """A file without ``<unk>``: an unknown symbol is as likely as the least likely known one."""
    if UNKNOWN in arpa.symbols:
        return
    symbol = len(arpa.symbols) + 1
    begin = arpa.symbols.get(BEGIN)
    known = [p for n, p in arpa.logs.items() if len(n) == 1 and (begin is None or n != chr(begin))]
    arpa.symbols[UNKNOWN] = symbol
    arpa.logs[chr(symbol)] = min(known, default=0.0)


def _states(arpa: Arpa) -> dict[str, int]:
    """Histories that have arcs or a back-off, and what each is shortened to while a state is needed for it."""
    wanted = {history for history, backoff in arpa.backoffs.items() if backoff != 0.0 and len(history) < arpa.order}
    wanted |= {ngram[:-1] for ngram in arpa.logs}
    wanted.discard("")
    return {history: state for state, history in enumerate(["", *sorted(wanted)])}


def _state_of(history: str, states: dict[str, int]) -> int:
    """State of the longest end of a history that is one."""
    while history not in states:
        history = history[1:]
    return states[history]


def _arcs(arpa: Arpa, states: dict[str, int]) -> tuple[Ints, Ints, Ints, Ints]:
    """State, symbol, logarithm and next state of every arc, ordered by state and symbol."""
    longest = arpa.order - 1
    source = np.fromiter((states[n[:-1]] for n in arpa.logs), np.int32, len(arpa.logs))
    symbol = np.fromiter((ord(n[-1]) for n in arpa.logs), np.int32, len(arpa.logs))
    log = quantised(np.fromiter(arpa.logs.values(), np.float64, len(arpa.logs)))
    follow = (_state_of(n if len(n) <= longest else n[1:], states) for n in arpa.logs)
    target = np.fromiter(follow, np.int32, len(arpa.logs))
    order = np.lexsort((symbol, source))
    return source[order], symbol[order], log[order], target[order]
