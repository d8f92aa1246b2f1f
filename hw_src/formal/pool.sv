// SPDX-License-Identifier: Apache-2.0
// zeile_pool: the pixels that leave are the maxima of whole windows, or of what the line had of them, in order; none
// leaves before its window is full or its line has ended; `last` stands on a line's last pixel.
module pool #(
    parameter BITS = 1,
    parameter ROWS = 2,
    parameter POOL_COLUMNS = 2,
    parameter POOL_ROWS = 1
) (
    input wire clk,
    input wire in_valid,
    input wire [BITS:0] in_data,
    input wire out_ready
);
  localparam OUT_ROWS = ROWS / POOL_ROWS;
  wire rst, in_ready, out_valid;
  wire [BITS:0] out_data;
  reset_once reset (.clk(clk), .rst(rst));
  zeile_pool #(.ROWS(ROWS), .CHANNELS(1), .BITS(BITS), .POOL_COLUMNS(POOL_COLUMNS), .POOL_ROWS(POOL_ROWS)) u (
      .clk(clk), .rst(rst), .in_valid(in_valid), .in_ready(in_ready), .in_data(in_data),
      .out_valid(out_valid), .out_ready(out_ready), .out_data(out_data));
  stream_rules #(.WIDTH(BITS + 1), .INPUT(1)) in (
      .clk(clk), .rst(rst), .valid(in_valid), .ready(in_ready), .data(in_data));
  stream_rules #(.WIDTH(BITS + 1)) out (
      .clk(clk), .rst(rst), .valid(out_valid), .ready(out_ready), .data(out_data));

  // Where the next pixel lies, the maxima so far, and the pixels that may leave, {last, code}, the oldest in front.
  reg [3:0] row = 0, column = 0;
  reg [BITS-1:0] windows[0:OUT_ROWS-1];
  reg [BITS:0] due[0:15];
  reg [3:0] made = 0, left = 0;
  wire enter = in_valid && in_ready && !rst, leave = out_valid && out_ready && !rst, ends = in_data[BITS];
  wire line_row = row == ROWS - 1, right = column == POOL_COLUMNS - 1, bottom = row % POOL_ROWS == POOL_ROWS - 1;
  wire [3:0] window = row / POOL_ROWS;
  wire fresh = column == 0 && row % POOL_ROWS == 0;
  wire [BITS-1:0] code = in_data[BITS-1:0];
  wire [BITS-1:0] largest = fresh || code > windows[window] ? code : windows[window];
  always @* if (in_valid && !line_row) assume (!ends);

  integer i;
  always @(posedge clk) begin
    if (leave) left <= left + 1;
    if (enter) begin
      windows[window] <= largest;
      row <= line_row ? 0 : row + 1;
      if (line_row) column <= ends || right ? 0 : column + 1;
      if (bottom && right) begin
        due[made] <= {ends, largest};
        made <= made + 1;
      end else if (ends) begin
        for (i = 0; i < OUT_ROWS; i = i + 1) begin
          due[(made + i) % 16] <= {i == OUT_ROWS - 1, i == OUT_ROWS - 1 ? largest : windows[i]};
        end
        made <= made + OUT_ROWS;
      end
    end
  end
  always @* if (!rst && out_valid) assert (made != left && out_data == due[left]);
endmodule
