// SPDX-License-Identifier: Apache-2.0
// The lines that lie in the ring of a recurrent layer: where the next slice goes, and which complete line is next for a
// slot (`head`). The steps of a line are freed together, in the order of the lines.
// A line may be taken SETTLE cycles after its last slice, so that the ring's write and its table entry have landed.
`default_nettype none

module zeile_lines #(
    parameter int DIRECTION     = 0,  // 1: the step to be computed first is the line's last
    parameter int STEPS         = 64,
    parameter int SLICES        = 2,  // ring words of a step
    parameter int ADDRESS_BITS  = 7,
    parameter int PLACE_BITS    = 6,
    parameter int COUNT_BITS    = 7,  // of 0 ... STEPS
    parameter int POSITION_BITS = 2 + PLACE_BITS + ADDRESS_BITS
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire                      in_valid,
    output logic                     in_ready,
    input  wire                      in_last,
    output logic [ ADDRESS_BITS-1:0] in_address,  // of the slice offered
    output logic                     head_valid,
    output logic [POSITION_BITS-1:0] head_at,     // {turn, place, address} of the step computed first
    output logic [   COUNT_BITS-1:0] head_steps,
    output logic                     head_single,
    output logic [              4:0] head_line,
    input  wire                      head_take,
    input  wire                      done,        // all steps of done_line have issued
    input  wire  [              4:0] done_line
);
  localparam int LINES = 32, SETTLE = 8;
  localparam int SLICE_BITS = SLICES <= 2 ? 1 : $clog2(SLICES);
  localparam int ENTRY_BITS = 1 + COUNT_BITS + POSITION_BITS;

  // The writer: position of the step that comes in, its next slice, the steps of its line before it.
  logic [1:0] turn;
  logic [PLACE_BITS-1:0] place;
  logic [ADDRESS_BITS-1:0] address;  // of the step's first slice
  logic [SLICE_BITS-1:0] slice;
  logic [COUNT_BITS-1:0] steps, steps_next, used;
  logic [POSITION_BITS-1:0] at, first_at, start;
  logic take, step_begins, step_ends, line_begins, line_ends, wraps;

  // The table: lines [oldest, next) have or had a slot, [next, newest) wait for one.
  logic [4:0] oldest, next, newest, read;
  logic [5:0] held, loaded;
  logic [SETTLE-2:0] settling;
  logic [LINES-1:0] finished;
  logic [COUNT_BITS-1:0] freed;
  logic free;
  (* ram_style = "distributed" *) logic [ENTRY_BITS-1:0] entries[0:LINES-1];
  (* ram_style = "distributed" *) logic [COUNT_BITS-1:0] lengths[0:LINES-1];

  assign step_begins = slice == '0;
  assign step_ends = slice == SLICE_BITS'(SLICES - 1);
  assign in_ready = !step_begins || (used != COUNT_BITS'(STEPS) && (!line_begins || !held[5]));
  assign in_address = address + ADDRESS_BITS'(slice);
  assign take = in_valid && in_ready;
  assign line_ends = take && step_ends && in_last;
  assign wraps = place == PLACE_BITS'(STEPS - 1);
  assign at = {turn, place, address};
  assign start = DIRECTION == 0 && !line_begins ? first_at : at;
  assign steps_next = steps + 1'b1;

  always_ff @(posedge clk) begin
    if (rst) begin
      turn <= 2'd1;  // readers of the blocks clear their flags to 0
      place <= '0;
      address <= '0;
      slice <= '0;
      steps <= '0;
      line_begins <= 1'b1;
    end else if (take) begin
      slice <= step_ends ? '0 : slice + 1'b1;
      if (step_ends) begin
        turn <= turn + 2'(wraps);
        place <= wraps ? '0 : place + 1'b1;
        address <= wraps ? '0 : address + ADDRESS_BITS'(SLICES);
        steps <= in_last ? '0 : steps_next;
        line_begins <= in_last;
      end
    end
  end

  always_ff @(posedge clk) begin
    if (line_begins) first_at <= at;
    if (line_ends) entries[newest] <= {steps == '0, steps_next, start};
  end

  always_ff @(posedge clk) begin
    if (line_ends) lengths[newest] <= steps_next;
  end

  assign free = finished[oldest];
  assign freed = free ? lengths[oldest] : '0;
  assign head_valid = loaded != '0;
  assign head_line = next;
  assign read = next + 5'(head_take);

  always_ff @(posedge clk) begin
    {head_single, head_steps, head_at} <= entries[read];
    for (int i = 0; i < LINES; ++i) begin
      if (done && done_line == 5'(i)) finished[i] <= 1'b1;
      if (free && oldest == 5'(i)) finished[i] <= 1'b0;
    end
    oldest <= oldest + 5'(free);
    next <= read;
    newest <= newest + 5'(line_ends);
    held <= held + 6'(line_ends) - 6'(free);
    settling <= {settling[SETTLE-3:0], line_ends};
    loaded <= loaded + 6'(settling[SETTLE-2]) - 6'(head_take);
    used <= used + COUNT_BITS'(take && step_begins) - freed;
    if (rst) begin
      finished <= '0;
      {oldest, next, newest} <= '0;
      {held, loaded} <= '0;
      settling <= '0;
      used <= '0;
    end
  end
endmodule

`default_nettype wire
