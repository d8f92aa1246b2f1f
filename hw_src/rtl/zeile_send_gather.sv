// SPDX-License-Identifier: Apache-2.0
// Bytes gather until they fill a word of 64 bits, or until they are to leave, filled up with zeros. Up to eight bytes a
// cycle, latency 1; one cycle more where the last bytes fill one word and begin another.
`default_nettype none

module zeile_send_gather #(
    parameter int BYTES = 2,  // 2 ... 8 of an input
    parameter int ALIGN = 1   // 1 or 2: divides the bytes of all inputs but flushing ones
) (
    input  wire                clk,
    input  wire                rst,
    input  wire                in_valid,
    output logic               in_ready,
    input  wire  [8*BYTES-1:0] in_bytes,
    input  wire  [3:0]         in_count,   // valid bytes, 1 ... BYTES
    input  wire                in_flush,   // these bytes end with their own word
    input  wire                in_last,    // the line's last bytes, which also flush
    output logic               out_valid,
    input  wire                out_ready,
    output logic [63:0]        out_word,
    output logic               out_last    // the line's last word
);
  logic [119:0] held, kept, entering;  // a word and what began the next one; zero where no byte waits
  logic [2:0] at;                      // place of the next byte
  logic [3:0] ends;                    // place behind the last byte
  logic full, spill, last, take, drop; // a word is complete, and so is the next one

  assign out_valid = full;
  assign out_word = held[63:0];
  assign out_last = last && !spill;
  assign drop = full && out_ready;
  assign in_ready = !full || (out_ready && !spill);
  assign take = in_valid && in_ready;
  assign ends = {1'b0, at} + in_count;
  assign kept = drop ? held >> 64 : held;

  always_comb begin
    entering = '0;
    for (int i = 0; i < BYTES; i++) entering[8*i+:8] = in_count > 4'(i) ? in_bytes[8*i+:8] : 8'd0;
    entering = entering << {at, 3'd0};
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      held <= '0;
      at <= 3'd0;
      {full, spill} <= 2'b00;
    end else begin
      if (take) begin
        held <= kept | entering;
        at <= in_flush ? 3'd0 : {ends[2:1], ALIGN == 1 && ends[0]};
        full <= in_flush || ends[3];
        spill <= in_flush && ends > 4'd8;
      end else if (drop) begin
        held <= kept;
        full <= spill;
        spill <= 1'b0;
      end
    end
  end

  always_ff @(posedge clk) begin
    if (take) last <= in_last;
  end
endmodule

`default_nettype wire
