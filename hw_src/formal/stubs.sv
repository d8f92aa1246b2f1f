// SPDX-License-Identifier: Apache-2.0
// Modules that only compute data which no rule of streams looks at, so that the solver is spared them.
module zeile_crc_word (
    input wire [31:0] remainder,
    input wire [63:0] word,
    output wire [31:0] next
);
  assign next = remainder ^ word[31:0];
endmodule

module zeile_counter (
    input wire clk,
    input wire rst,
    input wire increment,
    output wire [63:0] value
);
  assign value = 64'd0;
endmodule

// As late as zeile_mac_array.
module zeile_mac_array #(
    parameter W = 4, X = 5, PE = 4, SIMD = 4, TILES = 16, S = 16, DSP_PE = 0
) (
    input wire clk,
    input wire rst,
    input wire issue,
    input wire first,
    input wire last,
    input wire [(TILES <= 2 ? 1 : $clog2(TILES))-1:0] tile,
    input wire [SIMD*X-1:0] x,
    output wire done,
    output wire [PE*S-1:0] sums,
    input wire we,
    input wire re,
    input wire [23:0] index,
    input wire [63:0] wdata,
    output wire [63:0] rdata
);
  `include "zeile.svh"
  reg [zeile_mac_latency(SIMD)-1:0] ends;
  always @(posedge clk) ends <= rst ? 0 : {ends, issue && last};
  assign done = ends[zeile_mac_latency(SIMD)-1];
  assign sums = 0;
  assign rdata = 0;
endmodule

module zeile_conv_lane #(
    parameter S = 16, SKIP_BITS = 0, OUT_BITS = 4
) (
    input wire clk,
    input wire [S-1:0] sum,
    input wire [31:0] bias,
    input wire [14:0] multiplier,
    input wire [15:0] gain,
    input wire [(SKIP_BITS > 0 ? SKIP_BITS : 1)-1:0] skip,
    output wire [OUT_BITS-1:0] code
);
  assign code = 0;
endmodule
