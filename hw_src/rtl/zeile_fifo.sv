// SPDX-License-Identifier: Apache-2.0
// FIFO of a stream, first word falls through. Holds at least DEPTH elements; one enters and one leaves each cycle.
// An element is seen behind it 2 cycles after it entered the empty FIFO, 3 where it lies in block RAM.
`default_nettype none

module zeile_fifo #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 4
) (
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic             in_valid,
    output wire logic             in_ready,
    input  wire logic [WIDTH-1:0] in_data,
    output wire logic             out_valid,
    input  wire logic             out_ready,
    output wire logic [WIDTH-1:0] out_data
);
  localparam int ADDRESS_BITS = DEPTH <= 2 ? 1 : $clog2(DEPTH);
  localparam int COUNT_BITS = $clog2(DEPTH + 1);

  logic [ADDRESS_BITS-1:0] head, tail;
  logic [COUNT_BITS-1:0] count;  // in the memory, where another may read next
  logic valid;
  logic [WIDTH-1:0] data;

  // What the memory gives is at hand in `front`; `take` moves it into the output register, `leave` frees its place.
  wire logic has_front, leave;
  wire logic [WIDTH-1:0] front;
  wire logic enter = in_valid && in_ready;
  wire logic take = has_front && (!valid || out_ready);

  assign in_ready = count != COUNT_BITS'(DEPTH);
  assign out_valid = valid;
  assign out_data = data;

  if (DEPTH <= 64) begin : g_lut
    (* ram_style = "distributed" *) logic [WIDTH-1:0] mem[0:DEPTH-1];
    always_ff @(posedge clk) if (enter) mem[tail] <= in_data;
    assign front = mem[head];
    assign has_front = count != 0;
    assign leave = take;
  end else begin : g_block
    logic fetched;
    zeile_ram #(.WIDTH(WIDTH), .DEPTH(DEPTH)) ram (
        .clk, .we(enter), .waddr(tail), .wdata(in_data), .re(leave), .raddr(head), .rdata(front));
    assign leave = count != 0 && (!fetched || take);
    assign has_front = fetched;
    always_ff @(posedge clk) begin
      if (leave) fetched <= 1'b1;
      else if (take) fetched <= 1'b0;
      if (rst) fetched <= 1'b0;
    end
  end

  always_ff @(posedge clk) begin
    if (enter) tail <= tail == ADDRESS_BITS'(DEPTH - 1) ? '0 : tail + 1'b1;
    if (leave) head <= head == ADDRESS_BITS'(DEPTH - 1) ? '0 : head + 1'b1;
    if (enter && !leave) count <= count + 1'b1;
    if (leave && !enter) count <= count - 1'b1;
    if (take) valid <= 1'b1;
    else if (out_ready) valid <= 1'b0;
    if (rst) begin
      head <= '0;
      tail <= '0;
      count <= '0;
      valid <= 1'b0;
    end
  end

  always_ff @(posedge clk) if (take) data <= front;
endmodule

`default_nettype wire
