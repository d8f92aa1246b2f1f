// SPDX-License-Identifier: Apache-2.0
// Table of codes (Table in memory.h), eight to a word, for READERS at once: codes of `entries` 2 cycles later
// (ZEILE_TABLE_LATENCY). Reader r has bits [r * ENTRY_BITS +: ENTRY_BITS] and [r * OUT_BITS +: OUT_BITS].
// `rdata` is there ZEILE_READ_LATENCY cycles after `re`, until the next `re`; configuration never meets lines.
`default_nettype none

module zeile_table #(
    parameter int OUT_BITS = 4,
    parameter int ENTRIES = 256,
    parameter int READERS = 1,
    parameter int OUT_SIGNED = 1,  // how codes are read back, in a byte each
    localparam int ENTRY_BITS = $clog2(ENTRIES)
) (
    input  wire logic                          clk,
    input  wire logic [READERS*ENTRY_BITS-1:0] entries,
    output wire logic [READERS*OUT_BITS-1:0]   codes,
    input  wire logic                          we,
    input  wire logic                          re,
    input  wire logic [23:0]                   index,
    input  wire logic [63:0]                   wdata,
    output wire logic [63:0]                   rdata
);
  localparam int WORDS = ENTRIES / 8;
  localparam int PLACE_BITS = ENTRY_BITS - 3;  // a memory's entry has the eight codes of a word

  logic writing, reading, arriving, found;
  logic [PLACE_BITS-1:0] place;
  logic [8*OUT_BITS-1:0] stored;
  wire logic known = index < 24'(WORDS);
  always_ff @(posedge clk) begin
    writing <= we && known;
    reading <= re;
    arriving <= reading;
    place <= index[PLACE_BITS-1:0];
    for (int i = 0; i < 8; i++) stored[i*OUT_BITS+:OUT_BITS] <= wdata[i*8+:OUT_BITS];
    if (re) found <= known;
  end

  wire logic [READERS*8*OUT_BITS-1:0] words;
  for (genvar r = 0; r < READERS; r++) begin : g_reader
    wire logic [ENTRY_BITS-1:0] entry = entries[r*ENTRY_BITS+:ENTRY_BITS];
    wire logic [8*OUT_BITS-1:0] word;
    logic [2:0] which;
    logic [OUT_BITS-1:0] code;
    zeile_ram #(.WIDTH(8 * OUT_BITS), .DEPTH(WORDS)) ram (
        .clk, .we(writing), .waddr(place), .wdata(stored), .re(1'b1),
        .raddr(r == 0 && reading ? place : entry[ENTRY_BITS-1:3]), .rdata(word));
    always_ff @(posedge clk) begin
      which <= entry[2:0];
      code <= word[which*OUT_BITS+:OUT_BITS];
    end
    assign codes[r*OUT_BITS+:OUT_BITS] = code;
    assign words[r*8*OUT_BITS+:8*OUT_BITS] = word;
  end

  logic [63:0] answer;
  assign rdata = answer;
  always_ff @(posedge clk) begin
    for (int i = 0; i < 8; i++) begin
      if (arriving) begin
        answer[i*8+:8] <= !found ? 8'd0 : OUT_SIGNED != 0 ? 8'($signed(words[i*OUT_BITS+:OUT_BITS])) :
            8'(words[i*OUT_BITS+:OUT_BITS]);
      end
    end
  end
endmodule

`default_nettype wire
