# SPDX-License-Identifier: Apache-2.0
"""The equalities: a function of hw_src/hls on one side, the module of hw_src/rtl that does the same on the other one.

Where the HLS unit has an expression instead of a function, it is repeated here as it stands there.
"""

from __future__ import annotations

from hw_src.proofs.proof import Argument, Proof

RESCALE_STAGES = 4
_ACCUMULATOR, _BIAS = Argument("accumulator", 32, True), Argument("bias", 32, True)
_MULTIPLIER = Argument("multiplier", 15)


def rescale(bits: int, signed: bool) -> Proof:
    """Rescaling and clamping of arithmetic.h."""
    kind = "Signed" if signed else "Unsigned"
    return Proof(
        name=f"rescale_{'s' if signed else 'u'}{bits}",
        says=f"Rescale, Clamp{kind}<{bits}>",
        arguments=(_ACCUMULATOR, _MULTIPLIER),
        bits=bits,
        cpp=f"return Clamp{kind}<{bits}>(Rescale(accumulator, multiplier));",
        top="zeile_rescale",
        rtl=f"  zeile_rescale #(.S_IN(32), .OUT_BITS({bits}), .OUT_SIGNED({int(signed)})) side (\n"
        "      .clk, .accumulator, .multiplier, .out(value));",
        latency=RESCALE_STAGES,
    )


def conv_lane(s: int, skip_bits: int, out_bits: int) -> Proof:
    """Conv::drain of conv.h, for one channel."""
    skip = Argument("skip", max(skip_bits, 1))
    skipped = "ap_int<32>(gain * skip)" if skip_bits else "ap_int<32>(0)"
    return Proof(
        name=f"conv_lane_s{s}_skip{skip_bits}_u{out_bits}",
        says="bias and skip connection, Rescale, ClampUnsigned (Conv::drain)",
        arguments=(Argument("sum", s, True), _BIAS, _MULTIPLIER, Argument("gain", 16, True), skip),
        bits=out_bits,
        cpp=f"const ap_int<32> skipped = {skipped}; const ap_int<32> accumulator = bias + ap_int<32>(sum) + skipped; "
        f"return ClampUnsigned<{out_bits}>(Rescale(accumulator, multiplier));",
        top="zeile_conv_lane",
        rtl=f"  zeile_conv_lane #(.S({s}), .SKIP_BITS({skip_bits}), .OUT_BITS({out_bits})) side (\n"
        "      .clk, .sum, .bias, .multiplier, .gain, .skip, .code(value));",
        latency=RESCALE_STAGES + (2 if skip_bits else 1),
    )


def preactivation(s: int) -> Proof:
    """Lstm::unit of lstm.h, for one gate; a score of Dense::drain is the same less 128."""
    return Proof(
        name=f"preactivation_s{s}",
        says="bias, Rescale, ClampSigned<8>, + 128 (Lstm::unit, Dense::drain)",
        arguments=(Argument("sum", s, True), _BIAS, _MULTIPLIER),
        bits=8,
        cpp="const ap_int<32> accumulator = bias + ap_int<32>(sum); "
        "return ap_uint<8>(ClampSigned<8>(Rescale(accumulator, multiplier)) + 128);",
        top="zeile_preactivation",
        rtl=f"  zeile_preactivation #(.S({s})) side (.clk, .sum, .bias, .multiplier, .entry(value));",
        latency=RESCALE_STAGES + 1,
    )


def update_cell(a: int, c: int) -> Proof:
    """UpdateCell of arithmetic.h."""
    return Proof(
        name=f"update_cell_a{a}_c{c}",
        says=f"UpdateCell<{a}, {c}>",
        arguments=(Argument("i", a), Argument("f", a), Argument("g", a, True), Argument("cell_now", c, True)),
        bits=c,
        cpp=f"return UpdateCell<{a}, {c}>(i, f, g, cell_now);",
        top="zeile_cell",
        rtl=f"  zeile_cell #(.A({a}), .C({c})) side (.clk, .i, .f, .g, .cell_now, .cell_next(value));",
        latency=3,
    )


def hidden_output(a: int) -> Proof:
    """HiddenOutput of arithmetic.h."""
    return Proof(
        name=f"hidden_output_a{a}",
        says=f"HiddenOutput<{a}>",
        arguments=(Argument("o", a), Argument("tanh_cell", a, True)),
        bits=a,
        cpp=f"return HiddenOutput<{a}>(o, tanh_cell);",
        top="zeile_hidden",
        rtl=f"  zeile_hidden #(.A({a})) side (.clk, .o, .tanh_cell, .h(value));",
        latency=1,
    )


