// SPDX-License-Identifier: Apache-2.0
// One stream to two readers: a map that a skip connection needs again, or the input of both directions.
// Each reader takes an element when it can; the next one comes when both have it. No latency, no storage.
`default_nettype none

module zeile_fork #(
    parameter int WIDTH = 8
) (
    input  wire              clk,
    input  wire              rst,
    input  wire              in_valid,
    output logic             in_ready,
    input  wire  [WIDTH-1:0] in_data,
    output logic             out0_valid,
    input  wire              out0_ready,
    output logic [WIDTH-1:0] out0_data,
    output logic             out1_valid,
    input  wire              out1_ready,
    output logic [WIDTH-1:0] out1_data
);
  logic done0, done1;  // this reader has the element, the other one not yet

  assign out0_data  = in_data;
  assign out1_data  = in_data;
  assign out0_valid = in_valid && !done0;
  assign out1_valid = in_valid && !done1;
  assign in_ready   = (done0 || out0_ready) && (done1 || out1_ready);

  always_ff @(posedge clk) begin
    if (rst) begin
      done0 <= 1'b0;
      done1 <= 1'b0;
    end else if (in_valid) begin
      done0 <= !in_ready && (done0 || out0_ready);
      done1 <= !in_ready && (done1 || out1_ready);
    end
  end
endmodule

`default_nettype wire
