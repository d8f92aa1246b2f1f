// SPDX-License-Identifier: Apache-2.0
// The issuing half of a recurrent layer's direction: operands from the ring and from h, MAC array. The sums of a row
// block are there OPERANDS + zeile_mac_latency(SIMD) cycles after its last tile was asked for, until the next block's.
`default_nettype none

module zeile_tiles #(
    parameter int INPUTS     = 16,
    parameter int HIDDEN     = 8,
    parameter int IN_BITS    = 4,
    parameter int IN_SIGNED  = 0,
    parameter int W          = 4,
    parameter int A          = 4,   // bits of h
    parameter int S          = 16,
    parameter int PE         = 8,
    parameter int SIMD       = 8,
    parameter int SLOTS      = 3,
    parameter int RING_STEPS = 64,
    parameter int DSP_PE     = 0,
    localparam int SFX = INPUTS / SIMD,
    localparam int SFH = HIDDEN / SIMD,
    localparam int TILES = 4 * HIDDEN / PE * (SFX + SFH),
    localparam int RING_BITS = RING_STEPS * SFX <= 2 ? 1 : $clog2(RING_STEPS * SFX),
    localparam int SLOT_BITS = SLOTS <= 2 ? 1 : $clog2(SLOTS),
    localparam int SLICE_BITS = SFH <= 2 ? 1 : $clog2(SFH),
    localparam int TILE_BITS = $clog2(TILES)
) (
    input  wire                     clk,
    input  wire                     rst,
    input  wire                     ring_we,
    input  wire  [   RING_BITS-1:0] ring_address,
    input  wire  [SIMD*IN_BITS-1:0] ring_data,
    input  wire                     issue,
    input  wire                     issue_first,    // of a row block
    input  wire                     issue_last,
    input  wire  [   TILE_BITS-1:0] issue_tile,
    input  wire                     issue_x,        // reads x, else h
    input  wire  [   RING_BITS-1:0] issue_address,  // of x
    input  wire                     issue_zero,     // h is 0
    input  wire  [   SLOT_BITS-1:0] issue_slot,     // of h
    input  wire                     issue_half,     // written in this step: the other is read
    input  wire  [  SLICE_BITS-1:0] issue_slice,
    input  wire                     slice_valid,    // of new h
    input  wire  [   SLOT_BITS-1:0] slice_slot,
    input  wire                     slice_half,
    input  wire  [  SLICE_BITS-1:0] slice_index,
    input  wire  [      SIMD*A-1:0] slice,
    output logic [        PE*S-1:0] sums,
    input  wire                     we,
    input  wire                     re,
    input  wire  [            23:0] index,
    input  wire  [            63:0] wdata,
    output logic [            63:0] rdata
);
  localparam int OPERANDS = 4;  // cycles
  localparam int X_BITS = IN_SIGNED != 0 ? IN_BITS : IN_BITS + 1, X = X_BITS > A ? X_BITS : A;
  localparam int HALVES = 2 * SLOTS * SFH, HALVES_BITS = HALVES <= 2 ? 1 : $clog2(HALVES);

  logic [OPERANDS-1:0] issued;
  logic mac_first, mac_last;
  logic [TILE_BITS-1:0] mac_tile;
  logic [SIMD*X-1:0] x;

  function automatic logic [HALVES_BITS-1:0] row(input logic half, input logic [SLOT_BITS-1:0] slot,
                                                 input logic [SLICE_BITS-1:0] slice_of_half);
    row = HALVES_BITS'((32'(half) * SLOTS + 32'(slot)) * SFH + 32'(slice_of_half));
  endfunction

  zeile_operands #(
      .SIMD(SIMD),
      .IN_BITS(IN_BITS),
      .IN_SIGNED(IN_SIGNED),
      .A(A),
      .X(X),
      .RING_DEPTH(RING_STEPS * SFX),
      .HIDDEN_DEPTH(HALVES)
  ) operands (
      .clk,
      .ring_we,
      .ring_waddr(ring_address),
      .ring_wdata(ring_data),
      .hidden_we(slice_valid),
      .hidden_waddr(row(slice_half, slice_slot, slice_index)),
      .hidden_wdata(slice),
      .from_ring(issue_x),
      .ring_raddr(issue_address),
      .first(issue_zero),
      .hidden_raddr(row(!issue_half, issue_slot, issue_slice)),
      .x
  );

  always_ff @(posedge clk) issued <= rst ? '0 : {issued[OPERANDS-2:0], issue};
  zeile_delay #(TILE_BITS + 2, OPERANDS) tile_delay (
      .clk, .in({issue_tile, issue_first, issue_last}), .out({mac_tile, mac_first, mac_last}));

  zeile_mac_array #(
      .W(W),
      .X(X),
      .PE(PE),
      .SIMD(SIMD),
      .TILES(TILES),
      .S(S),
      .DSP_PE(DSP_PE)
  ) array (
      .clk,
      .rst,
      .issue(issued[OPERANDS-1]),
      .first(mac_first),
      .last(mac_last),
      .tile(mac_tile),
      .x,
      /* verilator lint_off PINCONNECTEMPTY */
      .done(),  // the sequencer knows when
      /* verilator lint_on PINCONNECTEMPTY */
      .sums,
      .we,
      .re,
      .index,
      .wdata,
      .rdata
  );
endmodule

`default_nettype wire
