// SPDX-License-Identifier: Apache-2.0
// The begin of the configuration chain: two registers, and a memory of one packet's words, which are echoed only when
// all of them are there. A message leaves two cycles after `put`, or later where the chain waits; a message a cycle.
`default_nettype none

module zeile_messages #(
    parameter int ECHO_WORDS = 512
) (
    input wire clk,
    input wire rst,

    input  wire                           put,        // only with `room`
    output logic                          room,
    input  wire  [                 105:0] message,
    input  wire                           echoes,     // its data is the stored word `index`
    input  wire  [$clog2(ECHO_WORDS)-1:0] index,
    input  wire                           store,      // keep `word` as word `index`
    input  wire  [                  63:0] word,
    output logic                          out_valid,
    input  wire                           out_ready,
    output logic [                 105:0] out_data
);
  logic [63:0] echoed;
  logic [105:0] held;
  logic held_valid, held_echoes;

  assign room = !out_valid || out_ready;

  zeile_ram #(
      .WIDTH(64), .DEPTH(ECHO_WORDS)
  ) echo (
      .clk, .we(store), .waddr(index), .wdata(word), .re(room), .raddr(index), .rdata(echoed)
  );

  always_ff @(posedge clk) begin
    if (rst) begin
      held_valid <= 1'b0;
      out_valid  <= 1'b0;
    end else if (room) begin
      held_valid <= put;
      out_valid  <= held_valid;
    end
  end

  always_ff @(posedge clk) begin
    if (room) begin
      held <= message;
      held_echoes <= echoes;
      out_data <= {held_echoes ? echoed : held[105:42], held[41:0]};
    end
  end
endmodule

`default_nettype wire
