// SPDX-License-Identifier: Apache-2.0
// The cell of a unit, C bits: cell_next = clamp(D_A(f * cell_now + i * g * 2^(C - A - 2))), UpdateCell() of
// arithmetic.h. Latency 3, a unit each cycle.
`default_nettype none

module zeile_cell #(
    parameter int A = 4,  // bits of gates
    parameter int C = 8   // bits of the cell
) (
    input  wire                 clk,
    input  wire         [A-1:0] i,
    input  wire         [A-1:0] f,
    input  wire signed  [A-1:0] g,
    input  wire signed  [C-1:0] cell_now,
    output logic signed [C-1:0] cell_next
);
  localparam logic signed [C-1:0] TOP = {1'b0, {C - 1{1'b1}}}, BOTTOM = {1'b1, {C - 1{1'b0}}};

  logic signed [A+C-1:0] kept;
  logic signed [2*A-1:0] added;
  logic signed [A+C:0] n, quotient;

  zeile_divide #(
      .A(A),
      .N(A + C + 1)
  ) divide (
      .value(n),
      .quotient
  );

  always_ff @(posedge clk) begin
    kept <= $signed({1'b0, f}) * cell_now;
    added <= $signed({1'b0, i}) * g;
    n <= (A + C + 1)'(kept) + ((A + C + 1)'(added) <<< (C - A - 2));
    if (quotient > (A + C + 1)'(TOP)) cell_next <= TOP;
    else if (quotient < (A + C + 1)'(BOTTOM)) cell_next <= BOTTOM;
    else cell_next <= C'(quotient);
  end
endmodule

`default_nettype wire
