// SPDX-License-Identifier: Apache-2.0
// zeile_conv: a column leaves only when the one behind it is complete, or when it is the last of its line; `last` stands
// on a line's last pixel; what comes out of the pipeline always finds room. The codes are the proofs' and the
// co-simulation's.
module conv #(
    parameter ROWS = 1,
    parameter SIMD = 9
) (
    input wire clk,
    input wire in_valid,
    input wire [1:0] in_data,
    input wire out_ready
);
  wire rst, in_ready, out_valid;
  wire [1:0] out_data;
  reset_once reset (.clk(clk), .rst(rst));
  zeile_conv #(
      .ROWS(ROWS), .IN_CHANNELS(1), .OUT_CHANNELS(1), .IN_BITS(1), .WEIGHT_BITS(1), .OUT_BITS(1), .PE(1), .SIMD(SIMD)
  ) u (
      .clk(clk), .rst(rst), .in_valid(in_valid), .in_ready(in_ready), .in_data(in_data),
      .skip_valid(1'b0), .skip_ready(), .skip_data(2'd0),
      .out_valid(out_valid), .out_ready(out_ready), .out_data(out_data),
      .config_in_valid(1'b0), .config_in_ready(), .config_in_data(106'd0),
      .config_out_valid(), .config_out_ready(1'b1), .config_out_data());
  stream_rules #(.WIDTH(2), .INPUT(1)) in (
      .clk(clk), .rst(rst), .valid(in_valid), .ready(in_ready), .data(in_data));
  stream_rules #(.WIDTH(2)) out (.clk(clk), .rst(rst), .valid(out_valid), .ready(out_ready), .data(out_data));

  reg [3:0] row = 0, due = 0, left = 0;  // the next pixel's; pixels that may leave, that have left
  reg first = 1;                         // column of its line
  reg [15:0] lasts = 0;                  // of the pixels in the order in which they are due
  wire enter = in_valid && in_ready && !rst, leave = out_valid && out_ready && !rst;
  wire complete = row == ROWS - 1, ends = in_data[1];
  wire [3:0] more = (first ? 0 : ROWS) + (ends ? ROWS : 0);
  always @* if (in_valid && !complete) assume (!ends);
  always @(posedge clk) begin
    if (leave) left <= left + 1;
    if (enter) begin
      row <= complete ? 0 : row + 1;
      if (complete) begin
        first <= ends;
        due <= due + more;
        if (ends) lasts[(due + more + 15) % 16] <= 1;
      end
    end
  end

  (* hierconn *) wire \u.pixel_valid ;
  (* hierconn *) wire \u.results.in_ready ;
  always @* if (!rst) begin
    if (out_valid) assert (left != due && out_data[1] == lasts[left]);
    if (\u.pixel_valid ) assert (\u.results.in_ready );
  end
endmodule
