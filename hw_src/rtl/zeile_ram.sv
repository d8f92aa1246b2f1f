// SPDX-License-Identifier: Apache-2.0
// Memory with one write and one read port. rdata is that of raddr one cycle later (DEPTH up to 64: LUTs and registers;
// else block RAM, from 4,096 entries of 16 bits on UltraRAM), and stays while `re` is 0. What is read in the cycle of
// its writing is undefined. No reset. Addresses from DEPTH on are not allowed.
`default_nettype none

module zeile_ram #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 64,
    localparam int ADDRESS_BITS = DEPTH <= 2 ? 1 : $clog2(DEPTH)
) (
    input  wire logic                    clk,
    input  wire logic                    we,
    input  wire logic [ADDRESS_BITS-1:0] waddr,
    input  wire logic [WIDTH-1:0]        wdata,
    input  wire logic                    re,
    input  wire logic [ADDRESS_BITS-1:0] raddr,
    output wire logic [WIDTH-1:0]        rdata
);
  logic [WIDTH-1:0] q;
  assign rdata = q;

  if (DEPTH <= 64) begin : g_lut
    (* ram_style = "distributed" *) logic [WIDTH-1:0] mem[0:DEPTH-1];
    always_ff @(posedge clk) if (we) mem[waddr] <= wdata;
    always_ff @(posedge clk) if (re) q <= mem[raddr];
  end else if (DEPTH >= 4096 && WIDTH >= 16) begin : g_ultra
    (* ram_style = "ultra" *) logic [WIDTH-1:0] mem[0:DEPTH-1];
    always_ff @(posedge clk) if (we) mem[waddr] <= wdata;
    always_ff @(posedge clk) if (re) q <= mem[raddr];
  end else begin : g_block
    (* ram_style = "block" *) logic [WIDTH-1:0] mem[0:DEPTH-1];
    always_ff @(posedge clk) if (we) mem[waddr] <= wdata;
    always_ff @(posedge clk) if (re) q <= mem[raddr];
  end
endmodule

`default_nettype wire
