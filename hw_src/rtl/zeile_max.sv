// SPDX-License-Identifier: Apache-2.0
// The larger of two pixels, channel by channel. Combinational.
`default_nettype none

module zeile_max #(
    parameter int CHANNELS = 4,
    parameter int BITS = 4
) (
    input  wire  [CHANNELS*BITS-1:0] a,
    input  wire  [CHANNELS*BITS-1:0] b,
    output logic [CHANNELS*BITS-1:0] larger
);
  for (genvar c = 0; c < CHANNELS; ++c) begin : channel
    assign larger[c*BITS+:BITS] = a[c*BITS+:BITS] > b[c*BITS+:BITS] ? a[c*BITS+:BITS] : b[c*BITS+:BITS];
  end
endmodule

`default_nettype wire
