// SPDX-License-Identifier: Apache-2.0
// conv2d 3 x 3 with ReLU quantiser, and optionally a skip connection. NF * SF cycles a pixel, one more a column.
// Window, MAC array and drain never stop: a pixel begins when there is room for its result, and with a skip connection
// the pixel to add has come. With SKIP_BITS = 0 tie skip_valid to 0.
`default_nettype none

module zeile_conv #(
    parameter int TARGET = 0,
    parameter int ROWS = 8,
    parameter int IN_CHANNELS = 4,
    parameter int OUT_CHANNELS = 4,
    parameter int IN_BITS = 4,
    parameter int WEIGHT_BITS = 4,
    parameter int OUT_BITS = 4,
    parameter int SKIP_BITS = 0,
    parameter int PE = 4,
    parameter int SIMD = 6,
    parameter int DSP_PE = 0,
    localparam int SKIP = OUT_CHANNELS * (SKIP_BITS > 0 ? SKIP_BITS : 1)
) (
    input  wire                             clk,
    input  wire                             rst,
    input  wire                             in_valid,
    output wire                             in_ready,
    input  wire [  IN_CHANNELS*IN_BITS : 0] in_data,           // {last, codes}
    input  wire                             skip_valid,
    output wire                             skip_ready,
    input  wire [                 SKIP : 0] skip_data,
    output wire                             out_valid,
    input  wire                             out_ready,
    output wire [OUT_CHANNELS*OUT_BITS : 0] out_data,
    input  wire                             config_in_valid,
    output wire                             config_in_ready,
    input  wire [                    105:0] config_in_data,
    output wire                             config_out_valid,
    input  wire                             config_out_ready,
    output wire [                    105:0] config_out_data
);
  `include "zeile.svh"
  localparam int INPUTS = 9 * IN_CHANNELS;
  localparam int SF = INPUTS / SIMD;
  localparam int TILES = OUT_CHANNELS / PE * SF;
  localparam int TILE_BITS = zeile_bits(TILES);
  localparam int LANES = zeile_output_lanes(PE, SF);
  localparam int S = zeile_sum_bits(INPUTS * zeile_largest_weight(WEIGHT_BITS) * ((1 << IN_BITS) - 1));
  // Cycles from a pixel's begin to the next use of its room: window, folds, sums, lanes, FIFO, counter.
  localparam int MAC = zeile_mac_latency(SIMD);
  localparam int TURN = 3 + TILES - 1 + MAC + PE / LANES + ZEILE_RESCALE_LATENCY + 3 + 3;
  localparam int PIXELS = zeile_ceil_divide(TURN, TILES) + 1;
  localparam int COUNT_BITS = $clog2(PIXELS + 1);

  // Configuration.
  wire we, re;
  wire [2:0] section;
  wire [23:0] index;
  wire [63:0] wdata, weights_rdata, rows_rdata;

  zeile_config #(
      .TARGET(TARGET),
      .SECTION(0),
      .READ_LATENCY(ZEILE_READ_LATENCY)
  ) node (
      .clk, .rst,
      .config_in_valid, .config_in_ready, .config_in_data, .config_out_valid, .config_out_ready, .config_out_data,
      .we, .re, .section, .index, .wdata,
      .rdata(section == ZEILE_WEIGHTS ? weights_rdata : section == ZEILE_ROWS ? rows_rdata : '0)
  );

  // Room behind the last stage, and pixels to add.
  logic [COUNT_BITS-1:0] room, room_next;
  logic has_room;
  wire begins, skip_waits, skip_used, pixel_valid, unused;
  wire [OUT_CHANNELS*OUT_BITS:0] pixel;
  wire [SKIP-1:0] added;

  assign room_next = room - COUNT_BITS'(begins) + COUNT_BITS'(out_valid && out_ready);

  always_ff @(posedge clk) begin
    room <= rst ? COUNT_BITS'(PIXELS) : room_next;
    has_room <= rst || room_next != '0;
  end

  zeile_fifo #(
      .WIDTH(OUT_CHANNELS * OUT_BITS + 1),
      .DEPTH(PIXELS)
  ) results (
      .clk, .rst,
      .in_valid(pixel_valid), .in_ready(unused), .in_data(pixel),
      .out_valid, .out_ready, .out_data
  );

  if (SKIP_BITS > 0) begin : with_skip
    zeile_conv_skip #(
        .WIDTH(SKIP),
        .DEPTH(PIXELS)
    ) skips (
        .clk, .rst,
        .skip_valid, .skip_ready, .skip_data,
        .begins, .waits(skip_waits), .used(skip_used), .added
    );
  end else begin : without_skip
    wire unused_skip = &{1'b0, skip_valid, skip_data, skip_used};
    assign skip_waits = 1'b1;
    assign skip_ready = 1'b0;
    assign added = '0;
  end

  // The pipeline.
  wire issue, first, last, line_end, done;
  wire [TILE_BITS-1:0] tile;
  wire [SIMD*(IN_BITS+1)-1:0] x;
  wire [PE*S-1:0] sums;
  logic [MAC-1:0] line_ends;

  zeile_conv_window #(
      .ROWS(ROWS),
      .CHANNELS(IN_CHANNELS),
      .BITS(IN_BITS),
      .SIMD(SIMD),
      .TILES(TILES)
  ) columns (
      .clk, .rst,
      .in_valid, .in_ready, .in_data,
      .grant(has_room && skip_waits), .begins,
      .issue, .first, .last, .line_end, .tile, .x
  );

  zeile_mac_array #(
      .W(WEIGHT_BITS),
      .X(IN_BITS + 1),
      .PE(PE),
      .SIMD(SIMD),
      .TILES(TILES),
      .S(S),
      .DSP_PE(DSP_PE)
  ) weights (
      .clk, .rst,
      .issue, .first, .last, .tile, .x, .done, .sums,
      .we(we && section == ZEILE_WEIGHTS), .re(re && section == ZEILE_WEIGHTS), .index, .wdata, .rdata(weights_rdata)
  );

  always_ff @(posedge clk) line_ends <= {line_ends[MAC-2:0], line_end};

  zeile_conv_drain #(
      .CHANNELS(OUT_CHANNELS),
      .PE(PE),
      .LANES(LANES),
      .S(S),
      .SKIP_BITS(SKIP_BITS),
      .OUT_BITS(OUT_BITS)
  ) drain (
      .clk, .rst,
      .done, .line_end(line_ends[MAC-1]), .sums,
      .skip(added), .skip_used,
      .valid(pixel_valid), .pixel,
      .we(we && section == ZEILE_ROWS), .re(re && section == ZEILE_ROWS), .index, .wdata, .rdata(rows_rdata)
  );
endmodule

`default_nettype wire
