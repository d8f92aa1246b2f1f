// SPDX-License-Identifier: Apache-2.0
// The front end: takes packets apart, judges them, feeds frames to the units and messages to the configuration chain.
//
// A packet is judged when all of it has been seen; the verdict (`packets`) then goes to Send, which answers in that
// order. A broken packet is dropped up to its TLAST and refused. A line whose packet ends early is filled with paper,
// so that the units always see whole lines, and refused. Everything but lines waits until all answers before it have
// left (`retired`): configuration messages never meet a line.
//
// Cycles: a word a cycle; header 2, judgement 3, verdict 1; a beat of a frame a cycle, the first one in the cycle its
// word is taken; a message a cycle, which leaves two cycles later.
`default_nettype none

module zeile_receive #(
    parameter logic [63:0] ID = 64'd0,  // of the design, as all of these
    parameter int PIXEL_BITS = 4,
    parameter int FRAME_CODES = 8,
    parameter int BEAT_CODES = 8,
    parameter int MAX_COLUMNS = 128,
    parameter int MAX_FRAMES = 128,
    parameter int RING_STEPS = 64,
    parameter int CLASSES = 16,
    parameter int DIRECTIONS = 2,
    parameter int LSTM_LAYER = 3,
    parameter int DENSE_LAYER = 4,
    parameter int MEMORIES = 1,
    parameter logic [40*MEMORIES-1:0] MEMORY_TABLE = '0  // {words[23:0], section[7:0], target[7:0]} of each
) (
    input  wire                              clk,
    input  wire                              rst,
    input  wire                              in_valid,
    output logic                             in_ready,
    input  wire  [                     64:0] in_data,           // {last, word}
    input  wire                              retired_valid,
    output logic                             retired_ready,
    /* verilator lint_off UNUSEDSIGNAL */
    input  wire                              retired_data,
    /* verilator lint_on UNUSEDSIGNAL */
    output logic                             packets_valid,
    input  wire                              packets_ready,
    output logic [                    176:0] packets_data,
    output logic                             frames_valid,
    input  wire                              frames_ready,
    output logic [BEAT_CODES*PIXEL_BITS : 0] frames_data,
    output logic                             config_out_valid,
    input  wire                              config_out_ready,
    output logic [                    105:0] config_out_data
);
  `include "zeile.svh"
  `include "zeile_receive.svh"

  // The packet in hand.
  logic [3:0] state;
  logic [7:0] kind, field;  // as asked, also when refused
  logic [15:0] tag, new_classes;
  logic [31:0] count, address, remainder, place;  // place: of the word to come, 1 for the first
  logic [31:0] shown, detail;  // what Send is told: the count or the code of an error
  logic [24:0] words_left;     // of payload and trailer, or messages
  logic [8:0] index;           // of the next one
  logic [63:0] begun, new_model;
  logic spoilt, ended, has_line;  // refused; TLAST was seen; scores will come
  logic [5:0] in_flight;          // verdicts given, answers not yet left

  // This cycle.
  logic last, take, last_word, verdict, good, advance, room, word_ready, line_ends;
  logic spoil, more, valid, judge_refuses;
  logic [3:0] code, judge_code;
  logic [15:0] classes;
  logic [24:0] answer_words;
  logic [31:0] reason, judge_reason, remainder_next;
  logic [63:0] word, cycles;
  logic [105:0] message, status_message;

  assign {last, word} = in_data;
  assign take = in_valid && in_ready;
  assign last_word = words_left == 25'd1;
  assign verdict = packets_valid && packets_ready;
  assign good = verdict && !spoilt;
  assign advance = (state == S_PAYLOAD && take) || (state == S_MESSAGES && room);
  assign answer_words = kind == LOAD ? 25'd1 : kind == COMMIT ? 25'd2 : shown[24:0];

  assign retired_ready = 1'b1;
  assign packets_valid = state == S_VERDICT;
  assign packets_data = {begun, has_line, classes, detail, shown, tag, field, spoilt ? 8'hFF : kind};

  always_comb begin
    case (state)
      S_KIND, S_COUNT, S_DROP: in_ready = !rst;
      S_PAYLOAD: in_ready = room;
      default: in_ready = word_ready;
    endcase
  end

  // LOAD and COMMIT end with a message that Send waits for: behind it every word has reached its unit.
  always_comb begin
    message = {96'd0, 8'd0, ZEILE_DATA};
    if (state != S_MESSAGES) message = {word, address, field, ZEILE_WRITE};
    else if (kind == COMMIT && index == 9'd0)
      message = {48'd0, classes, 5'd0, ZEILE_CONTROL, 24'd0, 8'(DENSE_LAYER), ZEILE_WRITE};
    else if (kind == READ_BACK) message = {64'd0, address, field, ZEILE_READ};
    else if (kind == STATUS) message = status_message;
  end

  always_ff @(posedge clk) begin
    if (rst) in_flight <= 6'd0;
    else in_flight <= in_flight + 6'(verdict) - 6'(retired_valid);
    if (rst || verdict) begin
      remainder <= 32'hFFFF_FFFF;
      place <= 32'd1;
    end else if (take) begin
      remainder <= remainder_next;
      place <= place + 32'd1;
    end
  end

  always_ff @(posedge clk) begin
    if (take) ended <= last;
    if (state == S_KIND) begin
      {tag, field, kind} <= word[47:16];
      begun <= cycles;
    end
    if (state == S_COUNT) {address, count} <= word;
    else if (advance) address <= address + 32'd1;

    if (advance) begin
      words_left <= words_left - 25'd1;
      index <= index + 9'd1;
    end else if (state == S_JUDGE || state == S_VERDICT) begin
      words_left <= state == S_VERDICT ? answer_words : kind == LOAD ? count[24:0] + 25'd1 :
          kind == INFER ? 25'd1 : count[24:0];
      index <= 9'd0;
    end
    if (state == S_PAYLOAD && index == 9'd0) new_classes <= word[15:0];
    if (state == S_PAYLOAD) new_model <= word;  // the last one stays

    if (state == S_LIMIT) has_line <= kind == INFER && count != 32'd0;
    else if (state == S_KIND || (state == S_JUDGE && spoil)) has_line <= 1'b0;
    if (state == S_KIND || spoil) begin
      spoilt <= spoil;
      shown  <= {28'd0, code};
      detail <= spoil ? reason : 32'd0;
    end else if (state == S_JUDGE) begin
      shown <= kind == STATUS ? 32'd16 : count;
    end
  end

  zeile_crc_word crc (.remainder, .word, .next(remainder_next));

  zeile_judge #(
      .MAX_FRAMES(MAX_FRAMES), .MEMORIES(MEMORIES), .MEMORY_TABLE(MEMORY_TABLE)
  ) judge (
      .clk, .valid, .ended, .kind, .target(field), .count, .address,
      .more, .refuse(judge_refuses), .code(judge_code), .reason(judge_reason)
  );

  zeile_receive_control #(
      .CLASSES(CLASSES)
  ) control (
      .clk, .rst, .take, .last, .word(word[31:0]), .place, .ended, .last_word, .remainder, .kind, .new_classes,
      .has_line, .more, .judge_refuses, .judge_code, .judge_reason, .line_ends, .quiet(in_flight == 6'd0), .room,
      .verdict, .spoilt, .talks(answer_words != 25'd0), .state, .spoil, .code, .reason
  );

  zeile_frames #(
      .PIXEL_BITS(PIXEL_BITS), .FRAME_CODES(FRAME_CODES), .BEAT_CODES(BEAT_CODES)
  ) cut (
      .clk, .rst, .start(state == S_JUDGE), .count(count[23:0]), .active(state == S_FRAMES), .paper(ended),
      .word_valid(in_valid), .word_ready, .word, .frames_valid, .frames_ready, .frames_data, .ends(line_ends)
  );

  zeile_status #(
      .ID(ID), .MAX_COLUMNS(MAX_COLUMNS), .RING_STEPS(RING_STEPS), .CLASSES(CLASSES), .DIRECTIONS(DIRECTIONS),
      .LSTM_LAYER(LSTM_LAYER)
  ) status (
      .clk, .rst, .packet(state == S_KIND && take), .line(good && kind == INFER), .refused(verdict && spoilt),
      .unload(state == S_JUDGE && kind == LOAD && !spoil), .commit(good && kind == COMMIT),
      .commit_classes(new_classes), .commit_model(new_model), .cycles, .valid, .classes,
      .index(index[3:0]), .message(status_message)
  );

  zeile_messages #(
      .ECHO_WORDS(ECHO_WORDS)
  ) messages (
      .clk, .rst, .put(state == S_MESSAGES || (state == S_PAYLOAD && take && kind == LOAD && !last_word)), .room,
      .message, .echoes(state == S_MESSAGES && kind == ECHO), .index, .store(state == S_PAYLOAD && kind == ECHO),
      .word, .out_valid(config_out_valid), .out_ready(config_out_ready), .out_data(config_out_data)
  );
endmodule

`default_nettype wire
