// SPDX-License-Identifier: Apache-2.0
// What the MAC array of a recurrent layer multiplies: a slice of x from the ring, or of the line's last h, which is 0
// in its first step. `x` is there 4 cycles after it was asked for: time for a ring of many UltraRAM blocks.
`default_nettype none

module zeile_operands #(
    parameter int SIMD         = 8,
    parameter int IN_BITS      = 4,
    parameter int IN_SIGNED    = 0,
    parameter int A            = 4,   // bits of h
    parameter int X            = 5,   // bits of an operand
    parameter int RING_DEPTH   = 128,
    parameter int HIDDEN_DEPTH = 6,
    localparam int RING_BITS = RING_DEPTH <= 2 ? 1 : $clog2(RING_DEPTH),
    localparam int HIDDEN_BITS = HIDDEN_DEPTH <= 2 ? 1 : $clog2(HIDDEN_DEPTH)
) (
    input  wire                     clk,
    input  wire                     ring_we,
    input  wire  [   RING_BITS-1:0] ring_waddr,
    input  wire  [SIMD*IN_BITS-1:0] ring_wdata,
    input  wire                     hidden_we,
    input  wire  [ HIDDEN_BITS-1:0] hidden_waddr,
    input  wire  [      SIMD*A-1:0] hidden_wdata,
    input  wire                     from_ring,
    input  wire  [   RING_BITS-1:0] ring_raddr,
    input  wire                     first,
    input  wire  [ HIDDEN_BITS-1:0] hidden_raddr,
    output logic [      SIMD*X-1:0] x
);
  logic write, use_ring, use_zero, read_ring, read_hidden;
  logic [RING_BITS-1:0] waddr, raddr;
  logic [HIDDEN_BITS-1:0] hidden_raddr_later;
  logic [SIMD*IN_BITS-1:0] wdata, ring_read, ring_later, ring_now;
  logic [SIMD*A-1:0] hidden_now;

  always_ff @(posedge clk) begin
    write <= ring_we;
    waddr <= ring_waddr;
    wdata <= ring_wdata;
    raddr <= ring_raddr;
    read_ring <= from_ring;
    ring_later <= ring_read;
    ring_now <= ring_later;
    use_ring <= !read_hidden;
  end

  zeile_delay #(HIDDEN_BITS + 1, 3) hidden_delay (
      .clk, .in({!from_ring, hidden_raddr}), .out({read_hidden, hidden_raddr_later}));
  zeile_delay #(1, 4) zero_delay (.clk, .in(first), .out(use_zero));

  zeile_ram #(
      .WIDTH(SIMD * IN_BITS),
      .DEPTH(RING_DEPTH)
  ) ring (
      .clk,
      .we(write),
      .waddr,
      .wdata,
      .re(read_ring),
      .raddr,
      .rdata(ring_read)
  );

  zeile_ram #(
      .WIDTH(SIMD * A),
      .DEPTH(HIDDEN_DEPTH)
  ) hidden (
      .clk,
      .we(hidden_we),
      .waddr(hidden_waddr),
      .wdata(hidden_wdata),
      .re(read_hidden),
      .raddr(hidden_raddr_later),
      .rdata(hidden_now)
  );

  for (genvar k = 0; k < SIMD; ++k) begin : g_operand
    logic signed [A-1:0] h;
    logic signed [IN_BITS:0] code;  // with a sign

    assign h = use_zero ? '0 : hidden_now[k*A+:A];
    assign code = {IN_SIGNED != 0 && ring_now[k*IN_BITS+IN_BITS-1], ring_now[k*IN_BITS+:IN_BITS]};
    assign x[k*X+:X] = use_ring ? X'(code) : X'(h);
  end
endmodule

`default_nettype wire