def divide(a: int, n: int) -> Proof:
    """Divide of arithmetic.h."""
    return Proof(
        name=f"divide_a{a}_n{n}",
        says=f"Divide<{a}> of {n} bits",
        arguments=(Argument("dividend", n, True),),
        bits=n,
        cpp=f"return Divide<{a}>(dividend);",
        top="zeile_divide",
        rtl=f"  zeile_divide #(.A({a}), .N({n})) side (.value(dividend), .quotient(value));",
        latency=0,
    )


def largest(channels: int, bits: int) -> Proof:
    """Pool::Largest of pool.h."""
    each = f"const ap_uint<{bits}> x = Slice<{bits}>(a, i * {bits}), y = Slice<{bits}>(b, i * {bits});"
    return Proof(
        name=f"largest_{channels}x{bits}",
        says=f"the larger codes of two pixels of {channels} channels (Pool::Largest)",
        arguments=(Argument("a", channels * bits), Argument("b", channels * bits)),
        bits=channels * bits,
        cpp=f"ap_uint<64> larger = 0; for (int i = 0; i < {channels}; ++i) {{ {each} "
        f"larger = larger | ap_uint<64>(ap_uint<64>(x > y ? x : y) << (i * {bits})); }} return larger;",
        top="zeile_max",
        rtl=f"  zeile_max #(.CHANNELS({channels}), .BITS({bits})) side (.a, .b, .larger(value));",
        latency=0,
    )


def crc_word() -> Proof:
    """CrcWord of crc.h."""
    return Proof(
        name="crc_word",
        says="CrcWord",
        arguments=(Argument("remainder", 32), Argument("word", 64)),
        bits=32,
        cpp="return ap_uint<32>(CrcWord(remainder.to_uint(), word.to_uint64()));",
        top="zeile_crc_word",
        rtl="  zeile_crc_word side (.remainder, .word, .next(value));",
        latency=0,
        linear=True,
    )


def quotient(bits: int, divisor: int) -> Proof:
    """Quotient of arithmetic.h, which divides 24 bits; the remainder stands above the quotient."""
    rest = max(1, (divisor - 1).bit_length())
    return Proof(
        name=f"quotient_{bits}by{divisor}",
        says=f"Quotient<{divisor}> and remainder, of {bits} bits",
        arguments=(Argument("n", bits),),
        bits=bits + rest,
        cpp=f"const ap_uint<24> q = Quotient<{divisor}>(n); const ap_uint<24> r = n - q * {divisor}; "
        f"return Join(ap_uint<{rest}>(r), ap_uint<{bits}>(q));",
        top="zeile_quotient",
        rtl=f"  zeile_quotient #(.BITS({bits}), .D({divisor})) side (.clk, .n,\n"
        f"      .quotient(value[{bits - 1}:0]), .remainder(value[{bits + rest - 1}:{bits}]));",
        latency=2,
        quick=divisor & (divisor - 1) != 0,  # the others are shifts
    )


def exact(divisor: int) -> Proof:
    """Quotient of arithmetic.h is the quotient."""
    return Proof(
        name=f"exact_quotient_{divisor}",
        says=f"Quotient<{divisor}>(n) is n / {divisor} for all n of 24 bits (both C++)",
        arguments=(Argument("n", 24),),
        bits=24,
        cpp=f"return Quotient<{divisor}>(n);",
        rtl=f"return ap_uint<24>(n.to_uint() / {divisor}u);",
    )


def packing(w: int, x: int) -> Proof:
    """AccumulatePair of arithmetic.h is two Accumulate: the two products of a DSP slice do not disturb each other."""
    weights = (Argument("weight0", w, True), Argument("weight1", w, True))
    bits = w + x
    return Proof(
        name=f"packing_w{w}_x{x}",
        says="AccumulatePair is two Accumulate (both C++)",
        arguments=(*weights, Argument("code", x, True)),
        bits=2 * bits,
        cpp=f"ap_int<{bits}> low = 0, high = 0; AccumulatePair(low, high, weight0, weight1, code); "
        "return Join(high, low);",
        rtl=f"const ap_int<{bits}> zero = 0; "
        "return Join(Accumulate(zero, weight1, code), Accumulate(zero, weight0, code));",
    )


