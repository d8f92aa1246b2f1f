// SPDX-License-Identifier: Apache-2.0
// The lowest label among those with a step's highest score. Pieces of N scores come in class order, one a cycle; the
// label and its score leave two cycles behind the step's last piece.
`default_nettype none

module zeile_send_best #(
    parameter int N = 2  // 1 ... 8
) (
    input  wire            clk,
    input  wire            rst,
    input  wire            in_valid,
    output logic           in_ready,
    input  wire  [8*N-1:0] in_scores,
    input  wire  [3:0]     in_count,   // valid scores, 1 ... N
    input  wire            in_end,     // the step's last piece
    input  wire            in_last,    // the line's last piece
    output logic           out_valid,
    input  wire            out_ready,
    output logic [7:0]     out_label,
    output logic [7:0]     out_score,
    output logic           out_last
);
  // Four lanes' best as {any, lane, score}: a lane wins only with a higher score than all before it.
  function automatic logic [10:0] best_of(input logic [31:0] scores, input logic [3:0] valid);
    logic [1:0] low, high;
    low = {1'b0, valid[1] && $signed(scores[15:8]) > $signed(scores[7:0])};
    high = {1'b1, valid[3] && $signed(scores[31:24]) > $signed(scores[23:16])};
    if (valid[2] && $signed(scores[8*high+:8]) > $signed(scores[8*low+:8])) low = high;
    best_of = {valid[0], low, scores[8*low+:8]};
  endfunction

  logic [63:0] scores;
  logic [7:0] valid;
  for (genvar i = 0; i < 8; i++) begin : g_lane
    if (i < N) begin : g_used
      assign scores[8*i+:8] = in_scores[8*i+:8];
      assign valid[i] = in_count > 4'(i);
    end else begin : g_none
      assign scores[8*i+:8] = 8'd0;
      assign valid[i] = 1'b0;
    end
  end

  // Stage 1: the best of lanes 0 ... 3 and of lanes 4 ... 7.
  logic [10:0] lower, upper;
  logic [3:0] count;
  logic piece, ends, last;
  // Stage 2: the best so far; `fresh`: nothing of the step yet.
  logic [7:0] next_label;
  logic fresh, move, higher;
  logic [2:0] lane;
  logic signed [7:0] score;

  assign move = !out_valid || out_ready;
  assign in_ready = !piece || move;
  assign higher = upper[10] && $signed(upper[7:0]) > $signed(lower[7:0]);
  assign lane = higher ? {1'b1, upper[9:8]} : {1'b0, lower[9:8]};
  assign score = higher ? upper[7:0] : lower[7:0];

  always_ff @(posedge clk) begin
    if (in_ready) begin
      lower <= best_of(scores[31:0], valid[3:0]);
      upper <= best_of(scores[63:32], valid[7:4]);
      {count, ends, last} <= {in_count, in_end, in_last};
    end
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      piece <= 1'b0;
      out_valid <= 1'b0;
      fresh <= 1'b1;
      next_label <= 8'd0;
    end else begin
      if (in_ready) piece <= in_valid;
      if (move) out_valid <= piece && ends;
      if (move && piece) begin
        fresh <= ends;
        next_label <= ends ? 8'd0 : next_label + {4'd0, count};
      end
    end
  end

  always_ff @(posedge clk) begin
    if (move && piece) begin
      out_last <= last;
      if (fresh || score > $signed(out_score)) begin
        out_score <= score;
        out_label <= next_label + {5'd0, lane};
      end
    end
  end

  wire unused = &{1'b0, lower[10]};
endmodule

`default_nettype wire
