// SPDX-License-Identifier: Apache-2.0
// Feeds a 3 x 3 convolution: stores columns and issues the tiles of each pixel, NF * SF cycles a pixel and one more a
// column, in which the first row enters the window. A column is computed when the next one is there, or it is the last.
// A pixel's tiles are issued without a gap, the first one with `begins` if there is a `grant`: room for its result.
// The outputs follow three cycles behind; beyond the edges of a map lies paper, code 0.
`default_nettype none

module zeile_conv_window #(
    parameter int ROWS = 8,
    parameter int CHANNELS = 4,
    parameter int BITS = 4,
    parameter int SIMD = 6,
    parameter int TILES = 6,  // of a pixel, NF * SF
    localparam int TILE_BITS = TILES <= 2 ? 1 : $clog2(TILES)
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire                      in_valid,
    output logic                     in_ready,
    input  wire  [CHANNELS*BITS : 0] in_data,   // {last, codes}
    input  wire                      grant,
    output logic                     begins,
    output logic                     issue,
    output logic                     first,     // tile of a fold
    output logic                     last,      // tile of a fold
    output logic                     line_end,  // last tile of a line
    output logic [    TILE_BITS-1:0] tile,
    output logic [SIMD*(BITS+1)-1:0] x          // signed, never negative
);
  localparam int PIXEL = CHANNELS * BITS;
  localparam int SF = 9 * CHANNELS / SIMD;
  localparam int SF_BITS = SF > 1 ? $clog2(SF) : 1;
  localparam int IN_ROW_BITS = ROWS > 1 ? $clog2(ROWS) : 1;
  localparam int ROW_BITS = $clog2(ROWS + 1);

  // Columns t - 1, t, t + 1 (read) and t + 2 (written) lie in four banks; t in `bank`.
  logic [4*PIXEL-1:0] stored;  // the pixel of each bank at `row`, read a cycle ago
  logic [3:0] lasts;           // of each bank: last column of its line
  logic [1:0] bank, filled;    // filled: whole columns from t on
  logic [1:0] in_bank;
  logic [IN_ROW_BITS-1:0] in_row;
  logic take, in_column_end;

  assign in_bank = bank + filled;
  assign in_ready = filled != 2'd3;
  assign take = in_valid && in_ready;
  assign in_column_end = in_row == IN_ROW_BITS'(ROWS - 1);

  // The schedule.
  logic [ROW_BITS-1:0] row;  // that enters the window next; ROWS is paper, 0 the next column's
  logic [TILE_BITS-1:0] tile_0;
  logic [SF_BITS-1:0] sf_0;
  logic first_column, last_column, preloading, preload, compute, shift, below, fold_end, pixel_end, column_end;

  assign last_column = lasts[bank];
  assign preload = preloading && (filled[1] || (filled[0] && last_column));
  assign compute = !preloading && (tile_0 != '0 || grant);
  assign begins = compute && tile_0 == '0;
  assign shift = preload || begins;
  assign below = row == ROW_BITS'(ROWS);
  assign fold_end = sf_0 == SF_BITS'(SF - 1);
  assign pixel_end = compute && tile_0 == TILE_BITS'(TILES - 1);
  assign column_end = pixel_end && (TILES == 1 ? below : row == '0);  // `below` entered with the pixel's first tile

  always_ff @(posedge clk) begin
    if (rst) begin
      in_row <= '0;
      lasts <= '0;
      filled <= '0;
      bank <= '0;
    end else begin
      if (take) in_row <= in_column_end ? '0 : in_row + 1'b1;
      if (take && in_column_end) lasts[in_bank] <= in_data[PIXEL];
      filled <= filled + {1'b0, take && in_column_end} - {1'b0, column_end};
      bank <= bank + {1'b0, column_end};
    end
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      row <= '0;
      tile_0 <= '0;
      sf_0 <= '0;
      preloading <= 1'b1;
      first_column <= 1'b1;
    end else begin
      if (shift) row <= below ? '0 : row + 1'b1;
      if (compute) begin
        tile_0 <= pixel_end ? '0 : tile_0 + 1'b1;
        sf_0   <= fold_end ? '0 : sf_0 + 1'b1;
      end
      preloading <= preloading ? !preload : column_end;
      if (column_end) first_column <= last_column;
    end
  end

  for (genvar i = 0; i < 4; ++i) begin : banks
    zeile_ram #(
        .WIDTH(PIXEL),
        .DEPTH(ROWS)
    ) pixels (
        .clk  (clk),
        .we   (take && in_bank == 2'(i)),
        .waddr(in_row),
        .wdata(in_data[PIXEL-1:0]),
        .re   (1'b1),
        .raddr(below ? '0 : row[IN_ROW_BITS-1:0]),
        .rdata(stored[i*PIXEL+:PIXEL])
    );
  end

  // A cycle later: the window moves down by a row.
  logic [9*PIXEL-1:0] window;  // [column][row][channel], the order of the weights
  logic [TILE_BITS-1:0] tile_1, tile_2;
  logic [SF_BITS-1:0] sf_1, sf_2;
  logic [2:0] paper_1;
  logic [1:0] bank_1;
  logic shift_1, clear_1, issue_1, issue_2, first_1, first_2, last_1, last_2, line_end_1, line_end_2;

  always_ff @(posedge clk) begin
    bank_1 <= bank;
    shift_1 <= shift;
    clear_1 <= preload;
    paper_1 <= shift ? {last_column || below, below, first_column || below} : '0;
    {sf_2, sf_1} <= {sf_1, sf_0};
    {first_2, first_1} <= {first_1, sf_0 == '0};
    {last_2, last_1} <= {last_1, fold_end};
    {line_end_2, line_end_1} <= {line_end_1, column_end && last_column};
    {tile_2, tile_1} <= {tile_1, tile_0};
    if (rst) {issue_2, issue_1} <= '0;
    else {issue_2, issue_1} <= {issue_1, compute};
  end

  wire [6*PIXEL-1:0] around = {stored[PIXEL-1:0], stored, stored[3*PIXEL+:PIXEL]};  // banks 3, 0, 1, 2, 3, 0

  for (genvar i = 0; i < 3; ++i) begin : columns  // t - 1, t, t + 1
    logic [PIXEL-1:0] entering;
    zeile_select #(
        .WIDTH(PIXEL),
        .COUNT(4)
    ) of_bank (
        .values(around[i*PIXEL+:4*PIXEL]),
        .index(bank_1),
        .value(entering)
    );
    always_ff @(posedge clk) begin
      if (clear_1) begin
        window[3*i*PIXEL+:2*PIXEL] <= '0;
      end else if (shift_1) begin
        window[3*i*PIXEL+:2*PIXEL] <= window[(3*i+1)*PIXEL+:2*PIXEL];
      end
      if (paper_1[i]) window[(3*i+2)*PIXEL+:PIXEL] <= '0;
      else if (shift_1) window[(3*i+2)*PIXEL+:PIXEL] <= entering;
    end
  end

  // Two cycles later: its SIMD codes of a tile.
  logic [SIMD*BITS-1:0] codes;

  zeile_select #(
      .WIDTH(SIMD * BITS),
      .COUNT(SF)
  ) of_tile (
      .values(window),
      .index(sf_2),
      .value(codes)
  );

  always_ff @(posedge clk) begin
    for (int k = 0; k < SIMD; ++k) x[k*(BITS+1)+:BITS+1] <= {1'b0, codes[k*BITS+:BITS]};
    tile <= tile_2;
    first <= first_2;
    last <= last_2;
    line_end <= line_end_2;
    issue <= issue_2 && !rst;
  end
endmodule

`default_nettype wire
