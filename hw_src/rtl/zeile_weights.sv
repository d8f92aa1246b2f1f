// SPDX-License-Identifier: Apache-2.0
// Weights of a layer: a memory of TILES entries of SIMD codes for each PE row. Row p of `weights` is that of `tile`
// three cycles before. Configuration as in zeile_mac_array.
`default_nettype none

module zeile_weights #(
    parameter int W = 4,
    parameter int PE = 4,
    parameter int SIMD = 4,
    parameter int TILES = 16,
    localparam int TILE_BITS = TILES <= 2 ? 1 : $clog2(TILES)
) (
    input  wire logic                 clk,
    input  wire logic [TILE_BITS-1:0] tile,
    output wire logic [PE*SIMD*W-1:0] weights,  // code k of row p at place p * SIMD + k
    input  wire logic                 we,
    input  wire logic                 re,
    input  wire logic [23:0]          index,
    input  wire logic [63:0]          wdata,
    output wire logic [63:0]          rdata
);
  localparam int ENTRY = SIMD * W;           // bits of an entry
  localparam int CODES = 64 / W;             // of a word; none straddles two
  localparam int USED = CODES * W;           // bits of a word
  localparam int PARTS = (SIMD + CODES - 1) / CODES;
  localparam int WORDS = TILES * PE * PARTS;
  localparam int INDEX_BITS = WORDS <= 2 ? 1 : $clog2(WORDS);
  localparam int PART_BITS = PARTS <= 2 ? 1 : $clog2(PARTS);
  localparam int PE_BITS = PE <= 2 ? 1 : $clog2(PE);
  localparam bit SHALLOW = TILES <= 64;      // in LUTs: the address waits, not the much wider data

  // index = (tile * PE + pe) * PARTS + part: five cycles behind the port.
  logic [INDEX_BITS-1:0] index_q;
  logic [4:0] writing, reading;  // [i]: i + 1 cycles behind we, re
  logic [5*64-1:0] words;
  logic found;                  // of the last read
  // verilator lint_off UNUSEDSIGNAL
  wire logic [INDEX_BITS-1:0] entry, at_tile;
  // verilator lint_on UNUSEDSIGNAL
  wire logic [PART_BITS-1:0] part;
  wire logic [PE_BITS-1:0] pe;
  logic [2*PART_BITS-1:0] parts;
  zeile_quotient #(.BITS(INDEX_BITS), .D(PARTS)) by_parts (
      .clk, .n(index_q), .quotient(entry), .remainder(part));
  zeile_quotient #(.BITS(INDEX_BITS), .D(PE)) by_pe (
      .clk, .n(entry), .quotient(at_tile), .remainder(pe));

  wire logic known = index < 24'(WORDS);
  always_ff @(posedge clk) begin
    index_q <= index[INDEX_BITS-1:0];
    writing <= {writing[3:0], we && known};
    reading <= {reading[3:0], re};
    words <= {words[4*64-1:0], wdata};
    parts <= {parts[PART_BITS-1:0], part};
    if (re) found <= known;
  end
  wire logic [PART_BITS-1:0] at_part = parts[PART_BITS+:PART_BITS];
  // verilator lint_off UNUSEDSIGNAL
  wire logic [63:0] word = words[4*64+:64];
  // verilator lint_on UNUSEDSIGNAL

  // The parts before the last one of an entry wait for it.
  // verilator lint_off UNUSEDSIGNAL
  wire logic [PARTS*USED-1:0] staged;
  // verilator lint_on UNUSEDSIGNAL
  for (genvar i = 0; i < PARTS - 1; i++) begin : g_part
    logic [USED-1:0] held;
    always_ff @(posedge clk) if (writing[4] && at_part == PART_BITS'(i)) held <= word[USED-1:0];
    assign staged[i*USED+:USED] = held;
  end
  assign staged[(PARTS-1)*USED+:USED] = word[USED-1:0];

  logic [ENTRY-1:0] stored;
  logic [TILE_BITS-1:0] write_tile, address, address_q;
  logic [PE-1:0] storing;
  always_ff @(posedge clk) begin
    stored <= staged[ENTRY-1:0];
    write_tile <= at_tile[TILE_BITS-1:0];
    for (int p = 0; p < PE; p++) begin
      storing[p] <= writing[4] && at_part == PART_BITS'(PARTS - 1) && pe == PE_BITS'(p);
    end
    address <= reading[4] ? at_tile[TILE_BITS-1:0] : tile;
    address_q <= address;
  end

  for (genvar p = 0; p < PE; p++) begin : g_row
    wire logic [ENTRY-1:0] code;
    zeile_ram #(.WIDTH(ENTRY), .DEPTH(TILES)) ram (
        .clk, .we(storing[p]), .waddr(write_tile), .wdata(stored), .re(1'b1),
        .raddr(SHALLOW ? address_q : address), .rdata(code));
    if (SHALLOW) begin : g_shallow
      assign weights[p*ENTRY+:ENTRY] = code;
    end else begin : g_deep
      logic [ENTRY-1:0] code_q;  // the block RAM's output register
      always_ff @(posedge clk) code_q <= code;
      assign weights[p*ENTRY+:ENTRY] = code_q;
    end
  end

  // Reading: the entry, then its part.
  logic [PE_BITS-1:0] read_pe;
  logic [PART_BITS-1:0] read_part;
  logic [3:0] arriving;
  logic [ENTRY-1:0] chosen;
  logic [63:0] answer;
  wire logic [PARTS*USED-1:0] padded = (PARTS * USED)'(chosen);
  assign rdata = answer;
  always_ff @(posedge clk) begin
    arriving <= {arriving[2:0], reading[4]};
    if (reading[4]) begin
      read_pe <= pe;
      read_part <= at_part;
    end
    chosen <= weights[read_pe*ENTRY+:ENTRY];
    if (arriving[3]) answer <= found ? 64'(padded[read_part*USED+:USED]) : 64'd0;
  end
endmodule

`default_nettype wire
