// SPDX-License-Identifier: Apache-2.0
// weight * code in LUTs: each two bits of the weight choose one of the code's multiples, which PE rows share. Written
// without `*`, which tools would put into DSP slices. Combinational.
`default_nettype none

module zeile_product #(
    parameter int W = 4,  // bits of a signed weight, at least 2
    parameter int X = 5   // bits of the signed code
) (
    input  wire logic [W-1:0]   weight,
    input  wire logic [X-1:0]   code,
    input  wire logic [X:0]     negated,  // -code
    input  wire logic [X+1:0]   tripled,  // 3 * code
    output wire logic [W+X-1:0] product
);
  localparam int DIGITS = (W + 1) / 2;

  wire logic [2*DIGITS-1:0] bits = (2 * DIGITS)'($signed(weight));
  wire logic signed [X+1:0] once = (X + 2)'($signed(code)), minus = (X + 2)'($signed(negated));
  logic signed [X+1:0] term;
  logic [W+X-1:0] sum;
  assign product = sum;

  always_comb begin
    sum = '0;
    for (int d = 0; d < DIGITS; d++) begin
      case (bits[2*d+:2])
        2'd0: term = '0;
        2'd1: term = once;
        2'd2: term = d == DIGITS - 1 ? minus <<< 1 : once <<< 1;  // the upper digit is -2 ... 1
        2'd3: term = d == DIGITS - 1 ? minus : $signed(tripled);
      endcase
      sum = sum + ((W + X)'(term) << (2 * d));
    end
  end
endmodule

`default_nettype wire
