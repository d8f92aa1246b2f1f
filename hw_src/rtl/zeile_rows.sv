// SPDX-License-Identifier: Apache-2.0
// Bias, multiplier and gain of rows (RowStore in memory.h), LANES * BANKS of them read at a time, 2 cycles after
// `address` (ZEILE_ROWS_LATENCY): index = ((block * BANKS + bank) * GROUPS + group) * LANES + lane, and what is read
// together has address = block * GROUPS + group. Output (bank, lane) stands at place bank * LANES + lane.
// `rdata` is there ZEILE_READ_LATENCY cycles after `re`, until the next `re`; configuration never meets lines.
`default_nettype none

module zeile_rows #(
    parameter int ROWS = 16,
    parameter int BANKS = 1,
    parameter int GROUPS = 2,
    parameter int LANES = 2,
    localparam int DEPTH = ROWS / (BANKS * LANES),
    localparam int ADDRESS_BITS = DEPTH <= 2 ? 1 : $clog2(DEPTH)
) (
    input  wire logic                      clk,
    input  wire logic [ADDRESS_BITS-1:0]   address,
    output wire logic [BANKS*LANES*32-1:0] bias,
    output wire logic [BANKS*LANES*15-1:0] multiplier,
    output wire logic [BANKS*LANES*16-1:0] gain,
    input  wire logic                      we,
    input  wire logic                      re,
    input  wire logic [23:0]               index,
    // verilator lint_off UNUSEDSIGNAL
    input  wire logic [63:0]               wdata,  // gain, multiplier (15 of 16 bits), bias
    // verilator lint_on UNUSEDSIGNAL
    output wire logic [63:0]               rdata
);
  localparam int PORTS = BANKS * LANES;
  localparam int PORT_BITS = PORTS <= 2 ? 1 : $clog2(PORTS);
  localparam int BANK_BITS = BANKS <= 2 ? 1 : $clog2(BANKS);
  localparam int GROUP_BITS = GROUPS <= 2 ? 1 : $clog2(GROUPS);
  localparam int LANE_BITS = LANES <= 2 ? 1 : $clog2(LANES);
  localparam int INDEX_BITS = ROWS <= 2 ? 1 : $clog2(ROWS);

  // The place of a row: seven cycles behind the port.
  logic [INDEX_BITS-1:0] index_q;
  logic [6:0] writing, reading;  // [i]: i + 1 cycles behind we, re
  logic [7*63-1:0] words;
  logic found;                  // of the last read
  // verilator lint_off UNUSEDSIGNAL
  wire logic [INDEX_BITS-1:0] groups, banks, block;
  // verilator lint_on UNUSEDSIGNAL
  wire logic [LANE_BITS-1:0] lane;
  wire logic [GROUP_BITS-1:0] group;
  wire logic [BANK_BITS-1:0] bank;
  logic [4*LANE_BITS-1:0] lanes;
  logic [2*GROUP_BITS-1:0] group_of;
  zeile_quotient #(.BITS(INDEX_BITS), .D(LANES)) by_lanes (
      .clk, .n(index_q), .quotient(groups), .remainder(lane));
  zeile_quotient #(.BITS(INDEX_BITS), .D(GROUPS)) by_groups (
      .clk, .n(groups), .quotient(banks), .remainder(group));
  zeile_quotient #(.BITS(INDEX_BITS), .D(BANKS)) by_banks (
      .clk, .n(banks), .quotient(block), .remainder(bank));

  wire logic known = index < 24'(ROWS);
  always_ff @(posedge clk) begin
    index_q <= index[INDEX_BITS-1:0];
    writing <= {writing[5:0], we && known};
    reading <= {reading[5:0], re};
    words <= {words[6*63-1:0], wdata[63:48], wdata[46:0]};
    lanes <= {lanes[3*LANE_BITS-1:0], lane};
    group_of <= {group_of[GROUP_BITS-1:0], group};
    if (re) found <= known;
  end

  wire logic [ADDRESS_BITS-1:0] place = ADDRESS_BITS'(block) * ADDRESS_BITS'(GROUPS) +
      ADDRESS_BITS'(group_of[GROUP_BITS+:GROUP_BITS]);
  wire logic [PORT_BITS-1:0] port = PORT_BITS'(bank) * PORT_BITS'(LANES) +
      PORT_BITS'(lanes[3*LANE_BITS+:LANE_BITS]);

  logic [ADDRESS_BITS-1:0] config_place;
  logic [PORT_BITS-1:0] config_port;
  logic [PORTS-1:0] storing;
  logic [62:0] stored;
  logic asked;
  always_ff @(posedge clk) begin
    config_place <= place;
    config_port <= port;
    stored <= words[6*63+:63];
    asked <= reading[6];
    for (int i = 0; i < PORTS; i++) storing[i] <= writing[6] && port == PORT_BITS'(i);
  end

  logic [PORTS*63-1:0] rows;
  for (genvar i = 0; i < PORTS; i++) begin : g_port
    wire logic [62:0] row;
    zeile_ram #(.WIDTH(63), .DEPTH(DEPTH)) ram (
        .clk, .we(storing[i]), .waddr(config_place), .wdata(stored), .re(1'b1),
        .raddr(asked ? config_place : address), .rdata(row));
    always_ff @(posedge clk) rows[i*63+:63] <= row;
    assign bias[i*32+:32] = rows[i*63+:32];
    assign multiplier[i*15+:15] = rows[i*63+32+:15];
    assign gain[i*16+:16] = rows[i*63+47+:16];
  end

  logic [1:0] arriving;
  logic [PORT_BITS-1:0] read_port;
  logic [63:0] answer;
  wire logic [62:0] chosen = rows[read_port*63+:63];
  assign rdata = answer;
  always_ff @(posedge clk) begin
    arriving <= {arriving[0], asked};
    if (asked) read_port <= config_port;
    if (arriving[1]) answer <= found ? {chosen[62:47], 1'b0, chosen[46:0]} : 64'd0;
  end
endmodule

`default_nettype wire
