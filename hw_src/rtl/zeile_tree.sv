// SPDX-License-Identifier: Apache-2.0
// Sum of N signed terms in STAGES register stages, two levels of adders in the first ones where they are needed. With
// more stages than levels the sum waits; with none (N = 1) it is the term.
`default_nettype none

module zeile_tree #(
    parameter int N = 16,
    parameter int BITS = 9,    // of a term
    parameter int STAGES = 2,  // at least half the levels
    parameter int OUT_BITS = 13
) (
    input  wire logic                clk,
    input  wire logic [N*BITS-1:0]   terms,
    output wire logic [OUT_BITS-1:0] sum
);
  localparam int LEVELS = $clog2(N);

  // Stage s leaves sums of `1 << taken(s)` terms.
  function automatic int taken(input int stage);
    taken = LEVELS - STAGES < stage ? LEVELS - STAGES + stage : 2 * stage;
    if (LEVELS < STAGES) taken = stage;
    if (taken > LEVELS) taken = LEVELS;
  endfunction

  function automatic int bits(input int stage);
    bits = BITS + taken(stage) < OUT_BITS ? BITS + taken(stage) : OUT_BITS;
  endfunction

  for (genvar s = 0; s <= STAGES; s++) begin : g_stage
    localparam int COUNT = (N + (1 << taken(s)) - 1) >> taken(s);
    localparam int WIDTH = bits(s);
    logic [COUNT*WIDTH-1:0] part;
    if (s == 0) begin : g_in
      for (genvar i = 0; i < N; i++) begin : g_term
        assign part[i*WIDTH+:WIDTH] = WIDTH'($signed(terms[i*BITS+:BITS]));
      end
    end else begin : g_sum
      localparam int BEFORE = (N + (1 << taken(s - 1)) - 1) >> taken(s - 1);
      localparam int NARROW = bits(s - 1);
      localparam int RADIX = 1 << (taken(s) - taken(s - 1));
      for (genvar i = 0; i < COUNT; i++) begin : g_node
        logic signed [WIDTH-1:0] total;
        always_comb begin
          total = '0;
          for (int k = RADIX * i; k < RADIX * (i + 1) && k < BEFORE; k++) begin
            total = total + WIDTH'($signed(g_stage[s-1].part[k*NARROW+:NARROW]));
          end
        end
        always_ff @(posedge clk) part[i*WIDTH+:WIDTH] <= total;
      end
    end
  end

  assign sum = OUT_BITS'($signed(g_stage[STAGES].part));
endmodule

`default_nettype wire
