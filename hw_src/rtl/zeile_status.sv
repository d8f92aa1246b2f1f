// SPDX-License-Identifier: Apache-2.0
// What the core tells about itself: counters, the model that is loaded, and the sixteen messages of a STATUS answer.
// Words 4 to 9 are read requests for counters of the recurrent layer (issued, starved, stalled; forward and backward in
// turn), the others data for Send. `message` follows `index` in the same cycle, the counters their pulses a cycle later.
`default_nettype none

module zeile_status #(
    parameter logic [63:0] ID = 64'd0,  // of the design
    parameter int MAX_COLUMNS = 128,
    parameter int RING_STEPS = 64,
    parameter int CLASSES = 16,         // compiled maximum
    parameter int DIRECTIONS = 2,
    parameter int LSTM_LAYER = 3
) (
    input wire clk,
    input wire rst,

    input wire        packet,      // one comes in
    input wire        line,        // one is answered
    input wire        refused,     // a packet is
    input wire        unload,      // the model is no longer valid
    input wire        commit,      // it is now:
    input wire [15:0] commit_classes,
    input wire [63:0] commit_model,

    output logic [63:0] cycles,
    output logic        valid,    // a model is loaded
    output logic [15:0] classes,  // K

    input  wire  [  3:0] index,
    output logic [105:0] message
);
  localparam logic [1:0] OP_READ = 2'd1, OP_DATA = 2'd2;
  localparam logic [63:0] SHAPE = {32'(MAX_COLUMNS), 16'(CLASSES), 16'd2};  // [15:0] ABI

  logic [63:0] lines, packets, errors, model, data;
  logic [1:0] counter;  // 1 issued, 2 starved, 3 stalled
  logic reads;

  zeile_counter count_cycles (.clk, .rst, .increment(1'b1), .value(cycles));
  zeile_counter count_lines (.clk, .rst, .increment(line), .value(lines));
  zeile_counter count_packets (.clk, .rst, .increment(packet), .value(packets));
  zeile_counter count_errors (.clk, .rst, .increment(refused), .value(errors));

  always_ff @(posedge clk) begin
    if (rst) begin
      valid   <= 1'b0;
      classes <= 16'd0;
      model   <= 64'd0;
    end else if (commit) begin
      valid   <= 1'b1;
      classes <= commit_classes;
      model   <= commit_model;
    end else if (unload) begin
      valid <= 1'b0;
    end
  end

  always_comb begin
    case (index)
      4'd0:    data = ID;
      4'd1:    data = SHAPE;
      4'd2:    data = cycles;
      4'd3:    data = valid ? model : 64'd0;
      4'd10:   data = lines;
      4'd11:   data = packets;
      4'd12:   data = errors;
      4'd14:   data = 64'(RING_STEPS);
      4'd15:   data = {63'd0, valid};
      default: data = 64'd0;  // 13: lines in flight, none now
    endcase
    counter = index[2:1] - 2'd1;  // 4, 5 -> 1 ... 8, 9 -> 3
    reads = index >= 4'd4 && index < 4'd10 && (DIRECTIONS == 2 || !index[0]);
    if (reads) message = {64'd0, {4'd0, index[0], 3'd7}, 22'd0, counter, 8'(LSTM_LAYER), OP_READ};
    else message = {data, 32'd0, 8'd0, OP_DATA};
  end
endmodule

`default_nettype wire
