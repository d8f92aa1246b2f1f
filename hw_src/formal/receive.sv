// SPDX-License-Identifier: Apache-2.0
// zeile_receive: what it gives is stable, a verdict comes behind its packet's TLAST, and frames and messages only from
// packets that have begun. Which ones is the co-simulation's.
module receive (
    input wire clk,
    input wire in_valid,
    input wire [64:0] in_data,
    input wire retired_valid,
    input wire packets_ready,
    input wire frames_ready,
    input wire config_ready
);
  wire rst, in_ready, retired_ready, packets_valid, frames_valid, config_valid;
  wire [176:0] packets_data;
  wire [32:0] frames_data;
  wire [105:0] config_data;
  reset_once reset (.clk(clk), .rst(rst));
  zeile_receive #(.MEMORIES(1), .MEMORY_TABLE(40'h0000040000)) u (
      .clk(clk), .rst(rst), .in_valid(in_valid), .in_ready(in_ready), .in_data(in_data),
      .retired_valid(retired_valid), .retired_ready(retired_ready), .retired_data(1'b1),
      .packets_valid(packets_valid), .packets_ready(packets_ready), .packets_data(packets_data),
      .frames_valid(frames_valid), .frames_ready(frames_ready), .frames_data(frames_data),
      .config_out_valid(config_valid), .config_out_ready(config_ready), .config_out_data(config_data));
  stream_rules #(.WIDTH(65), .INPUT(1)) in (
      .clk(clk), .rst(rst), .valid(in_valid), .ready(in_ready), .data(in_data));
  stream_rules #(.WIDTH(177)) packets (
      .clk(clk), .rst(rst), .valid(packets_valid), .ready(packets_ready), .data(packets_data));
  stream_rules #(.WIDTH(33)) frames (
      .clk(clk), .rst(rst), .valid(frames_valid), .ready(frames_ready), .data(frames_data));
  stream_rules #(.WIDTH(106)) config_out (
      .clk(clk), .rst(rst), .valid(config_valid), .ready(config_ready), .data(config_data));

  reg [3:0] begun = 0, ended = 0, verdicts = 0, retirements = 0;  // packets
  reg inside = 0;
  wire take = in_valid && in_ready && !rst;
  always @* if (retired_valid) assume (!rst && retirements != verdicts);  // Send answers what it was told
  always @(posedge clk) if (!rst) begin
    if (take) begin
      inside <= !in_data[64];
      begun <= begun + !inside;
      ended <= ended + in_data[64];
    end
    if (packets_valid && packets_ready) verdicts <= verdicts + 1;
    if (retired_valid && retired_ready) retirements <= retirements + 1;
  end
  always @* if (!rst) begin
    if (packets_valid) assert (verdicts != ended);
    if (frames_valid || config_valid) assert (begun != 0);
    assert (begun - verdicts <= 1);  // the next packet begins behind the verdict on the last one
  end
endmodule
