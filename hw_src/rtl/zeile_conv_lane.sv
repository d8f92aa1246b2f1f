// SPDX-License-Identifier: Apache-2.0
// From a finished sum to the code of an output channel: clamp(R((bias + sum + gain * skip) * multiplier)). A value a
// cycle, latency ZEILE_RESCALE_LATENCY + 1, with a skip connection (SKIP_BITS > 0) one more.
`default_nettype none

module zeile_conv_lane #(
    parameter int S = 16,  // bits of a sum
    parameter int SKIP_BITS = 0,
    parameter int OUT_BITS = 4,
    localparam int SKIP = SKIP_BITS > 0 ? SKIP_BITS : 1
) (
    input  wire                clk,
    input  wire [       S-1:0] sum,         // signed
    input  wire [        31:0] bias,        // signed
    input  wire [        14:0] multiplier,
    input  wire [        15:0] gain,        // signed
    input  wire [    SKIP-1:0] skip,
    output wire [OUT_BITS-1:0] code
);
  logic signed [31:0] biased, accumulator;
  logic [14:0] multiplier_1, multiplier_2;

  always_ff @(posedge clk) begin
    biased <= $signed(bias) + 32'($signed(sum));
    multiplier_1 <= multiplier;
  end

  if (SKIP_BITS > 0) begin : with_skip
    logic signed [16+SKIP-1:0] product;
    always_ff @(posedge clk) begin
      product <= $signed(gain) * $signed({1'b0, skip});
      accumulator <= biased + 32'(product);
      multiplier_2 <= multiplier_1;
    end
  end else begin : without_skip
    wire unused = &{1'b0, gain, skip};
    assign accumulator  = biased;
    assign multiplier_2 = multiplier_1;
  end

  zeile_rescale #(
      .S_IN(32),
      .OUT_BITS(OUT_BITS),
      .OUT_SIGNED(0)
  ) rescale (
      .clk(clk),
      .accumulator(accumulator),
      .multiplier(multiplier_2),
      .out(code)
  );
endmodule

`default_nettype wire
