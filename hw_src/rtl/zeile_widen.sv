// SPDX-License-Identifier: Apache-2.0
// Width converter: elements of N codes in, elements of M codes out, the order of codes unchanged; one of the two
// divides the other. An element a cycle on the narrower side, latency 1 from the last code needed. N = M is a register.
`default_nettype none

module zeile_widen #(
    parameter int BITS = 4,  // of a code
    parameter int N = 8,
    parameter int M = 1
) (
    input  wire                clk,
    input  wire                rst,
    input  wire                in_valid,
    output logic               in_ready,
    input  wire  [N*BITS : 0]  in_data,   // {last, codes}
    output logic               out_valid,
    input  wire                out_ready,
    output logic [M*BITS : 0]  out_data
);
  localparam int CODES = (N > M ? N : M) * BITS;
  localparam int PARTS = N > M ? N / M : M / N;
  localparam int COUNT_BITS = $clog2(PARTS + 1);

  logic [CODES-1:0] codes;       // the oldest in the lowest bits
  logic [COUNT_BITS-1:0] count;  // parts that wait: to leave, or for others to come
  logic last, take, give;

  assign take = in_valid && in_ready;
  assign give = out_valid && out_ready;

  if (N > M) begin : split
    assign in_ready  = count == '0 || (count == COUNT_BITS'(1) && out_ready);
    assign out_valid = count != '0;
    assign out_data  = {last && count == COUNT_BITS'(1), codes[M*BITS-1:0]};

    always_ff @(posedge clk) begin
      if (rst) count <= '0;
      else if (take) count <= COUNT_BITS'(PARTS);
      else if (give) count <= count - 1'b1;
      if (take) codes <= in_data[N*BITS-1:0];
      else if (give) codes <= codes >> (M * BITS);
    end
  end else begin : join_parts  // a line fills its last element
    assign in_ready  = !out_valid || out_ready;
    assign out_valid = count == COUNT_BITS'(PARTS);
    assign out_data  = {last, codes};

    always_ff @(posedge clk) begin
      if (rst) count <= '0;
      else if (take) count <= out_valid ? COUNT_BITS'(1) : count + 1'b1;
      else if (give) count <= '0;
      if (take) codes <= CODES'({in_data[N*BITS-1:0], codes} >> (N * BITS));
    end
  end

  always_ff @(posedge clk) if (take) last <= in_data[N*BITS];
endmodule

`default_nettype wire
