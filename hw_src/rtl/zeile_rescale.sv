// SPDX-License-Identifier: Apache-2.0
// out = clamp(R(accumulator * multiplier)), R(v) = (v + 2^14) >> 15 (Rescale(), ClampSigned(), ClampUnsigned() of
// arithmetic.h). Latency ZEILE_RESCALE_LATENCY = 4, a value each cycle; two DSP slices.
`default_nettype none

module zeile_rescale #(
    parameter int S_IN = 32,       // bits of the accumulator
    parameter int OUT_BITS = 8,
    parameter int OUT_SIGNED = 1   // clamp to [-2^(OUT_BITS-1), 2^(OUT_BITS-1) - 1], else to [0, 2^OUT_BITS - 1]
) (
    input  wire logic                clk,
    input  wire logic [S_IN-1:0]     accumulator,  // signed
    input  wire logic [14:0]         multiplier,
    output wire logic [OUT_BITS-1:0] out
);
  // verilator lint_off UNUSEDSIGNAL
  logic signed [S_IN-1:0] a;
  logic [14:0] m;
  logic signed [S_IN+14:0] product, product_q;  // two registers behind the multiplier, for its two slices
  logic [OUT_BITS-1:0] code;
  assign out = code;

  // (v + 2^14) >> 15: the lower 14 bits never matter.
  localparam int R_BITS = S_IN + 1;
  wire logic signed [R_BITS:0] rounded = (R_BITS + 1)'($signed(product_q[S_IN+14:14])) + (R_BITS + 1)'(1);
  wire logic signed [R_BITS-1:0] value = rounded[R_BITS:1];
  // verilator lint_on UNUSEDSIGNAL

  // It fits when all bits from the sign of the result on are equal.
  localparam int TOP = OUT_SIGNED != 0 ? OUT_BITS - 1 : OUT_BITS;
  wire logic negative = value[R_BITS-1];
  wire logic fits = OUT_SIGNED != 0 ? value[R_BITS-1:TOP] == {(R_BITS - TOP){negative}} : value[R_BITS-1:TOP] == '0;
  localparam logic [OUT_BITS-1:0] HIGHEST = OUT_SIGNED != 0 ? {1'b0, {(OUT_BITS - 1) {1'b1}}} : '1;
  localparam logic [OUT_BITS-1:0] LOWEST = OUT_SIGNED != 0 ? ~HIGHEST : '0;

  always_ff @(posedge clk) begin
    a <= accumulator;
    m <= multiplier;
    product <= a * $signed({1'b0, m});
    product_q <= product;
    code <= fits ? value[OUT_BITS-1:0] : negative ? LOWEST : HIGHEST;
  end
endmodule

`default_nettype wire
