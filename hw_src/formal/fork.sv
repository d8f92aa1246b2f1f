// SPDX-License-Identifier: Apache-2.0
// zeile_fork: each reader gets every element once, in order, and none before it is there.
module fork_rules #(
    parameter WIDTH = 2
) (
    input wire clk,
    input wire in_valid,
    input wire [WIDTH-1:0] in_data,
    input wire out0_ready,
    input wire out1_ready
);
  wire rst, in_ready, out0_valid, out1_valid;
  wire [WIDTH-1:0] out0_data, out1_data;
  reset_once reset (.clk(clk), .rst(rst));
  zeile_fork #(.WIDTH(WIDTH)) u (
      .clk(clk), .rst(rst), .in_valid(in_valid), .in_ready(in_ready), .in_data(in_data),
      .out0_valid(out0_valid), .out0_ready(out0_ready), .out0_data(out0_data),
      .out1_valid(out1_valid), .out1_ready(out1_ready), .out1_data(out1_data));
  stream_rules #(.WIDTH(WIDTH), .INPUT(1)) in (
      .clk(clk), .rst(rst), .valid(in_valid), .ready(in_ready), .data(in_data));
  stream_rules #(.WIDTH(WIDTH)) out0 (
      .clk(clk), .rst(rst), .valid(out0_valid), .ready(out0_ready), .data(out0_data));
  stream_rules #(.WIDTH(WIDTH)) out1 (
      .clk(clk), .rst(rst), .valid(out1_valid), .ready(out1_ready), .data(out1_data));

  reg has0 = 0, has1 = 0;  // the reader took the element that waits
  wire take0 = out0_valid && out0_ready, take1 = out1_valid && out1_ready, leave = in_valid && in_ready;
  always @(posedge clk) if (!rst) begin
    has0 <= leave ? 0 : has0 | take0;
    has1 <= leave ? 0 : has1 | take1;
  end

  (* hierconn *) wire \u.done0 ;
  (* hierconn *) wire \u.done1 ;
  always @* if (!rst) begin
    assert (\u.done0 == has0 && \u.done1 == has1);
    assert (!(has0 && has1));
    if (has0 || has1) assert (in_valid);
    if (take0) assert (in_valid && !has0 && out0_data == in_data);
    if (take1) assert (in_valid && !has1 && out1_data == in_data);
    if (leave) assert ((has0 || take0) && (has1 || take1));
  end
endmodule
