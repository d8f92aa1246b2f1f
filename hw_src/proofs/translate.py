# SPDX-License-Identifier: Apache-2.0
"""LLVM IR of a function without loops and memory -> XLS IR of the same function.

Instructions become nodes one by one. Where the control flow splits, both sides are computed and a phi node selects
between them. What a datapath cannot have is refused: loops, memory, floating point, calls.
"""

from __future__ import annotations

import re

BINARY = {
    "add": "add",
    "sub": "sub",
    "mul": "smul",
    "and": "and",
    "or": "or",
    "xor": "xor",
    "shl": "shll",
    "lshr": "shrl",
    "ashr": "shra",
}
MINMAX = {"smax": "sgt", "smin": "slt", "umax": "ugt", "umin": "ult"}
_PROMISES = r"(?:(?:nsw|nuw|exact|disjoint|nneg|samesign) )*"  # of the optimiser; the value is the same without

_CALL = r"(?:tail |notail )?call .*?"


class Untranslatable(Exception):
    """The function is no datapath: an instruction that integer logic has not."""


class _Function:
    """Nodes in order, LLVM's names and what they became.

    Attributes:
        nodes: lines of XLS IR.
        names: LLVM value -> XLS node.
        edges: (from block, to block) -> node of one bit: control flow goes there.
    """

    def __init__(self) -> None:
        self.nodes: list[str] = []
        self.names: dict[str, str] = {}
        self.edges: dict[tuple[str, str], str] = {}
        self.block = ""
        self._id = 1000  # ids below are the parameters'

    def node(self, bits: int, operation: str, arguments: str) -> str:
        self._id += 1
        self.nodes.append(f"  v{self._id}: bits[{bits}] = {operation}({arguments}, id={self._id})")
        return f"v{self._id}"

    def literal(self, value: int, bits: int) -> str:
        return self.node(bits, "literal", f"value={value & ((1 << bits) - 1)}")

    def value(self, token: str, bits: int) -> str:
        if token in ("true", "false"):
            return self.literal(token == "true", bits)
        if token in ("poison", "undef"):
            return self.literal(0, bits)
        if re.fullmatch(r"-?\d+", token):
            return self.literal(int(token), bits)
        if token not in self.names:
            raise Untranslatable(f"a loop: {token} is used before it is computed")
        return self.names[token]

    def select(self, bits: int, condition: str, yes: str, no: str) -> str:
        return self.node(bits, "sel", f"{condition}, cases=[{no}, {yes}]")


def translate(ir: str, name: str) -> str:
    """XLS IR of a package whose top is the function; parameters are p0, p1, ...

    Args:
        ir: text of a .ll file, made without vectors and with loops unrolled.
        name: of a function that takes and returns integers.

    Raises:
        Untranslatable: it is not there, or is no datapath.
    """
    found = re.search(rf"^define [^@]*?\bi(\d+) @{name}\((.*?)\)[^\n]*{{\n(.*?)^}}", ir, re.S | re.M)
    if not found:
        raise Untranslatable(f"function {name} not found, or its result is no integer")
    bits, body = int(found[1]), found[3]
    parameters = [int(width) for width in re.findall(r"\bi(\d+) [^,%]*%\d+", found[2])]
    function = _Function()
    function.names = {f"%{index}": f"p{index}" for index in range(len(parameters))}
    result = _body(function, body, first=str(len(parameters)))
    signature = ", ".join(f"p{index}: bits[{width}] id={index + 1}" for index, width in enumerate(parameters))
    lines = [f"package {name}", "", f"top fn {name}({signature}) -> bits[{bits}] {{", *function.nodes]
    return "\n".join([*lines, f"  ret result: bits[{bits}] = identity({result}, id=999)", "}", ""])


def _body(function: _Function, body: str, first: str) -> str:
    """Translates the blocks, which stand before those that they branch to; the node returned."""
    function.block = first
    reached = {first: function.literal(1, 1)}
    for line in body.splitlines():
        text = line.split(";")[0].split(", !")[0].strip()
        if label := re.fullmatch(r"(\w+):", text):
            function.block = label[1]
            into = [condition for (_, target), condition in function.edges.items() if target == function.block]
            if not into:
                raise Untranslatable(f"block {function.block} is not reached from above")
            reached[function.block] = function.node(1, "or", ", ".join(into)) if len(into) > 1 else into[0]
        elif match := re.fullmatch(r"ret i(\d+) (\S+)", text):
            return function.value(match[2], int(match[1]))
        elif text.startswith("br "):
            _branch(function, text, reached)
        elif text:
            target, _, instruction = text.partition(" = ")
            function.names[target] = _instruction(function, instruction or text)
    raise Untranslatable("it does not return")


