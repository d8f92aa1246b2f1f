// SPDX-License-Identifier: Apache-2.0
// The place of a pre-activation in its gate's table: clamp(R((bias + sum) * multiplier), -128, 127) + 128.
// Latency 5, one each cycle.
`default_nettype none

module zeile_preactivation #(
    parameter int S = 16
) (
    input  wire                clk,
    input  wire signed [S-1:0] sum,
    input  wire        [ 31:0] bias,
    input  wire        [ 14:0] multiplier,
    output logic       [  7:0] entry
);
  logic [31:0] accumulator;
  logic [14:0] factor;
  logic [ 7:0] code;

  always_ff @(posedge clk) begin
    accumulator <= bias + 32'(sum);
    factor <= multiplier;
  end

  zeile_rescale #(
      .S_IN(32),
      .OUT_BITS(8),
      .OUT_SIGNED(1)
  ) rescale (
      .clk,
      .accumulator,
      .multiplier(factor),
      .out(code)
  );

  assign entry = {!code[7], code[6:0]};
endmodule

`default_nettype wire
