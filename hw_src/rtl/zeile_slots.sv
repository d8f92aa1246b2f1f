// SPDX-License-Identifier: Apache-2.0
// Which line of the ring has a slot, and which slot issues next: slots take turns, a step each, so that while h of one
// line travels through the gates another line issues. The schedule is that of hls/slots.h, cycle by cycle: the step
// behind `finish` is there in the next cycle if a slot is ready, and a slot is ready LATENCY cycles after `gates_end`.
// `steps_*` is the step that issues; a line's steps differ in `half`, the half of the memory of h that they write.
`default_nettype none

module zeile_slots #(
    parameter int DIRECTION    = 0,
    parameter int SLOTS        = 4,
    parameter int STEPS        = 64,
    parameter int SLICES       = 2,
    parameter int LATENCY      = 24,
    parameter int ADDRESS_BITS = 7,
    parameter int PLACE_BITS   = 6,
    parameter int SLOT_BITS    = 2
) (
    input  wire                     clk,
    input  wire                     rst,
    input  wire                     in_valid,
    output logic                    in_ready,
    input  wire                     in_last,
    output logic [ADDRESS_BITS-1:0] in_address,
    output logic                    occupied,      // a line is in a slot
    output logic                    running,       // a step issues
    output logic [ADDRESS_BITS-1:0] step_address,  // of its first slice
    output logic [  PLACE_BITS-1:0] step_place,
    output logic [             1:0] step_turn,
    output logic [   SLOT_BITS-1:0] step_slot,
    output logic                    step_half,
    output logic                    step_first,    // of its line, in the order of computation
    output logic                    step_last,
    input  wire                     finish,        // the step's last tile issues
    input  wire                     gates_end,     // the last h of a step, but a line's last, are on their way
    input  wire  [   SLOT_BITS-1:0] gates_slot
);
  localparam int COUNT_BITS = $clog2(STEPS + 1);
  localparam int POSITION_BITS = 2 + PLACE_BITS + ADDRESS_BITS;
  localparam int STATE_BITS = 3 + 5 + COUNT_BITS + POSITION_BITS;

  logic head_valid, head_single;
  logic [POSITION_BITS-1:0] head_at;
  logic [COUNT_BITS-1:0] head_steps;
  logic [4:0] head_line, line;

  logic [SLOTS-1:0][STATE_BITS-1:0] states;  // {last, first, half, line, left, position}
  logic [STATE_BITS-1:0] head, chosen, advanced, written;
  logic [SLOTS-1:0][4:0] waits;  // cycles until the next step may issue
  logic [COUNT_BITS-1:0] left;
  logic [SLOTS-1:0] busy, ready, here, ahead, free_now, free_then, start_now, start_then, pick, choice, due;
  logic begun, load, wraps, next_last;

  function automatic logic [SLOTS-1:0] lowest(input logic [SLOTS-1:0] bits);
    logic found;
    found = 1'b0;
    for (int i = 0; i < SLOTS; ++i) begin
      lowest[i] = bits[i] && !found;
      found = found || bits[i];
    end
  endfunction

  zeile_lines #(
      .DIRECTION(DIRECTION),
      .STEPS(STEPS),
      .SLICES(SLICES),
      .ADDRESS_BITS(ADDRESS_BITS),
      .PLACE_BITS(PLACE_BITS),
      .COUNT_BITS(COUNT_BITS)
  ) lines (
      .clk,
      .rst,
      .in_valid,
      .in_ready,
      .in_last,
      .in_address,
      .head_valid,
      .head_at,
      .head_steps,
      .head_single,
      .head_line,
      .head_take(start_now != '0),
      .done(finish && step_last),
      .done_line(line)
  );

  // A line's last step leaves its slot to the next line at once. `_then`: as if the running step finished now, which
  // is all that the choice of the next step needs to know, and `finish` comes late in the cycle.
  always_comb begin
    for (int i = 0; i < SLOTS; ++i) begin
      here[i]  = step_slot == SLOT_BITS'(i);
      ahead[i] = step_slot < SLOT_BITS'(i);
      due[i]   = waits[i] == 5'd2;
    end
    free_then = ~busy | (running && step_last ? here : '0);
    free_now = ~busy | (finish && step_last ? here : '0);
    start_then = head_valid ? lowest(free_then) : '0;
    start_now = head_valid && !begun ? lowest(free_now) : '0;
    pick = ready | start_then;
    choice = (pick & ahead) != '0 ? lowest(pick & ahead) : lowest(pick);
    load = !running || finish;

    head = {head_single, 1'b1, 1'b0, head_line, head_steps, head_at};
    chosen = '0;
    for (int i = 0; i < SLOTS; ++i) chosen |= choice[i] ? (start_then[i] ? head : states[i]) : '0;
  end

  assign occupied = busy != '0;
  assign wraps = step_place == (DIRECTION == 0 ? PLACE_BITS'(STEPS - 1) : '0);
  assign next_last = left == COUNT_BITS'(2);

  assign written = begun ? advanced : head;  // a line starts a cycle later: a step has two tiles at least

  always_comb begin
    advanced = '0;
    advanced[STATE_BITS-1-:8] = {next_last, 1'b0, !step_half, line};
    advanced[POSITION_BITS+:COUNT_BITS] = left - 1'b1;
    if (DIRECTION == 0) begin
      advanced[POSITION_BITS-1-:2] = step_turn + 2'(wraps);
      advanced[ADDRESS_BITS+:PLACE_BITS] = wraps ? '0 : step_place + 1'b1;
      advanced[0+:ADDRESS_BITS] = wraps ? '0 : step_address + ADDRESS_BITS'(SLICES);
    end else begin
      advanced[POSITION_BITS-1-:2] = step_turn - 2'(wraps);
      advanced[ADDRESS_BITS+:PLACE_BITS] = wraps ? PLACE_BITS'(STEPS - 1) : step_place - 1'b1;
      advanced[0+:ADDRESS_BITS] = wraps ? ADDRESS_BITS'((STEPS - 1) * SLICES) : step_address - ADDRESS_BITS'(SLICES);
    end
  end

  always_ff @(posedge clk) begin
    if (load && pick != '0) begin
      {step_last, step_first, step_half, line, left, step_turn, step_place, step_address} <= chosen;
      for (int i = 0; i < SLOTS; ++i) if (choice[i]) step_slot <= SLOT_BITS'(i);
    end
    for (int i = 0; i < SLOTS; ++i) begin
      if (start_now[i] || (begun && here[i])) states[i] <= written;
      if (gates_end && gates_slot == SLOT_BITS'(i)) waits[i] <= 5'(LATENCY);
      else if (waits[i] != '0) waits[i] <= waits[i] - 1'b1;
      if (rst) waits[i] <= '0;
    end
    begun <= load && pick != '0;
    running <= !load || pick != '0;
    busy <= ~free_now | start_now;
    ready <= (ready | due | start_now) & ~(load ? choice : '0);
    if (rst) begin
      {begun, running} <= '0;
      {busy, ready} <= '0;
      step_slot <= '0;
    end
  end
endmodule

`default_nettype wire
