// SPDX-License-Identifier: Apache-2.0
// Sums of a convolution to pixels: LANES sums of a fold a cycle, from the cycle of `done` on; a fold is through before
// the next one is done. A pixel comes out, for one cycle, ZEILE_RESCALE_LATENCY + 3 cycles after its last sums were
// taken, with a skip connection one more. Nothing waits: room for it, and the pixel to add, are there before.
`default_nettype none

module zeile_conv_drain #(
    parameter int CHANNELS = 4,
    parameter int PE = 4,
    parameter int LANES = 2,  // divides PE
    parameter int S = 16,     // bits of a sum
    parameter int SKIP_BITS = 0,
    parameter int OUT_BITS = 4,
    localparam int SKIP = SKIP_BITS > 0 ? SKIP_BITS : 1
) (
    input  wire                       clk,
    input  wire                       rst,
    input  wire                       done,
    input  wire                       line_end,   // with the last `done` of a line
    input  wire  [          PE*S-1:0] sums,
    input  wire  [ CHANNELS*SKIP-1:0] skip,
    output logic                      skip_used,  // with the last sums of a pixel
    output logic                      valid,
    output logic [CHANNELS*OUT_BITS:0] pixel,     // {last, codes}
    input  wire                       we,
    input  wire                       re,
    input  wire  [              23:0] index,
    input  wire  [              63:0] wdata,
    output wire  [              63:0] rdata
);
  `include "zeile.svh"
  localparam int GROUPS = PE / LANES;
  localparam int STEPS = CHANNELS / LANES;  // of a pixel
  localparam int PIXEL = CHANNELS * OUT_BITS;
  localparam int LATENCY = ZEILE_RESCALE_LATENCY + (SKIP_BITS > 0 ? 2 : 1);
  localparam int GROUP_BITS = GROUPS <= 2 ? 1 : $clog2(GROUPS);
  localparam int STEP_BITS = STEPS <= 2 ? 1 : $clog2(STEPS);

  logic [GROUP_BITS-1:0] group;
  logic [STEP_BITS-1:0] step, step_next;
  logic draining, pixel_end, line_end_held;

  assign draining = done || group != '0;
  assign pixel_end = step == STEP_BITS'(STEPS - 1);
  assign step_next = !draining ? step : pixel_end ? '0 : step + 1'b1;
  assign skip_used = draining && pixel_end;

  always_ff @(posedge clk) begin
    if (rst) begin
      group <= '0;
      step  <= '0;
    end else begin
      step <= step_next;
      if (draining) group <= group == GROUP_BITS'(GROUPS - 1) ? '0 : group + 1'b1;
    end
    if (done) line_end_held <= line_end;
  end

  // What the lanes take, a cycle later: rows are addressed two cycles before.
  logic [LANES*S-1:0] sum, sum_next;
  logic [LANES*SKIP-1:0] added, added_next;
  wire [LANES*32-1:0] bias;
  wire [LANES*15-1:0] multiplier;
  wire [LANES*16-1:0] gain;
  wire [LANES*OUT_BITS-1:0] codes;

  zeile_select #(
      .WIDTH(LANES * S),
      .COUNT(GROUPS)
  ) of_sums (
      .values(sums),
      .index(group),
      .value(sum_next)
  );

  zeile_select #(
      .WIDTH(LANES * SKIP),
      .COUNT(STEPS)
  ) of_skip (
      .values(skip),
      .index(step),
      .value(added_next)
  );

  always_ff @(posedge clk) begin
    sum   <= sum_next;
    added <= added_next;
  end

  zeile_rows #(
      .ROWS  (CHANNELS),
      .BANKS (1),
      .GROUPS(GROUPS),
      .LANES (LANES)
  ) parameters (
      .clk(clk),
      .address(step_next),
      .bias(bias),
      .multiplier(multiplier),
      .gain(gain),
      .we(we),
      .re(re),
      .index(index),
      .wdata(wdata),
      .rdata(rdata)
  );

  for (genvar l = 0; l < LANES; ++l) begin : lanes
    zeile_conv_lane #(
        .S(S),
        .SKIP_BITS(SKIP_BITS),
        .OUT_BITS(OUT_BITS)
    ) lane (
        .clk(clk),
        .sum(sum[l*S+:S]),
        .bias(bias[l*32+:32]),
        .multiplier(multiplier[l*15+:15]),
        .gain(gain[l*16+:16]),
        .skip(added[l*SKIP+:SKIP]),
        .code(codes[l*OUT_BITS+:OUT_BITS])
    );
  end

  // Codes enter the pixel behind those before; it is whole with the last ones.
  logic [LATENCY:0] moved, ended;
  logic [LATENCY:0] line_ended;

  always_ff @(posedge clk) begin
    if (rst) begin
      moved <= '0;
      ended <= '0;
      valid <= 1'b0;
    end else begin
      moved <= {moved[LATENCY-1:0], draining};
      ended <= {ended[LATENCY-1:0], skip_used};
      valid <= ended[LATENCY];
    end
    line_ended <= {line_ended[LATENCY-1:0], done ? line_end : line_end_held};
    if (moved[LATENCY]) begin
      pixel <= {line_ended[LATENCY], PIXEL'({codes, pixel[PIXEL-1:0]} >> (LANES * OUT_BITS))};
    end
  end
endmodule

`default_nettype wire
