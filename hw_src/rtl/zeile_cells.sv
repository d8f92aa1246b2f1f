// SPDX-License-Identifier: Apache-2.0
// The cells of all lines in slots, LANES of them each cycle. Their gates come 2 cycles after their address, their new
// values 5 cycles after it; these are written then, so the same address may not come within 6 cycles.
`default_nettype none

module zeile_cells #(
    parameter int A     = 4,   // bits of gates
    parameter int C     = 8,   // bits of a cell
    parameter int LANES = 1,
    parameter int DEPTH = 24,
    localparam int ADDRESS_BITS = DEPTH <= 2 ? 1 : $clog2(DEPTH)
) (
    input  wire                     clk,
    input  wire                     rst,
    input  wire                     valid,
    input  wire  [ADDRESS_BITS-1:0] address,
    input  wire                     first,    // of their line: they are 0
    input  wire  [     LANES*A-1:0] i,
    input  wire  [     LANES*A-1:0] f,
    input  wire  [     LANES*A-1:0] g,
    output logic [     LANES*C-1:0] cells
);
  localparam int WRITE = 5;

  logic [WRITE:1] flow;
  logic [ADDRESS_BITS-1:0] waddr;
  logic [LANES*C-1:0] stored, now;
  logic zero;

  zeile_delay #(ADDRESS_BITS, WRITE) waddr_delay (.clk, .in(address), .out(waddr));

  always_ff @(posedge clk) begin
    flow <= rst ? '0 : {flow[WRITE-1:1], valid};
    zero <= first;
    now  <= zero ? '0 : stored;
  end

  zeile_ram #(
      .WIDTH(LANES * C),
      .DEPTH(DEPTH)
  ) memory (
      .clk,
      .we(flow[WRITE]),
      .waddr,
      .wdata(cells),
      .re(valid),
      .raddr(address),
      .rdata(stored)
  );

  for (genvar n = 0; n < LANES; ++n) begin : g_cell
    zeile_cell #(A, C) unit (
        .clk,
        .i(i[n*A+:A]),
        .f(f[n*A+:A]),
        .g(g[n*A+:A]),
        .cell_now(now[n*C+:C]),
        .cell_next(cells[n*C+:C])
    );
  end
endmodule

`default_nettype wire
