// SPDX-License-Identifier: Apache-2.0
// What every stream promises: what is valid stays, with the same data, until it is taken. Of an input it is assumed, of
// an output it must hold. A stream is silent while rst is high.
module stream_rules #(
    parameter WIDTH = 1,
    parameter INPUT = 0
) (
    input wire clk,
    input wire rst,
    input wire valid,
    input wire ready,
    input wire [WIDTH-1:0] data
);
  reg waits = 0;  // since the cycle before
  reg [WIDTH-1:0] held;
  always @(posedge clk) begin
    waits <= !rst && valid && !ready;
    held <= data;
  end
  always @* begin
    if (INPUT) begin
      if (rst) assume (!valid);
      if (!rst && waits) assume (valid && data == held);
    end else begin
      if (!rst && waits) assert (valid && data == held);
    end
  end
endmodule

// High in the first cycle.
module reset_once (
    input wire clk,
    output reg rst
);
  initial rst = 1;
  always @(posedge clk) rst <= 0;
endmodule