def _branch(function: _Function, text: str, reached: dict[str, str]) -> None:
    here = reached[function.block]
    if match := re.fullmatch(r"br label %(\w+)", text):
        targets = {match[1]: here}
    elif match := re.fullmatch(r"br i1 (\S+), label %(\w+), label %(\w+)", text):
        yes = function.value(match[1], 1)
        no = function.node(1, "not", yes)
        targets = {match[2]: function.node(1, "and", f"{here}, {yes}")}
        targets[match[3]] = function.node(1, "and", f"{here}, {no}")
    else:
        raise Untranslatable(text)
    for target, condition in targets.items():
        if target in reached:
            raise Untranslatable(f"a loop: {text}")
        function.edges[function.block, target] = condition


def _instruction(function: _Function, text: str) -> str:
    """One instruction; the node of its result."""
    if match := re.fullmatch(rf"({'|'.join(BINARY)}) {_PROMISES}i(\d+) (\S+), (\S+)", text):
        bits = int(match[2])
        a, b = function.value(match[3], bits), function.value(match[4], bits)
        return function.node(bits, BINARY[match[1]], f"{a}, {b}")
    if match := re.fullmatch(rf"(zext|sext|trunc) {_PROMISES}i(\d+) (\S+) to i(\d+)", text):
        a, bits = function.value(match[3], int(match[2])), int(match[4])
        if match[1] == "trunc":
            return function.node(bits, "bit_slice", f"{a}, start=0, width={bits}")
        return function.node(bits, "sign_ext" if match[1] == "sext" else "zero_ext", f"{a}, new_bit_count={bits}")
    if match := re.fullmatch(r"icmp (?:samesign )?(\w+) i(\d+) (\S+), (\S+)", text):  # XLS has the same predicates
        bits = int(match[2])
        a = function.value(match[3], bits)
        if (match[1], match[4]) in (("sgt", "-1"), ("slt", "0")):  # the sign alone, so that logic is seen to be linear
            sign = function.node(1, "bit_slice", f"{a}, start={bits - 1}, width=1")
            return sign if match[1] == "slt" else function.node(1, "not", sign)
        return function.node(1, match[1], f"{a}, {function.value(match[4], bits)}")
    if match := re.fullmatch(r"select i1 (\S+), i(\d+) (\S+), i\d+ (\S+)", text):
        bits = int(match[2])
        yes, no = function.value(match[3], bits), function.value(match[4], bits)
        return function.select(bits, function.value(match[1], 1), yes, no)
    if match := re.fullmatch(r"freeze i(\d+) (\S+)", text):
        return function.value(match[2], int(match[1]))
    if match := re.fullmatch(r"phi i(\d+) (.*)", text):
        return _phi(function, int(match[1]), match[2])
    if match := re.match(rf"{_CALL}i(\d+) @llvm\.(\w+)\.i\d+\(i\d+ (\S+), i\d+ (\S+)\)", text):
        if match[2] in MINMAX:
            bits = int(match[1])
            a, b = function.value(match[3], bits), function.value(match[4], bits)
            return function.select(bits, function.node(1, MINMAX[match[2]], f"{a}, {b}"), a, b)
    if match := re.match(rf"{_CALL}i(\d+) @llvm\.fshl\.i\d+\(i\d+ (\S+), i\d+ (\S+), i\d+ (\d+)\)", text):
        bits, count = int(match[1]), int(match[4])  # the upper bits of both, one behind the other, shifted to the left
        parts = (match[2], "shll", count), (match[3], "shrl", bits - count)
        shifted = [
            function.node(bits, operation, f"{function.value(token, bits)}, {function.literal(places, bits)}")
            for token, operation, places in parts
        ]
        return function.node(bits, "or", ", ".join(shifted))
    raise Untranslatable(f"not integer logic: {text}")


def _phi(function: _Function, bits: int, text: str) -> str:
    """The value of the edge that control came by."""
    incoming = re.findall(r"\[ (\S+), %(\w+) \]", text)
    result = function.value(incoming[0][0], bits)
    for token, block in incoming[1:]:
        result = function.select(bits, function.edges[block, function.block], function.value(token, bits), result)
    return result
