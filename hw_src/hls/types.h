// SPDX-License-Identifier: Apache-2.0
// What flows between units: small integers in arrays, never wide words. One element crosses a stream in one cycle.
#pragma once

#include <ap_int.h>
#include <hls_stream.h>

namespace zeile {

// sN or uN
template <int N, bool SIGNED>
struct Code {
  using type = ap_uint<N>;
};
template <int N>
struct Code<N, true> {
  using type = ap_int<N>;
};

// N values that are read and written together.
template <class T, int N>
struct Pack {
  T v[N];
};

// N codes of a feature map or of a frame. `last` marks the last element of a line.
template <class T, int N>
struct Element {
  Pack<T, N> data;
  bool last;
};

// The outputs h of N neighbouring units of one step of one direction.
// Steps are numbered through all lines, in frame order: step = turn * R + place, and `turn` keeps two bits of it.
template <int A, int N, int PLACE_BITS, int BLOCK_BITS>
struct HiddenBlock {
  Pack<ap_int<A>, N> h;
  ap_uint<PLACE_BITS> place;  // 0 ... R - 1
  ap_uint<2> turn;
  ap_uint<BLOCK_BITS> block;  // units [block * N, (block + 1) * N)
  bool last;                  // of the last step of its line, in frame order
};

// Scores of neighbouring classes of one step, in class order; the first `count` are valid.
template <int N>
struct ScoreElement {
  Pack<ap_int<8>, N> score;
  ap_uint<9> count;
  bool end;   // last element of a step
  bool last;  // last element of a line
};

// A message of the configuration chain. A unit takes what is for its target and passes on the rest.
struct Config {
  ap_uint<2> op;
  ap_uint<8> target;
  ap_uint<32> address;  // [31:24] section, [23:0] index
  ap_uint<64> data;
};

constexpr int kWrite = 0;  // store `data`
constexpr int kRead = 1;   // becomes kData with the word read; 0 where nothing is
constexpr int kData = 2;   // for Send, in the order of the requests

// Sections of a target; those of direction d of a recurrent layer are 8 * d higher.
constexpr int kWeights = 0, kRows = 1, kSigmoid = 2, kTanh = 3, kTanhCell = 4;
constexpr int kControl = 7;  // Lstm: counters cycles, issued, starved, stalled (read only). Dense: 0 is K

constexpr int Log2(int n) { return n <= 1 ? 0 : 1 + Log2((n + 1) / 2); }  // bits that count 0 ... n - 1
constexpr int Bits(int n) { return n <= 2 ? 1 : Log2(n); }                // the same, at least 1
constexpr int CeilDivide(int a, int b) { return (a + b - 1) / b; }

}  // namespace zeile
