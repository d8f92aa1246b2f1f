// SPDX-License-Identifier: Apache-2.0
// CRC-32 (zlib's, polynomial 0xEDB88320 reflected) of one more 64-bit word, low byte first; hls/crc.h in RTL.
// Combinational. `remainder` starts as all ones; a packet carries the inverted remainder behind its last word.
// The CRC is linear: each bit of `next` is the parity of some bits of word ^ remainder, about 32: three levels of LUTs.
`default_nettype none

module zeile_crc_word (
    input  wire  [31:0] remainder,
    input  wire  [63:0] word,
    output logic [31:0] next
);
  // Bits [64 * o, 64 * (o + 1)): the bits of a word that bit o of the remainder behind it is the parity of. Bit i of
  // the word enters where the remainder's lowest bit is and goes through 64 - i shifts.
  function automatic logic [32*64-1:0] parities();
    logic [31:0] row;
    parities = '0;
    row = 32'd1;
    for (int i = 63; i >= 0; i--) begin
      row = {1'b0, row[31:1]} ^ (row[0] ? 32'hEDB88320 : 32'd0);
      for (int o = 0; o < 32; o++) parities[64*o+i] = row[o];
    end
  endfunction
  localparam logic [32*64-1:0] PARITIES = parities();

  logic [63:0] bits;
  assign bits = word ^ {32'd0, remainder};

  for (genvar o = 0; o < 32; o++) begin : g_bit
    assign next[o] = ^(bits & PARITIES[64*o+:64]);
  end
endmodule

`default_nettype wire
