// SPDX-License-Identifier: Apache-2.0
// zeile_widen: codes leave as they came, in order; `last` stands on the last element of a line, and on no other one.
module widen #(
    parameter BITS = 1,
    parameter N = 4,
    parameter M = 1
) (
    input wire clk,
    input wire in_valid,
    input wire [N*BITS:0] in_data,
    input wire out_ready
);
  wire rst, in_ready, out_valid;
  wire [M*BITS:0] out_data;
  reset_once reset (.clk(clk), .rst(rst));
  zeile_widen #(.BITS(BITS), .N(N), .M(M)) u (
      .clk(clk), .rst(rst), .in_valid(in_valid), .in_ready(in_ready), .in_data(in_data),
      .out_valid(out_valid), .out_ready(out_ready), .out_data(out_data));
  stream_rules #(.WIDTH(N * BITS + 1), .INPUT(1)) in (
      .clk(clk), .rst(rst), .valid(in_valid), .ready(in_ready), .data(in_data));
  stream_rules #(.WIDTH(M * BITS + 1)) out (
      .clk(clk), .rst(rst), .valid(out_valid), .ready(out_ready), .data(out_data));

  // The codes inside, the oldest in the lowest bits; whether a line ends behind them.
  localparam MOST = N > M ? N : M, SPLIT = N > M, PARTS = SPLIT ? N / M : M / N;
  reg [MOST*BITS-1:0] model = 0;
  reg [7:0] held = 0;
  reg ends = 0;
  wire enter = in_valid && in_ready && !rst, leave = out_valid && out_ready && !rst;
  wire [7:0] rest = leave ? held - M : held;
  wire [MOST*BITS-1:0] after = leave ? model >> M * BITS : model;
  always @(posedge clk) begin
    held <= enter ? rest + N : rest;
    model <= enter ? after | in_data[N*BITS-1:0] << BITS * rest : after;
    if (enter) ends <= in_data[N*BITS];
  end
  always @* if (!SPLIT && in_valid && in_data[N*BITS]) assume (rest == M - N);  // a line fills its last element

  (* hierconn *) wire [MOST*BITS-1:0] \u.codes ;
  (* hierconn *) wire [$clog2(PARTS+1)-1:0] \u.count ;
  (* hierconn *) wire \u.last ;
  wire [MOST*BITS-1:0] inside = SPLIT ? \u.codes : \u.codes >> BITS * (MOST - held);
  wire [MOST*BITS-1:0] fits = ~({MOST * BITS{1'b1}} << BITS * held);
  always @* if (!rst) begin
    assert (held == \u.count * (SPLIT ? M : N) && held <= MOST);
    assert (((inside ^ model) & fits) == 0 && (model & ~fits) == 0);
    if (held != 0) assert (\u.last == ends);
    if (!SPLIT && held != 0 && held != MOST) assert (!ends);
    if (out_valid) assert (held >= M && out_data[M*BITS-1:0] == model[M*BITS-1:0]);
    if (out_valid) assert (out_data[M*BITS] == (ends && held == M));
  end
endmodule
