// SPDX-License-Identifier: Apache-2.0
// zeile_fifo: holds DEPTH elements, gives none that it has not got, and each in its turn.
module fifo #(
    parameter WIDTH = 2,
    parameter DEPTH = 3  // the places below are named one by one
) (
    input wire clk,
    input wire in_valid,
    input wire [WIDTH-1:0] in_data,
    input wire out_ready
);
  wire rst, in_ready, out_valid;
  wire [WIDTH-1:0] out_data;
  reset_once reset (.clk(clk), .rst(rst));
  zeile_fifo #(.WIDTH(WIDTH), .DEPTH(DEPTH)) u (
      .clk(clk), .rst(rst), .in_valid(in_valid), .in_ready(in_ready), .in_data(in_data),
      .out_valid(out_valid), .out_ready(out_ready), .out_data(out_data));
  stream_rules #(.WIDTH(WIDTH), .INPUT(1)) in (
      .clk(clk), .rst(rst), .valid(in_valid), .ready(in_ready), .data(in_data));
  stream_rules #(.WIDTH(WIDTH)) out (
      .clk(clk), .rst(rst), .valid(out_valid), .ready(out_ready), .data(out_data));

  // What is inside, the oldest element in the lowest bits.
  localparam MOST = DEPTH + 1;  // the output register holds one more
  reg [WIDTH*MOST-1:0] model = 0;
  reg [7:0] held = 0;
  wire enter = in_valid && in_ready && !rst, leave = out_valid && out_ready && !rst;
  wire [7:0] rest = held - leave;
  wire [WIDTH*MOST-1:0] after = leave ? model >> WIDTH : model;
  always @(posedge clk) begin
    held <= rest + enter;
    model <= enter ? after | in_data << (WIDTH * rest) : after;
  end

  // Where the elements are, for induction.
  (* hierconn *) wire [$clog2(DEPTH)-1:0] \u.head ;
  (* hierconn *) wire [$clog2(DEPTH)-1:0] \u.tail ;
  (* hierconn *) wire [$clog2(DEPTH+1)-1:0] \u.count ;
  (* hierconn *) wire \u.valid ;
  (* hierconn *) wire [WIDTH-1:0] \u.g_lut.mem[0] ;
  (* hierconn *) wire [WIDTH-1:0] \u.g_lut.mem[1] ;
  (* hierconn *) wire [WIDTH-1:0] \u.g_lut.mem[2] ;
  wire [2*DEPTH*WIDTH-1:0] places = {2{\u.g_lut.mem[2] , \u.g_lut.mem[1] , \u.g_lut.mem[0] }};
  wire [WIDTH*MOST-1:0] inside = places >> WIDTH * \u.head ;
  wire [WIDTH*MOST-1:0] fits = ~({WIDTH * MOST{1'b1}} << WIDTH * \u.count );
  always @* if (!rst) begin
    assert (\u.head < DEPTH && \u.tail < DEPTH);
    assert (\u.tail == (\u.head + \u.count ) % DEPTH);
    assert (held == \u.count + \u.valid );
    assert (((inside ^ (\u.valid ? model >> WIDTH : model)) & fits) == 0);
    assert (model >> WIDTH * held == 0);
    assert (held <= MOST);                                              // no overflow
    if (out_valid) assert (held != 0 && out_data == model[WIDTH-1:0]);  // no underflow, and in order
    if (held < DEPTH) assert (in_ready);                                // all places can be used
  end
endmodule
