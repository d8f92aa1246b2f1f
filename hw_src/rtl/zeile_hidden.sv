// SPDX-License-Identifier: Apache-2.0
// The output of a unit: h = D_A(o * tanh_cell) (HiddenOutput() of arithmetic.h). Latency 1, a unit each cycle.
`default_nettype none

module zeile_hidden #(
    parameter int A = 4
) (
    input  wire                 clk,
    input  wire         [A-1:0] o,
    input  wire signed  [A-1:0] tanh_cell,
    output logic signed [A-1:0] h
);
  logic signed [2*A-1:0] n;
  /* verilator lint_off UNUSEDSIGNAL */
  logic signed [2*A-1:0] quotient;  // fits A bits
  /* verilator lint_on UNUSEDSIGNAL */

  always_ff @(posedge clk) n <= $signed({1'b0, o}) * tanh_cell;

  zeile_divide #(
      .A(A),
      .N(2 * A)
  ) divide (
      .value(n),
      .quotient
  );

  assign h = A'(quotient);
endmodule

`default_nettype wire
