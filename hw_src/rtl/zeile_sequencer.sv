// SPDX-License-Identifier: Apache-2.0
// When what happens in a direction of a recurrent layer, cycle by cycle as in hls/lstm.h: a tile issues each cycle in
// which a step runs; the groups of a row block drain while the next block is summed. Everything behind follows after
// constant times, so this is the only state machine. `drain_room`: the end of a block may leave.
`default_nettype none

module zeile_sequencer #(
    parameter int DIRECTION = 0,
    parameter int SLOTS     = 3,
    parameter int STEPS     = 64,
    parameter int SFX       = 2,   // tiles of a row block that read x
    parameter int SFH       = 1,   // and h
    parameter int NF        = 4,   // row blocks of a step
    parameter int GROUPS    = 1,   // of a block
    parameter int LATENCY   = 24,  // cycles from a step's last group to the line's next step
    localparam int SF = SFX + SFH,
    localparam int ADDRESS_BITS = STEPS * SFX <= 2 ? 1 : $clog2(STEPS * SFX),
    localparam int PLACE_BITS = STEPS <= 2 ? 1 : $clog2(STEPS),
    localparam int SLOT_BITS = SLOTS <= 2 ? 1 : $clog2(SLOTS),
    localparam int TILE_BITS = $clog2(NF * SF),
    localparam int SLICE_BITS = SFH <= 2 ? 1 : $clog2(SFH),
    localparam int GROUP_BITS = GROUPS <= 2 ? 1 : $clog2(GROUPS),
    localparam int BLOCK_BITS = NF <= 2 ? 1 : $clog2(NF)
) (
    input  wire                     clk,
    input  wire                     rst,
    input  wire                     in_valid,
    output logic                    in_ready,
    input  wire                     in_last,
    output logic [ADDRESS_BITS-1:0] in_address,
    output logic                    issue,
    output logic                    issue_first,    // of a row block
    output logic                    issue_last,
    output logic [   TILE_BITS-1:0] issue_tile,
    output logic                    issue_x,        // reads x, else h
    output logic [ADDRESS_BITS-1:0] issue_address,  // of x
    output logic                    issue_zero,     // h is 0
    output logic [   SLOT_BITS-1:0] issue_slot,     // of h
    output logic                    issue_half,     // written in this step
    output logic [  SLICE_BITS-1:0] issue_slice,
    input  wire                     drain_room,
    output logic                    drain,
    output logic                    drain_end,      // of a row block
    output logic [  GROUP_BITS-1:0] drain_group,
    output logic [  BLOCK_BITS-1:0] drain_block,
    output logic                    drain_first,    // step of its line
    output logic                    drain_half,
    output logic [   SLOT_BITS-1:0] drain_slot,
    output logic                    drain_last,     // step of its line, in frame order
    output logic [  PLACE_BITS-1:0] drain_place,
    output logic [             1:0] drain_turn,
    output logic                    starved,        // a line is there, but none of its steps can issue
    output logic                    stalled         // a row block cannot leave
);
  localparam int SF_BITS = $clog2(SF);

  logic occupied, running, step_first, step_last, tile_end, draining, line_ends, block_end;
  logic [ADDRESS_BITS-1:0] step_address;
  logic [PLACE_BITS-1:0] step_place;
  logic [1:0] step_turn;
  logic [SF_BITS-1:0] sf, sf_next;
  logic [TILE_BITS-1:0] tile_next;

  zeile_slots #(
      .DIRECTION(DIRECTION),
      .SLOTS(SLOTS),
      .STEPS(STEPS),
      .SLICES(SFX),
      .LATENCY(LATENCY),
      .ADDRESS_BITS(ADDRESS_BITS),
      .PLACE_BITS(PLACE_BITS),
      .SLOT_BITS(SLOT_BITS)
  ) slots (
      .clk,
      .rst,
      .in_valid,
      .in_ready,
      .in_last,
      .in_address,
      .occupied,
      .running,
      .step_address,
      .step_place,
      .step_turn,
      .step_slot(issue_slot),
      .step_half(issue_half),
      .step_first,
      .step_last,
      .finish(issue && tile_end),
      .gates_end(drain && drain_end && block_end && !line_ends),
      .gates_slot(drain_slot)
  );

  // ---- issue
  assign stalled = running && issue_last && draining && !(drain && drain_end);
  assign issue = running && !stalled;
  assign starved = !running && occupied;
  assign issue_address = step_address + ADDRESS_BITS'(sf);
  assign issue_zero = step_first;
  assign sf_next = issue_last ? '0 : sf + 1'b1;
  assign tile_next = tile_end ? '0 : issue_tile + 1'b1;

  always_ff @(posedge clk) begin
    if (issue) begin
      sf <= sf_next;
      issue_first <= issue_last;
      issue_last <= sf_next == SF_BITS'(SF - 1);
      issue_x <= 32'(sf_next) < SFX;
      issue_slice <= issue_x ? '0 : issue_slice + 1'b1;
      issue_tile <= tile_next;
      tile_end <= tile_next == TILE_BITS'(NF * SF - 1);
    end
    if (rst) begin
      sf <= '0;
      issue_slice <= '0;
      issue_tile <= '0;
      {issue_first, issue_x} <= '1;
      {issue_last, tile_end} <= '0;
    end
  end

  // ---- drain
  assign drain_end = drain_group == GROUP_BITS'(GROUPS - 1);
  assign block_end = drain_block == BLOCK_BITS'(NF - 1);
  assign drain = draining && (!drain_end || drain_room);

  always_ff @(posedge clk) begin
    if (drain) drain_group <= drain_end ? '0 : drain_group + 1'b1;
    if (drain && drain_end) begin
      drain_block <= block_end ? '0 : drain_block + 1'b1;
      draining <= 1'b0;
    end
    if (issue && issue_last) begin
      draining <= 1'b1;
      drain_first <= step_first;
      drain_half <= issue_half;
      drain_slot <= issue_slot;
      drain_last <= DIRECTION == 0 ? step_last : step_first;
      line_ends <= step_last;
      drain_place <= step_place;
      drain_turn <= step_turn;
    end
    if (rst) begin
      drain_group <= '0;
      drain_block <= '0;
      draining <= 1'b0;
    end
  end
endmodule

`default_nettype wire
