// SPDX-License-Identifier: Apache-2.0
// A unit's node of the configuration chain (Configure() in memory.h). What is for the target is given to the unit, its
// section less SECTION: `we` or `re` for one cycle, with section, index and wdata, which stay until the next message.
// A read's answer is taken from `rdata` READ_LATENCY cycles after `re`; nothing passes meanwhile. All else is passed on.
`default_nettype none

module zeile_config #(
    parameter int TARGET = 0,
    parameter int SECTION = 0,  // 0, or 8 for the backward direction of a recurrent layer
    parameter int READ_LATENCY = 12  // ZEILE_READ_LATENCY
) (
    input  wire logic         clk,
    input  wire logic         rst,
    input  wire logic         config_in_valid,
    output wire logic         config_in_ready,
    input  wire logic [105:0] config_in_data,  // {data 64, address 32, target 8, op 2}
    output wire logic         config_out_valid,
    input  wire logic         config_out_ready,
    output wire logic [105:0] config_out_data,
    output wire logic         we,
    output wire logic         re,
    output wire logic [2:0]   section,
    output wire logic [23:0]  index,
    output wire logic [63:0]  wdata,
    input  wire logic [63:0]  rdata
);
  `include "zeile.svh"

  localparam int WAIT_BITS = $clog2(READ_LATENCY + 1);

  logic [63:0] data;
  logic [31:0] address;
  logic [7:0] target;
  logic [1:0] op;
  logic full, written, asked, waiting;
  logic [WAIT_BITS-1:0] left;  // cycles until the answer of the unit

  assign config_in_ready = !waiting && (!full || config_out_ready);
  assign config_out_valid = full;
  assign config_out_data = {data, address, target, op};
  assign we = written;
  assign re = asked;
  assign section = address[26:24];
  assign index = address[23:0];
  assign wdata = data;

  wire logic take = config_in_valid && config_in_ready;
  wire logic mine = config_in_data[9:2] == 8'(TARGET) && config_in_data[41:37] == 5'(SECTION / 8);
  wire logic write = mine && config_in_data[1:0] == ZEILE_WRITE;
  wire logic read = mine && config_in_data[1:0] == ZEILE_READ;
  wire logic answered = waiting && left == 0;

  always_ff @(posedge clk) begin
    written <= take && write;
    asked <= take && read;
    if (take) full <= !write && !read;
    else if (answered) full <= 1'b1;
    else if (config_out_ready) full <= 1'b0;
    if (take) waiting <= read;
    else if (answered) waiting <= 1'b0;
    if (rst) begin
      written <= 1'b0;
      asked <= 1'b0;
      full <= 1'b0;
      waiting <= 1'b0;
    end
  end

  always_ff @(posedge clk) begin
    left <= take ? WAIT_BITS'(READ_LATENCY) : left - 1'b1;
    if (take) {data, address, target, op} <= config_in_data;
    if (answered) begin
      data <= rdata;
      op <= ZEILE_DATA;
    end
  end
endmodule

`default_nettype wire
