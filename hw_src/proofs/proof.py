# SPDX-License-Identifier: Apache-2.0
"""What is to be proved: a function of the HLS sources equals a module, for all arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Argument(NamedTuple):
    """An argument of both sides.

    Attributes:
        name: in the C++ expression and in the SystemVerilog.
        bits: its width, at most 64.
        signed: ap_int, else ap_uint.
    """

    name: str
    bits: int
    signed: bool = False


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One equality.

    Attributes:
        name: an identifier; it says the widths too.
        says: what is proved, in words.
        arguments: of both sides.
        bits: of the result, at most 64.
        cpp: C++ statements over the arguments; they return an ap_int or ap_uint.
        top: the module whose sources are read; "" if the other side is C++ too: then all arguments are tried.
        rtl: SystemVerilog that computes `value` from `clk` and the arguments; or, without ``top``, C++ as above.
        latency: register stages that every path from an argument to the result crosses; None where that is not checked.
        given: SystemVerilog over the arguments: where it is 0 nothing is claimed.
        stubs: module -> its source for this proof, a memory for example.
        quick: is part of the tests that always run.
        linear: both sides are linear over GF(2), and compared by their normal form instead of by the solver.
    """

    name: str
    says: str
    arguments: tuple[Argument, ...]
    bits: int
    cpp: str
    top: str = ""
    rtl: str
    latency: int | None = None
    given: str = "1"
    stubs: Mapping[str, str] = field(default_factory=dict)
    quick: bool = True
    linear: bool = False
