// SPDX-License-Identifier: Apache-2.0
// A counter of 64 bits in two halves, so that no carry runs further than 32 bits. `value` is exact in every cycle;
// `increment` shows in it a cycle later.
`default_nettype none

module zeile_counter (
    input  wire         clk,
    input  wire         rst,
    input  wire         increment,
    output logic [63:0] value
);
  logic full;  // the lower half is all ones

  always_ff @(posedge clk) begin
    if (rst) begin
      value <= 64'd0;
      full  <= 1'b0;
    end else if (increment) begin
      value[31:0] <= value[31:0] + 32'd1;
      full <= value[31:0] == 32'hFFFF_FFFE;
      if (full) value[63:32] <= value[63:32] + 32'd1;
    end
  end
endmodule

`default_nettype wire
