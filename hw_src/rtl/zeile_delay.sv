// SPDX-License-Identifier: Apache-2.0
// What was there CYCLES cycles ago. No reset, so that it fits into shift registers of LUTs.
`default_nettype none

module zeile_delay #(
    parameter int WIDTH  = 1,
    parameter int CYCLES = 1
) (
    input  wire              clk,
    input  wire  [WIDTH-1:0] in,
    output logic [WIDTH-1:0] out
);
  logic [CYCLES-1:0][WIDTH-1:0] line;

  always_ff @(posedge clk) begin
    line[0] <= in;
    for (int i = 1; i < CYCLES; ++i) line[i] <= line[i-1];
  end

  assign out = line[CYCLES-1];
endmodule

`default_nettype wire
