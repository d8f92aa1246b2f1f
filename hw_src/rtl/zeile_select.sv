// SPDX-License-Identifier: Apache-2.0
// One of COUNT values of WIDTH bits. Combinational, a tree of multiplexers for each bit: indexing the flat vector would
// be a shifter. An index beyond COUNT gives zeros.
`default_nettype none

module zeile_select #(
    parameter int WIDTH = 8,
    parameter int COUNT = 4,
    parameter int INDEX_BITS = COUNT > 1 ? $clog2(COUNT) : 1
) (
    input  wire  [COUNT*WIDTH-1:0] values,
    input  wire  [INDEX_BITS-1:0]  index,
    output logic [WIDTH-1:0]       value
);
  for (genvar b = 0; b < WIDTH; ++b) begin : of_bit
    logic [(1<<INDEX_BITS)-1:0] choices;
    for (genvar i = 0; i < 1 << INDEX_BITS; ++i) begin : of_value
      if (i < COUNT) begin : given
        assign choices[i] = values[i*WIDTH+b];
      end else begin : beyond
        assign choices[i] = 1'b0;
      end
    end
    assign value[b] = choices[index];
  end
endmodule

`default_nettype wire
