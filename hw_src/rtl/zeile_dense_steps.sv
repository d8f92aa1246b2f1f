// SPDX-License-Identifier: Apache-2.0
// Which step is computed, and tile by tile: an issue each cycle while there is room for what comes of it. Steps go in
// frame order; the next one is looked for while one is computed, which takes 5 cycles. After a reset RING_STEPS cycles
// pass until the rings know no step (`cleared`).
`default_nettype none

module zeile_dense_steps #(
    parameter int DIRECTIONS = 2,
    parameter int BLOCKS     = 4,   // of a step of one direction
    parameter int CLASSES    = 16,  // compiled maximum
    parameter int PE         = 4,
    parameter int RING_STEPS = 64,
    localparam int TILES = (CLASSES + PE - 1) / PE * DIRECTIONS * BLOCKS,
    localparam int TILE_BITS = TILES <= 2 ? 1 : $clog2(TILES),
    localparam int PLACE_BITS = RING_STEPS <= 2 ? 1 : $clog2(RING_STEPS),
    localparam int BLOCK_BITS = BLOCKS <= 2 ? 1 : $clog2(BLOCKS),
    localparam int ADDRESS_BITS = RING_STEPS * BLOCKS <= 2 ? 1 : $clog2(RING_STEPS * BLOCKS)
) (
    input  wire                     clk,
    input  wire                     rst,
    input  wire  [             8:0] classes,        // K, at rest while lines pass
    output logic                    cleared,
    output logic [  PLACE_BITS-1:0] head_place,     // the oldest step that is not computed
    output logic [             1:0] head_turn,
    output logic [  PLACE_BITS-1:0] look_place,     // what is known of it comes 2 cycles later
    input  wire  [             1:0] forward_turn,
    input  wire  [             1:0] backward_turn,
    input  wire                     look_last,
    input  wire                     room,           // for the scores of one more row block
    output logic                    issue,
    output logic                    issue_first,    // of a row block
    output logic                    issue_last,
    output logic [   TILE_BITS-1:0] issue_tile,
    output logic                    step_last,      // of its line
    output logic                    read_backward,
    output logic [ADDRESS_BITS-1:0] read_address
);
  logic [1:0] look_turn;
  logic [2:0] looked;         // [i]: the same place was looked at for more than i cycles
  logic matched, found, found_last;
  logic running, match, wraps, start, step_end, block_end, final_fold, issue_end;
  logic [BLOCK_BITS-1:0] block;
  logic [8:0] rest;           // classes of this row block and those behind it

  // The step behind the running one, or the head. It is there when its turn was read twice: what was read in the cycle
  // of its writing counts for nothing.
  assign match = looked[1] && forward_turn == look_turn && backward_turn == look_turn;
  assign start = found && (!running || step_end);
  assign wraps = look_place == PLACE_BITS'(RING_STEPS - 1);

  always_ff @(posedge clk) begin
    looked <= rst || start || !cleared ? '0 : {looked[1:0], 1'b1};
    matched <= match;
    if (rst || start) found <= 1'b0;
    else if (match && matched && looked[2]) found <= 1'b1;
    if (!found) found_last <= look_last;
    if (rst) begin
      look_place <= '0;
      look_turn <= 2'd0;
      cleared <= 1'b0;
    end else if (start || !cleared) begin  // ends in turn 1, place 0 of it
      look_place <= wraps ? '0 : look_place + 1'b1;
      if (wraps) look_turn <= look_turn + 2'd1;
      if (wraps) cleared <= 1'b1;
    end
  end

  assign block_end = block == BLOCK_BITS'(BLOCKS - 1);
  assign issue_end = block_end && (DIRECTIONS == 1 || read_backward);
  assign final_fold = rest <= 9'(PE);
  assign issue = running && (!issue_end || room);
  assign issue_first = block == '0 && !read_backward;
  assign issue_last = issue_end;
  assign step_end = issue && issue_end && final_fold;

  always_ff @(posedge clk) begin
    if (rst) begin
      running <= 1'b0;
      block <= '0;
      read_backward <= 1'b0;
      issue_tile <= '0;
      read_address <= '0;
      head_place <= '0;
      head_turn <= 2'd1;
    end else begin
      if (start) running <= 1'b1;
      else if (step_end) running <= 1'b0;
      if (issue) begin
        block <= block_end ? '0 : block + 1'b1;
        read_backward <= read_backward != (DIRECTIONS == 2 && block_end);
        issue_tile <= step_end ? '0 : issue_tile + 1'b1;
        if (!block_end) read_address <= read_address + 1'b1;
        else read_address <= ADDRESS_BITS'(step_end ? look_place : head_place) * ADDRESS_BITS'(BLOCKS);
      end
      if (step_end) begin  // its place is free
        head_place <= look_place;
        head_turn <= look_turn;
      end
    end
  end

  always_ff @(posedge clk) begin
    if (start) step_last <= found_last;
    if (!running || step_end) rest <= classes;
    else if (issue && issue_end) rest <= rest - 9'(PE);
  end
endmodule

`default_nettype wire
