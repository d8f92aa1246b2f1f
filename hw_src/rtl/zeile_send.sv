// SPDX-License-Identifier: Apache-2.0
// The back end (hls/send.h): answers packets in the order of Receive's verdicts, with the scores of lines or the data
// that comes through the configuration chain. A word a cycle at most. Scores of a line whose packet was refused are
// dropped. `out_data` is {TLAST, word}, a level of LUTs behind registers.
//
//   idle > skip | fence > header > count > words | scores > trailer
`default_nettype none

module zeile_send #(
    parameter int SCORE_LANES       = 1,
    parameter int COLUMNS_PER_STEP  = 2,
    parameter int COLUMNS_PER_FRAME = 1,
    parameter int MAX_FRAMES        = 128
) (
    input  wire                       clk,
    input  wire                       rst,
    input  wire                       packets_valid,
    output logic                      packets_ready,
    input  wire  [             176:0] packets_data,     // {begun, line, classes, detail, count, tag, field, kind}
    input  wire                       scores_valid,
    output logic                      scores_ready,
    input  wire  [8*SCORE_LANES+10:0] scores_data,      // {last, end, count[8:0], scores}
    input  wire                       config_in_valid,
    output logic                      config_in_ready,
    input  wire  [             105:0] config_in_data,
    output logic                      out_valid,
    input  wire                       out_ready,
    output logic [              64:0] out_data,
    output logic                      retired_valid,
    input  wire                       retired_ready,
    output logic                      retired_data
);
  `include "zeile_receive.svh"

  localparam logic [7:0] ERROR = 8'hFF, ANSWER = 8'h80;
  localparam logic [2:0] IDLE = 3'd0, SKIP = 3'd1, FENCE = 3'd2, HEADER = 3'd3;
  localparam logic [2:0] COUNT = 3'd4, WORDS = 3'd5, SCORES = 3'd6, TRAILER = 3'd7;
  logic [2:0] state;

  // The packet to answer.
  wire [63:0] begun = packets_data[176:113];
  wire [15:0] given_classes = packets_data[111:96];
  wire [31:0] given_detail = packets_data[95:64], given_count = packets_data[63:32];
  wire [7:0] given_kind = packets_data[7:0];
  wire refused = given_kind == ERROR, line = packets_data[112];
  wire fenced = given_kind == LOAD || given_kind == COMMIT;

  logic [7:0] kind, field;
  logic [15:0] tag;
  logic [31:0] count, left, steps, upper;  // payload words still to come; what stands above the count
  logic infer, empty, ended, busy, begin_line;

  assign begin_line = state == IDLE && packets_valid && given_kind == INFER;
  zeile_send_steps #(
      .FRAMES_PER_STEP(COLUMNS_PER_STEP / COLUMNS_PER_FRAME),
      .MAX_FRAMES(MAX_FRAMES)
  ) divider (
      .clk,
      .rst,
      .start(begin_line),
      .frames(given_count),
      .busy,
      .steps
  );
  assign count = infer ? steps : left;

  // Cycles since the packet's first word, saturating at 2^32 - 1; bit 32 is the overflow.
  logic [63:0] cycle, spent;
  logic [32:0] age;
  zeile_counter clock (.clk, .rst, .increment(1'b1), .value(cycle));
  assign spent = cycle - begun;

  logic scores_word_valid, scores_word_ready, scores_word_last, line_valid, line_ready;
  logic [63:0] scores_word;
  assign line_valid = scores_valid && state == SCORES && !ended;
  assign scores_ready = state == SKIP || (state == SCORES && !ended && line_ready);
  zeile_send_scores #(
      .LANES(SCORE_LANES)
  ) scores (
      .clk,
      .rst,
      .best(field == 8'd1),
      .in_valid(line_valid),
      .in_ready(line_ready),
      .in_data(scores_data),
      .out_valid(scores_word_valid),
      .out_ready(scores_word_ready),
      .out_word(scores_word),
      .out_last(scores_word_last)
  );

  // The word that leaves next; a trailer's lower half is set as it leaves, when the CRC is known.
  logic [63:0] word, next_word;
  logic [31:0] remainder, next_remainder;
  logic full, trailer, put, room;
  assign room = !full || out_ready;
  assign out_valid = full;
  assign out_data = {trailer, word[63:32], trailer ? ~remainder : word[31:0]};
  zeile_crc_word crc (
      .remainder,
      .word,
      .next(next_remainder)
  );

  assign packets_ready = state == IDLE;
  assign config_in_ready = state == FENCE || (state == WORDS && room);
  assign scores_word_ready = state == SCORES && room;
  assign retired_valid = state == TRAILER && room;
  assign retired_data = 1'b1;

  always_comb begin
    case (state)
      HEADER:  {put, next_word} = {room && !(infer && busy), 16'd0, tag, field, kind, MAGIC};
      COUNT:   {put, next_word} = {room, upper, count};
      WORDS:   {put, next_word} = {room && config_in_valid, config_in_data[105:42]};
      SCORES:  {put, next_word} = {room && scores_word_valid, scores_word};
      TRAILER: {put, next_word} = {room && retired_ready, age[32] ? '1 : age[31:0], 32'd0};
      default: {put, next_word} = '0;
    endcase
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      state <= IDLE;
      full <= 1'b0;
    end else begin
      case (state)
        IDLE: if (packets_valid) state <= refused && line ? SKIP : fenced ? FENCE : HEADER;
        SKIP: if (scores_valid && scores_data[8*SCORE_LANES+10]) state <= HEADER;
        FENCE: if (config_in_valid) state <= HEADER;
        HEADER: if (put) state <= COUNT;
        COUNT: if (put) state <= empty ? TRAILER : infer ? SCORES : WORDS;
        WORDS: if (put && left == 32'd1) state <= TRAILER;
        SCORES: if (put && scores_word_last) state <= TRAILER;
        TRAILER: if (put) state <= IDLE;
      endcase
      if (room) full <= put;
    end
  end

  always_ff @(posedge clk) begin
    if (state == IDLE) begin
      kind <= refused ? ERROR : given_kind | ANSWER;
      {tag, field} <= packets_data[31:8];
      infer <= given_kind == INFER;
      left <= fenced ? 32'd0 : given_count;
      upper <= refused ? given_detail : given_kind == INFER ? {16'd0, given_classes} : 32'd0;
      age <= {spent[63:32] != '0, spent[31:0]};
      ended <= 1'b0;
    end else begin
      if (!age[32]) age <= age + 33'd1;
      if (state == WORDS && put) left <= left - 32'd1;
      if (line_valid && line_ready) ended <= scores_data[8*SCORE_LANES+10];
    end
    empty <= count == '0 || kind == ERROR;  // known behind the header
    if (room) {trailer, word} <= {state == TRAILER, next_word};
    if (full && out_ready) remainder <= trailer ? '1 : next_remainder;
    if (rst) remainder <= '1;
  end

  wire unused = &{1'b0, config_in_data[41:0]};
endmodule

`default_nettype wire
