// SPDX-License-Identifier: Apache-2.0
// Max-pooling, columns by rows, not overlapping; a pixel a cycle. The last window of a line may lack columns: it leaves
// behind the line, a pixel a cycle, while nothing is taken in. Latency 2 from the last pixel of a window.
`default_nettype none

module zeile_pool #(
    parameter int ROWS = 8,  // of the input
    parameter int CHANNELS = 4,
    parameter int BITS = 4,
    parameter int POOL_COLUMNS = 2,
    parameter int POOL_ROWS = 2
) (
    input  wire                       clk,
    input  wire                       rst,
    input  wire                       in_valid,
    output logic                      in_ready,
    input  wire  [CHANNELS*BITS : 0]  in_data,   // {last, codes}
    output logic                      out_valid,
    input  wire                       out_ready,
    output logic [CHANNELS*BITS : 0]  out_data
);
  localparam int PIXEL = CHANNELS * BITS;
  localparam int OUT_ROWS = ROWS / POOL_ROWS;
  localparam int ROW_BITS = OUT_ROWS > 1 ? $clog2(OUT_ROWS) : 1;
  localparam int IN_ROW_BITS = POOL_ROWS > 1 ? $clog2(POOL_ROWS) : 1;
  localparam int INDEX_BITS = POOL_COLUMNS > 1 ? $clog2(POOL_COLUMNS) : 1;

  // The rows of a window in one column.
  logic [PIXEL-1:0] column, column_next;
  logic [IN_ROW_BITS-1:0] in_row;
  logic column_valid, column_last, take, bottom;

  // The columns of the windows.
  (* ram_style = "distributed" *) logic [PIXEL-1:0] windows[0:OUT_ROWS-1];
  logic [PIXEL-1:0] window;
  logic [ROW_BITS-1:0] row;
  logic [INDEX_BITS-1:0] index;  // column of the window
  logic flushing;                // the line ended within windows: they leave as they are
  logic right, row_end, move, short_line, give;

  assign take = in_valid && in_ready;
  assign bottom = in_row == IN_ROW_BITS'(POOL_ROWS - 1);
  assign right = index == INDEX_BITS'(POOL_COLUMNS - 1);
  assign row_end = row == ROW_BITS'(OUT_ROWS - 1);
  assign move = flushing ? !out_valid || out_ready : column_valid && (!right || !out_valid || out_ready);
  assign give = move && (right || flushing);
  assign short_line = column_last && !right;
  assign in_ready = flushing ? move && row_end : !column_valid || (move && !short_line);

  zeile_max #(
      .CHANNELS(CHANNELS),
      .BITS(BITS)
  ) over_rows (
      .a(in_row == '0 ? '0 : column),
      .b(in_data[PIXEL-1:0]),
      .larger(column_next)
  );

  zeile_max #(
      .CHANNELS(CHANNELS),
      .BITS(BITS)
  ) over_columns (
      .a(index == '0 && !flushing ? '0 : windows[row]),
      .b(column),
      .larger(window)
  );

  always_ff @(posedge clk) begin
    if (rst) begin
      in_row <= '0;
      column_valid <= 1'b0;
    end else if (take) begin
      in_row <= bottom ? '0 : in_row + 1'b1;
      column_valid <= bottom;
    end else if (move) begin
      column_valid <= 1'b0;
    end
  end

  always_ff @(posedge clk) begin
    if (take) begin
      column <= column_next;
      column_last <= in_data[PIXEL];
    end else if (move && short_line) begin
      column <= '0;  // so that what is flushed is the windows alone
    end
  end

  always_ff @(posedge clk) if (move) windows[row] <= window;

  always_ff @(posedge clk) begin
    if (rst) begin
      row <= '0;
      index <= '0;
      flushing <= 1'b0;
    end else if (move) begin
      row <= row_end ? '0 : row + 1'b1;
      if (flushing) begin
        flushing <= !row_end;
      end else begin
        flushing <= short_line;
        if (row_end) index <= column_last || right ? '0 : index + 1'b1;
      end
    end
  end

  always_ff @(posedge clk) begin
    if (rst) out_valid <= 1'b0;
    else if (give) out_valid <= 1'b1;
    else if (out_ready) out_valid <= 1'b0;
    if (give) out_data <= {flushing ? row_end : column_last, window};
  end
endmodule

`default_nettype wire
