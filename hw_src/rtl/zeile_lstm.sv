// SPDX-License-Identifier: Apache-2.0
// One direction of a recurrent layer (hls/lstm.h): slices of lines in, blocks of h of PE / 4 units out. Several lines
// take turns in slots, so that the MAC array issues every cycle although a line's next step must wait for its last h.
// NF * SF cycles a step. A block leaves 19 + zeile_mac_latency(SIMD) + GROUPS cycles after its last tile has issued.
//
//   sequencer > operands > MAC array > gates > FIFO of blocks
//                  ^-------- h ---------'
//
// Sections: weights, rows, sigmoid, tanh, tanh_cell; control: counters cycles, issued, starved, stalled (read only).
`default_nettype none

module zeile_lstm #(
    parameter int DIRECTION   = 0,   // 1 takes the steps of a line from last to first
    parameter int TARGET      = 3,
    parameter int INPUTS      = 16,
    parameter int HIDDEN      = 8,
    parameter int IN_BITS     = 4,
    parameter int IN_SIGNED   = 0,
    parameter int WEIGHT_BITS = 4,
    parameter int OUT_BITS    = 4,
    parameter int CELL_BITS   = 8,
    parameter int PE          = 8,
    parameter int SIMD        = 8,
    parameter int SLOTS       = 3,   // lines in flight
    parameter int RING_STEPS  = 64,
    parameter int DSP_PE      = 0,
    localparam int BLOCKS = 4 * HIDDEN / PE,
    localparam int OUT_WIDTH = PE / 4 * OUT_BITS + (RING_STEPS <= 2 ? 1 : $clog2(RING_STEPS)) + 2 +
        (BLOCKS <= 2 ? 1 : $clog2(BLOCKS)) + 1
) (
    input  wire                     clk,
    input  wire                     rst,
    input  wire                     in_valid,
    output logic                    in_ready,
    input  wire  [SIMD*IN_BITS : 0] in_data,           // {last, codes}
    output logic                    out_valid,
    input  wire                     out_ready,
    output logic [   OUT_WIDTH-1:0] out_data,          // {last, block, turn, place, h}
    input  wire                     config_in_valid,
    output logic                    config_in_ready,
    input  wire  [           105:0] config_in_data,
    output logic                    config_out_valid,
    input  wire                     config_out_ready,
    output logic [           105:0] config_out_data
);
  `include "zeile.svh"

  localparam int UNITS = PE / 4, NF = BLOCKS, SFX = INPUTS / SIMD, SFH = HIDDEN / SIMD, SF = SFX + SFH;
  localparam int LANES = zeile_output_lanes(UNITS, SF), GROUPS = UNITS / LANES;
  localparam int S = zeile_sum_bits(
      zeile_largest_weight(WEIGHT_BITS) * (INPUTS * (1 << IN_BITS) + HIDDEN * (1 << (OUT_BITS - 1))));

  // Cycles to the MAC array, from there to the gates (whose sums come a cycle later), through them. All in all h must
  // be in its memory when the line's next step reads it.
  localparam int GATE_LATENCY = 24, OPERANDS = 4, DRAIN = OPERANDS + zeile_mac_latency(SIMD) - 2, GATES = 15;
  localparam int DEPTH = zeile_ceil_divide(DRAIN + GATES + 6, SF) + 2;  // blocks on their way at full speed, and two

  localparam int RING_BITS = zeile_bits(RING_STEPS * SFX), PLACE_BITS = zeile_bits(RING_STEPS);
  localparam int TILE_BITS = zeile_bits(NF * SF), SLOT_BITS = zeile_bits(SLOTS), SLICE_BITS = zeile_bits(SFH);
  localparam int GROUP_BITS = zeile_bits(GROUPS), BLOCK_BITS = zeile_bits(NF);

  if (PE % 4 != 0 || HIDDEN % UNITS != 0) begin : g_pe
    $error("PE / 4 must be a whole number that divides HIDDEN");
  end
  if (INPUTS % SIMD != 0 || HIDDEN % SIMD != 0) begin : g_simd
    $error("SIMD must divide INPUTS and HIDDEN");
  end
  if (SIMD % LANES != 0) begin : g_lanes
    $error("the gate lanes must divide SIMD: choose PE and SIMD powers of two");
  end
  if (DRAIN + GATES + 1 > GATE_LATENCY + SFX + OPERANDS) begin : g_latency
    $error("h comes too late for the line's next step");
  end

  logic issue, issue_first, issue_last, issue_x, issue_zero, issue_half;
  logic [TILE_BITS-1:0] issue_tile;
  logic [RING_BITS-1:0] in_address, issue_address;
  logic [SLOT_BITS-1:0] issue_slot, drain_slot, slice_slot;
  logic [SLICE_BITS-1:0] issue_slice, slice_index;
  logic drain_room, drain, drain_end, drain_first, drain_half, drain_last, starved, stalled;
  logic [GROUP_BITS-1:0] drain_group;
  logic [BLOCK_BITS-1:0] drain_block;
  logic [PLACE_BITS-1:0] drain_place;
  logic [1:0] drain_turn;
  logic slice_valid, slice_half;
  logic [SIMD*OUT_BITS-1:0] slice;
  logic [PE*S-1:0] sums;
  logic we, re;
  logic [2:0] section;
  logic [23:0] index;
  logic [63:0] wdata, rdata, tiles_data, blocks_data, counter_data;
  logic [3:0] counting;
  logic [4*64-1:0] counters;

  zeile_sequencer #(
      .DIRECTION(DIRECTION),
      .SLOTS(SLOTS),
      .STEPS(RING_STEPS),
      .SFX(SFX),
      .SFH(SFH),
      .NF(NF),
      .GROUPS(GROUPS),
      .LATENCY(GATE_LATENCY)
  ) sequencer (
      .in_last(in_data[SIMD*IN_BITS]),
      .*
  );

  zeile_tiles #(
      .INPUTS(INPUTS),
      .HIDDEN(HIDDEN),
      .IN_BITS(IN_BITS),
      .IN_SIGNED(IN_SIGNED),
      .W(WEIGHT_BITS),
      .A(OUT_BITS),
      .S(S),
      .PE(PE),
      .SIMD(SIMD),
      .SLOTS(SLOTS),
      .RING_STEPS(RING_STEPS),
      .DSP_PE(DSP_PE)
  ) tiles (
      .ring_we(in_valid && in_ready),
      .ring_address(in_address),
      .ring_data(in_data[SIMD*IN_BITS-1:0]),
      .we(we && section == ZEILE_WEIGHTS),
      .re(re && section == ZEILE_WEIGHTS),
      .rdata(tiles_data),
      .*
  );

  zeile_blocks #(
      .HIDDEN(HIDDEN),
      .A(OUT_BITS),
      .C(CELL_BITS),
      .S(S),
      .UNITS(UNITS),
      .LANES(LANES),
      .SIMD(SIMD),
      .SLOTS(SLOTS),
      .RING_STEPS(RING_STEPS),
      .DELAY(DRAIN),
      .DEPTH(DEPTH)
  ) blocks (
      .rdata(blocks_data),
      .*
  );

  always_ff @(posedge clk) counting <= rst ? '0 : {stalled, starved, issue, 1'b1};
  for (genvar n = 0; n < 4; ++n) begin : g_counter
    zeile_counter counter (.clk, .rst, .increment(counting[n]), .value(counters[n*64+:64]));
  end
  assign counter_data = index[23:2] == '0 ? counters[index[1:0]*64+:64] : '0;

  zeile_config #(
      .TARGET(TARGET),
      .SECTION(8 * DIRECTION),
      .READ_LATENCY(ZEILE_READ_LATENCY)
  ) node (.*);
  assign rdata = section == ZEILE_WEIGHTS ? tiles_data : section == ZEILE_CONTROL ? counter_data : blocks_data;
endmodule

`default_nettype wire
