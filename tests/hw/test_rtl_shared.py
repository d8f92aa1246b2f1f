# SPDX-License-Identifier: Apache-2.0
"""The shared modules of the SystemVerilog twin, cycle by cycle, against integers of Python."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.hw.rtl_unit import RTL, RtlUnit, broken, needs_verilator

from zeile.hw.words import codes_per_word

pytestmark = needs_verilator

READ_LATENCY, RESCALE_LATENCY, ROWS_LATENCY, TABLE_LATENCY = 12, 4, 2, 2
CONFIG = {"we": 1, "re": 1, "index": 24, "wdata": 64}


class Trace:
    """Values of driven ports, cycle by cycle; a port that a cycle does not name is 0."""

    def __init__(self, ports: Sequence[str]) -> None:
        self.values: dict[str, list[int]] = {name: [] for name in ports}
        self.length = 0
        self.reads: list[tuple[int, int]] = []

    def cycle(self, **ports: int) -> int:
        """One more cycle; returns its number."""
        for name, values in self.values.items():
            values.append(ports.pop(name, 0))
        assert not ports
        self.length += 1
        return self.length - 1

    def rest(self, cycles: int) -> None:
        for _ in range(cycles):
            self.cycle()

    def write(self, index: int, data: int) -> None:
        self.cycle(we=1, index=index, wdata=data)

    def read(self, index: int, expected: int) -> None:
        """Read a word, and nothing else until its answer."""
        self.reads.append((self.cycle(re=1, index=index), expected))
        self.rest(READ_LATENCY)

    def check_reads(self, rdata: Sequence[int]) -> None:
        """Answers are there in time, and stay until the next reading."""
        for at, expected in self.reads:
            assert rdata[at + READ_LATENCY] == expected, f"word read in cycle {at}"
        for (at, expected), (after, _) in zip(self.reads, self.reads[1:], strict=False):
            assert set(rdata[at + READ_LATENCY : after]) <= {expected}


def signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def fields(value: int, bits: int, count: int) -> list[int]:
    return [value >> (bits * i) & ((1 << bits) - 1) for i in range(count)]


def packed(values: Sequence[int], bits: int) -> int:
    return sum((value & ((1 << bits) - 1)) << (bits * i) for i, value in enumerate(values))


def latency(simd: int) -> int:
    return 7 + ((simd - 1).bit_length() + 1) // 2


# W, X, PE, SIMD, tiles, PE rows in DSP slices: all widths, odd rows, entries of one to three words, LUTs and block RAM
ARRAYS = [
    (1, 5, 3, 5, 4, 2),
    (1, 4, 1, 70, 2, 0),
    (2, 9, 4, 16, 8, 4),
    (3, 3, 5, 22, 3, 3),
    (4, 5, 7, 18, 70, 7),
    (4, 4, 6, 16, 5, 3),
    (5, 6, 2, 13, 5, 0),
    (6, 2, 3, 11, 65, 2),
    (7, 8, 2, 1, 1, 2),
    (8, 9, 4, 17, 2, 2),
]


def folds(
    trace: Trace, rng: random.Random, weights: list[list[list[int]]], x_bits: int, count: int
) -> list[tuple[int, list[int]]]:
    """Row blocks of random length into an array of weights[tile][p]; when their sums are to be there, and these."""
    tiles, pe, simd = len(weights), len(weights[0]), len(weights[0][0])
    done = []
    for _ in range(count):
        sums, length = [0] * pe, rng.choice((1, 1, 2, rng.randint(1, 3 * tiles)))
        extreme = rng.random() < 0.3
        for k in range(length):
            while rng.random() < 0.2:
                trace.cycle(first=1, last=1, tile=rng.randrange(tiles), x=rng.getrandbits(simd * x_bits))
            t, low = rng.randrange(tiles), -(2 ** (x_bits - 1))
            x = [rng.choice((low, -low - 1)) if extreme else rng.randint(low, -low - 1) for _ in range(simd)]
            at = trace.cycle(issue=1, first=k == 0, last=k == length - 1, tile=t, x=packed(x, x_bits))
            sums = [a + sum(map(int.__mul__, weights[t][p], x)) for p, a in enumerate(sums)]
        done.append((at + latency(simd), sums))
    return done


def check_array(case: tuple[int, int, int, int, int, int], **more: Any) -> None:
    w, x_bits, pe, simd, tiles, dsp = case
    rng = random.Random(repr(case))
    largest = 1 if w == 1 else 2 ** (w - 1) - 1
    terms = 3 * simd * tiles
    s = (terms * largest * 2 ** (x_bits - 1)).bit_length() + 1
    parameters = {"W": w, "X": x_bits, "PE": pe, "SIMD": simd, "TILES": tiles, "S": s, "DSP_PE": dsp}
    drive = CONFIG | {"issue": 1, "first": 1, "last": 1, "tile": max(1, (tiles - 1).bit_length()), "x": simd * x_bits}
    unit = RtlUnit(
        "zeile_mac_array", parameters, {}, {}, drive=drive, watch={"done": 1, "sums": pe * s, "rdata": 64}, **more
    )
    trace = Trace(list(drive))

    def weight() -> int:
        return rng.choice((-1, 1)) if w == 1 else rng.choice((-largest, largest, rng.randint(-largest, largest)))

    weights = [[[weight() for _ in range(simd)] for _ in range(pe)] for _ in range(tiles)]
    each = codes_per_word(w)

    def words(codes: Sequence[int]) -> list[int]:
        stored = [int(code > 0) for code in codes] if w == 1 else codes
        return [packed(stored[i : i + each], w) for i in range(0, simd, each)]

    entries = [(t, p) for t in range(tiles) for p in range(pe)]
    flat = [word for t, p in entries for word in words(weights[t][p])]
    for index, word in enumerate(flat):
        trace.write(index, word | rng.getrandbits(64) << each * w & 2**64 - 1)  # what no code fills is ignored
    for index in (len(flat), len(flat) + 1, 2 * len(flat), 2**23, 2**24 - 1):
        trace.write(index, rng.getrandbits(64))
    for index in [*rng.sample(range(len(flat)), min(len(flat), 60)), len(flat), len(flat) - 1, 2**24 - 1]:
        trace.read(index, flat[index] if index < len(flat) else 0)

    done = folds(trace, rng, weights, x_bits, 60)
    trace.rest(latency(simd))
    for t, p in rng.sample(entries, min(len(entries), 5)):  # one entry anew, the others stay
        weights[t][p] = [weight() for _ in range(simd)]
        for part, word in enumerate(words(weights[t][p])):
            trace.write((t * pe + p) * -(-simd // each) + part, word)
    trace.rest(READ_LATENCY)
    done += folds(trace, rng, weights, x_bits, 40)
    trace.rest(30)

    got, _ = unit.run(trace.values, cycles=trace.length + 50)
    trace.check_reads(got["rdata"])
    assert [at for at, on in enumerate(got["done"]) if on] == [at for at, _ in done]
    for (at, sums), (until, _) in zip(done, [*done[1:], (trace.length, [])], strict=True):
        assert [signed(field, s) for field in fields(got["sums"][at], s, pe)] == sums
        assert len(set(got["sums"][at:until])) == 1


@pytest.mark.parametrize("case", ARRAYS, ids=lambda case: "w{}x{}-{}x{}-{}".format(*case))
def test_mac_array(case: tuple[int, int, int, int, int, int]) -> None:
    check_array(case)


# Stands in for the vendor's slice: the one mode that is used, and nothing but it.
SLICE = """
module DSP48E2 #(
    parameter AMULTSEL = "A", BMULTSEL = "B", PREADDINSEL = "A", A_INPUT = "DIRECT", B_INPUT = "DIRECT",
    parameter USE_MULT = "MULTIPLY", USE_SIMD = "ONE48",
    parameter int AREG = 1, ACASCREG = 1, BREG = 1, BCASCREG = 1, DREG = 1, ADREG = 1, CREG = 1, MREG = 1, PREG = 1,
    parameter int ALUMODEREG = 1, CARRYINREG = 1, CARRYINSELREG = 1, INMODEREG = 1, OPMODEREG = 1
) (
    input CLK, input [29:0] A, input [26:0] D, input [17:0] B, input [47:0] C, output [47:0] P,
    input [4:0] INMODE, input [8:0] OPMODE, input [3:0] ALUMODE, input CARRYIN, input [2:0] CARRYINSEL,
    input CEA1, CEA2, CEB1, CEB2, CED, CEAD, CEC, CEM, CEP, CEALUMODE, CECARRYIN, CECTRL, CEINMODE,
    input RSTA, RSTB, RSTC, RSTD, RSTM, RSTP, RSTALLCARRYIN, RSTALUMODE, RSTCTRL, RSTINMODE,
    input [29:0] ACIN, input [17:0] BCIN, input [47:0] PCIN, input CARRYCASCIN, MULTSIGNIN,
    output [29:0] ACOUT, output [17:0] BCOUT, output [47:0] PCOUT, output CARRYCASCOUT, output [3:0] CARRYOUT,
    output MULTSIGNOUT, OVERFLOW, PATTERNDETECT, PATTERNBDETECT, UNDERFLOW, output [7:0] XOROUT
);
  localparam int ONES = AREG + ACASCREG + BREG + BCASCREG + DREG + MREG;
  localparam int ZEROS = ADREG + CREG + PREG + ALUMODEREG + CARRYINREG + CARRYINSELREG + INMODEREG + OPMODEREG;
  wire mode = ONES == 6 && ZEROS == 0 && AMULTSEL == "AD" && BMULTSEL == "B" && PREADDINSEL == "A" &&
      A_INPUT == "DIRECT" && B_INPUT == "DIRECT" && USE_MULT == "MULTIPLY" && USE_SIMD == "ONE48" &&
      INMODE == 5'b00100 && OPMODE == 9'b000000101 && ALUMODE == 0 && CEA2 && CEB2 && CED && CEM &&
      !RSTA && !RSTB && !RSTD && !RSTM && !CARRYIN && CARRYINSEL == 0;
  logic signed [26:0] a, d;
  logic signed [17:0] b;
  logic signed [44:0] m;
  wire signed [26:0] ad = a + d;
  always @(posedge CLK) begin
    a <= A[26:0]; d <= D; b <= B;
    m <= ad * b;
  end
  assign P = mode ? 48'(m) : 48'hDEAD;
