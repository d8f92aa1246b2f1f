// SPDX-License-Identifier: Apache-2.0
// quotient and remainder of n / D for a constant D, without a divider: exact for all n (Quotient() of arithmetic.h).
// Latency 2. A multiplication by the rounded-up reciprocal, where D is no power of two.
`default_nettype none

module zeile_quotient #(
    parameter int BITS = 12,  // of n
    parameter int D = 3,
    localparam int REST_BITS = D <= 2 ? 1 : $clog2(D)
) (
    input  wire logic                 clk,
    input  wire logic [BITS-1:0]      n,
    output wire logic [BITS-1:0]      quotient,
    output wire logic [REST_BITS-1:0] remainder
);
  localparam int SHIFT = BITS + $clog2(D);
  localparam logic [63:0] RECIPROCAL = ((64'd1 << SHIFT) + 64'(D) - 64'd1) / 64'(D);  // of BITS + 1 bits

  logic [BITS-1:0] q, q_q;
  logic [REST_BITS-1:0] n_q, rest;
  assign quotient = q_q;
  assign remainder = rest;

  // verilator lint_off UNUSEDSIGNAL
  wire logic [2*BITS:0] product = (2 * BITS + 1)'(n) * (2 * BITS + 1)'(RECIPROCAL[BITS:0]);
  wire logic [BITS+REST_BITS-1:0] back = (BITS + REST_BITS)'(q) * (BITS + REST_BITS)'(D);
  // verilator lint_on UNUSEDSIGNAL

  always_ff @(posedge clk) begin
    n_q <= REST_BITS'(n);
    q <= (BITS)'(product >> SHIFT);
    q_q <= q;
    rest <= D == 1 ? '0 : n_q - back[REST_BITS-1:0];
  end
endmodule

`default_nettype wire
