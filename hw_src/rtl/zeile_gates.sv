// SPDX-License-Identifier: Apache-2.0
// From the sums of a row block to h: rows, rescaling, tables and cells (hls/gates.h), LANES units each cycle.
// A group of units is asked for by its place; the sums of its block come in the next cycle, h LATENCY = 15 cycles after
// the place, with the tag that came with it. The group's cells are written after 12 cycles.
`default_nettype none

module zeile_gates #(
    parameter int A        = 4,   // bits of gates and h
    parameter int C        = 8,   // bits of the cell
    parameter int S        = 16,  // bits of a sum
    parameter int HIDDEN   = 8,
    parameter int UNITS    = 2,   // of a row block
    parameter int LANES    = 1,
    parameter int SLOTS    = 3,
    parameter int TAG_BITS = 1,
    localparam int GROUPS = UNITS / LANES,
    localparam int PLACES = HIDDEN / LANES,  // groups of all blocks
    localparam int GROUP_BITS = GROUPS <= 2 ? 1 : $clog2(GROUPS),
    localparam int PLACE_BITS = PLACES <= 2 ? 1 : $clog2(PLACES),
    localparam int SLOT_BITS = SLOTS <= 2 ? 1 : $clog2(SLOTS)
) (
    input  wire                   clk,
    input  wire                   rst,
    input  wire                   valid,
    input  wire  [GROUP_BITS-1:0] group,
    input  wire  [PLACE_BITS-1:0] place,    // block * GROUPS + group
    input  wire  [ SLOT_BITS-1:0] slot,
    input  wire                   first,    // of a line: its cells are 0
    input  wire  [  TAG_BITS-1:0] tag,
    input  wire  [ 4*UNITS*S-1:0] sums,     // [gate i, f, g, o][unit]
    output logic                  h_valid,
    output logic [   LANES*A-1:0] h,
    output logic [  TAG_BITS-1:0] h_tag,
    input  wire                   we,
    input  wire                   re,
    input  wire  [           2:0] section,
    input  wire  [          23:0] index,
    input  wire  [          63:0] wdata,
    output logic [          63:0] rdata
);
  `include "zeile.svh"

  // Cycles behind the place until these are there.
  localparam int ENTRIES = 7, CODES = ENTRIES + ZEILE_TABLE_LATENCY, CELLS = CODES + 3;
  localparam int TANH = CELLS + ZEILE_TABLE_LATENCY, LATENCY = TANH + 1;
  localparam int DEPTH = SLOTS * PLACES, ADDRESS_BITS = zeile_bits(DEPTH);

  logic [LATENCY:1] flow;  // valid, cycles later
  logic [GROUP_BITS-1:0] group_now;
  logic [ADDRESS_BITS-1:0] address, address_now;
  logic first_now;
  logic [4*LANES*S-1:0] picked;
  logic [4*LANES*32-1:0] bias;
  logic [4*LANES*15-1:0] multiplier;
  logic [4*LANES*8-1:0] entries;
  logic [LANES*A-1:0] i, f, g, o, o_now, tanh_cells;
  logic [LANES*C-1:0] cells, cell_entries;
  logic [63:0] rows_data, sigmoid_data, tanh_data, tanh_cell_data;

  assign h_valid = flow[LATENCY];
  assign address = ADDRESS_BITS'(32'(slot) * PLACES + 32'(place));

  always_ff @(posedge clk) begin
    flow <= rst ? '0 : {flow[LATENCY-1:1], valid};
    group_now <= group;
  end

  zeile_delay #(TAG_BITS, LATENCY) tag_delay (.clk, .in(tag), .out(h_tag));
  zeile_delay #(ADDRESS_BITS + 1, CODES - 2) cell_delay (
      .clk, .in({first, address}), .out({first_now, address_now}));
  zeile_delay #(LANES * A, TANH - CODES) o_delay (.clk, .in(o), .out(o_now));

  zeile_pick #(
      .S(S),
      .BANKS(4),
      .GROUPS(GROUPS),
      .LANES(LANES)
  ) pick (
      .clk,
      .group(group_now),
      .sums,
      .picked
  );

  zeile_rows #(
      .ROWS(4 * HIDDEN),
      .BANKS(4),
      .GROUPS(GROUPS),
      .LANES(LANES)
  ) row_store (
      .clk,
      .address(place),
      .bias,
      .multiplier,
      /* verilator lint_off PINCONNECTEMPTY */
      .gain(),  // of skip connections
      /* verilator lint_on PINCONNECTEMPTY */
      .we(we && section == ZEILE_ROWS),
      .re(re && section == ZEILE_ROWS),
      .index,
      .wdata,
      .rdata(rows_data)
  );

  for (genvar n = 0; n < 4 * LANES; ++n) begin : g_preactivation
    zeile_preactivation #(S) preactivation (
        .clk,
        .sum(picked[n*S+:S]),
        .bias(bias[n*32+:32]),
        .multiplier(multiplier[n*15+:15]),
        .entry(entries[n*8+:8])
    );
  end

  zeile_table #(
      .OUT_BITS(A),
      .ENTRIES(256),
      .READERS(3 * LANES),
      .OUT_SIGNED(0)
  ) sigmoid (
      .clk,
      .entries({entries[3*LANES*8+:LANES*8], entries[0+:2*LANES*8]}),
      .codes({o, f, i}),
      .we(we && section == ZEILE_SIGMOID),
      .re(re && section == ZEILE_SIGMOID),
      .index,
      .wdata,
      .rdata(sigmoid_data)
  );

  zeile_table #(
      .OUT_BITS(A),
      .ENTRIES(256),
      .READERS(LANES)
  ) tanh (
      .clk,
      .entries(entries[2*LANES*8+:LANES*8]),
      .codes(g),
      .we(we && section == ZEILE_TANH),
      .re(re && section == ZEILE_TANH),
      .index,
      .wdata,
      .rdata(tanh_data)
  );

  zeile_cells #(
      .A(A),
      .C(C),
      .LANES(LANES),
      .DEPTH(DEPTH)
  ) units (
      .clk,
      .rst,
      .valid(flow[CODES-2]),
      .address(address_now),
      .first(first_now),
      .i,
      .f,
      .g,
      .cells
  );

  zeile_table #(
      .OUT_BITS(A),
      .ENTRIES(1 << C),
      .READERS(LANES)
  ) tanh_cell (
      .clk,
      .entries(cell_entries),
      .codes(tanh_cells),
      .we(we && section == ZEILE_TANH_CELL),
      .re(re && section == ZEILE_TANH_CELL),
      .index,
      .wdata,
      .rdata(tanh_cell_data)
  );

  for (genvar n = 0; n < LANES; ++n) begin : g_unit
    assign cell_entries[n*C+:C] = {!cells[n*C+C-1], cells[n*C+:C-1]};  // + 2^(C - 1)
    zeile_hidden #(A) hidden (
        .clk,
        .o(o_now[n*A+:A]),
        .tanh_cell(tanh_cells[n*A+:A]),
        .h(h[n*A+:A])
    );
  end

  always_comb begin
    case (section)
      ZEILE_ROWS: rdata = rows_data;
      ZEILE_SIGMOID: rdata = sigmoid_data;
      ZEILE_TANH: rdata = tanh_data;
      ZEILE_TANH_CELL: rdata = tanh_cell_data;
      default: rdata = '0;
    endcase
  end
endmodule

`default_nettype wire
