// SPDX-License-Identifier: Apache-2.0
// The draining half of a recurrent layer's direction: sums of a row block through the gates to slices of h for the
// line's next step, and to blocks for Dense. The sums come DELAY + 1 cycles after a group was asked for. A block is
// asked for only while `drain_room` says that it has a place in the FIFO behind all this.
`default_nettype none

module zeile_blocks #(
    parameter int HIDDEN     = 8,
    parameter int A          = 4,   // bits of h
    parameter int C          = 8,   // bits of the cell
    parameter int S          = 16,
    parameter int UNITS      = 2,   // of a block
    parameter int LANES      = 1,
    parameter int SIMD       = 8,
    parameter int SLOTS      = 3,
    parameter int RING_STEPS = 64,
    parameter int DELAY      = 12,
    parameter int DEPTH      = 4,   // of the FIFO
    localparam int SFH = HIDDEN / SIMD,
    localparam int NF = HIDDEN / UNITS,
    localparam int GROUPS = UNITS / LANES,
    localparam int GROUP_BITS = GROUPS <= 2 ? 1 : $clog2(GROUPS),
    localparam int BLOCK_BITS = NF <= 2 ? 1 : $clog2(NF),
    localparam int SLOT_BITS = SLOTS <= 2 ? 1 : $clog2(SLOTS),
    localparam int SLICE_BITS = SFH <= 2 ? 1 : $clog2(SFH),
    localparam int PLACE_BITS = RING_STEPS <= 2 ? 1 : $clog2(RING_STEPS),
    localparam int OUT_WIDTH = UNITS * A + PLACE_BITS + 2 + BLOCK_BITS + 1
) (
    input  wire                   clk,
    input  wire                   rst,
    output logic                  drain_room,
    input  wire                   drain,
    input  wire                   drain_end,    // of a row block
    input  wire  [GROUP_BITS-1:0] drain_group,
    input  wire  [BLOCK_BITS-1:0] drain_block,
    input  wire                   drain_first,  // step of its line
    input  wire                   drain_half,
    input  wire  [ SLOT_BITS-1:0] drain_slot,
    input  wire                   drain_last,   // step of its line, in frame order
    input  wire  [PLACE_BITS-1:0] drain_place,
    input  wire  [           1:0] drain_turn,
    input  wire  [ 4*UNITS*S-1:0] sums,
    output logic                  slice_valid,
    output logic [ SLOT_BITS-1:0] slice_slot,
    output logic                  slice_half,
    output logic [SLICE_BITS-1:0] slice_index,
    output logic [    SIMD*A-1:0] slice,
    output logic                  out_valid,
    input  wire                   out_ready,
    output logic [ OUT_WIDTH-1:0] out_data,     // {last, block, turn, place, h}
    input  wire                   we,
    input  wire                   re,
    input  wire  [           2:0] section,
    input  wire  [          23:0] index,
    input  wire  [          63:0] wdata,
    output logic [          63:0] rdata
);
  localparam int GATES = NF * GROUPS, GATE_BITS = GATES <= 2 ? 1 : $clog2(GATES);
  localparam int TAG_BITS = 1 + SLOT_BITS + 1 + 2 + PLACE_BITS;
  localparam int FREE_BITS = $clog2(DEPTH + 1);

  logic [DELAY-1:0] drained;
  logic gates_first, h_valid, h_last, block_valid;
  logic [GROUP_BITS-1:0] gates_group;
  logic [GATE_BITS-1:0] drain_gates, gates_place;  // block * GROUPS + group
  logic [SLOT_BITS-1:0] gates_slot;
  logic [TAG_BITS-1:0] gates_tag;
  logic [LANES*A-1:0] h;
  logic [PLACE_BITS-1:0] h_place;
  logic [1:0] h_turn;
  logic [BLOCK_BITS-1:0] block_index;
  logic [UNITS*A-1:0] block;
  logic [FREE_BITS-1:0] places;  // free in the FIFO and not promised

  assign drain_gates = GATE_BITS'(32'(drain_block) * GROUPS + 32'(drain_group));

  always_ff @(posedge clk) drained <= rst ? '0 : {drained[DELAY-2:0], drain};
  zeile_delay #(GROUP_BITS + GATE_BITS + SLOT_BITS + 1 + TAG_BITS, DELAY) drain_delay (
      .clk,
      .in({
        drain_group, drain_gates, drain_slot, drain_first, drain_half, drain_slot, drain_last, drain_turn, drain_place
      }),
      .out({gates_group, gates_place, gates_slot, gates_first, gates_tag})
  );

  zeile_gates #(
      .A(A),
      .C(C),
      .S(S),
      .HIDDEN(HIDDEN),
      .UNITS(UNITS),
      .LANES(LANES),
      .SLOTS(SLOTS),
      .TAG_BITS(TAG_BITS)
  ) gates (
      .clk,
      .rst,
      .valid(drained[DELAY-1]),
      .group(gates_group),
      .place(gates_place),
      .slot(gates_slot),
      .first(gates_first),
      .tag(gates_tag),
      .sums,
      .h_valid,
      .h,
      .h_tag({slice_half, slice_slot, h_last, h_turn, h_place}),
      .we,
      .re,
      .section,
      .index,
      .wdata,
      .rdata
  );

  zeile_collect #(
      .A(A),
      .LANES(LANES),
      .SIMD(SIMD),
      .UNITS(UNITS),
      .HIDDEN(HIDDEN)
  ) collect (
      .clk,
      .rst,
      .valid(h_valid),
      .h,
      .slice_valid,
      .slice_index,
      .slice,
      .block_valid,
      .block_index,
      .block
  );

  assign drain_room = places != '0;

  always_ff @(posedge clk) begin
    places <= places + FREE_BITS'(out_valid && out_ready) - FREE_BITS'(drain && drain_end);
    if (rst) places <= FREE_BITS'(DEPTH);
  end

  zeile_fifo #(
      .WIDTH(OUT_WIDTH),
      .DEPTH(DEPTH)
  ) fifo (
      .clk,
      .rst,
      .in_valid(block_valid),
      /* verilator lint_off PINCONNECTEMPTY */
      .in_ready(),
      /* verilator lint_on PINCONNECTEMPTY */
      .in_data({h_last, block_index, h_turn, h_place, block}),
      .out_valid,
      .out_ready,
      .out_data
  );
endmodule

`default_nettype wire
