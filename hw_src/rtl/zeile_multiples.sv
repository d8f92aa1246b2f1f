// SPDX-License-Identifier: Apache-2.0
// -code and 3 * code, which all products of a code share (zeile_product). Combinational.
`default_nettype none

module zeile_multiples #(
    parameter int X = 5
) (
    input  wire logic [X-1:0] code,     // signed, as the others
    output wire logic [X:0]   negated,
    output wire logic [X+1:0] tripled
);
  wire logic signed [X+1:0] wide = (X + 2)'($signed(code));
  assign negated = -wide[X:0];
  assign tripled = wide + (wide <<< 1);
endmodule

`default_nettype wire
