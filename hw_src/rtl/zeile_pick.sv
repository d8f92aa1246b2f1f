// SPDX-License-Identifier: Apache-2.0
// The sums of one group out of those of a block: of each bank, LANES neighbouring ones. Latency 1.
`default_nettype none

module zeile_pick #(
    parameter int S      = 16,
    parameter int BANKS  = 4,
    parameter int GROUPS = 2,
    parameter int LANES  = 1,
    localparam int GROUP_BITS = GROUPS <= 2 ? 1 : $clog2(GROUPS)
) (
    input  wire                             clk,
    input  wire  [          GROUP_BITS-1:0] group,
    input  wire  [BANKS*GROUPS*LANES*S-1:0] sums,   // [bank][group][lane]
    output logic [       BANKS*LANES*S-1:0] picked  // [bank][lane]
);
  localparam int WIDTH = LANES * S;

  for (genvar bank = 0; bank < BANKS; ++bank) begin : g_bank
    logic [WIDTH-1:0] value;

    zeile_select #(
        .WIDTH(WIDTH),
        .COUNT(GROUPS),
        .INDEX_BITS(GROUP_BITS)
    ) select (
        .values(sums[bank*GROUPS*WIDTH+:GROUPS*WIDTH]),
        .index(group),
        .value
    );

    always_ff @(posedge clk) picked[bank*WIDTH+:WIDTH] <= value;
  end
endmodule

`default_nettype wire
