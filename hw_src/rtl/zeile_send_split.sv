// SPDX-License-Identifier: Apache-2.0
// Score elements in pieces of at most eight scores: what the core's port of 64 bits carries in a cycle anyway. Up to
// eight lanes pass as they are, in no time; of more, an element is held, and a piece leaves a cycle, latency 1.
`default_nettype none

module zeile_send_split #(
    parameter int LANES = 2,
    localparam int N = LANES < 8 ? LANES : 8
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire                  in_valid,
    output logic                 in_ready,
    input  wire  [8*LANES+10:0]  in_data,    // {last, end, count[8:0], scores}
    output logic                 out_valid,
    input  wire                  out_ready,
    output logic [8*N-1:0]       out_scores,
    output logic [3:0]           out_count,  // valid scores, 1 ... N
    output logic                 out_end,    // the step's last piece
    output logic                 out_last    // the line's last piece
);
  if (LANES <= 8) begin : g_pass
    wire unused = &{1'b0, clk, rst, in_data[8*LANES+8:8*LANES+4]};
    assign in_ready = out_ready;
    assign out_valid = in_valid;
    assign {out_last, out_end} = in_data[8*LANES+10:8*LANES+9];
    assign out_count = in_data[8*LANES+:4];
    assign out_scores = in_data[8*LANES-1:0];
  end else begin : g_split
    logic [8*LANES-1:0] scores;
    logic [8:0] left;
    logic held, ends, last, final_piece;

    assign final_piece = left <= 9'd8;
    assign out_valid = held;
    assign out_scores = scores[63:0];
    assign out_count = final_piece ? left[3:0] : 4'd8;
    assign out_end = ends && final_piece;
    assign out_last = last && final_piece;
    assign in_ready = !held || (out_ready && final_piece);

    always_ff @(posedge clk) begin
      if (rst) held <= 1'b0;
      else if (in_ready) held <= in_valid;
    end

    always_ff @(posedge clk) begin
      if (in_ready) begin
        {last, ends, left, scores} <= in_data;
      end else if (out_ready) begin
        scores <= scores >> 64;
        left <= left - 9'd8;
      end
    end
  end
endmodule

`default_nettype wire