endmodule
"""


def check_pair(w: int, x_bits: int, **more: Any) -> None:
    drive = {"weight0": w, "weight1": w, "code": x_bits}
    watch = {"product0": w + x_bits, "product1": w + x_bits}
    unit = RtlUnit("zeile_pair_test", {"W": w, "X": x_bits}, {}, {}, drive=drive, watch=watch, **more)
    rng = random.Random(w)
    if 2 * w + x_bits <= 13:
        values = [(i, j, k) for i in range(2**w) for j in range(2**w) for k in range(2**x_bits)]
    else:
        edges = (0, 1, 2 ** (w - 1), 2**w - 1)
        values = [(i, j, k) for i in edges for j in edges for k in (0, 1, 2 ** (x_bits - 1), 2**x_bits - 1)]
        values += [(rng.getrandbits(w), rng.getrandbits(w), rng.getrandbits(x_bits)) for _ in range(20_000)]
    got, _ = unit.run({name: [value[i] for value in values] for i, name in enumerate(drive)})
    for cycle, (weight0, weight1, code) in enumerate(values):
        for name, weight in (("product0", weight0), ("product1", weight1)):
            assert signed(got[name][cycle + 2], w + x_bits) == signed(weight, w) * signed(code, x_bits)


# The harness resets, the module has nothing to reset.
def without_reset(folder: Path, name: str, module: str, parameters: str, ports: str) -> Path:
    path = folder / f"{name}.sv"
    path.write_text(
        f"module {name} #({parameters}) (\n  input clk, input rst, {ports}\n);\n"
        f"  wire unused = rst;\n  {module} u (.*);\nendmodule\n"
    )
    return path


def pair_test(folder: Path) -> Path:
    ports = "input [W-1:0] weight0, weight1, input [X-1:0] code, output [W+X-1:0] product0, product1"
    return without_reset(
        folder, "zeile_pair_test", "zeile_mac_pair #(.W(W), .X(X))", "parameter int W = 4, X = 5", ports
    )


@pytest.mark.parametrize(("w", "x_bits"), [(2, 9), (4, 5), (8, 9)])
def test_mac_pair(w: int, x_bits: int, tmp_path: Path) -> None:
    check_pair(w, x_bits, extra=[pair_test(tmp_path)])


@pytest.mark.parametrize(("w", "x_bits"), [(4, 5), (8, 9)])
def test_mac_pair_in_the_slice(w: int, x_bits: int, tmp_path: Path) -> None:
    sources = broken(tmp_path, "zeile_mac_pair.sv", "`ifdef ZEILE_DSP48E2", "`ifndef ZEILE_DSP48E2")
    (tmp_path / "DSP48E2.sv").write_text(SLICE)
    check_pair(w, x_bits, sources=sources, extra=[pair_test(tmp_path), tmp_path / "DSP48E2.sv"])


def check_rescale(folder: Path, s_in: int, out_bits: int, out_signed: int, **more: Any) -> None:
    parameters = "parameter int S_IN = 32, OUT_BITS = 8, OUT_SIGNED = 1"
    ports = "input [S_IN-1:0] accumulator, input [14:0] multiplier, output [OUT_BITS-1:0] out"
    module = "zeile_rescale #(.S_IN(S_IN), .OUT_BITS(OUT_BITS), .OUT_SIGNED(OUT_SIGNED))"
    extra = [without_reset(folder, "zeile_rescale_test", module, parameters, ports)]
    values = {"S_IN": s_in, "OUT_BITS": out_bits, "OUT_SIGNED": out_signed}
    drive = {"accumulator": s_in, "multiplier": 15}
    unit = RtlUnit("zeile_rescale_test", values, {}, {}, drive=drive, watch={"out": out_bits}, extra=extra, **more)
    rng = random.Random(out_bits)
    low, high = (-(2 ** (out_bits - 1)), 2 ** (out_bits - 1) - 1) if out_signed else (0, 2**out_bits - 1)
    limit = 2 ** (s_in - 1)
    pairs = [(a, m) for a in (-limit, 1 - limit, -1, 0, 1, limit - 1) for m in (0, 1, 2**14, 2**15 - 1)]
    for _ in range(20_000):
        m = rng.choice((rng.randint(0, 2**15 - 1), 1 << rng.randint(0, 14)))
        near = ((rng.randint(low - 2, high + 2) << 15) - 2**14) // max(m, 1) + rng.randint(-2, 2)  # about a step
        a = rng.choice((near, near, rng.randint(-limit, limit - 1) >> rng.randint(0, s_in - 1)))
        pairs.append((min(max(a, -limit), limit - 1), m))
    got, _ = unit.run({"accumulator": [a for a, _ in pairs], "multiplier": [m for _, m in pairs]})
    for cycle, (a, m) in enumerate(pairs):
        code = got["out"][cycle + RESCALE_LATENCY]
        assert (signed(code, out_bits) if out_signed else code) == min(max((a * m + 2**14) >> 15, low), high)


@pytest.mark.parametrize(
    ("s_in", "out_bits", "out_signed"),
    [(32, 8, 1), (32, 8, 0), (32, 4, 0), (32, 1, 0), (32, 2, 0), (24, 5, 1), (32, 2, 1)],
)
def test_rescale(s_in: int, out_bits: int, out_signed: int, tmp_path: Path) -> None:
    check_rescale(tmp_path, s_in, out_bits, out_signed)


def check_quotient(folder: Path, bits: int, divisor: int, **more: Any) -> None:
    parameters = "parameter int BITS = 12, D = 3, localparam int REST_BITS = D <= 2 ? 1 : $clog2(D)"
    ports = "input [BITS-1:0] n, output [BITS-1:0] quotient, output [REST_BITS-1:0] remainder"
    extra = [without_reset(folder, "zeile_quotient_test", "zeile_quotient #(.BITS(BITS), .D(D))", parameters, ports)]
    watch = {"quotient": bits, "remainder": max(1, (divisor - 1).bit_length())}
    values = {"BITS": bits, "D": divisor}
    unit = RtlUnit("zeile_quotient_test", values, {}, {}, drive={"n": bits}, watch=watch, extra=extra, **more)
    rng = random.Random(divisor)
    numbers = list(range(2**bits)) if bits <= 14 else [rng.getrandbits(bits) for _ in range(10_000)]
    numbers += [n for k in range(1, 200) for n in (k * divisor - 1, k * divisor) if n < 2**bits] + [2**bits - 1]
    got, _ = unit.run({"n": numbers})
    for cycle, n in enumerate(numbers):
        assert (got["quotient"][cycle + 2], got["remainder"][cycle + 2]) == divmod(n, divisor)


@pytest.mark.parametrize(("bits", "divisor"), [(1, 1), (12, 3), (14, 64), (24, 24), (24, 1000)])
def test_quotient(bits: int, divisor: int, tmp_path: Path) -> None:
    check_quotient(tmp_path, bits, divisor)


def check_rows(folder: Path, rows: int, banks: int, groups: int, lanes: int, **more: Any) -> None:
    ports, depth = banks * lanes, rows // (banks * lanes)
    bits = max(1, (depth - 1).bit_length())
    parameters = (
        "parameter int ROWS = 16, BANKS = 1, GROUPS = 2, LANES = 2, "
        "localparam int P = BANKS * LANES, localparam int A = ROWS / P <= 2 ? 1 : $clog2(ROWS / P)"
    )
    declared = (
        "input [A-1:0] address, output [P*32-1:0] bias, output [P*15-1:0] multiplier, output [P*16-1:0] gain, "
        "input we, re, input [23:0] index, input [63:0] wdata, output [63:0] rdata"
    )
    module = "zeile_rows #(.ROWS(ROWS), .BANKS(BANKS), .GROUPS(GROUPS), .LANES(LANES))"
    extra = [without_reset(folder, "zeile_rows_test", module, parameters, declared)]
    values = {"ROWS": rows, "BANKS": banks, "GROUPS": groups, "LANES": lanes}
    drive = CONFIG | {"address": bits}
    watch = {"bias": 32 * ports, "multiplier": 15 * ports, "gain": 16 * ports, "rdata": 64}
    unit = RtlUnit("zeile_rows_test", values, {}, {}, drive=drive, watch=watch, extra=extra, **more)
    rng = random.Random(rows)
    words = [rng.getrandbits(64) for _ in range(rows)]
    trace = Trace(list(drive))
    for index in rng.sample(range(rows), rows):
        trace.write(index, words[index])
    for index in (rows, rows + 1, 2**24 - 1, 2**20):
        trace.write(index, rng.getrandbits(64))
    kept = [word & ~(1 << 47) for word in words]  # a multiplier has 15 bits
    for index in [*range(min(rows, 70)), rows - 1, rows, 2**24 - 1]:
        trace.read(index, kept[index] if index < rows else 0)
    asked = [(trace.cycle(address=address), address) for address in (rng.randrange(depth) for _ in range(100))]
    trace.rest(4)
    got, _ = unit.run(trace.values)
    trace.check_reads(got["rdata"])
    for cycle, address in asked:
        at, (block, group) = cycle + ROWS_LATENCY, divmod(address, groups)
        for bank in range(banks):
            for lane in range(lanes):
                word = kept[((block * banks + bank) * groups + group) * lanes + lane]
                place = bank * lanes + lane
                sizes = {"bias": 32, "multiplier": 15, "gain": 16}
                read = [fields(got[name][at], size, ports)[place] for name, size in sizes.items()]
                assert read == [word & 2**32 - 1, word >> 32 & 2**15 - 1, word >> 48]


@pytest.mark.parametrize(
    ("rows", "banks", "groups", "lanes"),
    [(24, 1, 2, 3), (64, 4, 4, 1), (16, 1, 1, 16), (200, 1, 1, 1), (72, 4, 3, 2), (280, 1, 5, 2), (1, 1, 1, 1)],
)
def test_rows(rows: int, banks: int, groups: int, lanes: int, tmp_path: Path) -> None:
    check_rows(tmp_path, rows, banks, groups, lanes)


def check_table(folder: Path, out_bits: int, entries: int, readers: int, out_signed: int, **more: Any) -> None:
    bits = (entries - 1).bit_length()
    parameters = (
        "parameter int OUT_BITS = 4, ENTRIES = 256, READERS = 1, OUT_SIGNED = 1, localparam int B = $clog2(ENTRIES)"
    )
    declared = (
        "input [READERS*B-1:0] entries, output [READERS*OUT_BITS-1:0] codes, "
        "input we, re, input [23:0] index, input [63:0] wdata, output [63:0] rdata"
    )
    module = "zeile_table #(.OUT_BITS(OUT_BITS), .ENTRIES(ENTRIES), .READERS(READERS), .OUT_SIGNED(OUT_SIGNED))"
    extra = [without_reset(folder, "zeile_table_test", module, parameters, declared)]
    values = {"OUT_BITS": out_bits, "ENTRIES": entries, "READERS": readers, "OUT_SIGNED": out_signed}
    drive, watch = CONFIG | {"entries": readers * bits}, {"codes": readers * out_bits, "rdata": 64}
    unit = RtlUnit("zeile_table_test", values, {}, {}, drive=drive, watch=watch, extra=extra, **more)
    rng = random.Random(entries)
    trace, words = Trace(list(drive)), [rng.getrandbits(64) for _ in range(entries // 8)]
    for index in rng.sample(range(len(words)), len(words)):
        trace.write(index, words[index])
    for index in (len(words), 2**24 - 1):
        trace.write(index, rng.getrandbits(64))
    codes = [code & (1 << out_bits) - 1 for word in words for code in fields(word, 8, 8)]
    for index in [*range(min(len(words), 40)), len(words) - 1, len(words)]:
        read = codes[8 * index : 8 * index + 8]
        trace.read(index, packed([signed(code, out_bits) if out_signed else code for code in read], 8))
    asked = []
    for _ in range(300):
        places = [rng.randrange(entries) for _ in range(readers)]
        asked.append((trace.cycle(entries=packed(places, bits)), places))
    trace.rest(4)
    got, _ = unit.run(trace.values)
    trace.check_reads(got["rdata"])
    for cycle, places in asked:
        assert fields(got["codes"][cycle + TABLE_LATENCY], out_bits, readers) == [codes[place] for place in places]


@pytest.mark.parametrize(
    ("out_bits", "entries", "readers", "out_signed"),
    [(4, 256, 3, 0), (4, 256, 1, 1), (2, 16, 2, 1), (8, 1024, 2, 1), (8, 256, 3, 0), (5, 128, 1, 1)],
)
def test_table(out_bits: int, entries: int, readers: int, out_signed: int, tmp_path: Path) -> None:
    check_table(tmp_path, out_bits, entries, readers, out_signed)


def check_fifo(width: int, depth: int, **more: Any) -> None:
    unit = RtlUnit("zeile_fifo", {"WIDTH": width, "DEPTH": depth}, {"in": width}, {"out": width}, **more)
    rng = random.Random(depth)
    elements = [rng.getrandbits(width) for _ in range(1500)]
    for seed, stalls in enumerate([(0, 0), (300, 300), (900, 0), (0, 900), (500, 500)]):
        got, report = unit.run({"in": elements}, stalls=stalls, seed=seed)
        assert got["out"] == elements
        if stalls == (0, 0):
            at = report["at"]["out"]
            assert at == list(range(at[0], at[0] + len(at)))  # one each cycle
            assert at[0] - report["first"]["in"] == (2 if depth <= 64 else 3)
    _, report = unit.run({"in": elements}, stalls=(0, 1000), rest=True)  # none leaves
    assert depth <= len(report["at"]["in"]) <= depth + 2


@pytest.mark.parametrize(("width", "depth"), [(1, 2), (9, 3), (106, 4), (70, 64), (33, 65), (130, 100)])
def test_fifo(width: int, depth: int) -> None:
    check_fifo(width, depth)


def message(op: int, target: int, address: int, data: int) -> int:
    return op | target << 2 | address << 10 | data << 42


def check_config(target: int, section: int, read_latency: int = READ_LATENCY, **more: Any) -> None:
    unit = RtlUnit(
        "zeile_config",
        {"TARGET": target, "SECTION": section, "READ_LATENCY": read_latency},
        {"config_in": 106},
        {"config_out": 106},
        drive={"rdata": 64},
        watch={"we": 1, "re": 1, "section": 3, "index": 24, "wdata": 64},
        **more,
    )
    rng = random.Random(target)
    given = []
    for _ in range(400):
        to = rng.choice((target, target, target ^ 1, rng.randrange(256)))
        at = rng.choice((section, section, section, 8 - section, rng.randrange(0, 256, 8))) + rng.randrange(8)
        op = rng.choice((0, 0, 1, 1, 2, 3))
        given.append((op, to, at << 24 | rng.getrandbits(24), rng.getrandbits(64)))
    shown = [rng.getrandbits(64) for _ in range(40_000)]
    for stalls in ((0, 0), (300, 300), (0, 800)):
        got, _ = unit.run({"config_in": [message(*each) for each in given], "rdata": shown}, stalls=stalls, seed=3)
        writes = [cycle for cycle, on in enumerate(got["we"]) if on]
        reads = [cycle for cycle, on in enumerate(got["re"]) if on]
        mine = [m for m in given if m[1] == target and m[2] >> 27 == section // 8]
        for wanted, cycles in ((0, writes), (1, reads)):
            asked = [(m[2] >> 24 & 7, m[2] & 2**24 - 1) for m in mine if m[0] == wanted]
            assert [(got["section"][c], got["index"][c]) for c in cycles] == asked
        assert [got["wdata"][c] for c in writes] == [m[3] for m in mine if m[0] == 0]
        answers = iter([shown[c + read_latency] for c in reads])
        expected = []
        for m in given:
            if m not in mine or m[0] > 1:
                expected.append(message(*m))
            elif m[0] == 1:
                expected.append(message(2, m[1], m[2], next(answers)))
        assert got["config_out"] == expected
        for cycle in reads:  # nothing comes between a request and its answer
            assert {got["index"][c] for c in range(cycle, cycle + read_latency + 1)} == {got["index"][cycle]}
            assert not any(got["we"][cycle : cycle + read_latency + 1])


@pytest.mark.parametrize(("target", "section"), [(0, 0), (6, 8)])
def test_config(target: int, section: int) -> None:
    check_config(target, section)


Check = Callable[[Path, Path], None]


def array_of(case: int) -> Check:
    return lambda folder, sources: check_array(ARRAYS[case], sources=sources)


FAULTS: list[tuple[str, str, str, Check]] = [
    ("rescale", "+ (R_BITS + 1)'(1)", "+ (R_BITS + 1)'(0)", lambda f, s: check_rescale(f, 32, 8, 1, sources=s)),
    ("rescale", "negative ? LOWEST : HIGHEST", "HIGHEST", lambda f, s: check_rescale(f, 32, 4, 0, sources=s)),
    ("mac_pair", "+ (W + X)'(product[17])", "", lambda f, s: check_pair(4, 5, sources=s, extra=[pair_test(f)])),
    ("product", "minus <<< 1 : once <<< 1", "once <<< 1 : once <<< 1", array_of(5)),
    ("tree", "k < BEFORE", "k < BEFORE - 1", array_of(6)),
    ("mac_array", "begins[LATENCY-3] ?", "begins[LATENCY-4] ?", array_of(4)),
    ("mac_array", "if (ends[LATENCY-2])", "if (valid[LATENCY-2])", array_of(4)),
    ("weights", "at_part == PART_BITS'(PARTS - 1)", "at_part == '0", array_of(3)),
    ("weights", "address_q : address)", "address : address)", array_of(3)),
    ("weights", "index < 24'(WORDS)", "1'b1", array_of(6)),
    ("quotient", "+ 64'(D) - 64'd1", "", lambda f, s: check_quotient(f, 12, 3, sources=s)),
    ("rows", "ADDRESS_BITS'(GROUPS) +", "ADDRESS_BITS'(1) +", lambda f, s: check_rows(f, 24, 1, 2, 3, sources=s)),
    ("table", "which <= entry[2:0];", "which <= 3'd0;", lambda f, s: check_table(f, 4, 256, 3, 0, sources=s)),
    ("fifo", "count != COUNT_BITS'(DEPTH)", "1'b1", lambda f, s: check_fifo(9, 3, sources=s)),
    ("config", "waiting <= read;", "waiting <= 1'b0;", lambda f, s: check_config(6, 8, sources=s)),
]


@pytest.mark.parametrize(("module", "right", "wrong", "check"), FAULTS, ids=[f"{each[0]} {each[2]}" for each in FAULTS])
def test_planted_faults_are_found(module: str, right: str, wrong: str, check: Check, tmp_path: Path) -> None:
    sources = broken(tmp_path, f"zeile_{module}.sv", right, wrong)
    with pytest.raises(AssertionError):
        check(tmp_path, sources)


def test_every_shared_module_is_a_file_of_its_name() -> None:
    for path in RTL.glob("*.sv"):
        assert f"module {path.stem} " in path.read_text("utf-8")
