// SPDX-License-Identifier: Apache-2.0
// Scores of all classes (hls/dense.h). Blocks of h come step by step, the steps in any order; scores leave in frame
// order. NF * SF cycles a step, at least 5; NF = ceil(K / PE) of the loaded model's K. A step's first scores leave
// 15 + SF + RING + zeile_mac_latency(SIMD) cycles behind the taking of its last block.
//
//   rings of h, one a direction > MAC array > drain > FIFO of scores
//        ^--- steps: which one is complete, which tile is computed
//
// Sections: weights, rows; control: 0 is K. With one direction backward_ready stays 0.
`default_nettype none

module zeile_dense #(
    parameter int TARGET      = 4,
    parameter int DIRECTIONS  = 2,
    parameter int HIDDEN      = 8,   // of one direction
    parameter int CLASSES     = 16,  // compiled maximum of K
    parameter int IN_BITS     = 4,
    parameter int WEIGHT_BITS = 4,
    parameter int PE          = 4,
    parameter int SIMD        = 2,   // units of a block
    parameter int RING_STEPS  = 64,
    parameter int DSP_PE      = 0,
    parameter int SCORE_LANES = 1,   // scores of an element: the fewest that divide PE and are at least PE / SF
    localparam int BLOCKS = HIDDEN / SIMD,
    localparam int IN_WIDTH = SIMD * IN_BITS + (RING_STEPS <= 2 ? 1 : $clog2(RING_STEPS)) + 2 +
        (BLOCKS <= 2 ? 1 : $clog2(BLOCKS)) + 1
) (
    input  wire                       clk,
    input  wire                       rst,
    input  wire                       forward_valid,
    output logic                      forward_ready,
    input  wire  [      IN_WIDTH-1:0] forward_data,      // {last, block, turn, place, h}
    input  wire                       backward_valid,
    output logic                      backward_ready,
    input  wire  [      IN_WIDTH-1:0] backward_data,
    output logic                      out_valid,
    input  wire                       out_ready,
    output logic [8*SCORE_LANES+10:0] out_data,          // {last, end, count[8:0], scores}
    input  wire                       config_in_valid,
    output logic                      config_in_ready,
    input  wire  [             105:0] config_in_data,
    output logic                      config_out_valid,
    input  wire                       config_out_ready,
    output logic [             105:0] config_out_data
);
  `include "zeile.svh"

  localparam int SF = DIRECTIONS * BLOCKS, TILES = zeile_ceil_divide(CLASSES, PE) * SF;
  localparam int DEPTH = RING_STEPS * BLOCKS, CODES = SIMD * IN_BITS;
  localparam int S = zeile_sum_bits(DIRECTIONS * HIDDEN * zeile_largest_weight(WEIGHT_BITS) * (1 << (IN_BITS - 1)));
  localparam int PLACE_BITS = zeile_bits(RING_STEPS), ADDRESS_BITS = zeile_bits(DEPTH), TILE_BITS = zeile_bits(TILES);

  // Cycles from an issue to its operands at the MAC array: a deep memory is many, one behind the other. Then those to
  // the last element of the row block in the port's FIFO, and how many row blocks are on this way at full speed.
  localparam int STAGES = DEPTH > 16384 ? 3 : 1, RING = STAGES + 2, SUMS = RING + zeile_mac_latency(SIMD);
  localparam int ROW_BLOCKS = zeile_ceil_divide(SUMS + PE / SCORE_LANES + 10, SF) + 1;

  if (HIDDEN % SIMD != 0) begin : g_simd
    $error("SIMD, the units of a block, must divide HIDDEN");
  end
  if (SCORE_LANES != zeile_output_lanes(PE, SF)) begin : g_lanes
    $error("SCORE_LANES is not what PE and SF need");
  end

  logic cleared, look_last, room, issue, issue_first, issue_last, step_last, read_backward, done;
  logic [PLACE_BITS-1:0] head_place, look_place;
  logic [1:0] head_turn, forward_turn, backward_turn;
  logic [ADDRESS_BITS-1:0] read_address;
  logic [TILE_BITS-1:0] issue_tile;
  logic [8:0] classes;
  logic we, re;
  logic [2:0] section;
  logic [23:0] index;
  logic [63:0] wdata, rdata, weights_data, rows_data;

  zeile_dense_steps #(
      .DIRECTIONS(DIRECTIONS),
      .BLOCKS(BLOCKS),
      .CLASSES(CLASSES),
      .PE(PE),
      .RING_STEPS(RING_STEPS)
  ) steps (.*);

  logic [CODES-1:0] forward_codes, backward_codes, operands;
  logic operands_backward;

  zeile_dense_ring #(
      .BITS(IN_BITS),
      .SIMD(SIMD),
      .BLOCKS(BLOCKS),
      .RING_STEPS(RING_STEPS),
      .STAGES(STAGES)
  ) forward (
      .in_valid(forward_valid),
      .in_ready(forward_ready),
      .in_data(forward_data),
      .look_turn(forward_turn),
      .codes(forward_codes),
      .*
  );

  if (DIRECTIONS == 2) begin : g_backward
    wire unused;
    zeile_dense_ring #(
        .BITS(IN_BITS),
        .SIMD(SIMD),
        .BLOCKS(BLOCKS),
        .RING_STEPS(RING_STEPS),
        .STAGES(STAGES)
    ) backward (
        .in_valid(backward_valid),
        .in_ready(backward_ready),
        .in_data(backward_data),
        .look_turn(backward_turn),
        .look_last(unused),
        .codes(backward_codes),
        .*
    );
  end else begin : g_forward
    wire unused = &{1'b0, backward_valid, backward_data};
    assign backward_ready = 1'b0;
    assign backward_turn = forward_turn;
    assign backward_codes = forward_codes;
  end

  logic [RING-1:0] issued;
  logic first, last, sums_last;
  logic [TILE_BITS-1:0] tile;
  logic [PE*S-1:0] sums;

  always_ff @(posedge clk) begin
    issued <= rst ? '0 : {issued[RING-2:0], issue};
    operands <= operands_backward ? backward_codes : forward_codes;
  end
  zeile_delay #(1, RING - 1) turn_delay (.clk, .in(read_backward), .out(operands_backward));
  zeile_delay #(TILE_BITS + 2, RING) tile_delay (
      .clk, .in({issue_first, issue_last, issue_tile}), .out({first, last, tile}));
  zeile_delay #(1, SUMS) last_delay (.clk, .in(step_last), .out(sums_last));

  zeile_mac_array #(
      .W(WEIGHT_BITS),
      .X(IN_BITS),
      .PE(PE),
      .SIMD(SIMD),
      .TILES(TILES),
      .S(S),
      .DSP_PE(DSP_PE)
  ) array (
      .issue(issued[RING-1]),
      .x(operands),
      .we(we && section == ZEILE_WEIGHTS),
      .re(re && section == ZEILE_WEIGHTS),
      .rdata(weights_data),
      .*
  );

  zeile_dense_drain #(
      .CLASSES(CLASSES),
      .PE(PE),
      .LANES(SCORE_LANES),
      .S(S),
      .BLOCKS(ROW_BLOCKS)
  ) drain (
      .promise(issue && issue_last),
      .step_last(sums_last),
      .we(we && section == ZEILE_ROWS),
      .re(re && section == ZEILE_ROWS),
      .rdata(rows_data),
      .*
  );

  zeile_config #(
      .TARGET(TARGET),
      .SECTION(0),
      .READ_LATENCY(ZEILE_READ_LATENCY)
  ) node (.*);

  wire control = section == ZEILE_CONTROL && index == '0;
  assign rdata = section == ZEILE_WEIGHTS ? weights_data : section == ZEILE_ROWS ? rows_data :
      control ? 64'(classes) : '0;
  always_ff @(posedge clk) begin
    if (rst) classes <= 9'(CLASSES);
    else if (we && control) classes <= wdata[8:0];
  end
endmodule

`default_nettype wire
