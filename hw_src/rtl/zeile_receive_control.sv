// SPDX-License-Identifier: Apache-2.0
// The state machine of the front end: what is wrong with a packet, and what it does next. One state a cycle; `spoil`,
// `code` and `reason` belong to the cycle's word, or in S_JUDGE to the header.
`default_nettype none

module zeile_receive_control #(
    parameter int CLASSES = 16  // compiled maximum
) (
    input wire clk,
    input wire rst,

    input wire        take,         // a word is taken, `last` with TLAST
    input wire        last,
    input wire [31:0] word,         // its lower half
    input wire [31:0] place,        // of the word: 1 for the first
    input wire        ended,        // an earlier one had TLAST
    input wire        last_word,    // of payload and trailer, or of messages
    input wire [31:0] remainder,    // of the CRC of all words before
    input wire [ 7:0] kind,
    input wire [15:0] new_classes,  // of a COMMIT packet

    input wire        has_line,       // INFER with frames
    input wire        more,           // words follow the header
    input wire        judge_refuses,
    input wire [ 3:0] judge_code,
    input wire [31:0] judge_reason,
    input wire        line_ends,      // its last beat leaves
    input wire        quiet,          // all answers have left
    input wire        room,           // for a message
    input wire        verdict,        // was taken
    input wire        spoilt,         // it is a refusal
    input wire        talks,          // messages follow a good verdict

    output logic [ 3:0] state,
    output logic        spoil,
    output logic [ 3:0] code,
    output logic [31:0] reason
);
  `include "zeile_receive.svh"

  logic [3:0] next;
  logic ended_now, trailer, kind_unknown, checksum_wrong, classes_wrong;

  assign ended_now = take ? last : ended;
  assign trailer = last_word && (kind == LOAD || kind == INFER);
  assign kind_unknown = word[23:16] < INFER || word[23:16] > STATUS || (word[23:16] == INFER && word[31:24] > 8'd1);
  assign checksum_wrong = trailer && word[31:0] != ~remainder;
  assign classes_wrong = kind == COMMIT && last_word && (new_classes < 16'd2 || new_classes > 16'(CLASSES));

  // The first fault of several.
  always_comb begin
    {spoil, code, reason} = {1'b0, last ? SHORT_PACKET : LONG_PACKET, place};
    case (state)
      S_KIND: begin
        spoil = take && (word[15:0] != MAGIC || kind_unknown || last);
        if (word[15:0] != MAGIC) {code, reason} = {BAD_MAGIC, word[31:0]};
        else if (kind_unknown) {code, reason} = {UNKNOWN_KIND, 24'd0, word[23:16]};
      end
      S_JUDGE: {spoil, code, reason} = {judge_refuses, judge_code, judge_reason};
      S_FRAMES: spoil = take && last;
      S_PAYLOAD: begin
        spoil = take && (last != last_word || checksum_wrong || classes_wrong);
        if (last == last_word && checksum_wrong) {code, reason} = {CRC_MISMATCH, ~remainder};
        else if (last == last_word && classes_wrong) {code, reason} = {BAD_CLASSES, 16'd0, new_classes};
      end
      default: ;
    endcase
  end

  always_comb begin
    next = state;
    case (state)
      S_KIND: if (take) next = S_COUNT;
      S_COUNT: if (take) next = S_LOOK_UP;
      S_LOOK_UP: next = S_LIMIT;
      S_LIMIT: next = S_JUDGE;
      S_JUDGE: next = kind != INFER ? S_QUIET : has_line ? S_FRAMES : S_PAYLOAD;
      S_FRAMES: if (line_ends) next = ended_now ? S_VERDICT : S_PAYLOAD;
      S_QUIET: if (quiet) next = more ? S_PAYLOAD : S_VERDICT;
      S_PAYLOAD: if (take && last_word) next = S_VERDICT;
      S_DROP: if (take && last) next = S_VERDICT;
      S_VERDICT: if (verdict) next = spoilt || kind == INFER ? S_KIND : talks ? S_MESSAGES : S_SETTLE;
      S_MESSAGES: if (room && last_word) next = S_SETTLE;
      default: if (quiet) next = S_KIND;  // S_SETTLE
    endcase
    if (spoil && state != S_FRAMES) next = ended_now ? S_VERDICT : S_DROP;  // a line is filled with paper
  end

  always_ff @(posedge clk) begin
    if (rst) state <= S_KIND;
    else state <= next;
  end
endmodule

`default_nettype wire
