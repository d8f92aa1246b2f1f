// SPDX-License-Identifier: Apache-2.0
// Steps of a line: ceil(frames / FRAMES_PER_STEP). A bit a cycle, for a line takes thousands; `busy` from the cycle
// after `start` on, then `steps` holds until the next start. Nothing is divided by one, and `busy` is short.
`default_nettype none

module zeile_send_steps #(
    parameter int FRAMES_PER_STEP = 3,
    parameter int MAX_FRAMES = 8192
) (
    input  wire         clk,
    input  wire         rst,
    input  wire         start,
    input  wire  [31:0] frames,
    output logic        busy,
    output logic [31:0] steps
);
  localparam int BITS = $clog2(MAX_FRAMES + FRAMES_PER_STEP);
  localparam int TURNS = FRAMES_PER_STEP == 1 ? 1 : BITS;
  localparam int TURN_BITS = $clog2(TURNS + 1);

  logic [BITS-1:0] number;  // frames still to divide above, quotient below
  logic [BITS-1:0] rest;    // only so many bits as FRAMES_PER_STEP has are ever set
  logic [BITS:0] trial;
  logic [TURN_BITS-1:0] turns;
  logic fits;

  assign trial = {rest, number[BITS-1]};
  assign fits = trial >= (BITS + 1)'(FRAMES_PER_STEP);
  assign busy = turns != '0;
  assign steps = 32'(number);

  always_ff @(posedge clk) begin
    if (rst) turns <= '0;
    else if (start) turns <= TURN_BITS'(TURNS);
    else if (busy) turns <= turns - 1'b1;
  end

  always_ff @(posedge clk) begin
    if (start) begin
      number <= frames[BITS-1:0] + BITS'(FRAMES_PER_STEP - 1);
      rest <= '0;
    end else if (busy && FRAMES_PER_STEP != 1) begin
      number <= {number[BITS-2:0], fits};
      rest <= fits ? BITS'(trial - (BITS + 1)'(FRAMES_PER_STEP)) : trial[BITS-1:0];
    end
  end

  wire unused = &{1'b0, frames[31:BITS]};
endmodule

`default_nettype wire
