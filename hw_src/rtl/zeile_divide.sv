// SPDX-License-Identifier: Apache-2.0
// Division by 2^A - 1, half up, exact for all that occurs: D_A of DATAPATH.md, Divide() of arithmetic.h. Combinational.
`default_nettype none

module zeile_divide #(
    parameter int A = 4,
    parameter int N = 8
) (
    input  wire signed  [N-1:0] value,
    output logic signed [N-1:0] quotient
);
  localparam int SHIFT = A == 8 ? 16 : 15;
  localparam int MULTIPLIER = A == 2 ? 10923 : A == 3 ? 4681 : A == 4 ? 2185 : A == 5 ? 1057 : A == 6 ? 520 :
      A == 7 ? 258 : 257;

  logic signed [N+13:0] product;
  logic signed [N+14:0] rounded;

  assign product  = value * $signed(15'(MULTIPLIER));
  assign rounded  = (N + 15)'(product) + $signed((N + 15)'(1 << (SHIFT - 1)));
  assign quotient = N'(rounded >>> SHIFT);
endmodule

`default_nettype wire
