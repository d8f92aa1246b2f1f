// SPDX-License-Identifier: Apache-2.0
// Collects h, LANES units each cycle in order: slices of SIMD units for the memory that the line's next step reads, and
// blocks of UNITS units for Dense. Both are there in the cycle of their last units.
`default_nettype none

module zeile_collect #(
    parameter int A      = 4,
    parameter int LANES  = 1,
    parameter int SIMD   = 8,
    parameter int UNITS  = 2,
    parameter int HIDDEN = 8,
    localparam int SFH = HIDDEN / SIMD,
    localparam int NF = HIDDEN / UNITS,
    localparam int SLICE_BITS = SFH <= 2 ? 1 : $clog2(SFH),
    localparam int BLOCK_BITS = NF <= 2 ? 1 : $clog2(NF)
) (
    input  wire                   clk,
    input  wire                   rst,
    input  wire                   valid,
    input  wire  [   LANES*A-1:0] h,
    output logic                  slice_valid,
    output logic [SLICE_BITS-1:0] slice_index,
    output logic [    SIMD*A-1:0] slice,
    output logic                  block_valid,
    output logic [BLOCK_BITS-1:0] block_index,
    output logic [   UNITS*A-1:0] block
);
  localparam int DEPTH = SIMD > UNITS ? SIMD : UNITS;
  localparam int SLICE_GROUPS = SIMD / LANES, SLICE_GROUP_BITS = SLICE_GROUPS <= 2 ? 1 : $clog2(SLICE_GROUPS);
  localparam int BLOCK_GROUPS = UNITS / LANES, BLOCK_GROUP_BITS = BLOCK_GROUPS <= 2 ? 1 : $clog2(BLOCK_GROUPS);

  logic [DEPTH*A-1:0] units;  // the last ones, the newest on top
  logic [SLICE_GROUP_BITS-1:0] slice_group;
  logic [BLOCK_GROUP_BITS-1:0] block_group;
  logic slice_ends, block_ends;

  if (DEPTH > LANES) begin : g_units
    logic [(DEPTH-LANES)*A-1:0] others;
    assign units = {h, others};
    always_ff @(posedge clk) if (valid) others <= units[DEPTH*A-1:LANES*A];
  end else begin : g_all
    assign units = h;
  end

  assign slice = units[DEPTH*A-1-:SIMD*A];
  assign block = units[DEPTH*A-1-:UNITS*A];
  assign slice_ends = slice_group == SLICE_GROUP_BITS'(SLICE_GROUPS - 1);
  assign block_ends = block_group == BLOCK_GROUP_BITS'(BLOCK_GROUPS - 1);
  assign slice_valid = valid && slice_ends;
  assign block_valid = valid && block_ends;

  always_ff @(posedge clk) begin
    if (valid) begin
      slice_group <= slice_ends ? '0 : slice_group + 1'b1;
      block_group <= block_ends ? '0 : block_group + 1'b1;
    end
    if (slice_valid) slice_index <= slice_index == SLICE_BITS'(SFH - 1) ? '0 : slice_index + 1'b1;
    if (block_valid) block_index <= block_index == BLOCK_BITS'(NF - 1) ? '0 : block_index + 1'b1;
    if (rst) begin
      slice_group <= '0;
      block_group <= '0;
      slice_index <= '0;
      block_index <= '0;
    end
  end
endmodule

`default_nettype wire
