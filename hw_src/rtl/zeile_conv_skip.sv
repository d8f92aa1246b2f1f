// SPDX-License-Identifier: Apache-2.0
// Pixels that a convolution adds: they wait here from before their own pixel `begins` until its last sums take them
// (`used`). `waits`: there is one for which none has begun. Its use comes at least 4 cycles behind `begins`.
`default_nettype none

module zeile_conv_skip #(
    parameter int WIDTH = 16,  // codes of a pixel
    parameter int DEPTH = 8
) (
    input  wire              clk,
    input  wire              rst,
    input  wire              skip_valid,
    output wire              skip_ready,
    input  wire  [WIDTH : 0] skip_data,   // {last, codes}
    input  wire              begins,
    output logic             waits,
    input  wire              used,
    output wire  [WIDTH-1:0] added
);
  localparam int COUNT_BITS = $clog2(DEPTH + 3);  // the FIFO may hold a few more

  logic [COUNT_BITS-1:0] count, count_next;

  wire out_valid;
  wire unused = skip_data[WIDTH] ^ out_valid;

  assign count_next = count + COUNT_BITS'(skip_valid && skip_ready) - COUNT_BITS'(begins);

  always_ff @(posedge clk) begin
    count <= rst ? '0 : count_next;
    waits <= !rst && count_next != '0;
  end

  zeile_fifo #(
      .WIDTH(WIDTH),
      .DEPTH(DEPTH)
  ) pixels (
      .clk(clk),
      .rst(rst),
      .in_valid(skip_valid),
      .in_ready(skip_ready),
      .in_data(skip_data[WIDTH-1:0]),
      .out_valid(out_valid),
      .out_ready(used),
      .out_data(added)
  );
endmodule

`default_nettype wire
