// SPDX-License-Identifier: Apache-2.0
// One direction's h of RING_STEPS steps, and which of them are complete. Blocks come step by step, the steps in any
// order. A block enters if its step is one of the RING_STEPS from the head on, else it waits; a block a cycle.
// `codes` is there 1 + STAGES cycles after read_address, `look_*` 2 cycles after look_place. A step shows as complete a
// cycle after its last block was written, so no reader overtakes the writing.
`default_nettype none

module zeile_dense_ring #(
    parameter int BITS       = 4,
    parameter int SIMD       = 2,   // units of a block
    parameter int BLOCKS     = 4,   // of a step
    parameter int RING_STEPS = 64,
    parameter int STAGES     = 1,   // registers behind the memory
    localparam int PLACE_BITS = RING_STEPS <= 2 ? 1 : $clog2(RING_STEPS),
    localparam int BLOCK_BITS = BLOCKS <= 2 ? 1 : $clog2(BLOCKS),
    localparam int ADDRESS_BITS = RING_STEPS * BLOCKS <= 2 ? 1 : $clog2(RING_STEPS * BLOCKS),
    localparam int CODES = SIMD * BITS,
    localparam int IN_WIDTH = CODES + PLACE_BITS + 2 + BLOCK_BITS + 1
) (
    input  wire                     clk,
    input  wire                     rst,
    input  wire                     in_valid,
    output logic                    in_ready,
    input  wire  [    IN_WIDTH-1:0] in_data,       // {last, block, turn, place, h}
    input  wire                     cleared,       // until then look_place goes through all places once
    input  wire  [  PLACE_BITS-1:0] head_place,    // the oldest step that is not computed
    input  wire  [             1:0] head_turn,
    input  wire  [  PLACE_BITS-1:0] look_place,
    output logic [             1:0] look_turn,     // the turn in which the place became complete
    output logic                    look_last,     // the step is its line's last
    input  wire  [ADDRESS_BITS-1:0] read_address,  // place * BLOCKS + block
    output logic [       CODES-1:0] codes
);
  logic [CODES-1:0] h, h_q, stored;
  logic [PLACE_BITS-1:0] place, place_q;
  logic [1:0] turn, turn_q, seen_turn, turn_ahead;
  logic [BLOCK_BITS-1:0] block;
  logic [ADDRESS_BITS-1:0] address_q;
  logic last, last_q, ends_q, write_q, seen_last;

  assign {last, block, turn, place, h} = in_data;

  // None lies behind the head. No deadlock: the steps that a direction has begun lie within RING_STEPS of its oldest
  // unfinished one, so blocks that the head lacks stand before any that waits.
  assign turn_ahead = head_turn + 2'd1;
  assign in_ready = cleared && (turn == head_turn || (turn == turn_ahead && place < head_place));

  always_ff @(posedge clk) begin
    write_q <= !rst && in_valid && in_ready;
    address_q <= ADDRESS_BITS'(place) * ADDRESS_BITS'(BLOCKS) + ADDRESS_BITS'(block);
    ends_q <= block == BLOCK_BITS'(BLOCKS - 1);
    {last_q, turn_q, place_q, h_q} <= {last, turn, place, h};
  end

  zeile_ram #(
      .WIDTH(CODES),
      .DEPTH(RING_STEPS * BLOCKS)
  ) ring (
      .clk,
      .we(write_q),
      .waddr(address_q),
      .wdata(h_q),
      .re(1'b1),
      .raddr(read_address),
      .rdata(stored)
  );

  (* shreg_extract = "no" *) logic [CODES-1:0] stages[0:STAGES-1];  // go into the memory's cascade
  always_ff @(posedge clk) begin
    stages[0] <= stored;
    for (int i = 1; i < STAGES; i++) stages[i] <= stages[i-1];
  end
  assign codes = stages[STAGES-1];

  // After a reset no step is complete, whatever the memory holds: turn 0 is none until it has come round.
  zeile_ram #(
      .WIDTH(3),
      .DEPTH(RING_STEPS)
  ) seen (
      .clk,
      .we(!cleared || (write_q && ends_q)),
      .waddr(cleared ? place_q : look_place),
      .wdata(cleared ? {turn_q, last_q} : 3'd0),
      .re(1'b1),
      .raddr(look_place),
      .rdata({seen_turn, seen_last})
  );
  always_ff @(posedge clk) {look_turn, look_last} <= {seen_turn, seen_last};
endmodule

`default_nettype wire
