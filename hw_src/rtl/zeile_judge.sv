// SPDX-License-Identifier: Apache-2.0
// Judges the header of a packet: whether its count fits its kind and the design, and whether the words that it
// addresses, [address, address + count), exist in one of the memories.
// What comes out is right two cycles after `kind`, `target`, `count` and `address` have settled; they hold until then.
`default_nettype none

module zeile_judge #(
    parameter int MAX_FRAMES = 128,
    parameter int MEMORIES = 1,
    parameter logic [40*MEMORIES-1:0] MEMORY_TABLE = '0  // {words[23:0], section[7:0], target[7:0]} of each
) (
    input  wire        clk,
    input  wire        valid,    // a model is loaded
    input  wire        ended,    // the packet is over
    input  wire [ 7:0] kind,
    input  wire [ 7:0] target,
    input  wire [31:0] count,
    input  wire [31:0] address,  // [31:24] section, [23:0] index
    output logic       more,     // words follow
    output logic       refuse,   // the first fault of several:
    output logic [ 3:0] code,
    output logic [31:0] reason
);
  `include "zeile_receive.svh"

  logic [MEMORIES-1:0] match;
  logic [24:0] stop, stop_later;  // behind the last word
  logic huge, known, found;
  logic [23:0] words, limit;
  logic line_too_long, echo_too_long, below_two, above_two;

  always_comb begin
    words = 24'd0;  // at most one entry matches
    for (int i = 0; i < MEMORIES; ++i) words |= match[i] ? MEMORY_TABLE[40*i+16+:24] : 24'd0;
  end

  always_ff @(posedge clk) begin
    for (int i = 0; i < MEMORIES; ++i) match[i] <= {address[31:24], target} == MEMORY_TABLE[40*i+:16];
    stop <= {1'b0, address[23:0]} + {1'b0, count[23:0]};
    huge <= count[31:24] != 8'd0;
    limit <= words;
    known <= match != '0 && !huge;
    stop_later <= stop;
    line_too_long <= count > 32'(MAX_FRAMES);
    echo_too_long <= count > 32'(ECHO_WORDS);
    below_two <= count < 32'd2;
    above_two <= count > 32'd2;
    more <= kind == INFER || kind == LOAD || ((kind == COMMIT || kind == ECHO) && count != 32'd0);
  end

  assign found = known && stop_later <= {1'b0, limit};

  always_comb begin
    refuse = 1'b1;
    code   = SHORT_PACKET;
    reason = 32'd2;  // words seen
    if (kind == INFER && !valid) {code, reason} = {NO_MODEL, 32'd0};
    else if (kind == INFER && line_too_long) {code, reason} = {TOO_LONG, 32'(MAX_FRAMES)};
    else if (kind == ECHO && echo_too_long) {code, reason} = {TOO_LONG, 32'(ECHO_WORDS)};
    else if ((kind == LOAD || kind == READ_BACK) && !found) {code, reason} = {BAD_ADDRESS, address};
    else if (kind == COMMIT && below_two) code = SHORT_PACKET;
    else if (kind == COMMIT && above_two) code = LONG_PACKET;
    else if (more == ended) code = ended ? SHORT_PACKET : LONG_PACKET;
    else refuse = 1'b0;
  end
endmodule

`default_nettype wire
