# SPDX-License-Identifier: Apache-2.0
"""Linter of `#pragma HLS` lines: a C compiler ignores a misspelt one, and Vitis HLS often only warns.

What is not listed here is refused, so a new directive or option is a decision and not an accident. Names and values:
UG1399 (2024.1), in the spelling that all versions from 2021.1 on read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

NUMBER, CONSTANT, VARIABLE, FLAG = "number", "constant", "variable", "flag"
_ARRAY: Mapping[str, str | tuple[str, ...]] = {
    "variable": VARIABLE,
    "type": ("complete", "cyclic", "block"),
    "factor": CONSTANT,
    "dim": NUMBER,
}

Options = Mapping[str, str | tuple[str, ...]]
ALLOWED: Mapping[str, Options] = {
    "AGGREGATE": {"variable": VARIABLE, "compact": ("bit", "byte", "none", "auto")},
    "ARRAY_PARTITION": _ARRAY,
    "ARRAY_RESHAPE": _ARRAY,
    "BIND_OP": {"variable": VARIABLE, "op": ("mul", "add", "sub"), "impl": ("dsp", "fabric"), "latency": NUMBER},
    "BIND_STORAGE": {
        "variable": VARIABLE,
        "type": ("fifo", "ram_1p", "ram_1wnr", "ram_2p", "ram_s2p", "ram_t2p", "rom_1p", "rom_2p", "rom_np"),
        "impl": ("auto", "bram", "lutram", "uram", "srl", "memory"),
        "latency": NUMBER,
    },
    "DATAFLOW": {},
    "DEPENDENCE": {
        "variable": VARIABLE,
        "type": ("inter", "intra"),
        "direction": ("RAW", "WAR", "WAW"),
        "distance": CONSTANT,
        "dependent": ("true", "false"),
    },
    "DISAGGREGATE": {"variable": VARIABLE},
    "INLINE": {"off": FLAG},
    "INTERFACE": {
        "mode": ("axis", "ap_ctrl_none"),
        "port": VARIABLE,
        "register_mode": ("both", "forward", "reverse", "off"),
    },
    "LATENCY": {"min": CONSTANT, "max": CONSTANT},
    "LOOP_FLATTEN": {"off": FLAG},
    "LOOP_TRIPCOUNT": {"min": CONSTANT, "max": CONSTANT, "avg": CONSTANT},
    "PIPELINE": {"II": NUMBER, "style": ("flp",), "off": FLAG},
    "RESET": {"variable": VARIABLE, "off": FLAG},
    "STREAM": {"variable": VARIABLE, "depth": CONSTANT, "type": ("fifo",)},
    "UNROLL": {"factor": CONSTANT},
}
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "AGGREGATE": ("variable",),
    "ARRAY_PARTITION": ("variable", "type"),
    "ARRAY_RESHAPE": ("variable", "type"),
    "BIND_OP": ("variable", "op", "impl"),
    "BIND_STORAGE": ("variable", "type", "impl"),
    "DEPENDENCE": ("variable", "type", "dependent"),
    "DISAGGREGATE": ("variable",),
    "INTERFACE": ("mode", "port"),
    "RESET": ("variable",),
    "STREAM": ("variable", "depth"),
}
STORAGE: Mapping[str, tuple[str, ...]] = {
    "fifo": ("auto", "bram", "lutram", "uram", "srl", "memory"),
    "ram_1p": ("auto", "bram", "lutram", "uram"),
    "ram_1wnr": ("auto", "bram", "lutram", "uram"),
    "ram_2p": ("auto", "bram", "lutram", "uram"),
    "ram_s2p": ("auto", "bram", "lutram", "uram"),
    "ram_t2p": ("auto", "bram", "uram"),
    "rom_1p": ("auto", "bram", "lutram"),
    "rom_2p": ("auto", "bram", "lutram"),
    "rom_np": ("auto", "bram", "lutram"),
}
"""Implementations that exist of each type of storage."""

IN_A_LOOP = ("UNROLL", "LOOP_FLATTEN", "LOOP_TRIPCOUNT")
AT_A_START = ("INLINE", "PIPELINE", "DATAFLOW", "INTERFACE")
OTHER_PRAGMAS = re.compile(r"once|(GCC|clang) .*")

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_LINE = re.compile(r"^[ \t]*#[ \t]*pragma\b((?:[^\n\\]|\\\n|\\(?!\n))*)", re.MULTILINE)
_OPERATOR = re.compile(r'_Pragma\s*\(\s*"((?:[^"\\]|\\.)*)"\s*\)')
_SPACED = re.compile(r"\s*=\s*")  # clang-format puts blanks there; AMD's own libraries are written so
_MACRO = re.compile(r"^[ \t]*#[ \t]*\w+(?:[^\n\\]|\\\n|\\(?!\n))*", re.MULTILINE)
_SCOPE = re.compile(r"\s*((inline|public|private|protected)\b:?\s*)*(namespace|class|struct|union|enum|extern)\b")
_LOOP = re.compile(r"\b(for|while|do)\b")


@dataclass(frozen=True)
class Pragma:
    """One pragma: its words, its line, what stands before it, and the function around it."""

    words: tuple[str, ...]
    line: int
    before: str
    header: str
    function: str


def problems(text: str, elsewhere: str = "") -> list[str]:
    """Sentences on each pragma of a C++ file that is not allowed as it stands; empty for a sound file.

    Args:
        text: contents of the file.
        elsewhere: contents of the files that it includes, for constants and for fields of structs.
    """
    found = []
    for pragma in pragmas(text):
        where = f"line {pragma.line}: {' '.join(pragma.words)}"
        found += [f"{where}: {sentence}" for sentence in _check(pragma, text, elsewhere)]
    return found


def pragmas(text: str) -> Iterator[Pragma]:
    """All pragmas of a file, written either way, in order."""
    text = _blank(_COMMENT, text)
    code = _blank(_OPERATOR, _blank(_LINE, text))
    flat = _blank(_MACRO, code)
    matches = [*_LINE.finditer(text), *_OPERATOR.finditer(text)]
    for match in sorted(matches, key=lambda each: each.start()):
        words = tuple(_SPACED.sub("=", match[1].replace("\\\n", " ")).split())
        if OTHER_PRAGMAS.fullmatch(" ".join(words)):
            continue
        line = text.count("\n", 0, match.start(1) + 1) + 1
        macro = next((m for m in _MACRO.finditer(text) if m.start() < match.start() < m.end()), None)
        if macro is not None and macro[0].lstrip().startswith("#define"):
            inside = code[macro.start() : macro.end()]
            before = code[macro.start() : match.start()].replace("\\\n", "\n").rstrip()
            yield Pragma(words, line, before[-1:], before, inside)
        else:
            header, function = _around(flat, match.start())
            yield Pragma(words, line, flat[: match.start()].rstrip()[-1:], header, function)


def _check(pragma: Pragma, text: str, elsewhere: str) -> Iterator[str]:
    if pragma.words[:1] != ("HLS",):
        yield "is neither HLS nor another pragma that we use"
        return
    name = pragma.words[1] if len(pragma.words) > 1 else ""
    if name not in ALLOWED:
        yield f"unknown directive {name!r}; known are {', '.join(ALLOWED)}"
        return
    options: dict[str, str] = {}
    for word in pragma.words[2:]:
        option, _, value = word.partition("=")
        if option not in ALLOWED[name]:
            yield f"{name} has no option {option!r}; known are {', '.join(ALLOWED[name]) or 'none'}"
            continue
        if option in options:
            yield f"{option} is given twice"
        options[option] = value
        yield from _check_value(word, ALLOWED[name][option], pragma, text, elsewhere)
    yield from (f"{name} needs {option}=" for option in REQUIRED.get(name, ()) if option not in options)
    yield from _check_sense(name, options)
    yield from _check_place(name, pragma)


def _check_value(word: str, kind: str | tuple[str, ...], pragma: Pragma, text: str, elsewhere: str) -> Iterator[str]:
    option, assigned, value = word.partition("=")
    if kind == FLAG:
        if assigned:
            yield f"{option} takes no value"
    elif not value:
        yield f"{option} lacks a value"
    elif isinstance(kind, tuple):
        if value not in kind:
            yield f"{option} is {value!r}, allowed are {', '.join(kind)}"
    elif kind == NUMBER:
        if not value.isdecimal():
            yield f"{option} is {value!r}, not a number"
    elif kind == CONSTANT:
        if not value.isdecimal() and not _names(value, text) and not _names(value, elsewhere):
            yield f"{option} is {value!r}, neither a number nor a name that is known"
    elif value != "return" and not _known(value, pragma.function, text, elsewhere):
        yield f"there is no {value!r} in the function around it"


def _check_sense(name: str, options: Mapping[str, str]) -> Iterator[str]:
    kind = options.get("type", "")
    if name in ("ARRAY_PARTITION", "ARRAY_RESHAPE") and (kind == "complete") == ("factor" in options):
        yield "factor= belongs to cyclic and block, not to complete"
    if name == "BIND_STORAGE" and "impl" in options and options["impl"] not in STORAGE.get(kind, (options["impl"],)):
        yield f"{kind} cannot be {options['impl']}; {', '.join(STORAGE[kind])} can"
    if name == "PIPELINE" and "off" not in options and not {"II", "style"} <= set(options):
        yield "PIPELINE says II= and style=flp, so that stalled units drain"
    if name == "DEPENDENCE" and options.get("dependent") == "true" and "distance" not in options:
        yield "a true dependence says distance="
    if name == "INTERFACE" and (options.get("mode") == "ap_ctrl_none") != (options.get("port") == "return"):
        yield "ap_ctrl_none belongs to port=return, axis to a parameter"


def _check_place(name: str, pragma: Pragma) -> Iterator[str]:
    if not pragma.function:
        yield "stands outside of every function"
    elif name in IN_A_LOOP and not (pragma.before == "{" and _LOOP.search(pragma.header)):
        yield "must come first in the braces of its loop"
    elif name in AT_A_START and pragma.before != "{":
        yield "must come first in the braces of its function or loop"


def _around(flat: str, position: int) -> tuple[str, str]:
    """Head of the innermost braces around a position, and the whole function around it (empty outside of one)."""
    stack: list[tuple[int, str]] = []
    start = 0
    for index, character in enumerate(flat[:position]):
        if character == "{":
            stack.append((index, flat[start:index]))
        elif character == "}" and stack:
            stack.pop()
        if character in "{};" and flat.count("(", start, index) == flat.count(")", start, index):
            start = index + 1
    outer = next((each for each in stack if not _SCOPE.match(_without_template(each[1]))), None)
    if outer is None:
        return "", ""
    depth, end = 0, outer[0]
    for end in range(outer[0], len(flat)):
        depth += {"{": 1, "}": -1}.get(flat[end], 0)
        if depth == 0:
            break
    return stack[-1][1], outer[1] + flat[outer[0] : end]


def _without_template(header: str) -> str:
    """A head without the parameters of its template: `template <class T> class A` and `template <class T> T f()`."""
    start = re.match(r"(\s*|[^;{}]*:\s*)template\s*<", header)
    if start is None:
        return header
    depth = 1
    for index in range(start.end(), len(header)):
        depth += {"<": 1, ">": -1}.get(header[index], 0)
        if depth == 0:
            return _without_template(header[index + 1 :])
    return header


def _known(value: str, function: str, text: str, elsewhere: str) -> bool:
    """Whether `a.b[0]` can be: `a` in the function, or a member (a_) in the file; the field `b` in any file."""
    first, *fields = re.findall(r"[A-Za-z_]\w*", value) or [""]
    if not first or not (_names(first, function) or (first.endswith("_") and _names(first, text))):
        return False
    return all(_names(each, text) or _names(each, elsewhere) for each in fields)


def _names(name: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", _blank(_OPERATOR, _blank(_LINE, _blank(_COMMENT, text)))) is not None


def _blank(pattern: re.Pattern[str], text: str) -> str:
    """The text with all matches as blanks, lines kept."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
