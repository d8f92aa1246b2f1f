// SPDX-License-Identifier: Apache-2.0
// zeile_config: a message for others passes as it came; one for the unit becomes one `we` or one `re` with its address
// and data, and a read leaves as data with what the unit gave READ_LATENCY cycles after `re`. No message is made or lost.
module node #(
    parameter TARGET = 1,
    parameter SECTION = 8,
    parameter READ_LATENCY = 2
) (
    input wire clk,
    input wire in_valid,
    input wire [105:0] in_data,
    input wire out_ready,
    input wire [63:0] rdata
);
  wire rst, in_ready, out_valid, we, re;
  wire [105:0] out_data;
  wire [2:0] section;
  wire [23:0] index;
  wire [63:0] wdata;
  reset_once reset (.clk(clk), .rst(rst));
  zeile_config #(.TARGET(TARGET), .SECTION(SECTION), .READ_LATENCY(READ_LATENCY)) u (
      .clk(clk), .rst(rst),
      .config_in_valid(in_valid), .config_in_ready(in_ready), .config_in_data(in_data),
      .config_out_valid(out_valid), .config_out_ready(out_ready), .config_out_data(out_data),
      .we(we), .re(re), .section(section), .index(index), .wdata(wdata), .rdata(rdata));
  stream_rules #(.WIDTH(106), .INPUT(1)) in (
      .clk(clk), .rst(rst), .valid(in_valid), .ready(in_ready), .data(in_data));
  stream_rules #(.WIDTH(106)) out (
      .clk(clk), .rst(rst), .valid(out_valid), .ready(out_ready), .data(out_data));

  localparam WRITE = 0, READ = 1, DATA = 2;
  reg [105:0] message;  // the one inside, as it will leave
  reg held = 0, writes = 0, reads = 0, answered = 0;
  reg [7:0] age;  // cycles since `re`
  wire mine = in_data[9:2] == TARGET && in_data[41:37] == SECTION / 8;
  always @(posedge clk) if (!rst) begin
    {writes, reads} <= 0;
    age <= age + 1;
    if (held && !answered && age == READ_LATENCY) begin
      message[105:42] <= rdata;
      message[1:0] <= DATA;
      answered <= 1;
    end
    if (out_valid && out_ready) held <= 0;
    if (in_valid && in_ready) begin
      message <= in_data;
      age <= 0;
      writes <= mine && in_data[1:0] == WRITE;
      reads <= mine && in_data[1:0] == READ;
      held <= !(mine && in_data[1:0] == WRITE);
      answered <= !(mine && in_data[1:0] == READ);
    end
  end

  (* hierconn *) wire \u.full ;
  (* hierconn *) wire \u.waiting ;
  (* hierconn *) wire [$clog2(READ_LATENCY+1)-1:0] \u.left ;
  (* hierconn *) wire [31:0] \u.address ;
  (* hierconn *) wire [7:0] \u.target ;
  always @* if (!rst) begin
    assert (we == writes && re == reads);
    if (we || re) assert (section == message[36:34] && index == message[33:10] && wdata == message[105:42]);
    assert (out_valid == (held && answered));
    if (out_valid) assert (out_data == message);
    assert (\u.waiting == (held && !answered));
    if (\u.waiting ) assert (\u.left + age == READ_LATENCY && {\u.address , \u.target } == message[41:2]);
    if (reads) assert (\u.waiting && age == 0);
  end
endmodule
