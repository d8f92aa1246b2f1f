// SPDX-License-Identifier: Apache-2.0
// What a path (one instruction set) offers to the engine: plain functions over plain structures.
//
// Each path is one translation unit with its own compiler flags, so nothing here may instantiate library
// templates: the linker could then hand AVX-512 code to an older CPU.
//
// Codes are bytes. Unsigned codes stand as they are; signed codes sA are stored plus 2^(A-1), and the biases
// of the layers that read them are corrected when weights are packed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace zeile {

constexpr int kTile = 16;              // output rows of a tile
constexpr int kQuad = 4;               // consecutive inputs that one lane multiplies at a time
constexpr int kBlock = kTile * kQuad;  // bytes of a tile's weights for one quad
constexpr int kUnits = 32;             // hidden units are padded to a multiple of this
constexpr int kMaxSlots = 8;           // lines that one recurrent step serves at most

// A 3 x 3 convolution of one channel has its own layout, `taps`: for each tile and column of the window two
// blocks of kTile rows by two taps, the second one of the last tap and a zero. Nothing is added across lanes then.
constexpr int kTapBytes = 3 * 4 * kTile;  // of a tile

// A weight matrix, packed. Inputs come as `runs` runs of `quads` quads, `stride` bytes apart; weights beyond
// a run's end are zero, so that whatever lies there does not matter.
struct Matrix {
  const int8_t* weight;       // (tiles, parts, runs, quads, kTile, kQuad), rows of a tile in the path's order
  const int32_t* bias;        // (tiles * kTile)
  const int16_t* bias16;      // the same modulo 2^16
  const int16_t* multiplier;  // (tiles * kTile)
  const int16_t* gain;        // (tiles * kTile), or null without a skip connection
  size_t stride;
  int rows;  // real output rows
  int tiles;
  int runs;
  int quads;
  int parts;    // 2 if weights are the sum of two halves, so that no pair of products saturates 16 bits
  bool narrow;  // the accumulator fits 16 bits
  bool taps;    // the layout of one channel; codes are at most 127, sums narrow, any pool may follow
  bool pairs;   // the four filters of a pair of rows (pairs.hpp), one behind the other; a pool of 1 x 2 follows
};

// Layers over maps. A map has an edge of paper: (columns + 2, rows + 2, channels), data at the corner.
struct ConvJob {
  const Matrix* matrix;
  const uint8_t* in;
  const uint8_t* skip;  // a map of the output's shape, or null
  uint8_t* out;
  uint8_t* scratch;  // for `pairs`: 4 * (columns + 2) * in_channels
  int columns;
  int rows;
  int in_channels;
  int out_channels;
  int in_top;        // largest code that comes in
  int top;           // largest output code
  int pool_columns;  // a pool behind the convolution, done at once: at most Kernels::window pixels unless `taps`
  int pool_rows;
};

struct PoolJob {
  const uint8_t* in;
  uint8_t* out;
  int columns;  // of the input
  int rows;
  int channels;
  int pool_columns;
  int pool_rows;
};

// Rows of a matrix times frames `stride` bytes apart (negative: read backwards).
struct FramesJob {
  const Matrix* matrix;
  const uint8_t* in;
  ptrdiff_t stride;
  int frames;
  void* out;  // dense: (frames, rows) int8; project: (frames, tiles * kTile) int16 if narrow, else int32
};

// A rising function of a byte with at most 16 values, as thresholds for bisection: the index rises from k - 1
// to k where the argument exceeds above[k].
struct Ladder {
  int8_t above8;
  alignas(16) int8_t above4[16];  // [k] = above[k + 4]
  alignas(16) int8_t above2[16];
  alignas(16) int8_t above1[16];
  alignas(16) int8_t value[16];
};

// One direction of an LSTM layer.
struct Recurrent {
  Matrix from_x;  // its bias holds every correction
  Matrix from_h;
  int hidden;
  int padded;  // hidden, in whole kUnits; the four gates stand `padded` rows apart
  int out_bits;
  int cell_bits;
  bool ladders;  // tables are ladders and cells are bytes: the vector form of the gates holds
  Ladder sigmoid;
  Ladder tanh;  // times 2^(cell_bits - out_bits - 2)
  Ladder tanh_cell;
  int16_t divisor;  // m_A and q of D_A
  int shift;
  const uint8_t* sigmoid_table;   // (256)
  const int8_t* tanh_table;       // (256)
  const int8_t* tanh_cell_table;  // (2^cell_bits)
};

// A line on its way through a Recurrent.
struct Slot {
  const void* x;  // from_x's accumulators for this step
  uint8_t* h;     // (padded)
  int16_t* c;     // (padded); bytes where `ladders`
  uint8_t* out;   // (hidden) of this step's frame
};

struct Kernels {
  const char* name;
  int order[kTile];     // order[i]: which row of a tile stands at place i of a block
  bool pairs_saturate;  // sums of two products saturate at 16 bits
  int offset;           // what the path subtracts from every input code
  int window;           // 2 or 4: pixels of the largest pool that `conv` does itself
  int slots;            // lines a recurrent step serves best
  void (*conv)(const ConvJob&);
  void (*pool)(const PoolJob&);
  void (*dense)(const FramesJob&);
  void (*project)(const FramesJob&);
  // One frame for `count` slots; `pre` holds 4 * padded bytes; `backwards` visits the tiles from last to
  // first.
  void (*step)(const Recurrent&, const Slot* slots, int count, int8_t* pre, bool backwards);
  // Multiplies and accumulates `rounds` times from registers; returns the multiply-accumulates done.
  double (*spin)(long rounds);
};

}  // namespace zeile
