// SPDX-License-Identifier: Apache-2.0
// zeile_send: an answer is a header, a count, as many words as it says, and a trailer; TLAST stands on the trailer and
// nowhere else; one `retired` for each; nothing leaves before a verdict has come. Answers with scores: that they are so
// framed at all. What the words say is the co-simulation's.
module send (
    input wire clk,
    input wire packets_valid,
    input wire [176:0] packets_data,
    input wire scores_valid,
    input wire [18:0] scores_data,
    input wire config_valid,
    input wire [105:0] config_data,
    input wire out_ready,
    input wire retired_ready
);
  wire rst, packets_ready, scores_ready, config_ready, out_valid, retired_valid, retired_data;
  wire [64:0] out_data;
  reset_once reset (.clk(clk), .rst(rst));
  zeile_send #(.SCORE_LANES(1), .COLUMNS_PER_STEP(2), .COLUMNS_PER_FRAME(1), .MAX_FRAMES(4)) u (
      .clk(clk), .rst(rst),
      .packets_valid(packets_valid), .packets_ready(packets_ready), .packets_data(packets_data),
      .scores_valid(scores_valid), .scores_ready(scores_ready), .scores_data(scores_data),
      .config_in_valid(config_valid), .config_in_ready(config_ready), .config_in_data(config_data),
      .out_valid(out_valid), .out_ready(out_ready), .out_data(out_data),
      .retired_valid(retired_valid), .retired_ready(retired_ready), .retired_data(retired_data));
  stream_rules #(.WIDTH(177), .INPUT(1)) packets (
      .clk(clk), .rst(rst), .valid(packets_valid), .ready(packets_ready), .data(packets_data));
  stream_rules #(.WIDTH(19), .INPUT(1)) scores (
      .clk(clk), .rst(rst), .valid(scores_valid), .ready(scores_ready), .data(scores_data));
  stream_rules #(.WIDTH(106), .INPUT(1)) config_in (
      .clk(clk), .rst(rst), .valid(config_valid), .ready(config_ready), .data(config_data));
  stream_rules #(.WIDTH(65)) out (.clk(clk), .rst(rst), .valid(out_valid), .ready(out_ready), .data(out_data));

  localparam INFER = 1, LOAD = 2, COMMIT = 3, ERROR = 255;
  wire [7:0] kind = packets_data[7:0];
  wire [31:0] count = packets_data[63:32];
  wire empty = kind == LOAD || kind == COMMIT || kind == ERROR;
  always @* if (packets_valid) assume (count <= 2 && packets_data[112] == 0);
  always @* if (packets_valid) assume (kind == ERROR || (1 <= kind && kind <= 6));

  reg [3:0] verdicts = 0, answers = 0, retirements = 0, words = 0;
  wire leave = out_valid && out_ready && !rst, last = out_data[64];
  always @(posedge clk) if (!rst) begin
    if (packets_valid && packets_ready) verdicts <= verdicts + 1;
    if (retired_valid && retired_ready) retirements <= retirements + 1;
    if (leave) words <= last ? 0 : words + 1;
    if (leave && last) answers <= answers + 1;
  end
  // The trailer of one answer may wait while the next verdict is taken.
  reg [3:0] lengths[0:15];
  always @(posedge clk) if (packets_valid && packets_ready && !rst) begin
    lengths[verdicts] <= kind == INFER && count != 0 ? 0 : empty ? 3 : 3 + count;
  end
  wire [3:0] expected = lengths[answers];
  always @* if (!rst) begin
    assert (answers <= verdicts && retirements <= verdicts && retirements - answers <= 1);
    if (out_valid) assert (answers != verdicts);
    if (out_valid && expected != 0) assert (last == (words == expected - 1));
    if (out_valid && last) assert (words >= 2);
    if (retired_valid) assert (retired_data == 1);
  end
endmodule
