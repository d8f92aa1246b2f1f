// SPDX-License-Identifier: Apache-2.0
// Cuts the words of a line into beats of BEAT_CODES codes, a beat a cycle; every frame begins with a word of its own.
// Where the packet has ended early (`paper`) zeros take the place of words, so that the line comes out whole.
`default_nettype none

module zeile_frames #(
    parameter int PIXEL_BITS  = 4,
    parameter int FRAME_CODES = 8,
    parameter int BEAT_CODES  = 8
) (
    input  wire                              clk,
    input  wire                              rst,
    input  wire                              start,         // a line of `count` frames, at least 1, comes next
    input  wire  [                     23:0] count,
    input  wire                              active,
    input  wire                              paper,
    input  wire                              word_valid,
    output logic                             word_ready,
    input  wire  [                     63:0] word,
    output logic                             frames_valid,
    input  wire                              frames_ready,
    output logic [BEAT_CODES*PIXEL_BITS : 0] frames_data,
    output logic                             ends           // the line's last beat leaves
);
  localparam int BITS = BEAT_CODES * PIXEL_BITS;
  localparam int WORD_BEATS = 64 / BITS;
  localparam int FRAME_BEATS = FRAME_CODES / BEAT_CODES;
  localparam int WORD_BITS = $clog2(WORD_BEATS + 1), FRAME_BITS = $clog2(FRAME_BEATS + 1);

  logic [WORD_BITS-1:0] word_beat;
  logic [FRAME_BITS-1:0] frame_beat;
  logic [23:0] left;  // frames
  logic [63:0] rest, codes;
  logic needs_word, step, frame_ends;

  assign needs_word = word_beat == '0;
  assign word_ready = active && needs_word && !paper && frames_ready;
  assign frames_valid = active && (!needs_word || paper || word_valid);
  assign codes = !needs_word ? rest : paper ? 64'd0 : word;
  assign frame_ends = frame_beat == FRAME_BITS'(FRAME_BEATS - 1);
  assign frames_data = {frame_ends && left == 24'd1, codes[BITS-1:0]};
  assign step = frames_valid && frames_ready;
  assign ends = step && frames_data[BITS];

  always_ff @(posedge clk) begin
    if (rst || start) begin
      word_beat  <= '0;
      frame_beat <= '0;
    end else if (step) begin
      word_beat  <= frame_ends || word_beat == WORD_BITS'(WORD_BEATS - 1) ? '0 : word_beat + 1'b1;
      frame_beat <= frame_ends ? '0 : frame_beat + 1'b1;
    end
  end

  always_ff @(posedge clk) begin
    if (start) left <= count;
    else if (step && frame_ends) left <= left - 24'd1;
    if (step) rest <= codes >> BITS;
  end
endmodule

`default_nettype wire