def pair(w: int, x: int) -> Proof:
    """AccumulatePair of arithmetic.h from 0 on."""
    weights = (Argument("weight0", w, True), Argument("weight1", w, True))
    return Proof(
        name=f"pair_w{w}_x{x}",
        says="AccumulatePair",
        arguments=(*weights, Argument("code", x, True)),
        bits=2 * (w + x),
        cpp=f"ap_int<{w + x}> low = 0, high = 0; AccumulatePair(low, high, weight0, weight1, code); "
        "return Join(high, low);",
        top="zeile_mac_pair",
        rtl=f"  zeile_mac_pair #(.W({w}), .X({x})) side (.clk, .weight0, .weight1, .code,\n"
        f"      .product0(value[{w + x - 1}:0]), .product1(value[{2 * (w + x) - 1}:{w + x}]));",
        latency=2,
    )


def product(w: int, x: int) -> Proof:
    """Accumulate of arithmetic.h from 0 on."""
    return Proof(
        name=f"product_w{w}_x{x}",
        says="Accumulate",
        arguments=(Argument("weight", w, True), Argument("code", x, True)),
        bits=w + x,
        cpp=f"return Accumulate(ap_int<{w + x}>(0), weight, code);",
        top="zeile_product",
        rtl=f"  wire [{x}:0] negated;\n  wire [{x + 1}:0] tripled;\n"
        f"  zeile_multiples #(.X({x})) multiples (.code, .negated, .tripled);\n"
        f"  zeile_product #(.W({w}), .X({x})) side (.weight, .code, .negated, .tripled, .product(value));",
        latency=0,
    )


_WEIGHTS = """\
// Weights come through the port of configuration words, as late as those from memory.
module zeile_weights #(parameter int W = 4, PE = 4, SIMD = 4, TILES = 16) (
    input wire clk, input wire tile, output wire [PE*SIMD*W-1:0] weights, input wire we, input wire re,
    input wire [23:0] index, input wire [63:0] wdata, output wire [63:0] rdata);
  reg [PE*SIMD*W-1:0] stage1, stage2, stage3;
  always @(posedge clk) begin
    stage1 <= wdata[PE*SIMD*W-1:0];
    stage2 <= stage1;
    stage3 <= stage2;
  end
  assign weights = stage3;
  assign rdata = 64'd0;
endmodule
"""


def mac_array(w: int, x: int, simd: int, *, quick: bool) -> Proof:
    """MacArray of memory.h: a tile of three rows, two of them in DSP slices, with weights that may be."""
    s = w + x + 3
    weights, codes = Argument("weights", 3 * simd * w), Argument("x", simd * x)
    tree = ((simd - 1).bit_length() + 1) // 2
    cpp = (
        f"MacArray<{w}, {x}, 3, {simd}, 1, {s}, 2> array; ap_int<{s}> sums[3]; Pack<ap_int<{x}>, {simd}> codes; "
        f"for (int k = 0; k < {simd}; ++k) {{ codes.v[k] = ap_int<{x}>(Slice<{x}>(x, k * {x})); "
        f"for (int p = 0; p < 3; ++p) array.weights_[0][k][p] = "
        f"WeightCode<{w}>::FromBits(Slice<{w}>(weights, (p * {simd} + k) * {w})); }} "
        "array.accumulate(0, codes, true, sums); return Join(sums[2], Join(sums[1], sums[0]));"
    )
    lowest = [f"weights[{i * w}+:{w}] != {w}'d{1 << (w - 1)}" for i in range(3 * simd)]
    return Proof(
        name=f"mac_array_w{w}_x{x}_simd{simd}",
        says=f"MacArray::accumulate of SIMD {simd}: two rows in DSP slices, one in LUTs",
        arguments=(weights, codes),
        bits=3 * s,
        cpp=cpp,
        top="zeile_mac_array",
        rtl=f"  zeile_mac_array #(.W({w}), .X({x}), .PE(3), .SIMD({simd}), .TILES(1), .S({s}), .DSP_PE(2)) side (\n"
        "      .clk, .rst(1'b0), .issue(1'b1), .first(1'b1), .last(1'b1), .tile(1'b0), .x, .done(), .sums(value),\n"
        "      .we(1'b0), .re(1'b0), .index(24'd0), .wdata(64'(weights)), .rdata());",
        latency=7 + tree,
        given="1" if w == 1 else " && ".join(lowest),  # weights are symmetric: DATAPATH.md
        stubs={"zeile_weights": _WEIGHTS},
        quick=quick,
    )
