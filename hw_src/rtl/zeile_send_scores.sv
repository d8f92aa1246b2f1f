// SPDX-License-Identifier: Apache-2.0
// What an answer carries of a line: all scores, each step filled up to whole words, or each step's best label and its
// score, filled up behind the line. Eight bytes a cycle at most. `best` holds still while a line passes.
`default_nettype none

module zeile_send_scores #(
    parameter int LANES = 2
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 best,
    input  wire                 in_valid,
    output logic                in_ready,
    input  wire  [8*LANES+10:0] in_data,    // {last, end, count[8:0], scores}
    output logic                out_valid,
    input  wire                 out_ready,
    output logic [63:0]         out_word,
    output logic                out_last    // the line's last word
);
  localparam int N = LANES < 8 ? LANES : 8;
  localparam int BYTES = N < 2 ? 2 : N;

  logic piece_valid, piece_ready, piece_end, piece_last;
  logic [8*N-1:0] piece_scores;
  logic [3:0] piece_count;

  zeile_send_split #(
      .LANES(LANES)
  ) split (
      .clk(clk),
      .rst(rst),
      .in_valid(in_valid),
      .in_ready(in_ready),
      .in_data(in_data),
      .out_valid(piece_valid),
      .out_ready(piece_ready),
      .out_scores(piece_scores),
      .out_count(piece_count),
      .out_end(piece_end),
      .out_last(piece_last)
  );

  logic best_ready, gather_ready, pair_valid, pair_last;
  logic [7:0] label, score;

  zeile_send_best #(
      .N(N)
  ) best_label (
      .clk(clk),
      .rst(rst),
      .in_valid(piece_valid && best),
      .in_ready(best_ready),
      .in_scores(piece_scores),
      .in_count(piece_count),
      .in_end(piece_end),
      .in_last(piece_last),
      .out_valid(pair_valid),
      .out_ready(gather_ready),
      .out_label(label),
      .out_score(score),
      .out_last(pair_last)
  );

  assign piece_ready = best ? best_ready : gather_ready;

  zeile_send_gather #(
      .BYTES(BYTES),
      .ALIGN(LANES % 2 == 0 ? 2 : 1)  // also of the pieces of more than eight
  ) gather (
      .clk(clk),
      .rst(rst),
      .in_valid(best ? pair_valid : piece_valid),
      .in_ready(gather_ready),
      .in_bytes(best ? (8 * BYTES)'({score, label}) : (8 * BYTES)'(piece_scores)),
      .in_count(best ? 4'd2 : piece_count),
      .in_flush(best ? pair_last : piece_end),
      .in_last(best ? pair_last : piece_last),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_word(out_word),
      .out_last(out_last)
  );
endmodule

`default_nettype wire
