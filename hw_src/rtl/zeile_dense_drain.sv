// SPDX-License-Identifier: Apache-2.0
// Sums of row blocks to scores, LANES a cycle, in class order; rows beyond K are skipped. `sums` hold for GROUPS cycles
// from `done` on and more. A row block is begun (`promise`) only while its scores have a place in the FIFO behind all
// this (`room`). The first score leaves 9 cycles behind `done`.
`default_nettype none

module zeile_dense_drain #(
    parameter int CLASSES = 16,  // compiled maximum
    parameter int PE      = 4,
    parameter int LANES   = 1,
    parameter int S       = 16,  // bits of a sum
    parameter int BLOCKS  = 4    // row blocks that the FIFO holds
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire  [         8:0] classes,    // K, at rest while lines pass
    output logic                room,
    input  wire                 promise,
    input  wire                 done,
    input  wire  [    PE*S-1:0] sums,
    input  wire                 step_last,  // with `done`: the step is its line's last
    output logic                out_valid,
    input  wire                 out_ready,
    output logic [8*LANES+10:0] out_data,   // {last, end, count[8:0], scores}
    input  wire                 we,         // of rows
    input  wire                 re,
    input  wire  [        23:0] index,
    input  wire  [        63:0] wdata,
    output logic [        63:0] rdata
);
  `include "zeile.svh"

  localparam int GROUPS = PE / LANES, ROWS = zeile_ceil_divide(CLASSES, PE) * PE;
  localparam int GROUP_BITS = zeile_bits(GROUPS), ROW_BITS = zeile_bits(ROWS / LANES);
  localparam int COUNT_BITS = $clog2(LANES + 1), PROMISED_BITS = $clog2(BLOCKS + 1);
  localparam int LANE_LATENCY = 5;                     // of zeile_preactivation
  localparam int LATENCY = ZEILE_ROWS_LATENCY + LANE_LATENCY;

  // Row blocks promised whose last scores have not left.
  logic [PROMISED_BITS-1:0] promised;
  logic released;

  assign room = promised != PROMISED_BITS'(BLOCKS);
  always_ff @(posedge clk) begin
    if (rst) promised <= '0;
    else promised <= promised + PROMISED_BITS'(promise) - PROMISED_BITS'(released);
  end

  // A group of sums each cycle.
  logic active, last, step_end, block_end, fresh;
  logic [GROUP_BITS-1:0] group;
  logic [ROW_BITS-1:0] row;
  logic [8:0] left;         // classes from this group on
  logic [COUNT_BITS-1:0] count;

  assign active = done || group != '0;
  assign step_end = left <= 9'(LANES);
  assign block_end = step_end || group == GROUP_BITS'(GROUPS - 1);
  assign count = step_end ? left[COUNT_BITS-1:0] : COUNT_BITS'(LANES);

  always_ff @(posedge clk) begin
    if (rst) begin
      group <= '0;
      row <= '0;
      fresh <= 1'b1;
    end else if (active) begin
      group <= block_end ? '0 : group + 1'b1;
      row <= step_end ? '0 : row + 1'b1;
      fresh <= step_end;
    end
  end

  always_ff @(posedge clk) begin
    if (active ? step_end : fresh) left <= classes;
    else if (active) left <= left - 9'(LANES);
    if (done) last <= step_last;
  end

  logic [LANES*S-1:0] chosen, chosen_q, sums_q;
  logic [LANES*32-1:0] bias;
  logic [LANES*15-1:0] multiplier;
  logic [LANES*16-1:0] gain;
  logic [LANES*8-1:0] entries, scores;
  wire unused = &{1'b0, gain};

  zeile_select #(LANES * S, GROUPS, GROUP_BITS) select (.values(sums), .index(group), .value(chosen));
  always_ff @(posedge clk) begin
    chosen_q <= chosen;
    sums_q <= chosen_q;
  end

  zeile_rows #(
      .ROWS(ROWS),
      .BANKS(1),
      .GROUPS(GROUPS),
      .LANES(LANES)
  ) row_store (
      .address(row),
      .*
  );

  for (genvar i = 0; i < LANES; i++) begin : g_lane  // a score is what a gate's pre-activation is
    zeile_preactivation #(S) lane (
        .clk,
        .sum(sums_q[i*S+:S]),
        .bias(bias[i*32+:32]),
        .multiplier(multiplier[i*15+:15]),
        .entry(entries[i*8+:8])
    );
    assign scores[i*8+:8] = {!entries[i*8+7], entries[i*8+:7]};
  end

  logic [LATENCY-1:0] actives;
  logic [COUNT_BITS-1:0] count_q, out_count;
  logic last_q, step_end_q, block_end_q, out_last, out_end, out_block_end;
  logic [8*LANES-1:0] out_scores;

  always_ff @(posedge clk) actives <= rst ? '0 : {actives[LATENCY-2:0], active};
  zeile_delay #(COUNT_BITS + 3, LATENCY) delay (
      .clk,
      .in({step_end && (done ? step_last : last), step_end, block_end, count}),
      .out({last_q, step_end_q, block_end_q, count_q})
  );

  // verilator lint_off PINCONNECTEMPTY
  zeile_fifo #(8 * LANES + COUNT_BITS + 3, BLOCKS * GROUPS) fifo (
      .clk,
      .rst,
      .in_valid(actives[LATENCY-1]),
      .in_ready(),  // promised
      .in_data({last_q, step_end_q, block_end_q, count_q, scores}),
      .out_valid,
      .out_ready,
      .out_data({out_last, out_end, out_block_end, out_count, out_scores})
  );
  // verilator lint_on PINCONNECTEMPTY

  assign out_data = {out_last, out_end, 9'(out_count), out_scores};
  assign released = out_valid && out_ready && out_block_end;
endmodule

`default_nettype wire
