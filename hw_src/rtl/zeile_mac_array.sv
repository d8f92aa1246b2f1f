// SPDX-License-Identifier: Apache-2.0
// Weights of a layer and PE x SIMD multipliers (MacArray in memory.h). A cycle with `issue` adds
// weights[tile][p] . x to the sum of each row p, from 0 on with `first`. zeile_mac_latency(SIMD) cycles after the issue
// with `last`, `done` is 1 for a cycle and `sums` has the new sums, until the next `done`. An issue may come each cycle.
// Of the rows, the first DSP_PE / 2 * 2 share DSP slices, two in each; the others' products are made in LUTs.
// Configuration: word index = (tile * PE + p) * PARTS + part. The parts of an entry come in order, the last one stores
// it; words beyond the end are lost, and read as 0. `rdata` is there ZEILE_READ_LATENCY cycles after `re`, until the
// next `re`. we, re and issue never meet within these cycles.
`default_nettype none

module zeile_mac_array #(
    parameter int W = 4,       // bits of a weight; W = 1 stores signs
    parameter int X = 5,       // bits of a signed operand
    parameter int PE = 4,
    parameter int SIMD = 4,
    parameter int TILES = 16,
    parameter int S = 16,      // bits of a sum: enough for all of them
    parameter int DSP_PE = 0,
    localparam int TILE_BITS = TILES <= 2 ? 1 : $clog2(TILES)
) (
    input  wire logic                 clk,
    input  wire logic                 rst,
    input  wire logic                 issue,
    input  wire logic                 first,
    input  wire logic                 last,
    input  wire logic [TILE_BITS-1:0] tile,
    input  wire logic [SIMD*X-1:0]    x,
    output wire logic                 done,
    output wire logic [PE*S-1:0]      sums,
    input  wire logic                 we,
    input  wire logic                 re,
    input  wire logic [23:0]          index,
    input  wire logic [63:0]          wdata,
    output wire logic [63:0]          rdata
);
  `include "zeile.svh"

  localparam int V = W == 1 ? 2 : W;              // bits of a weight's value
  localparam int TERM = V + X - 1;                // of a product: weights are symmetric
  localparam int PAIRED = DSP_PE / 2 * 2;
  localparam int STAGES = zeile_tree_stages(SIMD);
  localparam int LATENCY = zeile_mac_latency(SIMD);
  localparam int TREE = TERM + $clog2(SIMD) < S ? TERM + $clog2(SIMD) : S;  // bits of a tree's sum

  wire logic [PE*SIMD*W-1:0] codes;  // 3 cycles behind the tile
  zeile_weights #(.W(W), .PE(PE), .SIMD(SIMD), .TILES(TILES)) memory (
      .clk, .tile, .weights(codes), .we, .re, .index, .wdata, .rdata);

  wire logic [PE*SIMD*V-1:0] values;
  for (genvar i = 0; i < PE * SIMD; i++) begin : g_value
    if (W == 1) begin : g_sign
      assign values[2*i+:2] = {~codes[i], 1'b1};
    end else begin : g_code
      assign values[V*i+:V] = codes[V*i+:V];
    end
  end

  // [i]: i + 1 cycles behind the issue
  logic [LATENCY-1:0] valid, ends;
  logic [LATENCY-3:0] begins;
  logic [SIMD*X-1:0] x_1, x_2, x_3;
  always_ff @(posedge clk) begin
    valid <= rst ? '0 : {valid[LATENCY-2:0], issue};
    ends <= rst ? '0 : {ends[LATENCY-2:0], issue && last};
    begins <= {begins[LATENCY-4:0], first};
    x_1 <= x;
    x_2 <= x_1;
    x_3 <= x_2;
  end
  assign done = ends[LATENCY-1];

  wire logic [PE*SIMD*TERM-1:0] products;  // of a pair 5 cycles behind the issue, else 4
  for (genvar p = 0; p < PAIRED; p += 2) begin : g_pair
    for (genvar k = 0; k < SIMD; k++) begin : g_simd
      // verilator lint_off UNUSEDSIGNAL
      wire logic [V+X-1:0] product0, product1;
      // verilator lint_on UNUSEDSIGNAL
      zeile_mac_pair #(.W(V), .X(X)) pair (
          .clk, .weight0(values[(p*SIMD+k)*V+:V]), .weight1(values[((p+1)*SIMD+k)*V+:V]), .code(x_3[k*X+:X]),
          .product0, .product1);
      assign products[(p*SIMD+k)*TERM+:TERM] = product0[TERM-1:0];
      assign products[((p+1)*SIMD+k)*TERM+:TERM] = product1[TERM-1:0];
    end
  end

  if (PAIRED < PE) begin : g_lut
    for (genvar k = 0; k < SIMD; k++) begin : g_simd
      wire logic [X:0] negated;
      wire logic [X+1:0] tripled;
      logic [X:0] negated_q;
      logic [X+1:0] tripled_q;
      zeile_multiples #(.X(X)) multiples (.code(x_2[k*X+:X]), .negated, .tripled);
      always_ff @(posedge clk) begin
        negated_q <= negated;
        tripled_q <= tripled;
      end
      for (genvar p = PAIRED; p < PE; p++) begin : g_row
        // verilator lint_off UNUSEDSIGNAL
        wire logic [V+X-1:0] product;
        // verilator lint_on UNUSEDSIGNAL
        logic [TERM-1:0] product_q;
        zeile_product #(.W(V), .X(X)) lone (
            .weight(values[(p*SIMD+k)*V+:V]), .code(x_3[k*X+:X]), .negated(negated_q), .tripled(tripled_q), .product);
        always_ff @(posedge clk) product_q <= product[TERM-1:0];
        assign products[(p*SIMD+k)*TERM+:TERM] = product_q;
      end
    end
  end

  for (genvar p = 0; p < PE; p++) begin : g_sum
    wire logic [TREE-1:0] tree;
    logic signed [S-1:0] sum, sum_q;
    zeile_tree #(.N(SIMD), .BITS(TERM), .STAGES(p < PAIRED ? STAGES : STAGES + 1), .OUT_BITS(TREE)) adder (
        .clk, .terms(products[p*SIMD*TERM+:SIMD*TERM]), .sum(tree));
    always_ff @(posedge clk) begin
      if (valid[LATENCY-3]) sum <= (begins[LATENCY-3] ? '0 : sum) + S'($signed(tree));
      if (ends[LATENCY-2]) sum_q <= sum;
    end
    assign sums[p*S+:S] = sum_q;
  end
endmodule

`default_nettype wire
