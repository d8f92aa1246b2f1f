// SPDX-License-Identifier: Apache-2.0
// Constants and constant functions of all modules. Included inside a module's body, so that it needs no package and no
// order of compilation; hence no include guard.

/* verilator lint_off UNUSEDPARAM */
// Cycles from the inputs to the output of zeile_rescale, zeile_rows, zeile_table.
localparam int ZEILE_RESCALE_LATENCY = 4;
localparam int ZEILE_ROWS_LATENCY = 2;
localparam int ZEILE_TABLE_LATENCY = 2;

// Cycles from `re` to `rdata` that the configuration node waits: as long as the slowest memory needs, zeile_mac_array.
localparam int ZEILE_READ_LATENCY = 12;

// Sections of a target, and what a message of the configuration chain asks for (types.h).
localparam logic [2:0] ZEILE_WEIGHTS = 3'd0, ZEILE_ROWS = 3'd1, ZEILE_SIGMOID = 3'd2, ZEILE_TANH = 3'd3;
localparam logic [2:0] ZEILE_TANH_CELL = 3'd4, ZEILE_CONTROL = 3'd7;
localparam logic [1:0] ZEILE_WRITE = 2'd0, ZEILE_READ = 2'd1, ZEILE_DATA = 2'd2;
/* verilator lint_on UNUSEDPARAM */

// Bits that count 0 ... n - 1, at least 1. In port lists, where no function is known yet: n <= 2 ? 1 : $clog2(n).
function automatic int zeile_bits(input int n);
  zeile_bits = n <= 2 ? 1 : $clog2(n);
endfunction

function automatic int zeile_ceil_divide(input int a, input int b);
  zeile_ceil_divide = (a + b - 1) / b;
endfunction

// Magnitude of a weight of W bits.
function automatic int zeile_largest_weight(input int bits);
  zeile_largest_weight = bits == 1 ? 1 : (1 << (bits - 1)) - 1;
endfunction

// Bits of a signed sum of magnitude at most `bound`.
function automatic int zeile_sum_bits(input int bound);
  zeile_sum_bits = $clog2(bound + 1) + 1;
endfunction

// Lanes that bring PE results out before the next ones, SF cycles later: the fewest that divide PE (arithmetic.h).
function automatic int zeile_output_lanes(input int pe, input int sf);
  zeile_output_lanes = (pe + sf - 1) / sf;
  while (pe % zeile_output_lanes != 0) zeile_output_lanes = zeile_output_lanes + 1;
endfunction

// Register stages of an adder tree of n terms, two levels of adders in each.
function automatic int zeile_tree_stages(input int n);
  zeile_tree_stages = ($clog2(n) + 1) / 2;
endfunction

// Cycles from `issue` with `last` to `done` of zeile_mac_array: address, memory, its output register, operands,
// product, tree, accumulator, sums.
function automatic int zeile_mac_latency(input int simd);
  zeile_mac_latency = 7 + zeile_tree_stages(simd);
endfunction
