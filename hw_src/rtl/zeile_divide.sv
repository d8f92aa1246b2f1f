// SPDX-License-Identifier: Apache-2.0
// Division by 2^A - 1, half up, exact for all that occurs: D_A of DATAPATH.md, Divide() of arithmetic.h. Combinational.
// The multiplier has few ones, two for 6 bits and more, four for 4: a few adders, where a `*` would take a DSP slice.
`default_nettype none

module zeile_divide #(
    parameter int A = 4,
    parameter int N = 8
) (
    input  wire signed  [N-1:0] value,
    output logic signed [N-1:0] quotient
);
  localparam int SHIFT = A == 8 ? 16 : 15;
  localparam logic [13:0] MULTIPLIER = A == 2 ? 14'd10923 : A == 3 ? 14'd4681 : A == 4 ? 14'd2185 : A == 5 ? 14'd1057 :
      A == 6 ? 14'd520 : A == 7 ? 14'd258 : 14'd257;

  logic signed [N+14:0] rounded;

  always_comb begin
    rounded = (N + 15)'(1 << (SHIFT - 1));
    for (int b = 0; b < 14; ++b) if (MULTIPLIER[b]) rounded = rounded + ((N + 15)'(value) <<< b);
  end

  assign quotient = N'(rounded >>> SHIFT);
endmodule

`default_nettype wire
